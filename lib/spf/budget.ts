/** How long a check may take, and running it within that. */
import type { ResolveOptions } from '../dns/index.ts';
import type { Steps } from './evaluate.ts';

/** The time a check may take. The timer is made only if somebody has to wait: most checks need none. */
export class Budget implements ResolveOptions {
  readonly #timeout: number;
  readonly #outer: AbortSignal | undefined;
  #controller: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stop: (() => void) | undefined;
  #over = '';

  constructor(timeout: number, outer: AbortSignal | undefined) {
    this.#timeout = timeout;
    this.#outer = outer;
    if (outer?.aborted === true) this.#over = 'the check was stopped';
  }

  /** Why the time is over; empty until then. */
  get over(): string {
    return this.#over;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      this.#timer = setTimeout(() => this.#end(`no result within ${this.#timeout} ms`), this.#timeout);
      this.#stop = () => this.#end('the check was stopped');
      this.#outer?.addEventListener('abort', this.#stop, { once: true });
    }
    return this.#controller.signal;
  }

  #end(why: string): void {
    this.#over = why;
    this.#controller?.abort();
  }

  /** Runs the steps to their end. Undefined where the time is over before. */
  run<T>(steps: Steps<T>): T | undefined | Promise<T | undefined> {
    if (this.#over !== '') return undefined;
    const step = steps.next();
    return step.done === true ? step.value : this.#wait(steps, step.value);
  }

  async #wait<T>(steps: Steps<T>, first: Promise<unknown>): Promise<T | undefined> {
    const { signal } = this;
    const ended = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    // A resolver that ignores the signal must not hold us.
    for (let pending = first; ; ) {
      const answer = await Promise.race([pending, ended]);
      if (this.#over !== '') return undefined;
      const step = steps.next(answer);
      if (step.done === true) return step.value;
      pending = step.value;
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    if (this.#stop !== undefined) this.#outer?.removeEventListener('abort', this.#stop);
  }
}
