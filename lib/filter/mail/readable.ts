/** Header text as a person reads it, and words found in it whatever they are dressed up in. */
import { decodeWords } from '../../mime/words.ts';
import type { WordList } from '../config/lists/words.ts';

/** Nobody reads more of a field. */
const MAX_TEXT = 10_000;

/** An encoded word that was cut off; readers show it all the same. */
const CUT_OFF = /=\?[^?\s]{1,60}\?[bq]\?[^?]*\??$/i;
/** Bytes that are no UTF-8, as the library hands them on. */
const STRAY_BYTES = /[\udc80-\udcff]+/g;
const western = new TextDecoder('windows-1252');

/** The text of a field, unfolded and decoded, bytes that are no UTF-8 as Western European letters. */
export function readable(value: string): string {
  const line = value.slice(0, MAX_TEXT).replace(/\r?\n(?=[ \t])/g, '');
  const closed = CUT_OFF.test(line) ? `${line.replace(/\?$/, '')}?=` : line;
  const decoded = decodeWords(closed);
  return decoded.isWellFormed() ? decoded : decoded.replace(STRAY_BYTES, westernText);
}

function westernText(bytes: string): string {
  return western.decode(Buffer.from(bytes, 'utf16le').filter((_, i) => i % 2 === 0));
}

/** Nothing that can be seen: soft hyphens, joiners, direction marks, fillers, variation selectors, control characters. */
const INVISIBLE = /[\p{Default_Ignorable_Code_Point}\p{Cf}]|(?!\s)\p{Cc}/gu;
/** Scripts that put no spaces between words: each character is a token. */
const TOKENS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]\p{M}*|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}])[\p{L}\p{N}\p{M}_])+|[^\s]/gu;

/** Words and signs, without case and disguise: full-width, circled and mathematical letters are plain ones. */
function tokensOf(text: string): readonly string[] {
  const plain = text.replace(INVISIBLE, '').normalize('NFKC').replace(INVISIBLE, '').toLowerCase();
  return plain.match(TOKENS) ?? [];
}

/** Entries by their first token. */
type Index = ReadonlyMap<string, readonly { readonly entry: string; readonly tokens: readonly string[] }[]>;

const indexes = new WeakMap<ReadonlySet<string>, Index>();

function indexOf(entries: ReadonlySet<string>): Index {
  let index = indexes.get(entries);
  if (index === undefined) {
    const made = new Map<string, { readonly entry: string; readonly tokens: readonly string[] }[]>();
    for (const entry of entries) {
      const tokens = tokensOf(entry);
      const [first] = tokens;
      if (first === undefined) continue;
      const others = made.get(first);
      if (others === undefined) made.set(first, [{ entry, tokens }]);
      else others.push({ entry, tokens });
    }
    indexes.set(entries, made);
    index = made;
  }
  return index;
}

/**
 * The first entry of the list that the text has, as a whole word or as several words in a row: `gain` is not in `again`. In
 * time by the text's length, however long the list.
 */
export function findWord(list: WordList, text: string): string | undefined {
  if (list.empty) return undefined;
  const tokens = tokensOf(text.slice(0, MAX_TEXT));
  for (const set of list.sets()) {
    const index = indexOf(set);
    for (const [at, token] of tokens.entries()) {
      const found = index.get(token)?.find((one) => one.tokens.every((part, i) => tokens[at + i] === part));
      if (found !== undefined) return found.entry;
    }
  }
  return undefined;
}
