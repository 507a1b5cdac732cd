/** Mail that the filter writes itself: to one recipient, in text and perhaps HTML. */
import { randomUUID } from 'node:crypto';
import { encodeWords } from '../../mime/words.ts';
import type { Settings } from '../config/schema.ts';

/** What it says. */
export interface OwnMail {
  /** Without brackets. */
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html?: string;
  /** Header fields besides those of every mail. */
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Writes it. It says that a machine has written it (RFC 3834), so that none answers; what is not ASCII is base64.
 * @param now milliseconds since 1970
 */
export function writeOwnMail(
  { to, subject, text, html, headers = {} }: OwnMail,
  { outgoing, hostname }: Pick<Settings, 'outgoing' | 'hostname'>,
  now: number,
): Buffer {
  const from = outgoing.from ?? `postmaster@${hostname}`;
  const boundary = `=_${randomUUID()}`;
  const fields = {
    From: from,
    To: to,
    Subject: encodeWords(oneLine(subject)),
    Date: new Date(now).toUTCString().replace('GMT', '+0000'),
    'Message-ID': `<${randomUUID()}@${hostname}>`,
    'Auto-Submitted': 'auto-generated',
    'X-Auto-Response-Suppress': 'All',
    'MIME-Version': '1.0',
    ...headers,
  };
  const head = Object.entries(fields).map(([name, value]) => `${name}: ${oneLine(value)}\r\n`);
  const body =
    html === undefined
      ? part('text/plain', text)
      : [
          `Content-Type: multipart/alternative; boundary="${boundary}"\r\n\r\n`,
          `--${boundary}\r\n${part('text/plain', text)}`,
          `--${boundary}\r\n${part('text/html', html)}`,
          `--${boundary}--\r\n`,
        ].join('');
  return Buffer.from(head.join('') + body);
}

function part(type: string, text: string): string {
  const lines = Buffer.from(text.replace(/\r?\n/g, '\r\n')).toString('base64').replace(/.{76}/g, '$&\r\n');
  return `Content-Type: ${type}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n${lines}\r\n`;
}

/** Nothing that is written may begin a field of its own. Encoded words are folded already. */
function oneLine(text: string): string {
  return text.replace(/\r?\n(?![ \t])|\r(?!\n)|\0/g, ' ');
}
