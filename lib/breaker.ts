/**
 * A circuit breaker: a backend that is down is asked again only after a pause. Until then whoever needs it fails at once,
 * so that mail does not wait for what will not come.
 */

/** How a breaker decides. */
export interface BreakerOptions {
  /** As errors call the backend, such as `clamd at 127.0.0.1:3310`. */
  readonly name: string;
  /** So many failures in a row open it. @default 1 */
  readonly failures?: number;
  /** Milliseconds until one question may try again. @default 5 000 */
  readonly pause?: number;
  /** Whether this error says that the backend is down; others say that it is not. @default every error does */
  readonly isDown?: (error: unknown) => boolean;
  /** Milliseconds. @default performance.now */
  readonly now?: () => number;
}

/** The backend was not asked. `cause` is what came of the last question. */
export class BreakerError extends Error {
  override readonly name: string = 'BreakerError';
}

/** Stands before one backend. */
export class Breaker {
  readonly #options: Required<BreakerOptions>;
  #failed = 0;
  /** When the next question may be put; undefined while the backend works. */
  #openUntil: number | undefined;
  #trying = false;
  #cause: unknown;

  constructor(options: BreakerOptions) {
    this.#options = {
      failures: 1,
      pause: 5_000,
      isDown: () => true,
      now: () => performance.now(),
      ...options,
    };
  }

  /** Whether {@link run} would fail at once. */
  get isOpen(): boolean {
    if (this.#openUntil === undefined || this.#trying) return this.#trying;
    const left = this.#openUntil - this.#options.now();
    // More is left than there was only where the clock was set back.
    return left > 0 && left <= this.#options.pause;
  }

  /**
   * For those who must do something before they ask.
   * @throws BreakerError where {@link run} would
   */
  check(): void {
    if (!this.isOpen) return;
    const why = this.#cause instanceof Error ? this.#cause.message : String(this.#cause);
    throw new BreakerError(`${this.#options.name} is down, and is not asked for a while: ${why}`, {
      cause: this.#cause,
    });
  }

  /**
   * Asks the backend. After the pause one question is put, and the others wait for no answer until it has come.
   * @throws BreakerError where it is not asked
   */
  async run<T>(ask: () => Promise<T>): Promise<T> {
    const { failures, pause, isDown, now } = this.#options;
    this.check();
    const tries = this.#openUntil !== undefined;
    if (tries) this.#trying = true;
    try {
      const answer = await ask();
      this.#works();
      return answer;
    } catch (error) {
      if (!isDown(error)) this.#works();
      else if (++this.#failed >= failures) {
        this.#openUntil = now() + pause;
        this.#cause = error;
      }
      throw error;
    } finally {
      if (tries) this.#trying = false;
    }
  }

  #works(): void {
    this.#failed = 0;
    this.#openUntil = undefined;
    this.#cause = undefined;
  }
}
