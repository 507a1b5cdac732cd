/** A mail server that keeps what it is sent. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { SMTPServer } from 'smtp-server';

/** One message that it took. */
export interface SunkMail {
  /** Without angle brackets; empty for the null sender. */
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly message: string;
}

/** A running server, on 127.0.0.1. */
export interface MailSink extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly SunkMail[];
}

/** @param refused recipients that it does not take */
export async function mailSink(refused: readonly string[] = []): Promise<MailSink> {
  const mails: SunkMail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS', 'AUTH'],
    disableReverseLookup: true,
    onRcptTo: ({ address }, _session, done) => {
      done(refused.includes(address) ? new Error('no such user here') : null);
    },
    onData: (stream, { envelope: { mailFrom, rcptTo } }, done) => {
      buffer(stream).then((bytes) => {
        const sender = mailFrom === false ? '' : mailFrom.address;
        const recipients = rcptTo.map(({ address }) => address);
        mails.push({ sender, recipients, message: bytes.toString('latin1') });
        done();
      }, done);
    },
  });
  server.listen(0, '127.0.0.1');
  await once(server.server, 'listening');
  return {
    port: (server.server.address() as AddressInfo).port,
    mails,
    [Symbol.asyncDispose]: async () => {
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
