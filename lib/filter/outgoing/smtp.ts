/** Mail by SMTP. The one place that knows the package `nodemailer`. */
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { Endpoint } from '../config/kinds.ts';
import { type Handing, OutgoingError, type OutgoingMail } from './mail.ts';

/** Milliseconds for a connection, for the server's greeting, and for its silence: on this machine or near it. */
const CONNECT_TIME = 10_000;
const GREETING_TIME = 30_000;
const SILENCE = 300_000;
/** Milliseconds for all that comes before the end of the message. */
const TIME = 120_000;

const CHUNK = 64 * 1024;

/** Hands a message over; rejects with OutgoingError unless the server took it for its recipient. */
export async function sendBySmtp(
  server: Endpoint,
  hostname: string,
  mail: OutgoingMail,
  handing: Handing,
): Promise<void> {
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
  let isHanded = false;
  let refused: { readonly error: unknown } | undefined;
  /** The dot that ends the message follows when this has ended. */
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let at = 0; at < mail.message.length; at += CHUNK) yield mail.message.subarray(at, at + CHUNK);
    try {
      await handing();
    } catch (error) {
      refused = { error };
      throw error;
    }
    isHanded = true;
    clearTimeout(timer);
  }
  const failing = Promise.withResolvers<never>();
  failing.promise.catch(() => {});
  smtp.once('error', failing.reject);
  const timer = setTimeout(() => failing.reject(new Error('the mail server takes too long')), TIME);
  try {
    await Promise.race([new Promise<void>((resolve) => smtp.connect(() => resolve())), failing.promise]);
    const envelope = { from: mail.sender.slice(1, -1), to: [mail.recipient.slice(1, -1)], use8BitMime: true };
    const sending = new Promise<void>((resolve, reject) => {
      smtp.send(envelope, Readable.from(pieces()), (error) => (error ? reject(error) : resolve()));
    });
    await Promise.race([sending, failing.promise]);
    smtp.quit();
  } catch (error) {
    smtp.close();
    throw refused === undefined ? toOutgoing(error, isHanded) : refused.error;
  } finally {
    clearTimeout(timer);
  }
}

function toOutgoing(error: unknown, isHanded: boolean): OutgoingError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'responseCode' in error ? Number(error.responseCode) : 0;
  // Nodemailer sends no address with an angle bracket in it, not even in quotes.
  const isUnwritable = code === 0 && error instanceof Error && 'code' in error && error.code === 'EENVELOPE';
  const outcome = code >= 500 || isUnwritable ? 'never' : code >= 400 || !isHanded ? 'later' : 'unknown';
  // 421: it closes, or has too much to do.
  const isAway = outcome === 'later' && (code === 0 || code === 421);
  return new OutgoingError(outcome, message, { cause: error, isAway });
}
