/** A mail server for tests that takes messages and keeps them. */
import type { Socket } from 'node:net';
import { type TcpServer, tcpServer } from './tcp-server.ts';

/** One message that it took. */
export interface SunkMail {
  /** Without angle brackets; empty for the null sender. */
  readonly sender: string;
  readonly recipients: readonly string[];
  /** As it came, without the dots of SMTP; lines end in CRLF, each character is a byte. */
  readonly message: string;
}

/** A running server. */
export interface MailSink extends TcpServer {
  /** What it said 250 to at the end, the newest last. */
  readonly mails: readonly SunkMail[];
}

/** What it says instead of 250; `'hang up'` ends the connection, undefined is 250. */
export type SinkAnswer = (
  stage: 'rcpt' | 'end',
  mail: SunkMail,
) => string | undefined | Promise<string | undefined>;

/** Starts one. What its `answer` promises at the end of a message it waits for: a message counts as taken before it says so. */
export async function mailSink(answer: SinkAnswer = () => undefined): Promise<MailSink> {
  const mails: SunkMail[] = [];
  const server = await tcpServer((socket) => void serve(socket, answer, mails));
  return { ...server, mails };
}

async function serve(socket: Socket, answer: SinkAnswer, mails: SunkMail[]): Promise<void> {
  const say = (text: string): void => {
    if (text === 'hang up') socket.destroy();
    else if (socket.writable) socket.write(`${text}\r\n`);
  };
  say('220 sink.test');
  let mail: SunkMail = { sender: '', recipients: [], message: '' };
  let inData = false;
  let waiting = '';
  try {
    for await (const chunk of socket.setEncoding('latin1') as AsyncIterable<string>) {
      waiting += chunk;
      for (;;) {
        const end = inData ? waiting.indexOf('\r\n.\r\n') : waiting.indexOf('\r\n');
        if (end < 0) break;
        const text = waiting.slice(0, inData ? end + 2 : end);
        waiting = waiting.slice(end + (inData ? 5 : 2));
        const [verb = ''] = text.toUpperCase().split(/[ :]/);
        const address = /<(.*?)>/.exec(text)?.[1] ?? '';
        if (inData) {
          inData = false;
          mail = { ...mail, message: text.replace(/^\.\./gm, '.') };
          const reply = await answer('end', mail);
          if (reply === undefined) mails.push(mail);
          say(reply ?? '250 taken');
        } else if (verb === 'MAIL') {
          mail = { sender: address, recipients: [], message: '' };
          say('250 ok');
        } else if (verb === 'RCPT') {
          const next = { ...mail, recipients: [...mail.recipients, address] };
          const reply = await answer('rcpt', next);
          if (reply === undefined) mail = next;
          say(reply ?? '250 ok');
        } else if (verb === 'DATA') {
          inData = true;
          say('354 go on');
        } else if (verb === 'QUIT') {
          socket.end('221 bye\r\n');
        } else say('250 ok');
      }
    }
  } catch {
    // The client went away.
  }
}
