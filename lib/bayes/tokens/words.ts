/** Text to words. */
import { isMixed, isPlain, latinised, unmasked } from './plain.ts';

/** Characters of a word that counts; longer ones are told by their first letter and about how long they are. */
const LEAST = 3;
const MOST = 20;

const ASCII_WORD = /[a-z0-9$%!'@._-]+/g;
/** What nearly all are, and nothing else is to be asked about. */
const LETTERS = /^[a-z]{3,20}$/;
const ANY_WORD = /[\p{L}\p{N}\p{M}$%!'@._-]+/gu;
/** Scripts that put no spaces between words. */
const UNSPACED = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]/;
/** Single letters apart from each other: a word that is not to be found. */
const SPACED = /(?<![a-z0-9])(?:[a-z0-9@$!][ ._*-]){3,30}[a-z0-9@$!](?![a-z0-9])/g;

/** The words of a text. */
export interface Words {
  /** In order; disguised ones as what they stand for. */
  readonly words: readonly string[];
  /** What else there is to tell: disguises, and words of letters that stand apart. */
  readonly more: readonly string[];
}

/** Finds the words of a text that went through `plainText`. */
export function wordsOf(text: string): Words {
  const words: string[] = [];
  const more: string[] = [];
  for (const found of text.match(isPlain(text) ? ASCII_WORD : ANY_WORD) ?? []) addWord(words, more, found);
  for (const found of text.match(SPACED) ?? []) {
    const joined = found.replace(/[ ._*-]/g, '');
    for (let at = 0; at < joined.length; at += MOST) more.push(`spaced:${joined.slice(at, at + MOST)}`);
  }
  return { words, more };
}

function addWord(words: string[], more: string[], found: string): void {
  const word = trimmed(found);
  const { length } = word;
  if (LETTERS.test(word)) words.push(word);
  else if (length < LEAST) {
    if (/[$%!]/.test(word) || UNSPACED.test(word)) words.push(word);
  } else if (/^[^@]+@[^@]+\.[a-z]/.test(word)) {
    const at = word.indexOf('@');
    addWord(words, more, word.slice(0, at));
    addWord(words, more, word.slice(at + 1));
  } else if (UNSPACED.test(word)) addCharacters(words, word);
  else if (length > MOST) words.push(`skip:${word[0]} ${Math.floor(length / 10) * 10}`);
  else if (isMixed(word)) {
    words.push(latinised(word));
    more.push('mixed:');
  } else {
    const said = unmasked(word);
    words.push(said ?? word);
    if (said !== undefined) more.push(word, 'masked:');
  }
}

/** Neighbours, as tokens of their own. */
export function pairsOf(words: readonly string[]): readonly string[] {
  const pairs: string[] = [];
  for (let i = 1; i < words.length; i++) pairs.push(`${words[i - 1]}|${words[i]}`);
  return pairs;
}

/** Characters by twos, where there are no words to be seen. */
function addCharacters(words: string[], run: string): void {
  const most = Math.min(run.length - 1, 1_000);
  for (let at = 0; at < most; at++) words.push(run.slice(at, at + 2));
}

/** Without the signs around it that belong to the sentence. */
function trimmed(word: string): string {
  let start = 0;
  let end = word.length;
  while (start < end && "'.-_@".includes(word[start] ?? '')) start++;
  while (end > start && "'.-_@".includes(word[end - 1] ?? '')) end--;
  return start === 0 && end === word.length ? word : word.slice(start, end);
}
