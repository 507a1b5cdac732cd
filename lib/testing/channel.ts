/** Frames over a stream, one exchange after another, with a deadline for every wait. */
import type { Duplex } from 'node:stream';
import { MilterError, type MilterErrorCode } from '../errors.ts';
import { type Frame, FrameReader } from '../protocol/frames.ts';

// Nothing that libmilter sends is longer than a chunk; the margin is for other implementations.
const MAX_PAYLOAD = (1 << 20) - 1;

/** A connection to a milter. After a MilterError it is of no more use: filter and we may be out of step. */
export class Channel {
  readonly #spec: string;
  readonly #timeout: number;
  readonly #stream: Duplex;
  readonly #reader: FrameReader = new FrameReader(MAX_PAYLOAD, 'the filter');
  readonly #frames: Frame[] = [];
  #opened: boolean = false;
  #failure: MilterError | undefined;
  /** Ends the wait under way, if there is one. */
  #interrupt: ((failure: MilterError) => void) | undefined;
  /** Tells the wait under way, if it is for a frame, that one has come. */
  #frameCame: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  /**
   * @param spec where the stream leads, for errors
   * @param timeout milliseconds for each wait
   */
  constructor(spec: string, stream: Duplex, timeout: number) {
    this.#spec = spec;
    this.#timeout = timeout;
    this.#stream = stream
      .on('data', (bytes) => this.#take(bytes))
      .on('error', (cause) => {
        if (this.#opened) this.#fail('ERR_MILTER_CLOSED', `the connection broke: ${cause.message}`, cause);
        else this.#fail('ERR_MILTER_SOCKET', `nobody answers: ${cause.message}`, cause);
      })
      .on('close', () => this.#fail('ERR_MILTER_CLOSED', 'the filter closed the connection'));
  }

  /** Runs `exchange` after those asked for before. `what` says in an error where it happened. */
  inTurn<T>(what: string, exchange: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(exchange).catch((error: unknown) => {
      if (!(error instanceof MilterError)) throw error;
      this.#fail(error.code, error.message);
      throw new MilterError(error.code, `${what} at ${this.#spec}: ${error.message}`, { cause: error });
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** Resolves when the dial was answered, where the stream is a socket that is dialling. */
  async opened(): Promise<void> {
    await this.#wait((done) => this.#stream.once('connect', done));
    this.#opened = true;
  }

  /** Resolves when the system has taken the bytes. */
  send(bytes: Uint8Array): Promise<void> {
    return this.#wait((done) => this.#stream.write(bytes, () => done()));
  }

  /** The next frame from the filter. */
  async receive(): Promise<Frame> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame !== undefined) return frame;
      await this.#wait((done) => {
        this.#frameCame = done;
      });
    }
  }

  /** Whether the filter said something for which nobody has asked yet. */
  get pending(): boolean {
    return this.#frames.length > 0;
  }

  /** Sends `bytes` and resolves when the filter has hung up. */
  async finish(bytes: Uint8Array): Promise<void> {
    // Before our own listener, which would take the end for a failure.
    await this.#wait((done) => this.#stream.prependOnceListener('close', done).write(bytes));
  }

  /** Hangs up at once. */
  async close(): Promise<void> {
    this.#fail('ERR_MILTER_CLOSED', 'this connection was closed');
    if (!this.#stream.closed) await new Promise((resolve) => this.#stream.once('close', resolve));
  }

  #take(bytes: Buffer): void {
    try {
      this.#reader.push(bytes);
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) {
        this.#frames.push(frame);
      }
      if (this.#frames.length > 0) this.#frameCame?.();
    } catch (error) {
      if (!(error instanceof MilterError)) throw error;
      this.#fail(error.code, error.message);
    }
  }

  #fail(code: MilterErrorCode, message: string, cause?: Error): void {
    this.#failure ??= new MilterError(code, message, { cause });
    this.#stream.destroy();
    this.#interrupt?.(this.#failure);
  }

  /** Waits until `begin` calls back, but no longer than the deadline or the connection lasts. */
  async #wait(begin: (done: () => void) => void): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const deadline = setTimeout(() => {
      this.#fail('ERR_MILTER_DEADLINE', `no answer within ${this.#timeout} ms`);
    }, this.#timeout);
    this.#interrupt = reject;
    begin(resolve);
    try {
      await promise;
    } finally {
      clearTimeout(deadline);
      this.#interrupt = undefined;
      this.#frameCame = undefined;
    }
  }
}
