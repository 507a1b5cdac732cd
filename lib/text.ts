/**
 * Text between the MTA's bytes and JavaScript's strings, lossless in both directions.
 *
 * Mail is supposed to be UTF-8 but need not be. Decoding turns each byte that is not part of well-formed
 * UTF-8 into a lone surrogate U+DC80..U+DCFF, and encoding turns those back into the byte: nothing throws
 * on reading, and any string that was read can be written back unchanged. Plain ASCII and well-formed
 * UTF-8 take the engine's own fast path.
 */
import { wrongArgument } from './errors.ts';

const REPLACEMENT = '\u{fffd}';

/** Decodes `bytes[start..end)` as UTF-8, each invalid byte b becoming U+DC00 + b. Never throws. */
export function decodeText(bytes: Buffer, start = 0, end: number = bytes.length): string {
  const text = bytes.toString('utf8', start, end);
  // The engine's decoder writes U+FFFD for anything invalid; without one the text is exact.
  return text.includes(REPLACEMENT) ? decodeOddText(bytes, start, end) : text;
}

/**
 * Encodes by the reverse rule.
 * @throws TypeError when `text` holds a surrogate that stands for no byte.
 */
export function encodeText(text: string): Buffer {
  return text.isWellFormed() ? Buffer.from(text, 'utf8') : encodeOddText(text);
}

/** The length of the well-formed UTF-8 sequence (RFC 3629 section 4) at `i`, or 0 where there is none. */
function sequenceLength(bytes: Buffer, i: number, end: number): number {
  const lead = bytes[i] ?? 0;
  if (lead < 0x80) return 1;
  const length =
    lead >= 0xc2 && lead < 0xe0 ? 2 : lead >= 0xe0 && lead < 0xf0 ? 3 : lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
  if (length === 0 || i + length > end) return 0;
  // The second byte's range excludes overlong forms, surrogates and code points beyond U+10FFFF.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80;
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf;
  const second = bytes[i + 1] ?? 0;
  if (second < low || second > high) return 0;
  for (let k = 2; k < length; k++) if (((bytes[i + k] ?? 0) & 0xc0) !== 0x80) return 0;
  return length;
}

function decodeOddText(bytes: Buffer, start: number, end: number): string {
  let text = '';
  let goodFrom = start;
  let i = start;
  while (i < end) {
    const length = sequenceLength(bytes, i, end);
    if (length > 0) {
      i += length;
      continue;
    }
    text += bytes.toString('utf8', goodFrom, i) + String.fromCharCode(0xdc00 + (bytes[i] ?? 0));
    goodFrom = ++i;
  }
  return text + bytes.toString('utf8', goodFrom, end);
}

function encodeOddText(text: string): Buffer {
  const pieces: Buffer[] = [];
  let goodFrom = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0xd800 || unit > 0xdfff) continue;
    const next = text.charCodeAt(i + 1);
    if (unit < 0xdc00 && next >= 0xdc00 && next <= 0xdfff) {
      i++; // A proper pair.
      continue;
    }
    if (unit < 0xdc80 || unit > 0xdcff) {
      throw wrongArgument(
        `text holds the lone surrogate U+${unit.toString(16).toUpperCase()} at index ${i}, which stands for no byte`,
      );
    }
    pieces.push(Buffer.from(text.slice(goodFrom, i), 'utf8'), Buffer.of(unit - 0xdc00));
    goodFrom = i + 1;
  }
  pieces.push(Buffer.from(text.slice(goodFrom), 'utf8'));
  return Buffer.concat(pieces);
}
