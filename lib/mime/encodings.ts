/**
 * Content transfer encodings (RFC 2045 section 6): decoding that never fails, encoding that keeps within the rules.
 */
import { withoutComments } from './comments.ts';
import type { Steps } from './slice.ts';
import { decodeFile } from './uuencode.ts';

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const EQUALS = 0x3d;
const DASH = 0x2d;

/** How a body is written. `identity` stands for 7bit, 8bit, binary and whatever is unknown. */
export type Encoding = 'identity' | 'base64' | 'quoted-printable' | 'uuencode';

/** The ways in which bodies are written; uuencode is only read. */
export type WritableEncoding = Exclude<Encoding, 'uuencode'>;

/** Reads a Content-Transfer-Encoding value, comments, quotes and case aside. */
function parseEncoding(value: string): Encoding {
  const [word = ''] = withoutComments(value).replaceAll('"', '').trim().toLowerCase().split(/[\s;]/, 1);
  if (word === 'base64' || word === 'quoted-printable') return word;
  return /^(?:x-)?uue(?:ncode)?$/.test(word) ? 'uuencode' : 'identity';
}

const IDENTITY: readonly Encoding[] = ['identity'];

/** What nearly every field says. */
const USUAL: ReadonlyMap<string, readonly Encoding[]> = new Map([
  ['7bit', IDENTITY],
  ['8bit', IDENTITY],
  ['quoted-printable', ['quoted-printable']],
  ['base64', ['base64']],
]);

/**
 * The encodings that one or several Content-Transfer-Encoding values may mean to some reader, the likeliest first. Who
 * knows no comments and no quotes takes what has them for unencoded.
 */
