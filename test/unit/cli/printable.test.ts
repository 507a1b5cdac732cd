/** Text of strangers, shown on a terminal. */
import { expect, it } from 'vitest';
import { printable } from '../../../lib/cli/printable.ts';
import { decodeText } from '../../../lib/text.ts';

it.each([
  ['plain text in any script stays', 'Grüße 你好 🙂', 'Grüße 你好 🙂'],
  ['a folded header becomes one line', 'a\r\n\tb\n c', 'a b c'],
  ['escape sequences are defused', '\u001b[31mred\u009b0m', '\\x1b[31mred\\u{9b}0m'],
  ['marks that turn the direction show', 'a\u202eb', 'a\\u{202e}b'],
  ['bytes that are no UTF-8 show', decodeText(Buffer.from([0x61, 0xe9, 0x62])), 'a\\xe9b'],
])('%s', (_, text, shown) => {
  expect(printable(text)).toBe(shown);
});
