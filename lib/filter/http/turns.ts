/** Work that is dear: so much of it at once, the rest waits, and what is too much is refused. */

/** Too many wait already. */
export class TooBusy extends Error {
  override readonly name: string = 'TooBusy';
}

/** Gives turns. */
export class Turns {
  readonly #atOnce: number;
  readonly #mostWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;

  constructor(atOnce: number, mostWaiting: number) {
    this.#atOnce = atOnce;
    this.#mostWaiting = mostWaiting;
  }

  /**
   * Does it when it is its turn.
   * @throws TooBusy where it does not come to that
   */
  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy < this.#atOnce) this.#busy++;
    else {
      if (this.#waiting.length >= this.#mostWaiting) throw new TooBusy('too much is asked at once');
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      // The next takes this one's place.
      const next = this.#waiting.shift();
      if (next === undefined) this.#busy--;
      else next();
    }
  }
}
