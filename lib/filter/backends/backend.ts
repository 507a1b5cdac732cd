/**
 * A service outside that modules ask: so many questions at once, and none for a while when it is down, so that mail is
 * answered at once and the service is left to recover.
 */

import { Breaker, BreakerError } from '../../breaker.ts';
import type { Labels, Metrics } from '../watch/metrics.ts';

/** So many questions must fail one after the other. */
const FAILURES = 3;
/** Milliseconds without a question. */
const PAUSE = 10_000;
/** Questions that wait at most. */
const QUEUE = 1_000;

/** The service is down, or too many questions wait for it. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
}

/** What {@link Backend} needs to know. */
export interface BackendOptions {
  /** As errors call the service. @default 'it' */
  readonly name?: string;
  /** Questions at once; others wait. */
  readonly concurrency: number;
  /** Milliseconds that a question may take, waiting included, where it does not say itself. */
  readonly timeout: number;
  /** Whether this error says that the service is down; others say that it is not. @default every error does */
  readonly isDown?: (error: unknown) => boolean;
  /** Where questions are counted and timed, and with which labels. @default nowhere */
  readonly counted?: { readonly metrics: Metrics; readonly labels: Labels };
  /** Milliseconds since 1970. */
  now(): number;
}

/** About one question. */
export interface AskOptions {
  /** In place of the backend's. */
  readonly timeout?: number;
  /** Fires when nobody wants the answer any more. */
  readonly signal?: AbortSignal;
}

/** Asks one service. */
export class Backend {
  readonly #options: BackendOptions;
  readonly #waiting = new Set<() => void>();
  readonly #breaker: Breaker;
  #busy = 0;

  constructor(options: BackendOptions) {
    const { name = 'it', isDown = () => true, now } = options;
    this.#options = options;
    this.#breaker = new Breaker({ name, failures: FAILURES, pause: PAUSE, isDown, now: () => now() });
  }

  /**
   * Asks when it is its turn; what it rejects with counts as a failure of the service, unless `isDown` says no. The question's
   * signal fires with a TimeoutError when its time is up.
   * @throws BackendError where it does not come to asking
   */
  async ask<T>(question: (signal: AbortSignal) => Promise<T>, options: AskOptions = {}): Promise<T> {
    const { timeout = this.#options.timeout, signal } = options;
    const controller = new AbortController();
    const timer = setTimeout(
      () => controller.abort(new DOMException(`no answer in ${timeout} ms`, 'TimeoutError')),
      timeout,
    );
    const cancel = (): void => controller.abort(signal?.reason);
    if (signal?.aborted === true) cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      this.#breaker.check();
      await this.#turn(controller.signal);
      try {
        return await this.#breaker.run(() => this.#timed(question, controller.signal));
      } finally {
        this.#leave();
      }
    } catch (error) {
      const { counted } = this.#options;
      counted?.metrics.count('backend_failures_total', counted.labels);
      throw error instanceof BreakerError ? new BackendError(error.message, { cause: error.cause }) : error;
    } finally {
      this.#showState();
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    }
  }

  async #timed<T>(question: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { counted } = this.#options;
    const began = performance.now();
    try {
      return await question(signal);
    } finally {
      counted?.metrics.observe('backend_seconds', (performance.now() - began) / 1_000, counted.labels);
    }
  }

  async #turn(signal: AbortSignal): Promise<void> {
    if (this.#busy < this.#options.concurrency && !signal.aborted) {
      this.#busy++;
      return;
    }
    const { name = 'it' } = this.#options;
    const tooMany = new BackendError(`too many others wait for ${name}`);
    if (this.#waiting.size >= QUEUE || signal.aborted) throw tooMany;
    await new Promise<void>((resolve, reject) => {
      const late = (): void => {
        this.#waiting.delete(next);
        this.#showWaiting();
        reject(tooMany);
      };
      const next = (): void => {
        signal.removeEventListener('abort', late);
        resolve();
      };
      this.#waiting.add(next);
      this.#showWaiting();
      signal.addEventListener('abort', late, { once: true });
    });
  }

  /** Gives the place to whoever has waited longest. */
  #leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#busy--;
      return;
    }
    this.#waiting.delete(next);
    this.#showWaiting();
    next();
  }

  /** As it was when it was last asked, or not asked. */
  #showState(): void {
    const { counted } = this.#options;
    counted?.metrics.gauge('backend_down', this.#breaker.isOpen ? 1 : 0, counted.labels);
  }

  #showWaiting(): void {
    const { counted } = this.#options;
    counted?.metrics.gauge('backend_waiting', this.#waiting.size, counted.labels);
  }
}
