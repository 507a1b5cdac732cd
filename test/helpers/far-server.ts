/** A mail server elsewhere: takes all mail, and keeps it; but knows nobody whose name begins with `nobody`. */

import { smtpServer } from './smtp-server.ts';
import { until } from './wait.ts';

/** What it took. Addresses are without angle brackets. */
export interface FarMail {
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly message: string;
}

/** A running server. */
export interface FarServer extends AsyncDisposable {
  readonly port: number;
  readonly mails: readonly FarMail[];
  /** The `count`th mail to this recipient, as soon as it is there. */
  received(recipient: string, count?: number): Promise<FarMail>;
}

/** Starts it on an unused port of 127.0.0.1. Clients are to come one after the other. */
export async function farServer(): Promise<FarServer> {
  const mails: FarMail[] = [];
  let sender = '';
  let recipients: string[] = [];
  let lines: string[] | undefined;
  const server = await smtpServer(
    (command) => {
      if (command === '') return '220 far.test';
      if (lines !== undefined) {
        if (command !== '.') {
          lines.push(command);
          return undefined;
        }
        mails.push({ sender, recipients, message: lines.join('\n') });
        lines = undefined;
        return '250 2.0.0 taken';
      }
      const [, verb = '', address = ''] = /^(\w+)(?:[^<]*<([^>]*)>)?/.exec(command) ?? [];
      if (verb === 'MAIL') [sender, recipients] = [address, []];
      if (verb === 'RCPT' && address.startsWith('nobody')) return '550 5.1.1 no such user';
      if (verb === 'RCPT') recipients = [...recipients, address];
      if (verb === 'DATA') {
        lines = [];
        return '354 go on';
      }
      return '250 2.0.0 ok';
    },
    { otherwise: undefined },
  );
  return {
    port: server.port,
    mails,
    received: async (recipient, count = 1) =>
      await until(
        `mail ${count} to ${recipient}`,
        () => mails.filter((mail) => mail.recipients.includes(recipient))[count - 1],
      ),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
