/**
 * The mailboxes of a From, Sender or To field (RFC 5322 section 3.4), as mail readers take them: comments and quoted
 * strings are told apart, groups give their members, and what is broken gives whatever address can still be seen.
 */
import { decodeWords } from '../mime/index.ts';

/** One mailbox of a field. */
export interface Mailbox {
  /** The display name as a person reads it; empty where there is none. */
  readonly name: string;
  /** `local@domain`, without angle brackets. */
  readonly address: string;
}

/** More than any reader shows; the rest of the field is not read. */
const MAX_LENGTH = 20_000;
const MAX_MAILBOXES = 100;

/** Reads the mailboxes of a field. */
export function readMailboxes(value: string): readonly Mailbox[] {
  const mailboxes: Mailbox[] = [];
  for (const text of splitList(value.slice(0, MAX_LENGTH))) {
    const mailbox = readMailbox(text);
    if (mailbox !== undefined) mailboxes.push(mailbox);
    if (mailboxes.length === MAX_MAILBOXES) break;
  }
  return mailboxes;
}

interface Piece {
  readonly kind: 'text' | 'quoted' | 'comment' | 'angle';
  readonly text: string;
}

/** The pieces of each entry: commas and semicolons part entries, a colon ends the name of a group. */
function splitList(value: string): readonly (readonly Piece[])[] {
  const entries: Piece[][] = [[]];
  for (let at = 0; at < value.length; ) {
    const entry = entries.at(-1) ?? [];
    const character = value.charAt(at);
    if (character === ',' || character === ';') {
      entries.push([]);
      at++;
    } else if (character === ':') {
      // The name of a group, or of a source route within angle brackets, which are read as a whole.
      entry.length = 0;
      at++;
    } else {
      const { piece, end } = readPiece(value, at);
      entry.push(piece);
      at = end;
    }
  }
  return entries;
}

function readPiece(value: string, at: number): { readonly piece: Piece; readonly end: number } {
  switch (value.charAt(at)) {
    case '"':
      return enclosed('quoted', value, at, '"');
    case '(':
      return enclosed('comment', value, at, ')');
    case '<':
      return enclosed('angle', value, at, '>');
    default: {
      const length = value.slice(at).search(/[",;:(<]/);
      const end = length < 0 ? value.length : at + Math.max(1, length);
      return { piece: { kind: 'text', text: value.slice(at, end) }, end };
    }
  }
}

/** Up to the closing character, with backslashes taken off; comments nest. Without one, to the end. */
function enclosed(
  kind: Piece['kind'],
  value: string,
  start: number,
  close: string,
): { readonly piece: Piece; readonly end: number } {
  let text = '';
  let depth = 1;
  let at = start + 1;
  let quoted = false;
  for (; at < value.length; at++) {
    const character = value.charAt(at);
    if (character === '\\' && kind !== 'angle' && at + 1 < value.length) {
      text += value.charAt(++at);
      continue;
    }
    if (kind === 'angle' && character === '"') quoted = !quoted;
    if (kind === 'comment' && character === '(') depth++;
    if (character === close && !quoted && --depth === 0) break;
    text += character;
  }
  return { piece: { kind, text }, end: at + 1 };
}

function readMailbox(pieces: readonly Piece[]): Mailbox | undefined {
  const angle = pieces.find(({ kind }) => kind === 'angle');
  const said = pieces.filter(({ kind }) => kind === 'text' || kind === 'quoted');
  if (angle !== undefined) {
    const address = angle.text.replace(/^@[^:]*:/, '').trim();
    return address === '' ? undefined : { name: readName(said), address };
  }
  const address = said
    .map(({ kind, text }) => (kind === 'quoted' ? `"${text}"` : text))
    .join('')
    .replace(/\s+/g, '');
  if (!address.includes('@')) return undefined;
  return { name: readName(pieces.filter(({ kind }) => kind === 'comment')), address };
}

function readName(pieces: readonly Piece[]): string {
  return decodeWords(pieces.map(({ text }) => text).join(' '))
    .replace(/\s+/g, ' ')
    .trim();
}
