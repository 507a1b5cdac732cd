/** SMTP sessions as of mail servers elsewhere, by XCLIENT: a few mails each, then another session. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Sender } from './mails.ts';

/** What the sessions of one round saw. */
export interface Round {
  readonly messages: number;
  readonly seconds: number;
  /** Milliseconds from MAIL to the last reply, of each message. */
  readonly times: readonly number[];
}

/** Mails in one session. */
const SESSION = 10;

/** Keeps so many sessions busy for that long. @throws Error at any reply but success */
export async function sendFor(
  seconds: number,
  port: number,
  sessions: number,
  senders: readonly Sender[],
  recipient: string,
): Promise<Round> {
  const times: number[] = [];
  const began = performance.now();
  const end = began + seconds * 1_000;
  let next = 0;
  await Promise.all(
    Array.from({ length: sessions }, async () => {
      while (performance.now() < end) {
        const sender = senders[next++ % senders.length];
        if (sender === undefined) return;
        const session = await Session.open(port, sender);
        for (let i = 0; i < SESSION && performance.now() < end; i++) {
          times.push(await session.send(recipient));
        }
        await session.close();
      }
    }),
  );
  return { messages: times.length, seconds: (performance.now() - began) / 1_000, times };
}

/** One session of one sender. */
export class Session {
  readonly #socket: Socket;
  readonly #sender: Sender;
  readonly #lines: AsyncIterator<string>;
  static #count = 0;

  private constructor(socket: Socket, sender: Sender) {
    this.#socket = socket;
    this.#sender = sender;
    this.#lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async open(port: number, sender: Sender): Promise<Session> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const session = new Session(socket, sender);
    await session.#expect(220);
    await session.#say(`EHLO ${sender.host}`, 250);
    await session.#say(
      `XCLIENT NAME=${sender.host} ADDR=${sender.address} PROTO=ESMTP HELO=${sender.host}`,
      220,
    );
    await session.#say(`EHLO ${sender.host}`, 250);
    return session;
  }

  /** Sends the next mail, and gives the milliseconds that it took. */
  async send(recipient: string, mail?: Buffer): Promise<number> {
    const { envelope, mails } = this.#sender;
    const chosen = mail ?? mails[Session.#count++ % mails.length] ?? Buffer.alloc(0);
    const began = performance.now();
    this.#socket.write(`MAIL FROM:<${envelope}>\r\nRCPT TO:<${recipient}>\r\nDATA\r\n`);
    await this.#expect(250);
    await this.#expect(250);
    await this.#expect(354);
    this.#socket.write(chosen);
    await this.#expect(250);
    return performance.now() - began;
  }

  async close(): Promise<void> {
    this.#socket.end('QUIT\r\n');
    await this.#expect(221);
    if (!this.#socket.closed) await once(this.#socket, 'close');
  }

  async #say(line: string, code: number): Promise<void> {
    this.#socket.write(`${line}\r\n`);
    await this.#expect(code);
  }

  async #expect(code: number): Promise<void> {
    for (;;) {
      const { value: line = 'nothing more' } = await this.#lines.next();
      if (line.startsWith(`${code} `)) return;
      if (!line.startsWith(`${code}-`))
        throw new Error(`${this.#sender.host}: expected ${code}, got ${line}`);
    }
  }
}
