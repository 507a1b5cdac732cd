/**
 * Content transfer encodings (RFC 2045 section 6): decoding that never fails, encoding that keeps within the rules.
 */

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const EQUALS = 0x3d;
const DASH = 0x2d;

/** How a body is written. `identity` stands for 7bit, 8bit, binary and whatever is unknown. */
export type Encoding = 'identity' | 'base64' | 'quoted-printable' | 'uuencode';

/** Reads a Content-Transfer-Encoding value, comments and case aside. */
export function parseEncoding(value: string | undefined): Encoding {
  const word = (value ?? '')
    .trim()
    .toLowerCase()
    .split(/[\s;(]/, 1)[0];
  if (word === 'base64' || word === 'quoted-printable') return word;
  return word === 'x-uuencode' || word === 'uuencode' || word === 'x-uue' ? 'uuencode' : 'identity';
}

/** Decodes a body. Identity gives the very bytes, not a copy. */
export function decodeBody(bytes: Buffer, encoding: Encoding): Buffer {
  if (encoding === 'base64') return decodeBase64(bytes);
  if (encoding === 'quoted-printable') return decodeQuotedPrintable(bytes);
  if (encoding === 'uuencode') return decodeUuencode(bytes);
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
export function encodeBase64(bytes: Buffer, lineEnd: string): Buffer {
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
export function decodeQuotedPrintable(bytes: Buffer): Buffer {
  const decoded = Buffer.allocUnsafe(bytes.length);
  let length = 0;
  // Where the white space at the end of the line so far starts; transports add it, so it goes.
  let blanks = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === LF || (byte === CR && bytes[i + 1] === LF)) {
      length = blanks;
      decoded[length++] = byte;
      if (byte === CR) decoded[length++] = bytes[++i] ?? 0;
      blanks = length;
      continue;
    }
    if (byte === EQUALS) {
      const high = hexValue(bytes[i + 1]);
      const low = hexValue(bytes[i + 2]);
      if (high >= 0 && low >= 0) {
        decoded[length++] = high * 16 + low;
        blanks = length;
        i += 2;
        continue;
      }
      const lineFeed = softBreak(bytes, i + 1);
      if (lineFeed >= 0) {
        i = lineFeed;
        blanks = length;
        continue;
      }
    }
    decoded[length++] = byte;
    if (byte !== SPACE && byte !== TAB) blanks = length;
  }
  return decoded.subarray(0, length);
}

/** The last byte of a soft line break that goes on at `start`, or -1. */
function softBreak(bytes: Buffer, start: number): number {
  let i = start;
  while (bytes[i] === SPACE || bytes[i] === TAB) i++;
  if (bytes[i] === CR) i++;
  return bytes[i] === LF || i >= bytes.length ? i : -1;
}

const HEX = '0123456789ABCDEF';

/**
 * Encodes as quoted-printable. For text the line breaks stay line breaks. A line never starts with `--`, so that no
 * boundary can occur, nor with a lone dot or "From ", which transports change.
 */
export function encodeQuotedPrintable(bytes: Buffer, lineEnd: string): Buffer {
  const out: string[] = [];
  let line = '';
  const put = (piece: string) => {
    // 75 characters and the "=" of the soft break make 76.
    if (line.length + piece.length > 75) {
      out.push(line, '=', lineEnd);
      line = '';
    }
    line += piece;
  };
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    const breakLength = byte === LF ? 1 : byte === CR && bytes[i + 1] === LF ? 2 : 0;
    if (breakLength > 0) {
      out.push(line, bytes.toString('latin1', i, i + breakLength));
      line = '';
      i += breakLength - 1;
      continue;
    }
    const next = bytes[i + 1];
    const endsLine = next === undefined || next === LF || (next === CR && bytes[i + 2] === LF);
    const isBlank = byte === SPACE || byte === TAB;
    const isPlain = (byte >= 0x21 && byte <= 0x7e && byte !== EQUALS) || (isBlank && !endsLine);
    const isRisky = line === '' && (byte === DASH || byte === 0x2e || byte === 0x46);
    put(isPlain && !isRisky ? String.fromCharCode(byte) : `=${HEX[byte >> 4]}${HEX[byte & 15]}`);
  }
  out.push(line);
  return Buffer.from(out.join(''), 'latin1');
}

/** Decodes the lines between "begin" and "end" of uuencode; what stands around them is no content. */
function decodeUuencode(bytes: Buffer): Buffer {
  const lines = bytes.toString('latin1').split(/\r?\n/);
  const begin = lines.findIndex((line) => /^begin(?:-base64)? [0-7]{3,4} /.test(line));
  const decoded: number[] = [];
  for (const line of lines.slice(begin + 1)) {
    const length = (line.charCodeAt(0) - 32) & 63;
    if (line === 'end' || line === '' || length === 0) break;
    const first = decoded.length;
    for (let i = 1; decoded.length < first + length && i < line.length; i += 4) {
      const [a = 0, b = 0, c = 0, d = 0] = [0, 1, 2, 3].map((k) => (line.charCodeAt(i + k) - 32) & 63);
      decoded.push((a << 2) | (b >> 4), ((b << 4) | (c >> 2)) & 255, ((c << 6) | d) & 255);
    }
    decoded.length = Math.min(decoded.length, first + length);
  }
  return Buffer.from(decoded);
}

/** Encodes a body. uuencode is only read: write base64 instead. */
export function encodeBody(bytes: Buffer, encoding: Exclude<Encoding, 'uuencode'>, lineEnd: string): Buffer {
  if (encoding === 'base64') return encodeBase64(bytes, lineEnd);
  if (encoding === 'quoted-printable') return encodeQuotedPrintable(bytes, lineEnd);
  return bytes;
}

/** Whether these bytes may stand unencoded: no line beyond 998 octets, no NUL, no lone CR, 8-bit only if allowed. */
export function fitsIdentity(bytes: Buffer, allowEightBit: boolean): boolean {
  let lineStart = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === LF) lineStart = i + 1;
    else if (byte === 0 || (byte > 0x7e && !allowEightBit) || i - lineStart >= 998) return false;
    else if (byte === CR && bytes[i + 1] !== LF) return false;
  }
  return true;
}
