/**
 * New content for a part: the bytes that a text becomes, and the transfer encoding that can carry them.
 */
import { isAscii } from 'node:buffer';
import { holdsDelimiter } from './boundary.ts';
import { encodeCharset } from './charsets.ts';
import { type Encoding, fitsIdentity, type WritableEncoding } from './encodings.ts';
import type { PartHeaders } from './header-section.ts';

/** What of a part matters to its new content. */
interface Target {
  readonly contentType: string;
  /** The charset that is declared, if any. */
  readonly charset: string | undefined;
  readonly encoding: Encoding;
  readonly headers: PartHeaders;
}

/**
 * The bytes of new content. Text is encoded in the part's charset, with the message's line ends; where that cannot hold it, in
 * UTF-8, which is answered then as the charset to be declared.
 */
export function contentBytes(
  content: Uint8Array | string,
  { contentType, charset = 'us-ascii' }: Target,
  lineEnd: string,
): { readonly bytes: Buffer; readonly charset?: string } {
  if (typeof content !== 'string')
    return { bytes: Buffer.from(content.buffer, content.byteOffset, content.byteLength) };
  if (!contentType.startsWith('text/')) return { bytes: Buffer.from(content, 'utf8') };
  const canonical = content.replace(/\r?\n/g, lineEnd);
  const bytes = encodeCharset(canonical, charset);
  return bytes ? { bytes } : { bytes: Buffer.from(canonical, 'utf8'), charset: 'utf-8' };
}

/**
 * The transfer encoding for new content: the present one if it will do.
 * @param received The body as it was.
 * @param boundaries Those that no line of it may start with, if it is not encoded.
 */
export function encodingFor(
  bytes: Buffer,
  { encoding, contentType, headers }: Target,
  received: Buffer,
  boundaries: () => readonly string[],
): WritableEncoding {
  if (encoding === 'base64' || encoding === 'quoted-printable') return encoding;
  if (encoding === 'identity') {
    // Containers must not be encoded (RFC 2045 section 6.4).
    if (/^(?:multipart|message)\//.test(contentType)) return encoding;
    const declared = headers.get('content-transfer-encoding')?.value.trim().toLowerCase();
    const allowsEightBit = declared === '8bit' || !isAscii(received);
    const fits = declared === 'binary' || fitsIdentity(bytes, allowsEightBit);
    if (fits && !holdsDelimiter(bytes, boundaries())) return encoding;
  }
  return contentType.startsWith('text/') ? 'quoted-printable' : 'base64';
}
