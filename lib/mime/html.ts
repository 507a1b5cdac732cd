/**
 * Taking what acts out of HTML (scripts, event handlers, script URLs, frames, objects, refreshes) and leaving every other
 * character as it is.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';
import { type Attribute, type OpenTag, type TokenHandler, tokenize } from './html-tokens.ts';
import { finish, type Steps } from './slice.ts';

/** One thing that was taken out. */
export interface HtmlRemoval {
  /** A declaration is an entity or a style sheet that XML names before the document. */
  readonly kind: 'element' | 'attribute' | 'declaration';
  /** The element's or attribute's name, lower case; `!entity` and `?xml-stylesheet` of declarations. */
  readonly name: string;
}

/** A range to cut out, and what to put there. */
export interface Cut {
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

/** Elements that go with all they contain, which is no markup. */
const WHOLE = new Set(['script', 'iframe']);
/** Elements whose tags go; what they contain is what a reader without them shows. */
const TAGS = new Set(['object', 'applet', 'embed', 'param', 'frame', 'portal']);
/** Elements whose content is raw text, unless they stand in SVG or MathML: then it is markup. */
export const RAW: ReadonlySet<string> = new Set([
  'style',
  'title',
  'textarea',
  'xmp',
  'noembed',
  'noframes',
  'plaintext',
]);
/** Attributes that hold text for people, never a URL that is followed. */
const PROSE = new Set([
  'alt',
  'title',
  'content',
  'value',
  'label',
  'placeholder',
  'summary',
  'class',
  'id',
  'name',
]);
const HIDDEN_LEVELS = 3;

/**
 * Takes what acts out of HTML text: `script` and `iframe` with their content, tags of `object`, `applet`, `embed`, `param` and `frame`,
 * `meta` refreshes, `on…` attributes, attributes with a `javascript:` or script-bearing `data:` URL. Inside comments, conditional ones too,
 * and inside raw text the same is taken out. A script that is never closed goes to the end, as browsers read it.
 */
export function cleanHtml(html: string): { readonly html: string; readonly removed: readonly HtmlRemoval[] } {
  checkValue('cleanHtml: the HTML', html, text, wrongArgument);
  return applyToText(html, finish(findActive(html)));
}

/** The text with the cuts made. */
export function applyToText(
  html: string,
  { cuts, removed }: ActiveContent,
): { readonly html: string; readonly removed: readonly HtmlRemoval[] } {
  let clean = '';
  let position = 0;
  for (const { start, end, replacement } of cuts) {
    clean += html.slice(position, start) + replacement;
    position = end;
  }
  return { html: clean + html.slice(position), removed };
}

/** What to cut out of a text, and what that takes out of it. */
export interface ActiveContent {
  /** In order, none overlapping. */
  readonly cuts: readonly Cut[];
  readonly removed: readonly HtmlRemoval[];
}

/** A range to look at; hidden ones, in comments and raw text, have a level above 0. */
interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly level: number;
}

/** What a kind of document has beside what acts everywhere. */
export interface Dialect {
  /** Whether it is XML: no raw text, and elements without end tags. */
  readonly isXml: boolean;
  /** Further elements that go with all they contain; lower case, without prefix. */
  readonly wholes: ReadonlySet<string>;
  /** Whether this attribute goes, though it would stay elsewhere. */
  readonly acts: (tag: OpenTag, attribute: Attribute) => boolean;
}

const HTML: Dialect = { isXml: false, wholes: new Set(), acts: () => false };

/** Finds, in steps, what {@link cleanHtml} takes out. */
export function* findActive(html: string, dialect: Dialect = HTML): Steps<ActiveContent> {
  const cuts: Cut[] = [];
  const removed: HtmlRemoval[] = [];
  const waiting: Stretch[] = [{ from: 0, to: html.length, level: 0 }];
  for (let stretch = waiting.pop(); stretch; stretch = waiting.pop()) {
    yield* findIn(html, stretch, dialect, cuts, removed, waiting);
  }
  return { cuts: cuts.toSorted((a, b) => a.start - b.start), removed };
}

