/**
 * What a page fetches from elsewhere just by being shown: pictures, style sheets, fonts, sounds. Whoever serves them learns
 * that the mail was read, when and where.
 */
import { type ActiveContent, attributeCut, type Cut, type HtmlRemoval, RAW } from './html.ts';
import { type Attribute, type OpenTag, tokenize } from './html-tokens.ts';
import type { Steps } from './slice.ts';

/** Attributes that are fetched wherever they stand. */
const FETCHED = new Set(
  'src lowsrc dynsrc poster background data icon manifest codebase archive attributionsrc'.split(' '),
);
/** Those that hold several URLs. */
const FETCHED_LISTS = new Set(['srcset', 'imagesrcset']);
/** Elements whose `href` is fetched, or is what relative URLs begin at: links wait to be clicked. */
const FETCHING = new Set(['link', 'base', 'image', 'use', 'feimage']);
/** Comments and raw text within such. */
const HIDDEN_LEVELS = 3;

interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly level: number;
}

/** A range of a text. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** Finds, in steps, what a page fetches from elsewhere: attributes, and URLs in its style texts. */
export function* findRemote(whole: string, isXml: boolean): Steps<ActiveContent> {
  const cuts: Cut[] = [];
  const removed: HtmlRemoval[] = [];
  const waiting: Stretch[] = [{ from: 0, to: whole.length, level: 0 }];
  for (let stretch = waiting.pop(); stretch; stretch = waiting.pop()) {
    yield* findIn(whole, stretch, isXml, cuts, removed, waiting);
  }
  return { cuts: cuts.toSorted((a, b) => a.start - b.start), removed };
}

function* findIn(
  whole: string,
  { from, to, level }: Stretch,
  isXml: boolean,
  cuts: Cut[],
  removed: HtmlRemoval[],
  waiting: Stretch[],
): Steps<void> {
  const html = level === 0 ? whole : whole.slice(from, to);
  const add = (removal: HtmlRemoval, { start, end, replacement }: Cut): void => {
    cuts.push({ start: from + start, end: from + end, replacement });
    removed.push(removal);
  };
  const lookInside = (start: number, end: number): void => {
    if (level < HIDDEN_LEVELS && end > start)
      waiting.push({ from: from + start, to: from + end, level: level + 1 });
  };
  /** The element whose content is text: a style sheet, or what browsers take for markup now and then. */
  let raw: { readonly name: string; readonly start: number } | undefined;
  const endRaw = (end: number): void => {
    if (raw === undefined) return;
    const { name, start } = raw;
    raw = undefined;
    if (!isStyle(name)) lookInside(start, end);
    else {
      const css = html.slice(start, end);
      // In SVG it may be markup, too: there is no telling what of it is which.
      const ranges = holdsMarkup(css) ? [{ start: 0, end: css.length }] : remoteInStyle(css);
      for (const range of ranges) {
        add(
          { kind: 'element', name },
          { start: start + range.start, end: start + range.end, replacement: '' },
        );
      }
    }
  };
  const handler = {
    onOpenTag(tag: OpenTag) {
      if (raw !== undefined) return;
      for (const attribute of tag.attributes) {
        const { name } = attribute;
        if (fetches(tag, attribute)) add({ kind: 'attribute', name }, attributeCut(html, attribute));
      }
      const isRaw = isXml ? isStyle(tag.name) && !tag.isSelfClosing : RAW.has(tag.name);
      if (isRaw) raw = { name: tag.name, start: tag.end };
    },
    onCloseTag(name: string, start: number) {
      if (raw?.name === name) endRaw(start);
    },
    onComment(start: number, end: number) {
      if (raw === undefined) lookInside(start, end);
    },
  };
  yield* tokenize(html, handler, isXml);
  endRaw(html.length);
}

function isStyle(name: string): boolean {
  return name === 'style' || name.endsWith(':style');
}

