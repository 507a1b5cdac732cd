/**
 * Asks a mail server whether it would take mail for an address (MAIL, RCPT, and no DATA): a conversation of a second, in
 * which every line and every wait is bounded.
 */
import { connect, type Socket } from 'node:net';
import type { Endpoint } from './config/kinds.ts';

/** What a mail server said. */
export interface SmtpAnswer {
  readonly code: number;
  /** RFC 3463's code before the text; null where there is none. */
  readonly enhanced: string | null;
  /** Its lines, joined by spaces. */
  readonly text: string;
}

/** The server could not be asked: it is away, silent, or says something else than SMTP. */
export class SmtpTrouble extends Error {
  override readonly name = 'SmtpTrouble';
}

/** What is asked. */
export interface SmtpQuestion {
  /** The name we give ourselves. */
  readonly helo: string;
  /** With angle brackets; `<>` for the null sender. */
  readonly sender: string;
  /** With angle brackets. */
  readonly recipient: string;
  /** Ends it, whatever the server does. */
  readonly signal: AbortSignal;
}

/** Longer lines and replies than any server has (RFC 5321 section 4.5.3.1.5 allows 512 bytes). */
const MAX_LINE = 2_000;
const MAX_LINES = 100;

/**
 * The server's answer to RCPT.
 * @throws SmtpTrouble where it does not come to RCPT
 */
export async function askSmtp(server: Endpoint, question: SmtpQuestion): Promise<SmtpAnswer> {
  const { helo, sender, recipient, signal } = question;
  if (/\p{Cc}/u.test(sender + recipient)) throw new SmtpTrouble('the address holds control characters');
  signal.throwIfAborted();
  const conversation = new Conversation(
    server.path === undefined ? connect(server.port, server.host) : connect(server.path),
    signal,
  );
  try {
    expectOk('greeting', await conversation.reply());
    let features = await conversation.say(`EHLO ${helo}`);
    if (features.code >= 500) features = await conversation.say(`HELO ${helo}`);
    expectOk('EHLO', features);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII is meant.
    const isPlain = /^[\x00-\x7f]*$/.test(sender + recipient);
    if (!isPlain && !/\bSMTPUTF8\b/i.test(features.text)) throw new SmtpTrouble('it does not know SMTPUTF8');
    expectOk('MAIL', await conversation.say(`MAIL FROM:${sender}${isPlain ? '' : ' SMTPUTF8'}`));
    return await conversation.say(`RCPT TO:${recipient}`);
  } finally {
    conversation.end();
  }
}

function expectOk(command: string, { code, text }: SmtpAnswer): void {
  if (code < 200 || code > 299) throw new SmtpTrouble(`it answers ${command} with ${code} ${text}`);
}

/** One connection. It waits for one reply at a time. */
class Conversation {
  readonly #socket: Socket;
  #text = '';
  #lines: string[] = [];
  #trouble: Error | undefined;
  #wake: (() => void) | undefined;
  readonly #signal: AbortSignal;
  readonly #late = (): void => this.#fail(new SmtpTrouble('it took too long'));

  constructor(socket: Socket, signal: AbortSignal) {
    this.#socket = socket;
    this.#signal = signal;
    signal.addEventListener('abort', this.#late, { once: true });
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => {
      this.#text += text;
      if (this.#text.length > MAX_LINE * MAX_LINES) this.#fail(new SmtpTrouble('it talks without end'));
      this.#wake?.();
    });
    socket.on('error', ({ message }) => this.#fail(new SmtpTrouble(message)));
    socket.on('close', () => this.#fail(new SmtpTrouble('it hung up')));
  }

  async say(command: string): Promise<SmtpAnswer> {
    this.#socket.write(Buffer.from(`${command}\r\n`, 'utf8'));
    return await this.reply();
  }

  async reply(): Promise<SmtpAnswer> {
    let enhanced: string | null = null;
    const texts: string[] = [];
    for (;;) {
      const line = await this.#line();
      const [, code, more, , ownCode, text = ''] =
        /^([2-5]\d\d)(?:([ -])(([245]\.\d{1,3}\.\d{1,3})(?: |$))?(.*))?$/.exec(line) ?? [];
      if (code === undefined || texts.length === MAX_LINES) throw new SmtpTrouble('it does not speak SMTP');
      enhanced ??= ownCode ?? null;
      texts.push(text);
      if (more !== '-') return { code: Number(code), enhanced, text: texts.join(' ').trim() };
    }
  }

  /** Does not wait for the server's goodbye. */
  end(): void {
    this.#signal.removeEventListener('abort', this.#late);
    this.#socket.removeAllListeners('data');
    this.#socket.end('QUIT\r\n');
    this.#socket.resume();
    this.#socket.setTimeout(1_000, () => this.#socket.destroy());
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
