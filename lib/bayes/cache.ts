/**
 * What was last read of tokens: of a fixed size, whatever the dictionaries' are. Each token has one place in it, which the next one
 * that belongs there takes over.
 */

/** 5 MB in all. */
const SLOTS = 2 ** 18;

/** Counts by dictionary, a number above 0, and key. Unknown tokens are kept too: they are most of what is asked for. */
export class CountCache {
  readonly #keys = new Float64Array(SLOTS);
  readonly #dictionaries = new Uint32Array(SLOTS);
  readonly #spam = new Uint32Array(SLOTS);
  readonly #ham = new Uint32Array(SLOTS);

  /** Puts the counts of a key into `counts` at `at`; false where they are not known here. */
  read(dictionary: number, key: number, counts: Uint32Array, at: number): boolean {
    const slot = slotOf(dictionary, key);
    if (this.#keys[slot] !== key || this.#dictionaries[slot] !== dictionary) return false;
    counts[at] = this.#spam[slot] ?? 0;
    counts[at + 1] = this.#ham[slot] ?? 0;
    return true;
  }

  write(dictionary: number, key: number, spam: number, ham: number): void {
    const slot = slotOf(dictionary, key);
    this.#keys[slot] = key;
    this.#dictionaries[slot] = dictionary;
    this.#spam[slot] = spam;
    this.#ham[slot] = ham;
  }

  forget(dictionary: number, key: number): void {
    const slot = slotOf(dictionary, key);
    if (this.#keys[slot] === key && this.#dictionaries[slot] === dictionary) this.#dictionaries[slot] = 0;
  }

  clear(): void {
    this.#dictionaries.fill(0);
  }
}

/** Keys are hashes: any of their bits do. */
function slotOf(dictionary: number, key: number): number {
  return (key + dictionary * 7_919) % SLOTS;
}
