/** What of a held message is shown: bounded, and all of it as text. */
import {
  bannedExtension,
  bannedExtensions,
  isBodyText,
  modernBannedExtensions,
  type Part,
  parseMessageStream,
} from '../../mime/index.ts';
import { readable } from '../mail/readable.ts';
import { visibleLine } from './html.ts';

/** A text that a mail reader would show. */
export interface ShownText {
  /** By which its own page is asked for. */
  readonly number: number;
  readonly isHtml: boolean;
  readonly text: string;
  /** Whether there is more of it. */
  readonly isCut: boolean;
}

/** What is attached. */
export interface Attachment {
  /** By which it is asked for. */
  readonly number: number;
  /** As the mail calls it. */
  readonly name: string;
  readonly type: string;
  /** About, in bytes. */
  readonly size: number;
}

/** A message for a page. */
export interface ShownMessage {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly moreHeaders: number;
  readonly texts: readonly ShownText[];
  readonly attachments: readonly Attachment[];
  /** Parts beyond those that are listed. */
  readonly more: boolean;
}

const MAX_HEADERS = 200;
const MAX_VALUE = 2_000;
const MAX_PARTS = 500;
const MAX_TEXTS = 20;
/** Bytes of a text that are shown. */
const MAX_TEXT = 256 * 1024;
const CHUNK = 256 * 1024;

/** Takes a message apart. */
export async function shownMessage(message: Buffer): Promise<ShownMessage> {
  const { root } = await parseMessageStream(chunks(message));
  const fields = [...root.headers];
  const texts: ShownText[] = [];
  const attachments: Attachment[] = [];
  let more = false;
  for (const [number, part] of parts(root)) {
    if (number >= MAX_PARTS) {
      more = true;
      break;
    }
    if (part.contentType.startsWith('multipart/')) continue;
    if (isBodyText(part) && !isInside(part)) {
      if (texts.length < MAX_TEXTS) texts.push(shownText(part, number));
      else more = true;
    } else attachments.push(attachment(part, number));
  }
  return {
    headers: fields
      .slice(0, MAX_HEADERS)
      .map(({ name, value }) => [name, readable(value.slice(0, MAX_VALUE))] as const),
    moreHeaders: Math.max(0, fields.length - MAX_HEADERS),
    texts,
    attachments,
    more,
  };
}

/** One part, by its number; undefined where there is none of those that are shown. */
export async function partOf(message: Buffer, number: number): Promise<Part | undefined> {
  const { root } = await parseMessageStream(chunks(message));
  for (const [index, part] of parts(root)) if (index === number && index < MAX_PARTS) return part;
  return undefined;
}

function nameOf({ names: [name = ''], contentType }: Part): string {
  return name === '' && contentType === 'message/rfc822' ? 'message.eml' : name;
}

/** The name that a part is saved under: nothing in it leads elsewhere, or has a program run. */
export function safeName(part: Part, number: number): string {
  const name = nameOf(part);
  const plain = visibleLine(name.split(/[/\\]/).at(-1) ?? '')
    .replace(/[/\\:*?"<>|\u2400-\u2423\ufffd]+/g, '_')
    .replace(/^[.\s_]+|[.\s]+$/g, '')
    .slice(-100)
    .toWellFormed();
  const whole = plain === '' ? `part-${number}` : plain;
  return (bannedExtension(name, DANGEROUS) ?? bannedExtension(whole, DANGEROUS)) ? `${whole}.held` : whole;
}

const DANGEROUS: ReadonlySet<string> = new Set([
  ...bannedExtensions,
  ...modernBannedExtensions,
  // What a browser would open from the disk as a page.
  ...['htm', 'html', 'shtml', 'xht', 'xhtml', 'xml', 'eml', 'msg'],
]);

/** What a part's text begins with. */
export function textHead(part: Part): Pick<ShownText, 'text' | 'isCut'> {
  const head = part.contentHead(MAX_TEXT + 1);
  if (head.length <= MAX_TEXT) return { text: part.text(), isCut: false };
  return { text: decode(head.subarray(0, MAX_TEXT), part.contentTypeParameters['charset']), isCut: true };
}

function decode(bytes: Buffer, charset = 'utf-8'): string {
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

function shownText(part: Part, number: number): ShownText {
  return { number, isHtml: part.contentType === 'text/html', ...textHead(part) };
}

/** About, in bytes: to know it exactly all of it would have to be decoded. */
function sizeOf(part: Part): number {
  const { length } = part.bodyBytes();
  // Three bytes are four characters, and a line of 76 of them ends in two more.
  return part.encoding === 'base64' ? Math.floor((length * 3 * 76) / (4 * 78)) : length;
}

function attachment(part: Part, number: number): Attachment {
  return {
    number,
    name: nameOf(part).slice(0, 300),
    type: part.contentType.slice(0, 100),
    size: sizeOf(part),
  };
}

function* parts(root: Part): Generator<readonly [number: number, part: Part]> {
  let number = 0;
  for (const part of root.walk()) yield [number++, part];
}

/** Whether it is of a message within the message. */
function isInside(part: Part): boolean {
  for (let above = part.parent; above !== undefined; above = above.parent) {
    if (!above.contentType.startsWith('multipart/')) return true;
  }
  return false;
}

function* chunks(message: Buffer): Generator<Buffer> {
  for (let at = 0; at < message.length; at += CHUNK) yield message.subarray(at, at + CHUNK);
}
