/**
 * What a person would see of a message: addresses, subject, text, attachments. The one place that knows mailparser, which
 * holds the event loop for as long as its input is long: it gets header fields and body text, never attachments, and no
 * more than a mebibyte in all.
 */

import type { AddressObject, EmailAddress } from 'mailparser';
import { MilterError, wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { isBodyText } from './body.ts';
import { makeBoundary } from './boundary.ts';
import { aMessage } from './kinds.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';

/** One mailbox of an address list; groups are given as their members. */
export interface Address {
  /** The display name, decoded; empty if there is none. */
  readonly name: string;
  /** Local part and domain; empty where there is a name only. */
  readonly address: string;
}

/** A message decoded for reading. */
export interface MessageView {
  /** The Subject field, decoded (RFC 2047). */
  readonly subject: string | undefined;
  /** The Date field; undefined also where it is no date. */
  readonly date: Date | undefined;
  /** The Message-ID field, in angle brackets. */
  readonly messageId: string | undefined;
  /** The addresses of the From field. */
  readonly from: readonly Address[];
  /** The addresses of the Reply-To field. */
  readonly replyTo: readonly Address[];
  /** The addresses of the To field. */
  readonly to: readonly Address[];
  /** The addresses of the Cc field. */
  readonly cc: readonly Address[];
  /** The addresses of the Bcc field. */
  readonly bcc: readonly Address[];
  /** The body as plain text; of a message that has only HTML, its text. */
  readonly text: string | undefined;
  /** The body as HTML, if the message has one. */
  readonly html: string | undefined;
  /** Leaves that are no body text, messages inside the message, and files uuencoded in its text. */
  readonly attachments: readonly Part[];
}

const MEBIBYTE = 1 << 20;
const DEPTH = 64;
const LEAVES = 256;
const BODY_FIELDS = /^content-(?:type|transfer-encoding|disposition|id)$/i;

/**
 * Decodes a message for reading. Body text beyond 1 MiB is left out. Never rejects on any content: what cannot be read is
 * empty or undefined.
 * @throws MilterError `ERR_MILTER_UNSUPPORTED` where the optional package mailparser is not installed
 */
export async function readView(message: MimeMessage): Promise<MessageView> {
  checkValue('readView: the message', message, aMessage, wrongArgument);
  const { root } = message;
  const { simpleParser } = await loadMailparser();
  const options = {
    skipImageLinks: true,
    skipTextLinks: true,
    skipTextToHtml: true,
    maxHtmlLengthToParse: MEBIBYTE,
  };
  const mail = await simpleParser(skeleton(root), options).catch(() => undefined);
  return {
    subject: mail?.subject,
    // mailparser takes a date that it cannot read for now.
    date: Number.isNaN(Date.parse(root.headers.get('date')?.value ?? '')) ? undefined : mail?.date,
    messageId: mail?.messageId,
    from: addresses(mail?.from),
    replyTo: addresses(mail?.replyTo),
    to: addresses(mail?.to),
    cc: addresses(mail?.cc),
    bcc: addresses(mail?.bcc),
    text: mail?.text,
    html: mail?.html === false ? undefined : mail?.html,
    attachments: findAttachments(root),
  };
}

async function loadMailparser(): Promise<typeof import('mailparser')> {
  try {
    return await import('mailparser');
  } catch (cause) {
    const isMissing = cause instanceof Error && 'code' in cause && cause.code === 'ERR_MODULE_NOT_FOUND';
    if (!isMissing) throw cause;
    throw new MilterError('ERR_MILTER_UNSUPPORTED', 'readView needs mailparser: npm install mailparser', {
      cause,
    });
  }
}

function addresses(field: AddressObject | readonly AddressObject[] | undefined): readonly Address[] {
  const flatten = ({ name, address = '', group }: EmailAddress): readonly Address[] =>
    group ? group.flatMap(flatten) : [{ name, address }];
  return [field ?? []].flat().flatMap(({ value }) => value.flatMap(flatten));
}

function findAttachments(root: Part): readonly Part[] {
  const found: Part[] = [];
  const waiting: Part[] = [root];
  for (let part = waiting.pop(); part; part = waiting.pop()) {
    if (part.contentType.startsWith('multipart/')) {
      for (const child of part.children.toReversed()) waiting.push(child);
    } else if (isBodyText(part)) found.push(...part.files);
    else found.push(part);
  }
  return found;
}

/** The message without attachments: its fields, its multiparts under boundaries of ours, its body text as it is written. */
function skeleton(root: Part): Buffer {
  let bytes = 0;
  let leaves = 0;
  const pieces: Buffer[] = [];
  const put = (piece: Buffer) => {
    const kept = piece.subarray(0, Math.max(0, MEBIBYTE - bytes));
    bytes += kept.length;
    pieces.push(kept);
  };
  const putFields = (part: Part, wanted: (name: string) => boolean) => {
    for (const { name, raw } of part.headers) {
      if (wanted(name)) put(Buffer.concat([Buffer.from(`${name}:`, 'latin1'), raw, Buffer.from('\r\n')]));
    }
  };
  const putBody = (part: Part, depth: number) => {
    if (part.contentType.startsWith('multipart/') && depth < DEPTH) {
      const boundary = makeBoundary();
      put(Buffer.from(`Content-Type: ${part.contentType}; boundary="${boundary}"\r\n\r\n`));
      for (const child of part.children) {
        const isContainer = child.contentType.startsWith('multipart/');
        if (!isContainer && (!isBodyText(child) || ++leaves > LEAVES)) continue;
        put(Buffer.from(`\r\n--${boundary}\r\n`));
        putBody(child, depth + 1);
      }
      pieces.push(Buffer.from(`\r\n--${boundary}--`));
    } else if (isBodyText(part)) {
      putFields(part, (name) => BODY_FIELDS.test(name));
      put(Buffer.from('\r\n'));
      put(part.bodyBytes());
    } else put(Buffer.from('\r\n'));
  };
  putFields(root, (name) => !/^content-/i.test(name));
  putBody(root, 0);
  return Buffer.concat(pieces);
}
