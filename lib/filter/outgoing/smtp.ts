/** Mail by SMTP. The one place that knows the package `nodemailer`. */
import { connect } from 'node:net';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Endpoint } from '../config/kinds.ts';
import type { OutgoingMail } from './outgoing.ts';

/** Milliseconds for a connection, for the server's greeting, and for its silence: on this machine or near it. */
const CONNECT_TIME = 10_000;
const GREETING_TIME = 30_000;
const SILENCE = 120_000;

/** Hands a message over; rejects unless the server took it for its recipient. */
export async function sendBySmtp(server: Endpoint, hostname: string, mail: OutgoingMail): Promise<void> {
  const smtp = new SMTPConnection({
    ...(server.path === undefined
      ? { host: server.host, port: server.port }
      : { socket: connect(server.path) }),
    name: hostname,
    // It is ours; whoever wants to be sure of it has it on this machine.
    tls: { rejectUnauthorized: false },
    connectionTimeout: CONNECT_TIME,
    greetingTimeout: GREETING_TIME,
    socketTimeout: SILENCE,
  });
  const failed = new Promise<never>((_, reject) => smtp.once('error', reject));
  failed.catch(() => {});
  try {
    await Promise.race([new Promise<void>((resolve) => smtp.connect(() => resolve())), failed]);
    const envelope = { from: mail.sender.slice(1, -1), to: [mail.recipient.slice(1, -1)], use8BitMime: true };
    const sending = new Promise<void>((resolve, reject) => {
      smtp.send(envelope, mail.message, (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([sending, failed]);
    smtp.quit();
  } catch (error) {
    smtp.close();
    throw error;
  }
}
