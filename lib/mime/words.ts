/**
 * Encoded words (RFC 2047): header text in any charset, written in ASCII.
 */

import { wrongArgument } from '../errors.ts';
import { text as aText, checkValue } from '../options.ts';
import { decodeCharset } from './charsets.ts';
import { decodeBase64 } from './encodings.ts';

// Spaces inside the text are illegal and common. The language of RFC 2231 section 5 is dropped.
const WORD = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?]*)\?=/gi;

/**
 * Decodes every encoded word of a header text and keeps the rest. White space between two words vanishes, and a
 * character split over two words of the same charset is put together again, as many writers split them.
 */
export function decodeWords(text: string): string {
  checkValue('decodeWords: the text', text, aText, wrongArgument);
  if (!text.includes('=?')) return text;
  let decoded = '';
  let last = 0;
  let run: { charset: string; bytes: Buffer[] } | undefined;
  const flush = () => {
    if (run) decoded += decodeCharset(Buffer.concat(run.bytes), run.charset);
    run = undefined;
  };
  for (const match of text.matchAll(WORD)) {
    const [word, charset = '', encoding = '', content = ''] = match;
    const between = text.slice(last, match.index);
    if (!run || run.charset !== charset.toLowerCase() || /\S/.test(between)) {
      const joins = run !== undefined && !/\S/.test(between);
      flush();
      if (!joins) decoded += between;
      run = { charset: charset.toLowerCase(), bytes: [] };
    }
    run.bytes.push(
      encoding.toLowerCase() === 'b' ? decodeBase64(Buffer.from(content, 'latin1')) : decodeQ(content),
    );
    last = match.index + word.length;
  }
  flush();
  return decoded + text.slice(last);
}

function decodeQ(content: string): Buffer {
  const characters = content
    .replaceAll('_', ' ')
    .replace(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  // Raw 8-bit text inside a word is illegal; it can only be taken as it stands.
  return /[^\0-\xff]/.test(characters) ? Buffer.from(characters, 'utf8') : Buffer.from(characters, 'latin1');
}

/** Writes text as header text: as it is when it is printable ASCII, else as UTF-8 encoded words of legal length. */
export function encodeWords(text: string): string {
  checkValue('encodeWords: the text', text, aText, wrongArgument);
  if (/^[\x20-\x7e]*$/.test(text) && !text.includes('=?')) return text;
  const words: string[] = [];
  let chunk = '';
  let bytes = 0;
  // 45 bytes are 60 characters of base64: with the frame of 12, below the 75 that a word may have.
  for (const character of text) {
    const size = Buffer.byteLength(character);
    if (bytes + size > 45) {
      words.push(chunk);
      chunk = '';
      bytes = 0;
    }
    chunk += character;
    bytes += size;
  }
  words.push(chunk);
  return words.map((word) => `=?UTF-8?B?${Buffer.from(word).toString('base64')}?=`).join('\r\n ');
}
