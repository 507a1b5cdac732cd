/**
 * HTML as bytes in some charset: a view of it as ASCII by which markup is found, whatever the charset, so that no
 * character outside the markup is ever decoded and encoded again.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import { type ActiveContent, type Cut, findActive, type HtmlRemoval } from './html.ts';
import { findRemote } from './html-remote.ts';
import { aPart } from './kinds.ts';
import { extensionsOf } from './names.ts';
import type { Part } from './part.ts';
import { finishInTurns, type Steps } from './slice.ts';
import { findActiveInXml } from './svg.ts';

/** HTML text of the same characters in every place where markup can be; a character stands for `unit` bytes. */
interface MarkupView {
  readonly text: string;
  readonly unit: 1 | 2 | 4;
  /** Writes ASCII text in the charset. */
  readonly encode: (ascii: string) => Buffer;
}

/** The kind of document that browsers take a part for; undefined for one in which nothing acts. */
function markupKind(part: Part): 'html' | 'svg' | 'xml' | undefined {
  const { contentTypes: types, names } = part;
  if (types.length === 1 && types[0] === 'text/plain' && names.length === 0) return undefined;
  const extensions = names.flatMap(extensionsOf);
  const isCalled = (pattern: RegExp) => extensions.some((extension) => pattern.test(extension));
  if (types.includes('text/html') || types.includes('application/xhtml+xml')) return 'html';
  if (types.includes('image/svg+xml') || isCalled(/^svg$/)) return 'svg';
  if (
    types.some((type) => /^(?:text|application)\/(?:xml|xsl|xslt\+xml)$/.test(type)) ||
    isCalled(/^x[ms]lt?$/)
  )
    return 'xml';
  // Where the type says nothing the name does.
  return types.includes('application/octet-stream') && isCalled(/^(?:[xs]?html?|xht)$/) ? 'html' : undefined;
}

/** Whether a part is a document in which something may act: a page, an SVG picture, or XML. */
export function isMarkup(part: Part): boolean {
  checkValue('isMarkup: the part', part, aPart, wrongArgument);
  return markupKind(part) !== undefined;
}

/**
 * Takes what acts out of an HTML part (see {@link cleanHtml}), an SVG picture (see {@link cleanSvg}) or XML that holds either;
 * which one it is its type says, and its name. Charset and transfer encoding stay; a part without such things is not
 * touched. Lets the event loop turn while it works. Resolves to what was taken out.
 */
export async function cleanHtmlPart(part: Part): Promise<readonly HtmlRemoval[]> {
  checkValue('cleanHtmlPart: the part', part, aPart, wrongArgument);
  return await takeOut(part, findActiveIn(part));
}

/** What {@link cleanHtmlPart} would take out. Changes nothing. */
export async function findActiveContent(part: Part): Promise<readonly HtmlRemoval[]> {
  checkValue('findActiveContent: the part', part, aPart, wrongArgument);
  const { text } = await viewPart(part);
  return (await finishInTurns(findActiveIn(part)(text))).removed;
}

/**
 * Takes the references out of an HTML part, an SVG picture or XML by which showing it fetches something from elsewhere, which
 * tells its sender that it was seen: pictures, style sheets, fonts, sounds. What is in the message itself stays (`cid:`,
 * `data:`), and so do links. Works as {@link cleanHtmlPart} does; resolves to the attributes and style texts that were changed.
 */
export async function removeRemoteImages(part: Part): Promise<readonly HtmlRemoval[]> {
  checkValue('removeRemoteImages: the part', part, aPart, wrongArgument);
  return await takeOut(part, findRemoteIn(part));
}

/** What {@link removeRemoteImages} would change. Changes nothing. */
export async function findRemoteImages(part: Part): Promise<readonly HtmlRemoval[]> {
  checkValue('findRemoteImages: the part', part, aPart, wrongArgument);
  const { text } = await viewPart(part);
  return (await finishInTurns(findRemoteIn(part)(text))).removed;
}

type Finder = (text: string) => Steps<ActiveContent>;

function findActiveIn(part: Part): Finder {
  const kind = markupKind(part) ?? 'html';
  return kind === 'html' ? findActive : (text) => findActiveInXml(text, kind === 'svg');
}

function findRemoteIn(part: Part): Finder {
  const kind = markupKind(part) ?? 'html';
  return (text) => findRemote(text, kind !== 'html');
}

