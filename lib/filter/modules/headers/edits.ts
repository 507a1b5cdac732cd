/** What is changed in the header of a message that goes on. */
import type { Message, Milter } from '../../../index.ts';
import { encodeWords } from '../../../mime/index.ts';
import { isPreamble, readable, readReceived, type Who } from '../../kit.ts';
import type { Options } from './options.ts';

/** No reader shows more, and no MTA takes lines of a thousand characters. */
const MAX_VALUE = 900;

/** Fields in which addresses stand beside text (RFC 5322 section 3.6.2 and 3.6.3). */
const ADDRESSES =
  /^(?:(?:resent-)?(?:from|sender|to|cc|bcc|reply-to)|return-receipt-to|disposition-notification-to)$/i;

/** Takes fields out. */
export async function remove(message: Message, names: Options['remove']): Promise<void> {
  const { headers } = (await message.mime()).root;
  for (const name of new Set([...headers].map((header) => header.name))) {
    if (names.matches(name)) headers.remove(name);
  }
}

/** Replaces what matches in the decoded text of fields. */
export async function replace(message: Message, all: Options['replace']): Promise<void> {
  const { headers } = (await message.mime()).root;
  for (const { name, find, with: by } of all) {
    headers.rewrite(name, ({ value }) => {
      const before = readable(value);
      if (!find.test(before)) return undefined;
      return asField(name, find.replace(before, by));
    });
  }
}

/** Adds fields, whose values may come from mail. */
export async function add(message: Message, fields: readonly (readonly [string, string])[]): Promise<void> {
  const { headers } = (await message.mime()).root;
  for (const [name, value] of fields) headers.add(name, asField(name, value));
}

/** Takes out the Received lines at the top that tell of machines inside: none below the first that does not. */
export async function stripReceived(message: Message, milter: Milter, who: Who): Promise<void> {
  const { headers } = (await message.mime()).root;
  let count = 0;
  for (const { value } of headers.getAll('Received')) {
    if (!(await isInside(value, milter, who))) break;
    count++;
  }
  let at = 0;
  headers.rewrite('Received', () => (at++ < count ? null : undefined));
}

async function isInside(value: string, milter: Milter, who: Who): Promise<boolean> {
  // Of a message that was written on the machine itself.
  if (isPreamble(value) || /^\s*(?:by\s|\()/i.test(value)) return true;
  const named = readReceived(value);
  if (named?.address === undefined) return false;
  const machine = { ...named, daemon: undefined, certSubject: undefined };
  return (await who.isInternal(milter, machine)) || (await who.isRelay(milter, machine));
}

/** Text as the value of a field: on one line, ASCII, and no field of its own whatever is in it. */
function asField(name: string, text: string): string {
  const line = text
    .toWellFormed()
    .replace(/\p{Cc}+/gu, ' ')
    .slice(0, MAX_VALUE)
    .toWellFormed()
    .trim();
  return ADDRESSES.test(name) ? encodeNames(line) : encodeWords(line);
}

/** Encodes the words between addresses, and leaves the addresses. */
function encodeNames(line: string): string {
  const pieces = line
    .replace(/"([^"]*)"/g, (quoted, inner: string) => (isAscii(inner) ? quoted : encodeWords(inner)))
    .split(/(\s+|[<>(),:;"])/);
  let written = '';
  let words = '';
  for (const piece of pieces) {
    if (!isAscii(piece) && !piece.includes('@')) words += piece;
    else if (words !== '' && /^\s*$/.test(piece)) words += piece;
    else {
      written += encodeRun(words) + piece;
      words = '';
    }
  }
  return written + encodeRun(words);
}

/** Words in a row; the white space behind them stays outside. */
function encodeRun(words: string): string {
  const text = words.trimEnd();
  return text === '' ? words : encodeWords(text) + words.slice(text.length);
}

function isAscii(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}
