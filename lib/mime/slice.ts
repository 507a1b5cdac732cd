/**
 * Long work in short turns of the event loop.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

/** How long one piece of work may hold the event loop, in milliseconds. */
const LENGTH = 10;

/** A stretch of work between two turns of the event loop. */
export class Slice {
  #start: number = performance.now();

  /** Whether it is time to let others work. */
  get isOver(): boolean {
    return performance.now() - this.#start > LENGTH;
  }

  /** Lets the event loop turn once. */
  async next(): Promise<void> {
    await nextTurn();
    this.#start = performance.now();
  }
}

/** Work that stops at every `yield`, so that others may work if it takes long. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Does all of it at once. */
export function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Does it in turns of the event loop. */
export async function finishInTurns<T>(steps: Steps<T>): Promise<T> {
  const slice = new Slice();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    if (slice.isOver) await slice.next();
  }
}
