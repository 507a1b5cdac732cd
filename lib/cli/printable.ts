/** Text from strangers, for the eyes of a person. */

/**
 * Unfolds, and shows what could steer a terminal or mislead a reader (control characters, direction marks, bytes that
 * are no UTF-8) as escapes.
 */
export function printable(text: string): string {
  return text.replace(/\r?\n[ \t]*/g, ' ').replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, toEscape);
}

/** JSON in ASCII: what strangers wrote must not steer a terminal. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2);
  const escaped = text.replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${escaped}\n`;
}

function toEscape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  // Lone surrogates U+DC80..U+DCFF stand for bytes.
  if (code < 0x80 || (code >= 0xdc80 && code <= 0xdcff)) {
    return `\\x${(code & 0xff).toString(16).padStart(2, '0')}`;
  }
  return `\\u{${code.toString(16)}}`;
}
