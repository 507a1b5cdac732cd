/**
 * Text put before or behind what a message says: disclaimers, banners.
 */
import { wrongArgument } from '../errors.ts';
import { checkOptions, type Kinds, oneOf, text } from '../options.ts';
import { isBodyText, sealOf } from './body.ts';
import { decodeCharset, encodeCharset } from './charsets.ts';
import { createPart } from './create.ts';
import { viewMarkup } from './html-part.ts';
import { tokenize } from './html-tokens.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';
import { finish } from './slice.ts';

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

type Place = 'before' | 'behind';

const KINDS: Kinds<BodyText> = { text, html: text, sealed: oneOf('wrap', 'leave') };

function addText(message: MimeMessage, addition: BodyText, place: Place): boolean {
  checkOptions('option of a text', addition, KINDS, wrongArgument);
  const { root } = message;
  if (addition.sealed === 'leave' && sealOf(message) !== undefined) return false;
  const bodies = findBodies(root);
  for (const body of bodies) {
    if (body.contentType === 'text/html') addToHtml(body, addition, place);
    else addToPlain(body, addition.text, place);
  }
  if (bodies.length > 0) return true;
  const isOpenMultipart = root.contentType === 'multipart/mixed' && root.children.length > 0;
  if (!isOpenMultipart) root.wrap();
  root.insert(
    createPart({ content: addition.text, disposition: 'inline' }),
    place === 'before' ? 0 : root.children.length,
  );
  return true;
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

function addToPlain(part: Part, text: string, place: Place): void {
  const { charset = 'us-ascii' } = part.contentTypeParameters;
  const content = part.content();
  const lineEnd = content.includes('\r\n') || !content.includes('\n') ? '\r\n' : '\n';
  const canonical = text.replace(/\r?\n/g, lineEnd);
  const encoded = encodeCharset(canonical, charset);
  if (!encoded) {
    // The charset cannot hold the addition: all of it becomes UTF-8.
    const present = decodeCharset(content, charset);
    part.replaceContent(joinText(present, canonical, lineEnd, place));
    return;
  }
  const lineBreak = encodeCharset(lineEnd, charset) ?? Buffer.from(lineEnd);
  const first = place === 'before' ? encoded : content;
  const second = place === 'before' ? content : encoded;
  const endsLine = first.length === 0 || first.subarray(-lineBreak.length).equals(lineBreak);
  part.replaceContent(Buffer.concat(endsLine ? [first, second] : [first, lineBreak, second]));
}

function joinText(present: string, addition: string, lineEnd: string, place: Place): string {
  const [first, second] = place === 'before' ? [addition, present] : [present, addition];
  return first === '' || first.endsWith('\n') ? first + second : first + lineEnd + second;
}

function addToHtml(part: Part, addition: BodyText, place: Place): void {
  const html = addition.html ?? `<p>${escapeHtml(addition.text).replace(/\r?\n/g, '<br>\r\n')}</p>`;
  const { charset = '' } = part.contentTypeParameters;
  const content = part.content();
  const view = viewMarkup(content, charset);
  // Character references are ASCII in every charset.
  const ascii = html.replace(/[^\0-\x7f]/gu, (character) => `&#${character.codePointAt(0)};`);
  const at = place === 'before' ? startOfBody(view.text) : endOfBody(view.text);
  const offset = at * view.unit;
  part.replaceContent(
    Buffer.concat([content.subarray(0, offset), view.encode(ascii), content.subarray(offset)]),
  );
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** Behind the opening tag of body; without one behind head, else behind the opening tag of html, else at the start. */
function startOfBody(html: string): number {
  let at = 0;
  let found = false;
  const steps = tokenize(html, {
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
  finish(steps);
  return at;
}

/** Before the last closing tag of body or html, else at the end. */
function endOfBody(html: string): number {
  let body: number | undefined;
  let page: number | undefined;
  const steps = tokenize(html, {
    onOpenTag: () => {},
    onCloseTag: (name, start) => {
      if (name === 'body') body = start;
      else if (name === 'html') page = start;
    },
    onComment: () => {},
  });
  finish(steps);
  return body ?? page ?? html.length;
}
