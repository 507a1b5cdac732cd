/**
 * The hosts that a text or a page sends its reader to: for asking lists about them. What readers make a link of counts,
 * however it is written.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { tokenize } from './html-tokens.ts';
import { aPart } from './kinds.ts';
import type { Part } from './part.ts';
import { finishInTurns, type Steps } from './slice.ts';

/** Characters that are looked at: more is read by nobody. */
const MAX_TEXT = 1_000_000;
/** Characters that are looked at before others may work. */
const PIECE = 16_384;

/** Attributes that hold an address. */
const ADDRESSES = new Set([
  'href',
  'src',
  'action',
  'formaction',
  'background',
  'data',
  'poster',
  'cite',
  'longdesc',
]);
const ADDRESS = /\b(?:https?|ftp):[\\/]{2,}[^\s<>"'`{}|^]{1,2000}/gi;
/** A host's name by itself, or of a mail address. Each piece is bounded, so that no text takes long. */
const NAME =
  /(?<![\w.-])(?:[\p{L}\p{N}_](?:[\p{L}\p{N}_-]{0,61}[\p{L}\p{N}])?\.){1,8}[\p{L}][\p{L}\p{N}-]{1,23}(?![\w-])/gu;

/**
 * The hosts that are linked in a text or HTML part, in lower case, as A-labels and IPv4 addresses: those of links first, then
 * names that stand by themselves. At most `most`; a large part is looked through in turns of the event loop.
 */
export async function linkedHosts(part: Part, most = 100): Promise<readonly string[]> {
  checkValue('linkedHosts: the part', part, aPart, wrongArgument);
  await part.loadContent();
  const text = part.text().slice(0, MAX_TEXT);
  const isPage = part.contentTypes.some((type) => type === 'text/html' || type === 'application/xhtml+xml');
  return await finishInTurns(isPage ? hostsOfPage(text, most) : hostsOfText(text, text, most));
}

function* hostsOfPage(html: string, most: number): Steps<readonly string[]> {
  const hosts = new Set<string>();
  const pieces: string[] = [];
  let end = 0;
  const skipTo = (from: number, to: number): void => {
    pieces.push(html.slice(end, from));
    end = Math.max(end, to);
  };
  yield* tokenize(html, {
    onOpenTag: (tag) => {
      skipTo(tag.start, tag.end);
      for (const { name, value } of tag.attributes) {
        if (hosts.size >= most || !ADDRESSES.has(name)) continue;
        const host = hostOf(value.trim());
        if (host !== undefined) hosts.add(host);
      }
    },
    onCloseTag: (_, from, to) => skipTo(from, to),
    onComment: (from, to) => skipTo(from, to),
  });
  pieces.push(html.slice(end));
  for (const host of yield* hostsOfText(html, pieces.join(' '), most)) {
    if (hosts.size >= most) break;
    hosts.add(host);
  }
  return [...hosts];
}

/** @param names where to look for names by themselves */
function* hostsOfText(text: string, names: string, most: number): Steps<readonly string[]> {
  const hosts = new Set<string>();
  const seen = new Set<string>();
  for (const [pattern, where] of [
    [ADDRESS, text],
    [NAME, names],
  ] as const) {
    for (const piece of piecesOf(where)) {
      for (const [found] of piece.matchAll(pattern)) {
        if (hosts.size >= most) return [...hosts];
        if (seen.has(found)) continue;
        seen.add(found);
        const host = hostOf(pattern === NAME ? `http://${found}` : found);
        if (host !== undefined) hosts.add(host);
      }
      yield;
    }
  }
  return [...hosts];
}

/** The text in pieces between which other work may run. They end at white space where there is any. */
function* piecesOf(text: string): Generator<string> {
  for (let start = 0; start < text.length; ) {
    const most = text.slice(start, start + PIECE);
    const isLast = start + PIECE >= text.length;
    const white = Math.max(most.lastIndexOf(' '), most.lastIndexOf('\n'));
    const end = isLast ? most.length : white + 1 || PIECE;
    yield most.slice(0, end);
    start += end;
  }
}

/** The host of an address as browsers take it; that of a mail address behind `mailto:`. */
function hostOf(address: string): string | undefined {
  const mailbox = /^mailto:[^?]*@([^?,@\s]{1,255})/i.exec(address)?.[1];
  const whole = mailbox !== undefined ? `http://${mailbox}` : address.replace(/^[\\/]{2}/, 'http://');
  if (!/^(?:https?|ftp):/i.test(whole)) return undefined;
  const name = URL.parse(whole.slice(0, 4_000))?.hostname.replace(/\.+$/, '') ?? '';
  return name.includes('.') && !name.startsWith('[') && name.length <= 253 ? name : undefined;
}
