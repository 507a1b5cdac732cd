/**
 * A service outside that modules ask: so many questions at once, and none for a while when it is down, so that mail is
 * answered at once and the service is left to recover.
 */
import { Breaker, BreakerError } from './breaker.ts';

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
  readonly #breaker: Breaker;
  #busy = 0;

  constructor(options: BackendOptions) {
    this.#options = options;
    this.#breaker = new Breaker({ name: 'it', failures: FAILURES, pause: PAUSE, now: () => options.now() });
  }

  /**
   * Asks when it is its turn; what it rejects with counts as a failure of the service.
   * @throws BackendError where it does not come to asking
   */
  async ask<T>(question: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      this.#breaker.check();
      const signal = AbortSignal.timeout(this.#options.timeout);
      await this.#turn(signal);
      try {
        return await this.#breaker.run(() => question(signal));
      } finally {
        this.#busy--;
        this.#waiting.shift()?.();
      }
    } catch (error) {
      throw error instanceof BreakerError ? new BackendError(error.message, { cause: error.cause }) : error;
    }
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
