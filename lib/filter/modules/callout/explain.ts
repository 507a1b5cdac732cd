/** The message that explains: a delivery status notification (RFC 3464) in a report (RFC 6522). */
import type { Message, Recipient } from '../../../index.ts';
import { createPart, encodeWords } from '../../../mime/index.ts';

/** What it says. */
export interface Report {
  /** Whom it is for; in angle brackets. */
  readonly sender: string;
  readonly message: Message;
  /** Those who are named. */
  readonly recipients: readonly Recipient[];
  readonly subject: string;
  readonly text: string;
  /** From whom it is; without brackets, or with a name before them. */
  readonly from: string;
  readonly messageId: string;
  /** This machine's name. */
  readonly hostname: string;
  /** Of RFC 3463, with any class. */
  readonly enhanced: string | null;
  readonly diagnosis: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** More recipients are not named. */
const MAX_RECIPIENTS = 50;
/** Bytes of the original's headers. */
const MAX_HEADERS = 32 * 1024;

/** Writes it. It is ASCII, unless an address is not (RFC 6533). Lines end in CRLF. */
export function writeReport(report: Report): Buffer {
  const { sender, message, recipients, subject, text, from, messageId, now } = report;
  const isGlobal = hasOthers([sender, ...recipients.map(({ address }) => address)].join());
  return createPart(
    {
      headers: [
        ['From', oneLine(from)],
        ['To', oneLine(sender.slice(1, -1))],
        ['Subject', encodeWords(oneLine(subject).slice(0, 300))],
        ['Date', mailDate(now)],
        ['Message-ID', oneLine(messageId)],
        ...referenceOf(message),
        ['Auto-Submitted', 'auto-replied'],
        ['X-Auto-Response-Suppress', 'All'],
        ['MIME-Version', '1.0'],
      ],
      contentType: 'multipart/report',
      parameters: { 'report-type': isGlobal ? 'global-delivery-status' : 'delivery-status' },
      parts: [
        { content: text.replace(/\r\n?/g, '\n') },
        {
          contentType: isGlobal ? 'message/global-delivery-status' : 'message/delivery-status',
          content: Buffer.from(statusOf(report, isGlobal)),
        },
        { contentType: 'text/rfc822-headers', content: headersOf(message) },
      ],
    },
    '\r\n',
  ).toBytes();
}

/** A fact for machines: the message is late if anything, as it is not refused yet. */
function statusOf(report: Report, isGlobal: boolean): string {
  const { message, recipients, hostname, enhanced, diagnosis, now } = report;
  const envelopeId = parameterOf(message.senderParameters, 'ENVID');
  const block = (fields: readonly (readonly [string, string | undefined])[]): string =>
    fields.map(([name, value]) => (value === undefined ? '' : `${name}: ${oneLine(value)}\r\n`)).join('');
  const head = block([
    ['Original-Envelope-Id', envelopeId],
    ['Reporting-MTA', `dns; ${hostname}`],
    ['Arrival-Date', mailDate(now)],
  ]);
  const blocks = recipients.slice(0, MAX_RECIPIENTS).map(({ address, parameters }) =>
    block([
      ['Original-Recipient', parameterOf(parameters, 'ORCPT')?.replace(';', '; ')],
      ['Final-Recipient', `${isGlobal && hasOthers(address) ? 'utf-8' : 'rfc822'}; ${address.slice(1, -1)}`],
      ['Action', 'delayed'],
      ['Status', (enhanced ?? '4.7.1').replace(/^\d/, '4')],
      ['Diagnostic-Code', `x-filter; ${diagnosis.slice(0, 500)}`],
    ]),
  );
  return [head, ...blocks].join('\r\n');
}

/** Whole fields from the top, as they came. */
function headersOf({ headers }: Message): string {
  const fields: Buffer[] = [];
  let size = 0;
  for (const { name, raw } of headers) {
    const field = Buffer.concat([Buffer.from(`${name}:`), raw, Buffer.from('\n')]);
    size += field.length;
    if (size > MAX_HEADERS) break;
    fields.push(field);
  }
  return Buffer.concat(fields).toString('utf8').replace(/\r\n?/g, '\n');
}

/** So that mail readers show it with the message that it is about. */
function referenceOf({ headers }: Message): readonly (readonly [string, string])[] {
  const [id] = /<[!-;=?-~]{1,250}>/.exec(headers.get('Message-ID')?.value ?? '') ?? [];
  return id === undefined ? [] : [['References', id]];
}

/** Of ESMTP parameters, in xtext (RFC 3461 section 4). */
function parameterOf(parameters: readonly string[], name: string): string | undefined {
  const found = parameters.find((parameter) => parameter.toUpperCase().startsWith(`${name}=`));
  const value = found?.slice(name.length + 1, 500 + name.length);
  if (value === undefined || !/^[!-~]+$/.test(value)) return undefined;
  return value.replace(/\+([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function mailDate(milliseconds: number): string {
  return new Date(milliseconds).toUTCString().replace('GMT', '+0000');
}

function hasOthers(text: string): boolean {
  return /[^ -~]/.test(text);
}

/** Nothing from mail may begin a field of its own. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim();
}
