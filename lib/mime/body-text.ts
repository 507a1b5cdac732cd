/**
 * Text put before or behind what a message says: disclaimers, banners.
 */
import { wrongArgument } from '../errors.ts';
import { checkOptions, checkValue, type Kinds, oneOf, text } from '../options.ts';
import { isBodyText, sealOf } from './body.ts';
import { decodeCharset, encodeCharset } from './charsets.ts';
import { createPart } from './create.ts';
import { viewMarkup } from './html-part.ts';
import { tokenize } from './html-tokens.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';
import { finish, finishInTurns, type Steps } from './slice.ts';

/** What to add, to plain bodies and to HTML bodies. */
export interface BodyText {
  /** Plain text, with its own line ends. */
  readonly text: string;
  /** An HTML fragment. @default the text, escaped, in a `<p>` */
  readonly html?: string;
  /**
   * What is done with a message that its sender signed or encrypted (see {@link sealOf}): it is wrapped, so that what was
   * signed stays byte for byte, or left as it is. @default 'wrap'
   */
  readonly sealed?: 'wrap' | 'leave';
}

/**
 * Puts text in front of the body: of every version of it in a multipart/alternative. Where there is no body text to put it into, or
 * it is signed or encrypted, the message is wrapped in a multipart/mixed with the text as first part. Answers whether the text
 * was added.
 * @throws TypeError for an unknown option or an impossible value
 */
export function prependText(message: MimeMessage, addition: BodyText): boolean {
  return addText(message, addition, 'before');
}

/** Like {@link prependText}, behind the body; in HTML before `</body>`. */
export function appendText(message: MimeMessage, addition: BodyText): boolean {
  return addText(message, addition, 'behind');
}

/** Like {@link appendText}, in turns of the event loop, which large bodies would hold up. */
export async function appendTextInTurns(message: MimeMessage, addition: BodyText): Promise<boolean> {
  const bodies = chooseBodies(message, addition);
  if (bodies === undefined) return false;
  for (const body of bodies) {
    const content = await body.loadContent();
    await body.storeContent(await finishInTurns(joined(body, content, addition, 'behind')));
  }
  if (bodies.length === 0) addPart(message, addition, 'behind');
  return true;
}

type Place = 'before' | 'behind';

const KINDS: Kinds<BodyText> = { text, html: text, sealed: oneOf('wrap', 'leave') };

function addText(message: MimeMessage, addition: BodyText, place: Place): boolean {
  const bodies = chooseBodies(message, addition);
  if (bodies === undefined) return false;
  for (const body of bodies) body.replaceContent(finish(joined(body, body.content(), addition, place)));
  if (bodies.length === 0) addPart(message, addition, place);
  return true;
}

/** Where the text goes: none for a part of its own; undefined where the message is to be left alone. */
function chooseBodies(message: MimeMessage, addition: BodyText): readonly Part[] | undefined {
  checkOptions('option of a text', addition, KINDS, wrongArgument);
  checkValue('option of a text "text"', addition.text, text, wrongArgument);
  if (addition.sealed === 'leave' && sealOf(message) !== undefined) return undefined;
  return findBodies(message.root);
}

function addPart({ root }: MimeMessage, { text: content }: BodyText, place: Place): void {
  const isOpenMultipart = root.contentType === 'multipart/mixed' && root.children.length > 0;
  if (!isOpenMultipart) root.wrap();
  root.insert(createPart({ content, disposition: 'inline' }), place === 'before' ? 0 : root.children.length);
}

/** The content with the addition in it. */
function joined(part: Part, content: Buffer, addition: BodyText, place: Place): Steps<Buffer | string> {
  const { charset } = part;
  return part.contentType === 'text/html'
    ? joinedHtml(content, charset ?? '', addition, place)
    : joinedPlain(content, charset ?? 'us-ascii', addition.text, place);
}

/** The leaves that are the body in its versions; none where it must not or cannot be changed. */
function findBodies(part: Part): readonly Part[] {
  const { contentType, children } = part;
  if (contentType === 'multipart/signed' || contentType === 'multipart/encrypted') return [];
  if (contentType === 'multipart/alternative') return children.flatMap(findBodies);
  if (contentType.startsWith('multipart/')) {
    for (const child of children) {
      const bodies = findBodies(child);
      if (bodies.length > 0) return bodies;
      // A signed body is the body all the same.
      if (child.contentType.startsWith('multipart/')) return [];
    }
    return [];
  }
  return isBodyText(part) ? [part] : [];
}

// biome-ignore lint/correctness/useYield: quick, but of the same kind as the one for HTML
function* joinedPlain(content: Buffer, charset: string, text: string, place: Place): Steps<Buffer | string> {
  const lineEnd = content.includes('\r\n') || !content.includes('\n') ? '\r\n' : '\n';
  const canonical = text.replace(/\r?\n/g, lineEnd);
  const encoded = encodeCharset(canonical, charset);
  // The charset cannot hold the addition: all of it becomes UTF-8.
  if (!encoded) return joinText(decodeCharset(content, charset), canonical, lineEnd, place);
  const lineBreak = encodeCharset(lineEnd, charset) ?? Buffer.from(lineEnd);
  const first = place === 'before' ? encoded : content;
  const second = place === 'before' ? content : encoded;
  const endsLine = first.length === 0 || first.subarray(-lineBreak.length).equals(lineBreak);
  return Buffer.concat(endsLine ? [first, second] : [first, lineBreak, second]);
}

function joinText(present: string, addition: string, lineEnd: string, place: Place): string {
  const [first, second] = place === 'before' ? [addition, present] : [present, addition];
  return first === '' || first.endsWith('\n') ? first + second : first + lineEnd + second;
}

function* joinedHtml(content: Buffer, charset: string, addition: BodyText, place: Place): Steps<Buffer> {
  const html = addition.html ?? `<p>${escapeHtml(addition.text).replace(/\r?\n/g, '<br>\r\n')}</p>`;
  const view = viewMarkup(content, charset);
  // Character references are ASCII in every charset.
  const ascii = html.replace(/[^\0-\x7f]/gu, (character) => `&#${character.codePointAt(0)};`);
  const at = yield* place === 'before' ? startOfBody(view.text) : endOfBody(view.text);
  const offset = at * view.unit;
  return Buffer.concat([content.subarray(0, offset), view.encode(ascii), content.subarray(offset)]);
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Behind the opening tag of body; without one behind head, else behind the opening tag of html, else at the start. */
function* startOfBody(html: string): Steps<number> {
  let at = 0;
  let found = false;
  yield* tokenize(html, {
    onOpenTag: ({ name, end }) => {
      if (found || (name !== 'body' && name !== 'html')) return;
      at = end;
      found = name === 'body';
    },
    onCloseTag: (name, _, end) => {
      if (name === 'head' && !found) at = end;
    },
    onComment: () => {},
  });
  return at;
}

/** Before the last closing tag of body or html, else at the end. */
function* endOfBody(html: string): Steps<number> {
  let body: number | undefined;
  let page: number | undefined;
  yield* tokenize(html, {
    onOpenTag: () => {},
    onCloseTag: (name, start) => {
      if (name === 'body') body = start;
      else if (name === 'html') page = start;
    },
    onComment: () => {},
  });
  return body ?? page ?? html.length;
}
