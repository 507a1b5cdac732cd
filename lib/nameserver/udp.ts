/** Queries over UDP. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { isLoopback, RateLimit } from './rate-limit.ts';
import type { Responder } from './responder.ts';

/** Bytes that may wait for the network; beyond it queries are left unanswered. */
const MAX_WAITING = 1024 * 1024;
/** What the system keeps for us while we are busy: some thousand queries, where it allows that. */
const RECEIVE_BUFFER = 1024 * 1024;

/** How many are answered. */
export interface UdpLimits {
  /** Answers a second to one network; 0: no limit. */
  readonly rate: number;
  /** Networks for which there is no limit, besides this machine. */
  readonly isUnlimited: (address: string) => boolean;
}

/** The UDP side of a name server. */
export class UdpSide {
  readonly #socket: Socket;
  readonly #responder: Responder;
  readonly #limit: RateLimit | undefined;
  readonly #isUnlimited: (address: string) => boolean;
  /** Every second answer beyond the limit is a truncated one: an honest client that shares a victim's network asks over TCP. */
  #slips = false;
  #isWaiting = false;

  constructor(responder: Responder, family: 4 | 6, { rate, isUnlimited }: UdpLimits) {
    this.#responder = responder;
    this.#limit = rate === 0 ? undefined : new RateLimit(rate);
    this.#isUnlimited = isUnlimited;
    this.#socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      recvBufferSize: RECEIVE_BUFFER,
      // Replies go to addresses: nothing is to be looked up, and nothing to be done later.
      lookup: (address, _options, done) => done(null, address, family),
    });
  }

  /** @throws the system's error where the port cannot be had */
  async listen(port: number, host: string): Promise<void> {
    const listening = once(this.#socket, 'listening');
    this.#socket.bind(port, host);
    await listening;
    this.#socket.on('message', (packet, peer) => this.#answer(packet, peer));
    // A reply that cannot be sent is lost, as any other may be.
    this.#socket.on('error', () => {});
  }

  get port(): number {
    return this.#socket.address().port;
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
  }

  #answer(packet: Buffer, peer: RemoteInfo): void {
    const { address } = peer;
    if (this.#isWaiting && this.#socket.getSendQueueSize() > MAX_WAITING) return;
    if (this.#limit !== undefined && !isLoopback(address) && !this.#limit.take(address)) {
      if (!this.#isUnlimited(address)) {
        this.#slips = !this.#slips;
        if (this.#slips) this.#send(this.#responder.truncated(packet), peer);
        return;
      }
    }
    const reply = this.#responder.respond(packet, { isTcp: false, address });
    if (reply instanceof Promise) void reply.then((bytes) => this.#send(bytes, peer));
    else this.#send(reply, peer);
  }

  #send(reply: Buffer | undefined, peer: RemoteInfo): void {
    if (reply === undefined) return;
    // Most are gone at once, and their bytes free for the next one.
    const bytes = this.#isWaiting ? Buffer.from(reply) : reply;
    try {
      this.#socket.send(bytes, peer.port, peer.address);
    } catch {
      return; // Closed meanwhile, or port 0, to which nothing can be sent.
    }
    const isWaiting = this.#socket.getSendQueueSize() > 0;
    if (isWaiting && !this.#isWaiting) this.#responder.release();
    this.#isWaiting = isWaiting;
  }
}
