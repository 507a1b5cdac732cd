/** Text from mail as one component of a path: it never leaves its folder, and two texts never become one. */
import { createHash } from 'node:crypto';

/** A component may be 255 bytes; this leaves room for what stands beside it, and for endings. */
const MAX_LENGTH = 120;

/**
 * Names that mean something: Maildir's own folders, and what stands beside an mbox.
 */
const TAKEN = /^(?:tmp|new|cur)$|\.(?:lock|undo)$/;

/**
 * Keeps ASCII letters, digits and `@ + - _ = .`; all else, a dot at the start and names that mean something are written as
 * `%XX`. In lower case, since local parts of our own domains are the same in any; never empty.
 */
export function safeName(text: string): string {
  const bytes = Buffer.from(text.normalize('NFC').toLowerCase().normalize('NFC'), 'utf8');
  let name = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    name += /[a-z\d@+\-_=.]/.test(character) ? character : asHex(byte);
  }
  if (name === '') return '_';
  if (name.startsWith('.')) name = `%2E${name.slice(1)}`;
  if (TAKEN.test(name)) name = `${asHex(name.charCodeAt(0))}${name.slice(1)}`;
  if (name.length <= MAX_LENGTH) return name;
  const rest = createHash('sha256').update(bytes).digest('hex').slice(0, 32);
  return `${name.slice(0, MAX_LENGTH - 33)}%${rest}`;
}

function asHex(byte: number): string {
  return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
}