async function viewPart(part: Part): Promise<MarkupView & { readonly bytes: Buffer }> {
  const bytes = await part.loadContent();
  return { bytes, ...viewMarkup(bytes, part.charset ?? '') };
}

async function takeOut(part: Part, find: Finder): Promise<readonly HtmlRemoval[]> {
  const view = await viewPart(part);
  const { cuts, removed } = await finishInTurns(find(view.text));
  if (cuts.length > 0) {
    // A page to some readers, made of parts to others: let it be parts for all.
    if (part.isLeaf) await part.storeContent(applyCuts(view.bytes, view, cuts));
    else part.settle();
  }
  return removed;
}

/** Applies cuts found in a view to the bytes under it. */
function applyCuts(bytes: Buffer, view: MarkupView, cuts: readonly Cut[]): Buffer {
  const pieces: Buffer[] = [];
  let position = 0;
  for (const { start, end, replacement } of cuts) {
    pieces.push(bytes.subarray(position, start * view.unit), view.encode(replacement));
    position = end * view.unit;
  }
  return Buffer.concat([...pieces, bytes.subarray(position)]);
}

/** The view of bytes by their byte order mark or, without one, by their charset. */
export function viewMarkup(bytes: Buffer, charset: string): MarkupView {
  const label = charset.trim().toLowerCase();
  const wide = wideOrder(bytes, label);
  if (wide) return viewWide(bytes, wide);
  const text = bytes.toString('latin1');
  return { text: maskShifted(text, label), unit: 1, encode: (ascii) => Buffer.from(ascii, 'latin1') };
}

interface Wide {
  readonly unit: 2 | 4;
  readonly bigEndian: boolean;
}

function wideOrder(bytes: Buffer, label: string): Wide | undefined {
  const [first] = bytes;
  if (first === 0xff || first === 0xfe || first === 0) {
    const mark = bytes.toString('hex', 0, 4);
    if (mark.startsWith('fffe0000')) return { unit: 4, bigEndian: false };
    if (mark.startsWith('0000feff')) return { unit: 4, bigEndian: true };
    if (mark.startsWith('fffe')) return { unit: 2, bigEndian: false };
    if (mark.startsWith('feff')) return { unit: 2, bigEndian: true };
  }
  const declared = /^(?:utf-?|iso-10646-ucs-)(16|32|2|4)(be|le)?$/.exec(label);
  // A page that claims to be wide and has no NUL is not.
  if (!declared || !bytes.includes(0)) return undefined;
  const unit = declared[1] === '32' || declared[1] === '4' ? 4 : 2;
  return { unit, bigEndian: declared[2] === undefined ? bytes[0] === 0 : declared[2] === 'be' };
}

function viewWide(bytes: Buffer, { unit, bigEndian }: Wide): MarkupView {
  const even = Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % unit)));
  if (bigEndian) unit === 2 ? even.swap16() : even.swap32();
  const encode = (ascii: string) => {
    const encoded = Buffer.alloc(ascii.length * unit);
    for (let i = 0; i < ascii.length; i++)
      encoded[i * unit + (bigEndian ? unit - 1 : 0)] = ascii.charCodeAt(i);
    return encoded;
  };
  if (unit === 2) return { text: even.toString('utf16le'), unit, encode };
  const units: string[] = [];
  for (let i = 0; i < even.length; i += 4) {
    const code = even.readUInt32LE(i);
    units.push(code < 0x80 ? String.fromCharCode(code) : '\u{fffd}');
  }
  return { text: units.join(''), unit, encode };
}

/** Text with the double-byte runs of ISO-2022 masked: their bytes look like ASCII and are none. */
function maskShifted(text: string, label: string): string {
  const shifts: readonly [string, string] | undefined = label.startsWith('iso-2022-jp')
    ? ['\x1b$', '\x1b']
    : label.startsWith('iso-2022-')
      ? ['\x0e', '\x0f']
      : undefined;
  if (!shifts) return text;
  const [out, back] = shifts;
  const [ascii = '', ...runs] = text.split(out);
  return runs.reduce((masked, run) => {
    const end = run.indexOf(back);
    const shifted = end < 0 ? run.length : end;
    return masked + '.'.repeat(out.length + shifted) + run.slice(shifted);
  }, ascii);
}
