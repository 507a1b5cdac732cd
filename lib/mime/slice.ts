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
