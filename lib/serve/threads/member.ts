/** A thread, as the main thread knows it: its worker, how busy it is, and how it begins and ends. */
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { MilterError } from '../../errors.ts';
import { Cell, type FromThread, type Reply, type ThreadTask, type ToThread } from './words.ts';

/** Milliseconds that a thread may take to end when all servers are closed. */
const END_WITHIN = 10_000;
/** A thread that reads nothing for so many milliseconds, although there is something, hangs in a handler. */
const HANGS_AFTER = 500;
/** How often threads are to be looked at, in milliseconds. */
export const LOOK_EVERY = 1_000;

/** Who hears a thread. */
export interface ThreadHost {
  heard(thread: Thread, message: FromThread): void;
  /** It is gone, and `cause` is why, unless it was told to end. */
  died(thread: Thread, cause: unknown): void;
}

export class Thread {
  /** From 1 on. One that takes the place of another has its number. */
  readonly number: number;
  isAlive = true;
  readonly #worker: Worker;
  readonly #cells = new Int32Array(new SharedArrayBuffer(8));
  readonly #answers: MessagePort;
  readonly #starting = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<void>();
  #sent = 0;
  /** How many messages it had done when that was last looked at, and since when it has been as many. */
  #seen = 0;
  #seenAt = 0;
  /** How often it was seen to hang since it last did not. */
  #looks = 0;
  /** Why it ended. */
  #cause: Error | undefined;

  constructor(number: number, url: URL, host: ThreadHost) {
    this.number = number;
    const { port1, port2 } = new MessageChannel();
    this.#answers = port1;
    port1.unref();
    const file = new URL(`./thread${extname(import.meta.filename)}`, import.meta.url);
    const workerData = { number, url: url.href, cells: this.#cells, answers: port2 } satisfies ThreadTask;
    // What is said of the text of `node -e` is not true of a file, and is refused there. All else is inherited: a thread
    // may not be given V8's options, which hold for the process, as --max-old-space-size.
    const ofText = process.execArgv.some((argument) => argument.startsWith('--input-type'));
    const execArgv = process.execArgv.filter((argument) => !argument.startsWith('--input-type'));
    this.#worker = new Worker(file, {
      name: `milter-${number}`,
      workerData,
      transferList: [port2],
      ...(ofText && { execArgv }),
    });
    this.#worker.on('message', (message: FromThread) => {
      if (message.word === 'ready') this.#starting.resolve();
      else if (message.word === 'fault')
        this.#starting.reject(new MilterError(message.fault.code, message.fault.message));
      host.heard(this, message);
    });
    this.#worker.on('error', (error) => {
      this.#cause = error instanceof Error ? error : new Error(String(error));
    });
    this.#worker.on('exit', (code) => {
      this.isAlive = false;
      port1.close();
      const cause = this.#cause ?? new Error(`it ended with status ${code}`);
      this.#starting.reject(
        new MilterError(
          'ERR_MILTER_FILTER',
          `a thread of ${url.pathname} ended while it started: ${cause.message}`,
          { cause },
        ),
      );
      this.#exited.resolve();
      host.died(this, cause);
    });
    // Told by `started`, and by the host.
    this.#starting.promise.catch(() => {});
  }

  /** Resolves when it has imported the filter. */
  async started(): Promise<void> {
    await this.#starting.promise;
    this.hold(false);
  }

  /** Whether it keeps the process alive. That is for servers to do, but for when a thread is waited for. */
  hold(hold: boolean): void {
    if (!this.isAlive) return;
    if (hold) this.#worker.ref();
    else this.#worker.unref();
  }

  /** How many messages it has not done with yet. */
  get behind(): number {
    return this.#sent - Atomics.load(this.#cells, Cell.done);
  }

  /** For how many milliseconds it has been hanging; 0 while it does what it should. */
  get hanging(): number {
    const done = Atomics.load(this.#cells, Cell.done);
    const now = performance.now();
    if (done !== this.#seen || done === this.#sent) {
      this.#seen = done;
      this.#seenAt = now;
    }
    const since = now - this.#seenAt;
    return since > HANGS_AFTER ? since : 0;
  }

  /**
   * Looks whether it hangs, and ends it when it has done so for `patience` milliseconds. To be called every
   * {@link LOOK_EVERY} milliseconds: looks are counted, and no time is measured, for the whole process may have been stopped.
   */
  look(patience: number): void {
    if (this.hanging === 0) {
      this.#looks = 0;
      return;
    }
    this.#looks++;
    if (this.#looks * LOOK_EVERY < patience || this.#cause !== undefined) return;
    const seconds = Math.round(patience / 1_000);
    this.#cause = new Error(`it hung in a handler for ${seconds} s, beyond every deadline, and was ended`);
    void this.#worker.terminate();
  }

  tell(message: ToThread, given: ArrayBuffer[] = []): void {
    if (!this.isAlive) return;
    if (this.behind === 0) this.#seenAt = performance.now();
    this.#sent++;
    this.#worker.postMessage(message, given);
  }

  /** Answers its question, and lets it go on. */
  reply(reply: Reply): void {
    this.#answers.postMessage(reply);
    Atomics.store(this.#cells, Cell.answered, 1);
    Atomics.notify(this.#cells, Cell.answered);
  }

  /** Has it close what it opened, and waits until it is gone. */
  async end(): Promise<void> {
    if (!this.isAlive) return;
    this.hold(true);
    this.tell({ word: 'end' });
    const patience = this.hanging > 0 ? 0 : END_WITHIN;
    const late = setTimeout(() => void this.#worker.terminate(), patience);
    await this.#exited.promise;
    clearTimeout(late);
  }

  /** Ends it at once. */
  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}
