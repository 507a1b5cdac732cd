/** A small SMTP client for tests: says what it is told, and gives every reply. */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Reply } from '../../lib/testing/index.ts';
import { until } from './wait.ts';

/** Any SMTP reply, also of success. */
export type SmtpReply = Reply;

/** A message to send. */
export interface Submission {
  readonly sender: string;
  readonly recipients: readonly string[];
  /** Headers, empty line and body with CRLF line ends, the last included. */
  readonly message: string;
}

/** What the server said to each part of a submission; parts to which it did not come are absent. */
export interface SubmissionReplies {
  readonly mail: SmtpReply;
  readonly recipients: readonly SmtpReply[];
  readonly data?: SmtpReply;
  readonly end?: SmtpReply;
}

/** An SMTP session with a server on 127.0.0.1. */
export class SmtpClient implements AsyncDisposable {
  /** What the server said when the connection was made. */
  readonly greeting: SmtpReply;
  /** What it said to EHLO. */
  readonly hello: SmtpReply;
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: Socket, lines: AsyncIterator<string>, greeting: SmtpReply, hello: SmtpReply) {
    this.#socket = socket;
    this.#lines = lines;
    this.greeting = greeting;
    this.hello = hello;
  }

  /** Connects, from an address in 127.0.0.0/8, waits for the greeting and says EHLO, whatever the greeting is. */
  static async open(port: number, helo = 'client.test', localAddress = '127.0.0.1'): Promise<SmtpClient> {
    const socket = connect({ port, host: '127.0.0.1', localAddress }).setTimeout(30_000);
    socket.on('timeout', () => socket.destroy(new Error('the SMTP server said nothing for 30 s')));
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const greeting = await readReply(lines);
    socket.write(`EHLO ${helo}\r\n`);
    return new SmtpClient(socket, lines, greeting, await readReply(lines));
  }

  /** Sends one line and gives the reply. */
  async command(line: string): Promise<SmtpReply> {
    this.#socket.write(Buffer.from(`${line}\r\n`));
    return await readReply(this.#lines);
  }

  /** A whole message; stops at the first part that is refused, a recipient only when all are. */
  async send({ sender, recipients, message }: Submission): Promise<SubmissionReplies> {
    const mail = await this.command(`MAIL FROM:<${sender}>`);
    if (mail.code !== 250) return { mail, recipients: [] };
    const replies: SmtpReply[] = [];
    for (const recipient of recipients) replies.push(await this.command(`RCPT TO:<${recipient}>`));
    if (!replies.some(({ code }) => code === 250)) return { mail, recipients: replies };
    const data = await this.command('DATA');
    if (data.code !== 354) return { mail, recipients: replies, data };
    const end = await this.command(`${message.replace(/^\./gm, '..')}.`);
    return { mail, recipients: replies, data, end };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#socket.closed) await new Promise((resolve) => this.#socket.once('close', resolve).destroy());
  }
}

async function readReply(replies: AsyncIterator<string>): Promise<SmtpReply> {
  const lines: string[] = [];
  let enhanced: string | null = null;
  for (;;) {
    const { value: line, done } = await replies.next();
    if (done === true) throw new Error(`the SMTP server hung up after ${JSON.stringify(lines)}`);
    const parts = /^(\d{3})(?:([ -])(?:([245]\.\d{1,3}\.\d{1,3})(?: |$))?(.*))?$/.exec(line);
    if (parts === null) throw new Error(`no SMTP reply: ${line}`);
    enhanced ??= parts[3] ?? null;
    lines.push(parts[4] ?? '');
    if (parts[2] !== '-') return { code: Number(parts[1]), enhanced, lines };
  }
}

/** Sends one message in a session of its own. */
export async function sendMail(port: number, submission: Submission): Promise<SubmissionReplies> {
  await using client = await SmtpClient.open(port);
  const replies = await client.send(submission);
  await client.command('QUIT');
  return replies;
}

/**
 * Sends a message to one recipient as a mail server does: again after a temporary refusal or a lost connection.
 * Gives the last reply, which is of success or of a refusal for good.
 */
export async function sendWithRetry(port: number, submission: Submission): Promise<SmtpReply> {
  return await until(`${submission.recipients.join()} to get a lasting answer`, async () => {
    try {
      const { mail, recipients, data, end } = await sendMail(port, submission);
      const last = end ?? data ?? recipients.at(-1) ?? mail;
      return last.code < 400 || last.code >= 500 ? last : undefined;
    } catch {
      return undefined; // The connection was lost: like a temporary refusal.
    }
  });
}