function fetches(tag: OpenTag, { name, value }: Attribute): boolean {
  const element = tag.name.slice(tag.name.lastIndexOf(':') + 1);
  const bare = name.slice(name.lastIndexOf(':') + 1);
  if (FETCHED.has(bare)) return isRemote(value);
  if (FETCHED_LISTS.has(bare)) return value.split(',').some(isRemote);
  if (bare === 'href') return FETCHING.has(element) && isRemote(value);
  // What holds style text: style, and in SVG fill, filter, mask and so on.
  return bare !== 'alt' && bare !== 'title' && remoteInStyle(value).length > 0;
}

function holdsMarkup(css: string): boolean {
  return /<[a-z]/i.test(css) && /[\s/"'](?:src|srcset|href|background|poster|data|style)\s*=/i.test(css);
}

/** Schemes of what is in the message or in the URL itself. */
const INSIDE = new Set(['cid', 'mid', 'data', 'about', 'blob', 'javascript']);

/** Whether something must be asked for elsewhere to have what this URL names. */
function isRemote(url: string): boolean {
  const tidy = url.replace(/[\0-\x20\x7f]/g, '');
  // Browsers take either slash, and Windows asks file servers.
  if (/^[\\/]{2}/.test(tidy)) return true;
  const [, scheme] = /^([a-z][a-z\d+.-]*):/i.exec(tidy) ?? [];
  return scheme !== undefined && !INSIDE.has(scheme.toLowerCase());
}

/** No page has so much of it. */
const MAX_STYLE = 1 << 20;
/** What may fetch something in style text. Anything else of a style text is nearly all of it. */
const MAY_FETCH = /url|image-set|@import|\\/i;
const URL_FUNCTION = /url\s*\(\s*(?:"([^"]*)"?|'([^']*)'?|([^)]*))[^)]*\)?/gi;
const IMAGE_SET = /image-set\s*\([^;}]*/gi;
const IMPORT = /@import\b[^;]*;?/gi;

/** The ranges of a style text by which it fetches something from elsewhere. */
function remoteInStyle(css: string): readonly Range[] {
  if (!MAY_FETCH.test(css)) return [];
  const all = [{ start: 0, end: css.length }];
  if (css.length > MAX_STYLE) return all;
  if (css.includes('\\')) return remoteInStyle(unescaped(css)).length > 0 ? all : [];
  // Comments may stand between any two words.
  const bare = css.includes('/*')
    ? css.replace(/\/\*.*?(?:\*\/|$)/gs, (comment) => ' '.repeat(comment.length))
    : css;
  const found: Range[] = [];
  const look = (pattern: RegExp, isFetching: (match: RegExpMatchArray) => boolean): void => {
    for (const match of bare.matchAll(pattern)) {
      const start = match.index;
      const end = start + match[0].length;
      if (isFetching(match)) found.push({ start, end });
    }
  };
  const quotesRemote = ([text]: RegExpMatchArray): boolean =>
    [...text.matchAll(/["'(]\s*([^"')]*)/g)].some(([, url = '']) => isRemote(url));
  look(IMPORT, quotesRemote);
  look(IMAGE_SET, quotesRemote);
  look(URL_FUNCTION, ([, double, single, plain]) => isRemote(double ?? single ?? plain ?? ''));
  let behind = 0;
  return found
    .toSorted((a, b) => a.start - b.start || b.end - a.end)
    .filter(({ start, end }) => {
      if (start < behind) return false;
      behind = end;
      return true;
    });
}

/** Style text with its escapes undone. */
function unescaped(css: string): string {
  const plain = css.replace(/\\(?:([\da-f]{1,6})\s?|(.))/gis, (_, hex: string | undefined, other = '') =>
    hex === undefined ? other : String.fromCodePoint(Math.min(Number.parseInt(hex, 16), 0x10ffff)),
  );
  return plain.replaceAll('\\', '/');
}
