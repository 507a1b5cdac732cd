/** A message to tokens. Bounded in all it does; never throws, whatever the bytes are. */
import { type MimeMessage, type Part, parseMessage, readPage } from '../../mime/index.ts';
import { headerTokens } from './headers.ts';
import { linksIn, linkTokens, withoutLinks } from './links.ts';
import { plainText } from './plain.ts';
import { pairsOf, wordsOf } from './words.ts';

/** What was said before the message came. */
export interface Envelope {
  /** The sender's address; empty for the null sender. */
  readonly sender?: string;
  readonly recipients?: readonly string[];
  /** The client's IP address. */
  readonly address?: string;
  /** The client's name in DNS. */
  readonly client?: string;
  readonly helo?: string;
}

/** What a message is judged by. Within each list a token is once; header and body may share some. */
export interface MessageTokens {
  readonly root: Part;
  /** Of the header and the envelope. */
  readonly header: readonly string[];
  readonly body: readonly string[];
  /** The beginnings of its texts, each to be judged for itself: what comes behind them cannot excuse them. */
  readonly segments: readonly (readonly string[])[];
}

/** Bounds on what one message can cost, or teach. */
export const LIMITS = {
  /** Characters of decoded text. */
  text: 262_144,
  /** Tokens; of more, the first and the last half of so many. */
  tokens: 5_000,
  depth: 8,
  parts: 40,
  /** Words of the segments that each text has. */
  segment: [25, 50],
  segments: 20,
} as const;

/** Takes a message apart. */
export function messageTokens(
  bytes: Uint8Array,
  options: { readonly envelope?: Envelope | undefined; readonly headersOnly?: boolean | undefined } = {},
): MessageTokens {
  const tree = parseMessage(bytes, {
    limits: { parts: LIMITS.parts, depth: LIMITS.depth, headerBytes: 65_536, rescans: 2 },
  });
  const header = new Set(headerTokens(tree.root.headers));
  if (options.envelope !== undefined) for (const token of envelopeTokens(options.envelope)) header.add(token);
  if (options.headersOnly === true)
    return { root: tree.root, header: bounded(header), body: [], segments: [] };
  const reader = new BodyReader();
  reader.read(tree);
  return {
    root: tree.root,
    header: bounded(header),
    body: bounded(reader.tokens),
    segments: reader.segments,
  };
}

/** The first and the last of too many. */
function bounded(tokens: ReadonlySet<string>): readonly string[] {
  const all = [...tokens];
  const half = LIMITS.tokens / 2;
  return all.length <= LIMITS.tokens ? all : [...all.slice(0, half), ...all.slice(-half)];
}

function envelopeTokens({ sender, recipients = [], address, client, helo }: Envelope): readonly string[] {
  const tokens: string[] = [];
  const add = (name: string, value: string): void => {
    tokens.push(`env-${name}:${plainText(value).slice(0, 100)}`);
  };
  if (sender !== undefined) {
    add('from', sender);
    add('from', sender.slice(sender.lastIndexOf('@')));
  }
  for (const recipient of recipients.slice(0, 20)) add('to', recipient);
  if (recipients.length > 1) add('to', `many ${Math.floor(Math.log2(recipients.length))}`);
  if (address !== undefined) {
    const v4 = /^(\d+\.\d+)\.\d+/.exec(address);
    add('ip', v4?.[0] ?? address.split(':').slice(0, 3).join(':'));
    if (v4?.[1] !== undefined) add('ip', v4[1]);
  }
  for (const [name, value] of [
    ['client', client],
    ['helo', helo],
  ] as const) {
    if (value !== undefined) add(name, value.split('.').slice(-2).join('.'));
  }
  return tokens;
}

class BodyReader {
  readonly tokens = new Set<string>();
  readonly segments: string[][] = [];
  #left: number = LIMITS.text;

  read({ root }: MimeMessage): void {
    let parts = 0;
    for (const part of root.walk()) {
      if (++parts > LIMITS.parts) {
        this.tokens.add('mime:many');
        return;
      }
      this.#readPart(part, part === root);
    }
  }