function* findIn(
  whole: string,
  { from, to, level }: Stretch,
  dialect: Dialect,
  cuts: Cut[],
  removed: HtmlRemoval[],
  waiting: Stretch[],
): Steps<void> {
  const html = from === 0 && to === whole.length ? whole : whole.slice(from, to);
  /** The element that is being cut out, and where it started. */
  let open: { name: string; start: number; depth: number } | undefined;
  let raw: { name: string; start: number } | undefined;
  let inNoscript = false;
  const add = ({ start, end, replacement }: Cut) => {
    cuts.push({ start: from + start, end: from + end, replacement });
  };
  const cut = (start: number, end: number) => {
    // A "<" in front was text, and must not become markup with what follows.
    add({ start, end, replacement: html[start - 1] === '<' ? ' ' : '' });
  };
  const lookInside = (start: number, end: number) => {
    if (level < HIDDEN_LEVELS && end > start)
      waiting.push({ from: from + start, to: from + end, level: level + 1 });
  };
  const handler: TokenHandler = {
    onOpenTag(tag) {
      const { name } = tag;
      const isEmpty = dialect.isXml && tag.isSelfClosing;
      if (open) {
        if (dialect.isXml && open.name === name && !isEmpty) open.depth++;
        return;
      }
      const bare = withoutPrefix(name);
      if (WHOLE.has(bare) || dialect.wholes.has(bare)) {
        removed.push({ kind: 'element', name });
        if (isEmpty) cut(tag.start, tag.end);
        else open = { name, start: tag.start, depth: 1 };
      } else if (
        TAGS.has(bare) ||
        isRefresh(tag) ||
        (tag.isCutOff && mayAct(html.slice(tag.start))) ||
        // Where scripts run, noscript is raw text, and its end may be hidden in what is a tag where they do not.
        (inNoscript && /<\/noscript/i.test(html.slice(tag.start, tag.end)))
      ) {
        removed.push({ kind: 'element', name });
        cut(tag.start, tag.end);
      } else {
        for (const attribute of tag.attributes) {
          if (!isActive(attribute) && !dialect.acts(tag, attribute)) continue;
          removed.push({ kind: 'attribute', name: attribute.name });
          add(attributeCut(html, attribute));
        }
        inNoscript ||= name === 'noscript';
        if (RAW.has(name)) raw = { name, start: tag.end };
      }
    },
    onCloseTag(name, start, end) {
      if (open) {
        if (open.name !== name || --open.depth > 0) return;
        cut(open.start, end);
        open = undefined;
        return;
      }
      if (name === 'noscript') inNoscript = false;
      if (raw?.name === name) {
        lookInside(raw.start, start);
        raw = undefined;
      }
      if (TAGS.has(withoutPrefix(name))) cut(start, end);
    },
    onComment(start, end) {
      if (!open) lookInside(start, end);
    },
  };
  yield* tokenize(html, handler, dialect.isXml);
  if (open) cut(open.start, html.length);
  else if (raw) lookInside(raw.start, html.length);
}

function withoutPrefix(name: string): string {
  const colon = name.lastIndexOf(':');
  return colon < 0 ? name : name.slice(colon + 1);
}

/** Whether a tag without an end would act if text that is put behind it ended it. */
function mayAct(tag: string): boolean {
  return /[\s/"']on|script|data|&/i.test(tag);
}

function isRefresh({ name, attributes }: OpenTag): boolean {
  return (
    name === 'meta' &&
    attributes.some(
      (attribute) => attribute.name === 'http-equiv' && attribute.value.trim().toLowerCase() === 'refresh',
    )
  );
}

function isActive({ name, value }: Attribute): boolean {
  if ((name.length > 2 && name.startsWith('on')) || name === 'srcdoc') return true;
  if (PROSE.has(name) || !value.includes(':')) return false;
  return name === 'values' ? value.split(';').some(isScriptUrl) : isScriptUrl(value);
}

const SCRIPT_SCHEMES = new Set(['javascript', 'vbscript', 'livescript', 'jscript', 'mocha']);
/** Data that is a picture, a sound, a font or plain text; anything else may be a document or a script. */
const HARMLESS_DATA =
  /^(?:$|image\/(?!svg)|audio\/|video\/|font\/|application\/(?:x-)?font|text\/(?:plain|css)$)/;

/** Whether following this URL runs something. */
export function isScriptUrl(url: string): boolean {
  // What nearly every link is.
  if (url.startsWith('https:') || url.startsWith('http:') || url.startsWith('mailto:')) return false;
  const colon = url.indexOf(':');
  // The URL Standard drops control characters and spaces around and tabs and line breaks inside.
  const tidy = (text: string) => text.replace(/[\0-\x20\x7f]/g, '').toLowerCase();
  const scheme = tidy(url.slice(0, Math.max(0, colon)));
  if (scheme !== 'data') return SCRIPT_SCHEMES.has(scheme);
  const [type = ''] = url.slice(colon + 1).split(/[;,]/, 1);
  return !HARMLESS_DATA.test(tidy(type));
}

/** Cuts an attribute out, with the white space and slashes in front of it. It must not run into the next. */
export function attributeCut(html: string, { start, end }: Attribute): Cut {
  let first = start;
  while (first > 0 && /[\s/]/.test(html[first - 1] ?? '')) first--;
  return { start: first, end, replacement: /[\s>]/.test(html[end] ?? '>') ? '' : ' ' };
}
