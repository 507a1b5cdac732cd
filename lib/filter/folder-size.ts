/** How much lies in a folder that may hold only so much, and in which other threads and processes work too. */

/** Milliseconds for which a measurement is good. */
const GOOD = 60_000;
/** The same where there is not much room any more. */
const GOOD_NEARLY_FULL = 2_000;
const NEARLY_FULL = 0.8;

/** The size of a folder: measured now and then, and counted in between. */
export class FolderSize {
  /** Bytes that may be in it. */
  readonly most: number;
  readonly #sum: () => Promise<number>;
  /** Bytes in it when it was last measured, and those taken since. */
  #used = 0;
  #measured = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | undefined;

  /** @param sum the bytes of all that is in it */
  constructor(most: number, sum: () => Promise<number>) {
    this.most = most;
    this.#sum = sum;
  }

  /** Bytes in it, as far as is known. */
  get used(): number {
    return this.#used;
  }

  /** Whether more than four fifths are taken. */
  get isNearlyFull(): boolean {
    return this.#used > NEARLY_FULL * this.most;
  }

  /** Measures it, unless the last measurement is still good. To be called before something is written. */
  async measure(): Promise<void> {
    const good = this.isNearlyFull ? GOOD_NEARLY_FULL : GOOD;
    if (performance.now() - this.#measured < good) return;
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined;
    });
    await this.#measuring;
  }

  /** Has it be measured anew: much was removed, perhaps. */
  outdate(): void {
    this.#measured = Number.NEGATIVE_INFINITY;
  }

  /** Takes room for so many bytes; false where there is none, which is measured before it is said again. */
  take(bytes: number): boolean {
    if (this.#used + bytes > this.most) {
      this.outdate();
      return false;
    }
    this.#used += bytes;
    return true;
  }

  /** Gives room back, of what was removed or could not be written. */
  giveBack(bytes: number): void {
    this.#used -= bytes;
  }

  async #measure(): Promise<void> {
    const before = this.#used;
    const bytes = await this.#sum();
    // What was written meanwhile may be in both: rather too much than too little.
    this.#used = bytes + Math.max(0, this.#used - before);
    this.#measured = performance.now();
  }
}
