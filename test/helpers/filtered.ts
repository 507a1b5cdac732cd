/** A real MTA whose filter runs on the real libmilter in this process, and is chosen by each test. */
import type { Milter, MilterClass } from '../../lib/index.ts';
import type { Mta } from './mta.ts';
import { startPostfix } from './postfix.ts';
import { startSendmail } from './sendmail.ts';
import { serving, type TestServer } from './server.ts';
import { type SubmissionReplies, sendMail } from './smtp.ts';

/** The MTAs under which everything is to work alike, and how to start one with filters. */
export const MTAS: readonly (readonly [
  name: 'postfix' | 'sendmail',
  start: (milter: string) => Promise<Mta>,
])[] = [
  ['postfix', (milter) => startPostfix({ milters: [milter] })],
  ['sendmail', (milter) => startSendmail({ milters: [milter] })],
];

/** A delivered mail. */
export class Mail {
  /** All that is above the empty line, `Return-Path` and `Delivered-To` included. */
  readonly head: string;
  /** All below it. Like the head one character a byte, lines ending in LF. */
  readonly body: string;

  constructor(text: string) {
    const end = text.indexOf('\n\n');
    this.head = text.slice(0, end + 1);
    this.body = text.slice(end + 2);
  }

  /** The values of all headers of that name, from top to bottom, folded ones as they are. */
  all(name: string): readonly string[] {
    const fields = this.head.matchAll(new RegExp(`^${name}:[ \\t]*(.*(?:\\n[ \\t].*)*)`, 'gim'));
    return Array.from(fields, ([, value = '']) => value);
  }

  /** The first of them. */
  get(name: string): string | undefined {
    return this.all(name)[0];
  }
}

/** What a test says of a message; the rest is nothing special. */
export interface Draft {
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** An MTA with a filter. */
export interface FilteredMta<Kind extends Mta = Mta> extends AsyncDisposable {
  readonly mta: Kind;
  readonly filter: TestServer;
  /** Has `filter` serve the SMTP sessions that begin from now on. */
  use(filter: MilterClass): void;
  /** Sends a message in a session of its own; gives the replies and, when all is delivered, the mails made of it. */
  send(draft?: Draft): Promise<{ readonly replies: SubmissionReplies; readonly mails: readonly Mail[] }>;
  /** The mails delivered that have `text` in them. */
  mailsWith(text: string): Promise<readonly Mail[]>;
}

/** Starts an MTA by `start`, and the server of its filters. */
export async function startFiltered<Kind extends Mta>(
  start: (milter: string) => Promise<Kind>,
): Promise<FilteredMta<Kind>> {
  let current: MilterClass | undefined;
  let sent = 0;
  const filter = await serving((): Milter => {
    if (current === undefined) throw new Error('no test has chosen a filter yet');
    return new current();
  });
  const mta = await start(filter.server.address);
  const mailsWith = async (text: string): Promise<readonly Mail[]> => {
    await mta.settled();
    return (await mta.delivered(0)).filter((mail) => mail.includes(text)).map((mail) => new Mail(mail));
  };
  return {
    mta,
    filter,
    mailsWith,
    use: (chosen) => {
      current = chosen;
    },
    async send({
      sender = 'ann@one.test',
      recipients = ['bob@test.invalid'],
      headers = [],
      body = 'text\r\n',
    } = {}) {
      sent++;
      const id = `<${sent}.${process.pid}@one.test>`;
      const message = [`Message-Id: ${id}`, 'From: ann@one.test', ...headers, '', body].join('\r\n');
      const replies = await sendMail(mta.port, { sender, recipients, message });
      return { replies, mails: await mailsWith(`Message-Id: ${id}`) };
    },
    async [Symbol.asyncDispose]() {
      await mta[Symbol.asyncDispose]();
      await filter[Symbol.asyncDispose]();
    },
  };
}