  #readPart(part: Part, isRoot: boolean): void {
    const { contentType: type } = part;
    this.tokens.add(`ct:${type}`);
    if (!part.isLeaf) {
      // The message within a message.
      if (type.startsWith('message/')) for (const inner of part.children) this.#addHeaders(inner);
      return;
    }
    if (part.charset !== undefined) this.tokens.add(`cs:${part.charset.toLowerCase().slice(0, 40)}`);
    if (!isRoot || part.encoding !== 'identity') this.tokens.add(`cte:${part.encoding}`);
    if (part.disposition !== undefined) this.tokens.add(`cd:${part.disposition.slice(0, 40)}`);
    for (const name of part.names.slice(0, 4)) {
      const plain = plainText(name.slice(0, 200));
      const extension = /\.([\p{L}\p{N}]{1,10})\s*$/u.exec(plain)?.[1];
      if (extension !== undefined) this.tokens.add(`ext:${extension}`);
      for (const word of wordsOf(plain).words) this.tokens.add(`file:${word}`);
    }
    if (type.startsWith('text/')) this.#readText(part);
    else {
      const content = part.content();
      this.tokens.add(`size:${type} ${content.length === 0 ? 0 : Math.floor(Math.log2(content.length))}`);
      if (looksLikeText(content)) this.#readText(part);
    }
  }

  #addHeaders(part: Part): void {
    for (const token of headerTokens(part.headers)) this.tokens.add(`in:${token}`);
  }

  #readText(part: Part): void {
    const most = this.#left;
    if (most <= 0) return;
    const text = ends(textOf(part), most);
    this.#left -= text.length;
    if (part.contentType === 'text/html' || looksLikeHtml(text)) this.#readPage(text);
    else this.#addText(text, []);
  }

  #readPage(html: string): void {
    const page = readPage(html);
    for (const mark of page.marks) this.tokens.add(`html:${mark.slice(0, 60)}`);
    this.#addText(page.visible, page.links);
    const hidden = plainText(page.hidden);
    if (!/\S/.test(hidden)) return;
    const { words } = wordsOf(withoutLinks(hidden));
    if (words.length > 5) this.tokens.add('inv:');
    for (const word of words) this.tokens.add(`inv:${word}`);
  }

  #addText(text: string, links: readonly string[]): void {
    const plain = plainText(text);
    // Words of links are words, too.
    const { words, more } = wordsOf(plain);
    // In order of the text: of too many the first and the last are taken.
    const pairs = pairsOf(words);
    for (const [i, word] of words.entries()) {
      this.tokens.add(word);
      const pair = pairs[i];
      if (pair !== undefined) this.tokens.add(pair);
    }
    this.#addAll(more);
    for (const link of [...links, ...linksIn(plain)]) this.#addAll(linkTokens(link));
    for (const length of LIMITS.segment) {
      if (this.segments.length >= LIMITS.segments) break;
      this.segments.push([...new Set([...words.slice(0, length), ...pairs.slice(0, length - 1)])]);
    }
  }

  #addAll(tokens: Iterable<string>): void {
    for (const token of tokens) this.tokens.add(token);
  }
}

/** Of a text that is too long, the first and the last half of what is read. */
function ends(text: string, most: number): string {
  if (text.length <= most) return text;
  const half = Math.floor(most / 2);
  return `${text.slice(0, half)}\n${text.slice(-half)}`;
}

function looksLikeHtml(text: string): boolean {
  return /^\s{0,200}<(?:!doctype html|html|head|body|meta|title|table|div|p|font|center|br|a\s)\b/i.test(
    text.slice(0, 1_000),
  );
}

/** By the byte order mark, where the charset does not say it. */
function textOf(part: Part): string {
  const content = part.content();
  if (content.length >= 2 && content.length % 2 === 0) {
    if (content[0] === 0xff && content[1] === 0xfe) return content.toString('utf16le', 2);
    if (content[0] === 0xfe && content[1] === 0xff)
      return Buffer.from(content).swap16().toString('utf16le', 2);
  }
  return part.text();
}

/** Whether bytes that claim to be none are text. */
function looksLikeText(content: Buffer): boolean {
  if (content.length < 20) return false;
  if ((content[0] === 0xff && content[1] === 0xfe) || (content[0] === 0xfe && content[1] === 0xff))
    return true;
  const head = content.subarray(0, 1_000);
  // Bytes that no text has: control characters but for tabs, line and page ends.
  if (head.some((byte) => byte < 0x09 || (byte > 0x0d && byte < 0x20) || byte === 0x7f)) return false;
  return head.filter((byte) => byte >= 0x80).length < head.length / 3;
}
