/**
 * One connection to clamd, with many commands on it (IDSESSION): replies come by number, in any order. A fault of one
 * command that clamd does not go on after is one of all that wait.
 */
import type { Socket } from 'node:net';
import { parseSessionReply, readClamdVerdict, type VirusVerdict } from './clamd-reply.ts';
import { openConnection, type ScannerAddress } from './connect.ts';
import { abortFault, ScannerError } from './error.ts';

/** Bytes that are sent at once: between two chunks clamd's complaint can be read. */
const CHUNK = 64 * 1024;
/** Bytes of replies that are not complete yet. */
const MAX_REPLY = 64 * 1024;

interface Waiting {
  readonly resolve: (text: string) => void;
  readonly reject: (error: unknown) => void;
}

/** A session. */
export class ClamdSession {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  /** The last command's. */
  #number = 0;
  #text = '';
  #fault: ScannerError | undefined;
  /** Whoever sends has the connection alone. */
  #sending: Promise<void> = Promise.resolve();
  #hasAnswered = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#read(text));
    socket.on('error', ({ message }) => this.#fail(new ScannerError('cut-off', `clamd hung up: ${message}`)));
    socket.on('close', () => this.#fail(new ScannerError('cut-off', 'clamd hung up')));
  }

  static async open(address: ScannerAddress, signal: AbortSignal): Promise<ClamdSession> {
    const socket = await openConnection('clamd', address, signal);
    socket.write('zIDSESSION\0');
    return new ClamdSession(socket);
  }

  /** No more commands can be given. */
  get isOver(): boolean {
    return this.#fault !== undefined;
  }

  /** Nothing waits, and the next command can be given. */
  get isIdle(): boolean {
    return this.#fault === undefined && this.#waiting.size === 0;
  }

  /** Whether clamd has answered since {@link rest}. */
  get hasAnswered(): boolean {
    return this.#hasAnswered;
  }

  /** What clamd says of these bytes. Several may wait at once. */
  async scan(pieces: Iterable<Buffer>): Promise<VirusVerdict> {
    return readClamdVerdict(await this.#command('INSTREAM', pieces));
  }

  /** What clamd says to a command without more, such as `PING`. */
  async say(command: string): Promise<string> {
    return await this.#command(command);
  }

  /** From now on the session is used by somebody who waits until `signal` fires. The function ends that. */
  use(signal: AbortSignal): () => void {
    this.#socket.ref();
    const abort = (): void => this.#fail(abortFault('clamd', signal));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    return () => signal.removeEventListener('abort', abort);
  }

  /** Kept for the next who needs one; the process may end meanwhile. */
  rest(): void {
    this.#hasAnswered = false;
    this.#socket.unref();
  }

  /** Ends it, whatever waits. */
  end(): void {
    this.#fail(new ScannerError('cancelled', 'the session with clamd was ended'));
  }

  async #command(command: string, pieces?: Iterable<Buffer>): Promise<string> {
    const before = this.#sending;
    const { promise: sent, resolve: done } = Promise.withResolvers<void>();
    this.#sending = sent;
    try {
      await before;
      if (this.#fault !== undefined) throw this.#fault;
      const reply = new Promise<string>((resolve, reject) => {
        this.#waiting.set(++this.#number, { resolve, reject });
      });
      // It may be a fault that comes while the rest is being sent.
      reply.catch(() => {});
      await this.#send(command, pieces);
      done();
      return await reply;
    } finally {
      done();
    }
  }

  /** Stops where the session is over: whoever waits for the reply hears why. */
  async #send(command: string, pieces: Iterable<Buffer> | undefined): Promise<void> {
    this.#socket.write(`z${command}\0`);
    if (pieces === undefined) return;
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += CHUNK) {
        if (this.#fault !== undefined) return;
        await this.#write(piece.subarray(at, at + CHUNK));
      }
    }
    this.#socket.write(sizeOf(0));
  }

  async #write(chunk: Buffer): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.cork();
    this.#socket.write(sizeOf(chunk.length));
    this.#socket.write(chunk, () => resolve());
    this.#socket.uncork();
    await promise;
    // What clamd says meanwhile is read before the next chunk, which may find the connection closed and take its words along.
    await new Promise(setImmediate);
  }

  #read(text: string): void {
    this.#text += text;
    if (this.#text.length > MAX_REPLY) {
      this.#fail(new ScannerError('nonsense', 'clamd talks without end'));
      return;
    }
    const lines = this.#text.split(/[\0\n]/);
    this.#text = lines.pop() ?? '';
    for (const line of lines) if (this.#fault === undefined) this.#take(line);
  }

  #take(line: string): void {
    try {
      const { id, text } = parseSessionReply(line);
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) throw new ScannerError('nonsense', 'clamd answers what it was not asked');
      this.#waiting.delete(id);
      this.#hasAnswered = true;
      waiting.resolve(text);
    } catch (error) {
      this.#fail(error instanceof ScannerError ? error : new ScannerError('nonsense', String(error)));
    }
  }

  #fail(fault: ScannerError): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#socket.destroy();
    for (const { reject } of this.#waiting.values()) reject(fault);
    this.#waiting.clear();
  }
}

function sizeOf(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(length);
  return bytes;
}
