/**
 * Text of any charset to strings and back. Decoding never fails; encoding says when a charset cannot hold the text.
 */
import { isUtf8 } from 'node:buffer';
import { TextDecoder } from 'node:util';

const decoders = new Map<string, TextDecoder | undefined>();

/** The engine's decoder for a label, or undefined for one it does not know. At most 256 labels are remembered. */
function decoderFor(label: string): TextDecoder | undefined {
  if (decoders.has(label)) return decoders.get(label);
  let decoder: TextDecoder | undefined;
  try {
    decoder = new TextDecoder(label, { ignoreBOM: true });
  } catch {
    // RangeError: no such charset.
  }
  if (decoders.size < 256) decoders.set(label, decoder);
  return decoder;
}

function normalise(charset: string): string {
  return charset
    .trim()
    .toLowerCase()
    .replace(/^cp-?(?=125\d$)/, 'windows-');
}

/**
 * Decodes bytes by the WHATWG Encoding Standard's label. Of an unknown charset it is only known what the bytes look like:
 * UTF-8 if they are valid UTF-8, else windows-1252. Malformed sequences become U+FFFD.
 */
export function decodeCharset(bytes: Buffer, charset: string): string {
  const label = normalise(charset);
  if (label === 'utf-8' || label === 'utf8') return bytes.toString('utf8');
  const decoder = decoderFor(label);
  // us-ascii is what mail without a charset claims; when it has other bytes, it lied.
  if (decoder && !isAsciiLabel(label)) return decoder.decode(bytes);
  return isUtf8(bytes) ? bytes.toString('utf8') : (decoderFor('windows-1252')?.decode(bytes) ?? '');
}

function isAsciiLabel(label: string): boolean {
  return label === 'us-ascii' || label === 'ascii' || label === '';
}

const NOT_LIKE_ASCII = /^(?:utf-?(?:7|16|32)|iso-10646|ucs|ebcdic|cp-?037|ibm-?(?:037|500|1047))/;

const tables = new Map<string, ReadonlyMap<string, number> | undefined>();

/** Character to byte for a charset of one byte per character, undefined for any other. */
function singleByteTable(label: string): ReadonlyMap<string, number> | undefined {
  if (tables.has(label)) return tables.get(label);
  const table = new Map<string, number>();
  for (let byte = 0; byte < 256; byte++) {
    const text = decoderFor(label)?.decode(Uint8Array.of(byte)) ?? '';
    if (text.length === 1 && text !== '\u{fffd}') table.set(text, byte);
  }
  // A charset with lead bytes decodes most high bytes alone to nothing.
  const usable = table.size > 200 ? table : undefined;
  if (tables.size < 256) tables.set(label, usable);
  return usable;
}

/** Encodes text, or answers undefined when this charset cannot hold it or has no encoder here. */
export function encodeCharset(text: string, charset: string): Buffer | undefined {
  const label = normalise(charset);
  if (label === 'utf-8' || label === 'utf8') return Buffer.from(text, 'utf8');
  if (label === 'utf-16le') return Buffer.from(text, 'utf16le');
  if (label === 'utf-16be') return Buffer.from(text, 'utf16le').swap16();
  const isAscii = !/[^\0-\x7f]/.test(text);
  if (isAsciiLabel(label)) return isAscii ? Buffer.from(text, 'latin1') : undefined;
  // Nearly every charset, known here or not, has ASCII in its place.
  if (isAscii) return NOT_LIKE_ASCII.test(label) ? undefined : Buffer.from(text, 'latin1');
  const table = singleByteTable(label);
  if (!table) return undefined;
  // The Encoding Standard reads ISO 8859-1 as windows-1252; not every mail reader does.
  const isLatin1 = label === 'iso-8859-1' || label === 'latin1';
  const bytes = Buffer.allocUnsafe(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = table.get(text[i] ?? '');
    if (byte === undefined || (byte >= 0x80 && byte < 0xa0 && isLatin1)) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
