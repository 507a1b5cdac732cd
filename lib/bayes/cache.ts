/**
 * What was last read of tokens: of a fixed size, whatever the dictionaries' are. Each token has one place in it, which the next one
 * that belongs there takes over.
 */

/** Places; 8 MB in all. */
const SLOTS = 2 ** 19;
/** Words of a place, side by side, as the processor fetches them together: dictionary, rest of the key, spam, ham. */
const WORDS = 4;

/** Counts by dictionary, a number above 0, and key. Unknown tokens are kept too: they are most of what is asked for. */
export class CountCache {
  readonly #words = new Uint32Array(SLOTS * WORDS);

  /** Puts the counts of a key into `counts` at `at`; false where they are not known here. */
  read(dictionary: number, key: number, counts: Uint32Array, at: number): boolean {
    const place = placeOf(dictionary, key);
    if (this.#words[place] !== dictionary || this.#words[place + 1] !== restOf(key)) return false;
    counts[at] = this.#words[place + 2] ?? 0;
    counts[at + 1] = this.#words[place + 3] ?? 0;
    return true;
  }

  write(dictionary: number, key: number, spam: number, ham: number): void {
    const place = placeOf(dictionary, key);
    this.#words[place] = dictionary;
    this.#words[place + 1] = restOf(key);
    this.#words[place + 2] = spam;
    this.#words[place + 3] = ham;
  }

  forget(dictionary: number, key: number): void {
    const place = placeOf(dictionary, key);
    if (this.#words[place] === dictionary && this.#words[place + 1] === restOf(key)) this.#words[place] = 0;
  }

  clear(): void {
    this.#words.fill(0);
  }
}

/** By the lowest bits of the key, which is a hash: any of them do. */
function placeOf(dictionary: number, key: number): number {
  return (((key >>> 0) + Math.imul(dictionary, 7_919)) & (SLOTS - 1)) * WORDS;
}

/** What the place does not tell of a key, which is below 2 ** 48. */
function restOf(key: number): number {
  return Math.floor(key / SLOTS);
}
