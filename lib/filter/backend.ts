/**
 * A service outside that modules ask: so many questions at once, and none for a while when it is down, so that mail is
 * answered at once and the service is left to recover.
 */

/** So many questions must fail one after the other. */
const FAILURES = 3;
/** Milliseconds without a question. */
const PAUSE = 10_000;

/** The service is down, or too many questions wait for it. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
}

/** What {@link Backend} needs to know. */
export interface BackendOptions {
  /** Questions at once; others wait. */
  readonly concurrency: number;
  /** Milliseconds that a question may take, waiting included. */
  readonly timeout: number;
  /** Milliseconds since 1970. */
  now(): number;
}

/** Asks one service. */
export class Backend {
  readonly #options: BackendOptions;
  readonly #waiting: (() => void)[] = [];
  #busy = 0;
  #failures = 0;
  #pausedUntil = Number.NEGATIVE_INFINITY;
  #why = '';

  constructor(options: BackendOptions) {
    this.#options = options;
  }

  /**
   * Asks when it is its turn; what it rejects with counts as a failure of the service.
   * @throws BackendError where it does not come to asking
   */
  async ask<T>(question: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#failFast();
    const signal = AbortSignal.timeout(this.#options.timeout);
    await this.#turn(signal);
    try {
      this.#failFast();
      const answer = await question(signal);
      this.#failures = 0;
      return answer;
    } catch (error) {
      if (!(error instanceof BackendError)) this.#failed(error);
      throw error;
    } finally {
      this.#busy--;
      this.#waiting.shift()?.();
    }
  }

  #failFast(): void {
    if (this.#options.now() < this.#pausedUntil) throw new BackendError(`it is down: ${this.#why}`);
  }

  #failed(error: unknown): void {
    this.#why = error instanceof Error ? error.message : String(error);
    // After the pause one more failure is enough for the next one.
    if (++this.#failures >= FAILURES) this.#pausedUntil = this.#options.now() + PAUSE;
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.#busy >= this.#options.concurrency) {
      await new Promise<void>((resolve, reject) => {
        const late = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(next), 1);
          reject(new BackendError('too many others wait for it'));
        };
        const next = (): void => {
          signal.removeEventListener('abort', late);
          resolve();
        };
        this.#waiting.push(next);
        signal.addEventListener('abort', late, { once: true });
      });
    }
    this.#busy++;
  }
}
