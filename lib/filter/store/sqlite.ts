/**
 * The store in a file, by SQLite, in a thread of its own: `node:sqlite` is synchronous, and the disk takes its time. While the
 * thread works on some requests the next gather, and go to the disk together.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Backend, StoreAnswer, StoreRequest } from './request.ts';
import type { FromThread, ToThread } from './sqlite-thread.ts';
import { StoreError } from './store.ts';

/** Requests in one transaction: others who share the file wait for it. */
const MAX_GROUP = 1_000;
/** More than that wait only where the disk hangs. */
const MAX_WAITING = 100_000;
/** How often what has expired is let go, in milliseconds, and how much in one transaction. */
const SWEEP_EVERY = 10_000;
const SWEEP_MOST = 1_000;

interface Waiting {
  readonly request: StoreRequest;
  readonly resolve: (answer: StoreAnswer) => void;
  readonly reject: (error: StoreError) => void;
}

/** A file. Nothing is made before something is written; the thread starts with the first question. */
export class SqliteBackend implements Backend {
  readonly #path: string;
  readonly #now: () => number;
  #waiting: Waiting[] = [];
  /** What the thread works on; undefined where it is idle. */
  #group: readonly Waiting[] | undefined;
  #thread: Worker | undefined;
  #sweepTimer: NodeJS.Timeout | undefined;
  #mustSweep = false;
  #closed: PromiseWithResolvers<void> | undefined;

  constructor(path: string, now: () => number) {
    this.#path = path;
    this.#now = now;
  }

  ask(request: StoreRequest): Promise<StoreAnswer> {
    if (this.#closed !== undefined) return Promise.reject(new StoreError('the store is closed'));
    if (this.#waiting.length >= MAX_WAITING) {
      return Promise.reject(new StoreError(`the store ${this.#path} does not keep up`));
    }
    return new Promise((resolve, reject) => {
      // What is asked in the same turn goes together, too.
      if (this.#waiting.push({ request, resolve, reject }) === 1) queueMicrotask(() => this.#send());
    });
  }

  async close(): Promise<void> {
    this.#closed ??= Promise.withResolvers();
    this.#send();
    await this.#closed.promise;
  }

  /** Gives the thread what waits, if it is idle. */
  #send(): void {
    if (this.#group !== undefined) return;
    if (this.#waiting.length > 0) {
      this.#group = this.#waiting.splice(0, MAX_GROUP);
      this.#tell({ requests: this.#group.map(({ request }) => request), now: this.#now() });
    } else if (this.#closed !== undefined) {
      clearInterval(this.#sweepTimer);
      if (this.#thread === undefined) this.#closed.resolve();
      else this.#tell('close');
    } else if (this.#mustSweep) {
      this.#mustSweep = false;
      this.#group = [];
      this.#tell({ sweep: SWEEP_MOST, now: this.#now() });
    }
  }

  #tell(message: ToThread): void {
    try {
      this.#thread ??= this.#start();
    } catch (cause) {
      // No thread could be had. In a turn of its own: what waits behind is tried, and told, as well.
      queueMicrotask(() => this.#ended(cause));
      return;
    }
    // The process does not end while it waits for the thread, and does not live for its sake.
    this.#thread.ref();
    this.#thread.postMessage(message);
  }

  #start(): Worker {
    const file = new URL(`./sqlite-thread${extname(import.meta.filename)}`, import.meta.url);
    const thread = new Worker(file, {
      workerData: this.#path,
      // Node 22 and 24 call node:sqlite experimental, on the filter's standard error.
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#sweepTimer ??= setInterval(() => {
      this.#mustSweep = true;
      this.#send();
    }, SWEEP_EVERY).unref();
    thread.on('message', (message: FromThread) => this.#answered(message));
    let cause: unknown;
    thread.on('error', (error) => {
      cause = error;
    });
    thread.on('exit', () => this.#ended(cause));
    return thread;
  }

  #answered(message: FromThread): void {
    const group = this.#group ?? [];
    this.#group = undefined;
    this.#thread?.unref();
    if ('swept' in message) this.#mustSweep = message.swept >= SWEEP_MOST;
    else {
      for (const [index, outcome] of message.outcomes.entries()) {
        if ('answer' in outcome) group[index]?.resolve(outcome.answer);
        else group[index]?.reject(new StoreError(outcome.error));
      }
    }
    this.#send();
  }

  /** The thread is gone: as it was told, or by itself, for want of memory for example; then the next question starts another. */
  #ended(cause: unknown): void {
    this.#thread = undefined;
    const group = this.#group ?? [];
    this.#group = undefined;
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    for (const { reject } of group) reject(new StoreError(`the thread of the store ended${why}`, { cause }));
    this.#send();
  }
}
