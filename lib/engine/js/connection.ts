/**
 * The bytes under a session: frames are handled as they come, and everything that one turn answers goes out in one write.
 * What is kept of a connection is bounded both ways: while an answer is awaited, or the MTA does not read, no more is read
 * than {@link MOST_UNREAD}.
 */
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from '../../logger.ts';
import { decodeOffer } from '../../protocol/filter-wire.ts';
import { FrameReader } from '../../protocol/frames.ts';
import type { Line } from './line.ts';
import type { Session } from './session.ts';

/** What a connection needs of the server. */
export interface ConnectionHost {
  readonly logger: Logger;
  /** Bytes of the largest payload. */
  readonly maxDataSize: number;
  /** Milliseconds that an MTA may be silent, or take for one frame or for what it is sent. */
  readonly timeout: number;
  /** The MTA begins to negotiate. Undefined where nobody is served any more. */
  openSession(line: Line): Session | undefined;
  sessionEnded(session: Session): void;
  /** Has {@link Connection.handleMore} called when the handlers that are done now have all been heard. */
  later(connection: Connection): void;
  /** Nothing is left of the connection. */
  gone(connection: Connection): void;
}

/** So many bytes may wait here before no more are read. */
const MOST_UNREAD = 256 * 1024;
/** So many bytes are copied into one piece to be written, rather than written as several. */
const SMALL_WRITE = 64 * 1024;
/** How long an MTA may take to close its side when we have closed ours, in milliseconds. */
export const LAST_WORDS = 1_000;

const NEGOTIATE = 0x4f; // O

export class Connection implements Line {
  readonly isTcp: boolean;
  readonly holdsProcess: boolean;
  readonly #host: ConnectionHost;
  readonly #socket: Duplex;
  readonly #reader: FrameReader;
  #session: Session | undefined;
  #out: Buffer[] = [];
  #outBytes = 0;
  /** To be called if what is written next cannot be sent. */
  #lost: (() => void)[] = [];
  #handling = false;
  /** The MTA has not read what it was sent. */
  #congested = false;
  /** Why no more frames are handled. */
  #state: 'open' | 'ending' | 'ended' = 'open';
  /** The MTA has closed its side. */
  #hungUp = false;
  /** What the last look at the socket found, and since when it has found the same. */
  #lastRead = -1;
  #lastQueued = 0;
  #stillSince = 0;
  /** When the frame that is not whole began, by performance.now(). */
  #halfSince: number | undefined;