export function parseEncodings(values: readonly string[]): readonly Encoding[] {
  const [first] = values;
  if (first === undefined) return IDENTITY;
  const usual = values.length === 1 ? USUAL.get(first.trim().toLowerCase()) : undefined;
  if (usual) return usual;
  const found = new Set(values.map(parseEncoding));
  if (values.some((value) => /^\s*[("]/.test(value))) found.add('identity');
  return [...found];
}

/** Decodes a body. Identity gives the very bytes, not a copy. */
export function decodeBody(bytes: Buffer, encoding: Encoding): Buffer {
  if (encoding === 'base64') return decodeBase64(bytes);
  if (encoding === 'quoted-printable') return decodeQuotedPrintable(bytes);
  if (encoding === 'uuencode') return decodeFile(bytes);
  return bytes;
}

/**
 * Decodes base64, skipping what is not of its alphabet. Padding ends a group, not the body: several padded runs in a row
 * are what some writers produce, and what a reader that stops early would miss.
 */
export function decodeBase64(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1');
  let padding = text.indexOf('=');
  if (padding < 0 || !/[A-Za-z0-9+/]/.test(text.slice(padding))) return Buffer.from(text, 'base64');
  const runs: Buffer[] = [];
  let start = 0;
  while (padding >= 0) {
    runs.push(Buffer.from(text.slice(start, padding), 'base64'));
    start = padding;
    while (text[start] === '=') start++;
    padding = text.indexOf('=', start);
  }
  runs.push(Buffer.from(text.slice(start), 'base64'));
  return Buffer.concat(runs);
}

/** Encodes as base64 in lines of 76 characters, the last one without a line end. */
function encodeBase64(bytes: Buffer, lineEnd: string): Buffer {
  const text = Buffer.from(bytes.toString('base64'), 'latin1');
  const lines = Math.max(1, Math.ceil(text.length / 76));
  const encoded = Buffer.allocUnsafe(text.length + (lines - 1) * lineEnd.length);
  let length = 0;
  for (let i = 0; i < text.length; i += 76) {
    if (i > 0) length += encoded.write(lineEnd, length, 'latin1');
    length += text.copy(encoded, length, i, i + 76);
  }
  return encoded;
}

function hexValue(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** Decodes quoted-printable. An escape that is none stays as it is (RFC 2045 section 6.7, rules 1 to 5 and notes). */
function decodeQuotedPrintable(bytes: Buffer): Buffer {
  const decoded = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  // What stands between two escapes is copied in one go, but for white space at line ends: transports add it, so it goes.
  const hasBlankEnds = someLineEndsBlank(bytes);
  for (let i = 0; i < bytes.length; ) {
    const equals = bytes.indexOf(EQUALS, i);
    const end = equals < 0 ? bytes.length : equals;
    length += hasBlankEnds
      ? copyWithoutBlankEnds(bytes, i, end, decoded, length)
      : bytes.copy(decoded, length, i, end);
    if (equals < 0) break;
    const high = hexValue(bytes[equals + 1]);
    const low = hexValue(bytes[equals + 2]);
    const lineFeed = high < 0 || low < 0 ? softBreak(bytes, equals + 1) : -1;
    i = equals + 1;
    if (high >= 0 && low >= 0) {
      decoded[length++] = high * 16 + low;
      i = equals + 3;
    } else if (lineFeed >= 0) i = lineFeed + 1;
    else decoded[length++] = EQUALS;
  }
  return decoded.subarray(0, length);
}

function someLineEndsBlank(bytes: Buffer): boolean {
  for (let lineFeed = bytes.indexOf(LF); lineFeed >= 0; lineFeed = bytes.indexOf(LF, lineFeed + 1)) {
    const last = bytes[bytes[lineFeed - 1] === CR ? lineFeed - 2 : lineFeed - 1];
    if (last === SPACE || last === TAB) return true;
  }
  return false;
}

/** Copies `bytes[start..end)` but for blanks in front of a line break in it. Answers how many bytes were copied. */
function copyWithoutBlankEnds(bytes: Buffer, start: number, end: number, target: Buffer, at: number): number {
  let length = at;
  let blanks = at;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === LF || (byte === CR && bytes[i + 1] === LF)) length = blanks;
    target[length++] = byte;
    if (byte !== SPACE && byte !== TAB) blanks = length;
  }
  return length - at;
}

/** The last byte of a soft line break that goes on at `start`, or -1. */
function softBreak(bytes: Buffer, start: number): number {
  let i = start;
  while (bytes[i] === SPACE || bytes[i] === TAB) i++;
  if (bytes[i] === CR) i++;
  return bytes[i] === LF || i >= bytes.length ? i : -1;
}

const HEX = Buffer.from('0123456789ABCDEF');
const DOT = 0x2e;
const LETTER_F = 0x46;

/**
 * Encodes as quoted-printable, line breaks staying line breaks. A line never starts with a dash, so that no boundary can
 * occur, nor with a dot or an "F", which transports might change (a lone dot, "From ").
 */
function encodeQuotedPrintable(bytes: Buffer, lineEnd: string): Buffer {
  // Three characters for a byte, and a soft break for every 24 of them at worst.
  const encoded = Buffer.allocUnsafe(bytes.length * 3 + Math.ceil(bytes.length / 24) * (1 + lineEnd.length));
  const softBreak = Buffer.from(`=${lineEnd}`);
  let length = 0;
  let column = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    const next = bytes[i + 1];
    if (byte === LF || (byte === CR && next === LF)) {
      encoded[length++] = byte;
      if (byte === CR) encoded[length++] = bytes[++i] ?? 0;
      column = 0;
      continue;
    }
    const endsLine = next === undefined || next === LF || (next === CR && bytes[i + 2] === LF);
    const isPlain =
      (byte > SPACE && byte < 0x7f && byte !== EQUALS) || (!endsLine && (byte === SPACE || byte === TAB));
    const isRisky = byte === DASH || byte === DOT || byte === LETTER_F;
    // 75 characters and the "=" of the soft break make 76.
    if (column + (isPlain ? 1 : 3) > 75) {
      length += softBreak.copy(encoded, length);
      column = 0;
    }
    if (isPlain && (column > 0 || !isRisky)) {
      encoded[length++] = byte;
      column++;
    } else {
      encoded[length++] = EQUALS;
      encoded[length++] = HEX[byte >> 4] ?? 0;
      encoded[length++] = HEX[byte & 15] ?? 0;
      column += 3;
    }
  }
  // The room was made for the worst; a copy gives it back.
  return Buffer.from(encoded.subarray(0, length));
}

/** Encodes a body. */
export function encodeBody(bytes: Buffer, encoding: WritableEncoding, lineEnd: string): Buffer {
  if (encoding === 'base64') return encodeBase64(bytes, lineEnd);
  if (encoding === 'quoted-printable') return encodeQuotedPrintable(bytes, lineEnd);
  return bytes;
}

/** Like {@link decodeBody}, in steps where the decoding is slow. */
export function* decodeSteps(bytes: Buffer, encoding: Encoding): Steps<Buffer> {
  if (encoding !== 'quoted-printable') return decodeBody(bytes, encoding);
  return yield* stepByLines(bytes, decodeQuotedPrintable);
}

/** Like {@link encodeBody}, in steps where the encoding is slow. */
export function* encodeSteps(bytes: Buffer, encoding: WritableEncoding, lineEnd: string): Steps<Buffer> {
  if (encoding !== 'quoted-printable') return encodeBody(bytes, encoding, lineEnd);
  return yield* stepByLines(bytes, (lines) => encodeQuotedPrintable(lines, lineEnd));
}

/** Treats about a quarter of a mebibyte of whole lines at a time. */
function* stepByLines(bytes: Buffer, treat: (lines: Buffer) => Buffer): Steps<Buffer> {
  const treated: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const lineFeed = bytes.indexOf(LF, start + (1 << 18));
    const end = lineFeed < 0 ? bytes.length : lineFeed + 1;
    treated.push(treat(bytes.subarray(start, end)));
    start = end;
    yield;
  }
  return Buffer.concat(treated);
}

/** Whether these bytes may stand unencoded: no line beyond 998 octets, no NUL, no lone CR, 8-bit only if allowed. */
export function fitsIdentity(bytes: Buffer, allowEightBit: boolean): boolean {
  let lineStart = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte >= SPACE && byte <= 0x7e) continue;
    if (byte === LF) {
      if (i - lineStart > 998) return false;
      lineStart = i + 1;
    } else if (byte === 0 || (byte > 0x7e && !allowEightBit)) return false;
    else if (byte === CR && bytes[i + 1] !== LF) return false;
  }
  return bytes.length - lineStart <= 998;
}
