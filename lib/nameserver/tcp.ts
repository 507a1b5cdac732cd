/** Queries over TCP (RFC 7766): several on a connection, answered as they come. */
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { HEADER_SIZE } from './query.ts';
import type { Responder } from './responder.ts';

const MAX_CONNECTIONS = 100;
/** Milliseconds without a whole query, or without reading replies, after which a connection ends. */
const IDLE = 10_000;
/** No honest query is longer. */
const MAX_QUERY = 4_096;
/** Bytes of replies that may wait for a client; until it reads them it is not read from. */
const MAX_WAITING = 65_536;

/** What tests make shorter. */
export interface TcpLimits {
  readonly idle?: number;
  readonly connections?: number;
}

/** The TCP side of a name server. */
export class TcpSide {
  readonly #server: Server;
  readonly #connections = new Set<Socket>();

  constructor(responder: Responder, { idle = IDLE, connections = MAX_CONNECTIONS }: TcpLimits) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.#connections.add(socket);
      socket.on('close', () => this.#connections.delete(socket));
      new Connection(socket, responder, idle);
    });
    this.#server.maxConnections = connections;
  }

  /** @throws the system's error where the port cannot be had */
  async listen(port: number, host: string): Promise<void> {
    this.#server.listen(port, host);
    await once(this.#server, 'listening');
    // One connection that could not be accepted, for lack of descriptors.
    this.#server.on('error', () => {});
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#connections) socket.destroy();
    await closed;
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #responder: Responder;
  readonly #address: string;
  readonly #timer: NodeJS.Timeout;
  #received: Buffer = Buffer.alloc(0);
  /** Replies that are being looked up. */
  #pending = 0;
  #hasEnded = false;

  constructor(socket: Socket, responder: Responder, idle: number) {
    this.#socket = socket;
    this.#responder = responder;
    this.#address = socket.remoteAddress ?? '';
    // Not the socket's own time-out: a byte now and then would keep the connection for ever.
    this.#timer = setTimeout(() => socket.destroy(), idle);
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('end', () => {
      this.#hasEnded = true;
      this.#endIfDone();
    });
    socket.on('drain', () => {
      this.#timer.refresh();
      this.#goOn();
    });
    socket.on('error', () => {});
    socket.on('close', () => clearTimeout(this.#timer));
  }

  #take(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    let at = 0;
    while (this.#received.length >= at + 2 && !this.#socket.destroyed) {
      const size = this.#received.readUInt16BE(at);
      if (size < HEADER_SIZE || size > MAX_QUERY) {
        this.#socket.destroy();
        return;
      }
      const end = at + 2 + size;
      if (this.#received.length < end) break;
      if (this.#isFull()) {
        this.#socket.pause();
        break;
      }
      this.#timer.refresh();
      this.#answer(this.#received.subarray(at + 2, end));
      at = end;
    }
    // Copied, so that some bytes do not keep all that came with them.
    this.#received = Buffer.from(this.#received.subarray(at));
    this.#endIfDone();
  }

  /** What was left because too much waited. */
  #goOn(): void {
    this.#socket.resume();
    this.#take(Buffer.alloc(0));
  }

  #isFull(): boolean {
    return this.#socket.writableLength + this.#pending * 512 > MAX_WAITING;
  }

  #answer(packet: Buffer): void {
    const reply = this.#responder.respond(packet, { isTcp: true, address: this.#address });
    if (!(reply instanceof Promise)) {
      this.#send(reply);
      return;
    }
    this.#pending++;
    void reply.then((bytes) => {
      this.#pending--;
      this.#send(bytes);
      this.#goOn();
    });
  }

  #send(reply: Buffer | undefined): void {
    if (reply === undefined || this.#socket.destroyed) return;
    const framed = Buffer.allocUnsafe(2 + reply.length);
    framed.writeUInt16BE(reply.length);
    framed.set(reply, 2);
    this.#socket.write(framed);
  }

  /** A client that has sent its last query still gets its replies. */
  #endIfDone(): void {
    const hasQuery = this.#received.length >= 2 && this.#received.length >= 2 + this.#received.readUInt16BE();
    if (this.#hasEnded && this.#pending === 0 && !hasQuery) this.#socket.end();
  }
}