  constructor(host: ConnectionHost, socket: Duplex, isTcp: boolean) {
    this.#host = host;
    this.#socket = socket;
    this.isTcp = isTcp;
    this.holdsProcess = socket instanceof Socket;
    this.#reader = new FrameReader(host.maxDataSize, 'the MTA');
    socket
      .on('data', (bytes: Buffer) => this.receive(bytes))
      .on('drain', () => {
        this.#congested = false;
        this.#handle();
      })
      .on('end', () => this.#left())
      .on('error', () => {}) // Its close follows.
      .on('close', () => {
        this.#left();
        this.#host.gone(this);
      });
  }

  /** Takes bytes from the MTA. */
  receive(bytes: Buffer): void {
    if (this.#state !== 'open') return;
    this.#reader.push(bytes);
    this.#handle();
  }

  send(frame: Buffer): void {
    this.#out.push(frame);
    this.#outBytes += frame.length;
  }

  sendActions(frames: readonly Buffer[], lost: () => void): void {
    for (const frame of frames) this.send(frame);
    this.#lost.push(lost);
  }

  goOn(): void {
    if (this.#handling) return;
    // With nothing more to handle the answer stands alone.
    const isIdle = this.#isReady() && this.#reader.unread === 0 && !this.#hungUp;
    if (isIdle) this.#flush();
    else this.#host.later(this);
  }

  /** What was answered since is sent, and what waited for that is handled. */
  handleMore(): void {
    this.#handle();
  }

  hangUp(): void {
    if (this.#state === 'open') this.#state = 'ending';
    this.goOn();
  }

  /** Breaks a connection on which nothing has moved for too long, whoever is to blame but a handler. */
  sweep(now: number): void {
    if (!(this.#socket instanceof Socket)) return;
    const { bytesRead, writableLength } = this.#socket;
    if (
      this.#session?.waits === true ||
      bytesRead !== this.#lastRead ||
      writableLength !== this.#lastQueued
    ) {
      this.#stillSince = now;
      this.#lastRead = bytesRead;
      this.#lastQueued = writableLength;
    } else if (now - this.#stillSince >= this.#host.timeout) {
      this.#socket.destroy();
    }
  }

  /** The server closes: a connection without a message ends. */
  drain(): void {
    if (this.#session?.inMessage !== true && this.#session?.waits !== true) this.hangUp();
  }

  /** The server's grace is over. */
  cutOff(): void {
    this.#session?.refuse();
    this.hangUp();
  }

  /** Breaks the connection. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Whether the connection keeps the process alive. */
  hold(hold: boolean): void {
    if (!(this.#socket instanceof Socket)) return;
    if (hold) this.#socket.ref();
    else this.#socket.unref();
  }

  #handle(): void {
    if (this.#handling) return;
    this.#handling = true;
    try {
      while (this.#isReady() && this.#reader.advance()) {
        this.#halfSince = undefined;
        if (!this.#takeFrame()) this.hangUp();
        if (this.#outBytes > SMALL_WRITE) this.#flush();
      }
      this.#checkHalf();
    } catch (error) {
      this.hangUp();
      this.#host.logger.debug(
        { session: this.#session?.id, error },
        'a connection that is no MTA’s was closed',
      );
    } finally {
      this.#handling = false;
    }
    this.#flush();
    this.#settle();
  }

  #isReady(): boolean {
    return this.#state === 'open' && !this.#congested && this.#session?.waits !== true;
  }

  /** False where it is no frame of the protocol. */
  #takeFrame(): boolean {
    const { command, bytes, start, end } = this.#reader;
    if (this.#session !== undefined) return this.#session.handle(this.#reader);
    const offer = command === NEGOTIATE ? decodeOffer(bytes, start, end) : undefined;
    if (offer === undefined) return false;
    this.#session = this.#host.openSession(this);
    this.#session?.negotiate(offer);
    return this.#session !== undefined;
  }

  /** A frame once begun must come to its end: bytes one by one do not put that off. */
  #checkHalf(): void {
    if (this.#state !== 'open' || !this.#reader.isWithinFrame) return;
    const now = performance.now();
    this.#halfSince ??= now;
    if (now - this.#halfSince > this.#host.timeout) this.hangUp();
  }

  /** Writes all that was sent. */
  #flush(): void {
    if (this.#out.length === 0) return;
    const out = this.#out;
    const bytes = this.#outBytes;
    this.#out = [];
    this.#outBytes = 0;
    const whenWritten = this.#takeLost();
    // It would be called congested, and nothing ever tells of a broken connection that it is no more.
    if (this.#socket.destroyed) {
      whenWritten?.(new Error('the connection is broken'));
      return;
    }
    const [only] = out;
    if (out.length === 1 || bytes <= SMALL_WRITE) {
      const whole = out.length === 1 && only !== undefined ? only : Buffer.concat(out, bytes);
      this.#congested = !this.#socket.write(whole, whenWritten);
      return;
    }
    this.#socket.cork();
    for (const [i, piece] of out.entries())
      this.#congested = !this.#socket.write(piece, i === out.length - 1 ? whenWritten : undefined);
    this.#socket.uncork();
  }

  /** Tells of the actions in the next write if that fails. */
  #takeLost(): ((error: Error | null | undefined) => void) | undefined {
    const lost = this.#lost;
    if (lost.length === 0) return undefined;
    this.#lost = [];
    return (error) => {
      if (error) for (const each of lost) each();
    };
  }

  /** Goes on reading or not, and ends what is to be ended. */
  #settle(): void {
    if (this.#state === 'ended') return;
    const waits = this.#session?.waits === true;
    if (this.#hungUp && !waits && !this.#congested && this.#state === 'open') this.#state = 'ending';
    if (this.#state === 'ending' && !waits) this.#end();
    else if (this.#reader.unread > MOST_UNREAD) this.#socket.pause();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  #end(): void {
    this.#state = 'ended';
    if (this.#session !== undefined) {
      this.#session.end();
      this.#host.sessionEnded(this.#session);
    }
    // What still comes is read, and is nobody's: unread, it would have the system drop our last words.
    this.#socket.resume();
    this.#socket.end(() => {
      setTimeout(() => this.#socket.destroy(), LAST_WORDS).unref();
    });
  }

  /** The MTA has closed its side, or the connection broke. */
  #left(): void {
    if (this.#hungUp && !this.#socket.destroyed) return;
    if (!this.#hungUp) this.#session?.hungUp();
    this.#hungUp = true;
    if (this.#socket.destroyed) this.#congested = false;
    this.#handle();
  }
}
