/** Secrets in addresses: letters and digits that survive a change of case (RFC 4648 section 6). */

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** So many characters, five bits each, of bytes that must suffice; without padding, in lower case. */
export function base32(bytes: Uint8Array, length: number): string {
  let text = '';
  let value = 0;
  let bits = 0;
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5 && text.length < length; bits -= 5)
      text += ALPHABET[(value >> (bits - 5)) & 31] ?? '';
  }
  if (text.length < length) throw new RangeError('too few bytes');
  return text;
}
