/**
 * A conversation with a mail server that may be anybody's: every line, reply and wait is bounded, and what it says is
 * plain text without control characters.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { within } from './within.ts';

/** What a mail server said. */
export interface SmtpAnswer {
  readonly code: number;
  /** RFC 3463's code before the text; null where there is none. */
  readonly enhanced: string | null;
  /** Its lines, joined by spaces; what is no printable ASCII is a question mark. */
  readonly text: string;
}

/** The server could not be asked: it is away, silent, or says something else than SMTP. */
export class SmtpTrouble extends Error {
  override readonly name: string = 'SmtpTrouble';
}

/** It offered TLS, and could not keep its word: it may be asked again without. */
export class TlsTrouble extends SmtpTrouble {
  override readonly name = 'TlsTrouble';
}

/** Longer lines and replies than any server has (RFC 5321 section 4.5.3.1.5 allows 512 bytes). */
const MAX_LINE = 2_000;
const MAX_LINES = 100;
/** Without a bound of its own an answer has as long as the whole conversation. */
const MAX_WAIT = 0x7fff_ffff;

/** One connection. It waits for one reply at a time. */
export class SmtpConversation {
  #socket: Socket | TLSSocket;
  #text = '';
  #lines: string[] = [];
  #trouble: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal;
  readonly #wait: number;
  readonly #late = (): void => this.#fail(new SmtpTrouble('it took too long'));

  /**
   * @param signal ends it, whatever the server does
   * @param wait milliseconds for each reply, however slowly it comes
   */
  constructor(socket: Socket, signal: AbortSignal, wait: number = MAX_WAIT) {
    this.#socket = socket;
    this.#signal = signal;
    this.#wait = wait;
    signal.addEventListener('abort', this.#late, { once: true });
    this.#listen(socket);
    if (signal.aborted) this.#late();
  }

  async say(command: string): Promise<SmtpAnswer> {
    if (/[\r\n\0]/.test(command)) throw new SmtpTrouble('a command of two lines');
    this.#socket.write(Buffer.from(`${command}\r\n`, 'utf8'));
    return await this.reply();
  }

  /** A message and the dot that ends it. Its lines end in CRLF. */
  async send(message: Buffer): Promise<SmtpAnswer> {
    const stuffed = message.toString('latin1').replace(/^\./gm, '..');
    const end = stuffed.endsWith('\r\n') ? '.\r\n' : '\r\n.\r\n';
    this.#socket.write(Buffer.from(stuffed + end, 'latin1'));
    return await this.reply();
  }

  async reply(): Promise<SmtpAnswer> {
    const timer = setTimeout(this.#late, this.#wait);
    try {
      return await this.#reply();
    } finally {
      clearTimeout(timer);
    }
  }

  async #reply(): Promise<SmtpAnswer> {
    let enhanced: string | null = null;
    const texts: string[] = [];
    for (;;) {
      const line = await this.#line();
      const [, code, more, , ownCode, text = ''] =
        /^([2-5]\d\d)(?:([ -])(([245]\.\d{1,3}\.\d{1,3})(?: |$))?(.*))?$/.exec(line) ?? [];
      if (code === undefined || texts.length === MAX_LINES) throw new SmtpTrouble('it does not speak SMTP');
      enhanced ??= ownCode ?? null;
      texts.push(text);
      if (more !== '-') {
        return {
          code: Number(code),
          enhanced,
          text: texts
            .join(' ')
            .replace(/[^ -~]/g, '?')
            .trim(),
        };
      }
    }
  }

  /**
   * Goes on under TLS, whoever the other side is: what nobody can verify is still better than what all can read.
   * @throws TlsTrouble where it does not come to that; the connection is then of no use
   */
  async startTls(servername: string): Promise<void> {
    // Loaded when it is used, and before: behind the reply nothing is waited for.
    const { connect } = await import('node:tls');
    const { code } = await this.say('STARTTLS');
    if (code !== 220) throw new TlsTrouble(`it answers STARTTLS with ${code}`);
    // What came in plain text behind the reply may be anybody's.
    if (this.#text !== '' || this.#lines.length > 0) throw new TlsTrouble('it talks before TLS has begun');
    const plain = this.#socket;
    for (const event of ['data', 'error', 'close']) plain.removeAllListeners(event);
    const socket = connect({ socket: plain, servername, rejectUnauthorized: false });
    this.#socket = socket;
    this.#listen(socket);
    plain.on('error', ({ message }) => this.#fail(new SmtpTrouble(message)));
    await within(this.#wait, async (late) => {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const failed = (): void => reject(new TlsTrouble(this.#trouble?.message ?? 'it took too long'));
      socket.once('secureConnect', resolve);
      for (const event of ['error', 'close']) socket.once(event, failed);
      late.addEventListener('abort', failed);
      await promise;
    });
  }

  /** Does not wait for the server's goodbye. */
  end(): void {
    this.#signal.removeEventListener('abort', this.#late);
    this.#socket.removeAllListeners('data');
    this.#socket.end('QUIT\r\n');
    this.#socket.resume();
    this.#socket.setTimeout(1_000, () => this.#socket.destroy());
  }

  #listen(socket: Socket): void {
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#text += text;
      if (this.#text.length > MAX_LINE * MAX_LINES) this.#fail(new SmtpTrouble('it talks without end'));
      this.#wake?.();
    });
    socket.on('error', ({ message }) => this.#fail(new SmtpTrouble(message)));
    socket.on('close', () => this.#fail(new SmtpTrouble('it hung up')));
  }

  async #line(): Promise<string> {
    for (;;) {
      const next = this.#lines.shift();
      if (next !== undefined) return next;
      const end = this.#text.lastIndexOf('\n');
      if (end >= 0) {
        this.#lines = this.#text
          .slice(0, end)
          .split('\n')
          .map((line) => line.replace(/\r$/, ''));
        this.#text = this.#text.slice(end + 1);
      } else {
        if (this.#trouble !== undefined) throw this.#trouble;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  #fail(trouble: Error): void {
    this.#trouble ??= trouble;
    this.#socket.destroy();
    this.#wake?.();
  }
}
