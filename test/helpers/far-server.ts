/** A mail server elsewhere: takes all mail, and keeps it; but knows nobody whose name begins with `nobody`. */
import { type MailSink, mailSink, type SunkMail } from './mail-sink.ts';
import { until } from './wait.ts';

/** A running server. */
export interface FarServer extends MailSink {
  /** The `count`th mail to this recipient, as soon as it is there. */
  received(recipient: string, count?: number): Promise<SunkMail>;
}

/** Starts it on an unused port of 127.0.0.1. */
export async function farServer(): Promise<FarServer> {
  const sink = await mailSink((stage, { recipients }) =>
    stage === 'rcpt' && recipients.at(-1)?.startsWith('nobody') === true
      ? '550 5.1.1 no such user'
      : undefined,
  );
  return {
    ...sink,
    received: async (recipient, count = 1) =>
      await until(
        `mail ${count} to ${recipient}`,
        () => sink.mails.filter(({ recipients }) => recipients.includes(recipient))[count - 1],
      ),
  };
}
