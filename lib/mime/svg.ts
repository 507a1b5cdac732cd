/**
 * Taking what acts out of SVG pictures, which browsers open as documents: scripts and handlers as in HTML, and beyond that
 * HTML inside (`foreignObject`), what is fetched from elsewhere, and XML's ways to hide either (entities, style sheets).
 */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';
import {
  type ActiveContent,
  applyToText,
  type Cut,
  type Dialect,
  findActive,
  type HtmlRemoval,
  isScriptUrl,
} from './html.ts';
import { type Attribute, type OpenTag, tokenize } from './html-tokens.ts';
import { finish, type Steps } from './slice.ts';

const SVG: Dialect = {
  isXml: true,
  wholes: new Set(['foreignobject', 'handler', 'audio', 'video']),
  acts: fetchesOrAnimates,
};

/** XML that is no SVG but may hold pages: what it fetches is its own affair. */
const XML: Dialect = { isXml: true, wholes: new Set(), acts: () => false };

/** What makes a browser act on XML: the namespaces of SVG, of XHTML, and of what can make either. */
const ACTING_NAMESPACES = ['www.w3.org/2000/svg', 'www.w3.org/1999/xhtml', 'www.w3.org/1999/XSL/Transform'];

/**
 * Takes what acts out of the text of an SVG picture: scripts, `on…` handlers, script URLs, `foreignObject`, references to
 * anything outside the picture but links (`<a>`), style sheets that have some, entities other than plain URLs. All else stays
 * character for character.
 */
export function cleanSvg(svg: string): { readonly html: string; readonly removed: readonly HtmlRemoval[] } {
  checkValue('cleanSvg: the SVG', svg, text, wrongArgument);
  return applyToText(svg, finish(findActiveInXml(svg, true)));
}

/** So often a picture is looked at again; an honest one is clean when it was cut once. */
const MOST_ROUNDS = 8;

/**
 * Finds, in steps, what {@link cleanSvg} takes out; of other XML that a browser may act on what acts. What is found by
 * itself (tags, entities, instructions) may be a part of something else, which is whole, or is markup at all, only when that
 * is cut: so what is left is looked at again until nothing is found. Of a text that goes on and on nothing stays.
 */
export function* findActiveInXml(xml: string, isSvg: boolean): Steps<ActiveContent> {
  if (!isSvg && !ACTING_NAMESPACES.some((namespace) => xml.includes(namespace)) && !xml.includes('<!ENTITY'))
    return { cuts: [], removed: [] };
  let found: ActiveContent = { cuts: [], removed: [] };
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const more = yield* findOnce(applyToText(xml, found).html, isSvg);
    if (more.cuts.length === 0) return found;
    found = {
      cuts: joinOverlapping([...cutsBehind(found.cuts, more.cuts), ...found.cuts]),
      removed: [...found.removed, ...more.removed],
    };
  }
  const whole = { kind: 'element', name: isSvg ? 'svg' : 'xml' } as const;
  return { cuts: [{ start: 0, end: xml.length, replacement: '' }], removed: [...found.removed, whole] };
}

/** Where `later` cuts, found in what `earlier` ones leave, are in the text before those. */
function cutsBehind(earlier: readonly Cut[], later: readonly Cut[]): readonly Cut[] {
  let next = 0;
  /** How much longer the text was up to here. */
  let longer = 0;
  const before = (place: number, isEnd: boolean): number => {
    for (let cut = earlier[next]; cut !== undefined; cut = earlier[++next]) {
      const at = cut.start - longer;
      if (isEnd ? place <= at : place < at + cut.replacement.length) break;
      longer += cut.end - cut.start - cut.replacement.length;
    }
    return place + longer;
  };
  return later.map(({ start, end, replacement }) => ({
    start: before(start, false),
    end: before(end, true),
    replacement,
  }));
}

function* findOnce(xml: string, isSvg: boolean): Steps<ActiveContent> {
  const { cuts, removed } = yield* findActive(xml, isSvg ? SVG : XML);
  const all = [...cuts];
  const also = [...removed];
  const add = (kind: HtmlRemoval['kind'], name: string, start: number, end: number) => {
    // A "<" in front was text, and must not become markup with what follows.
    all.push({ start, end, replacement: xml[start - 1] === '<' ? ' ' : '' });
    also.push({ kind, name });
  };
  for (const { start, end } of findEntities(xml)) add('declaration', '!entity', start, end);
  let style: { name: string; end: number } | undefined;
  const handler = {
    onOpenTag({ name, end, isSelfClosing }: OpenTag) {
      if (/(?:^|:)style$/.test(name) && !isSelfClosing) style = { name, end };
    },
    onCloseTag(name: string, start: number) {
      if (style?.name !== name) return;
      if (isSvg && fetches(xml.slice(style.end, start))) add('element', name, style.end, start);
      style = undefined;
    },
    onComment(start: number, end: number) {
      // A processing instruction is reported without its brackets.
      if (/^\??xml-stylesheet\b/i.test(xml.slice(start, start + 16)))
        add(
          'declaration',
          '?xml-stylesheet',
          xml.lastIndexOf('<', start),
          xml.indexOf('>', end - 1) + 1 || xml.length,
        );
    },
  };
  yield* tokenize(xml, handler, true);
  return { cuts: joinOverlapping(all), removed: also };
}

function joinOverlapping(cuts: readonly Cut[]): readonly Cut[] {
  const joined: Cut[] = [];
  for (const cut of cuts.toSorted((a, b) => a.start - b.start || b.end - a.end)) {
    const last = joined.at(-1);
    if (!last || cut.start >= last.end) joined.push(cut);
    else if (cut.end > last.end) joined[joined.length - 1] = { ...last, end: cut.end };
  }
  return joined;
}

/** Declarations of entities, but of those that stand for a plain URL, as drawing programs write. */
function* findEntities(xml: string): Generator<{ readonly start: number; readonly end: number }> {
  for (let start = xml.indexOf('<!ENTITY'); start >= 0; ) {
    let end = start;
    let quote = '';
    while (end < xml.length && (quote !== '' || xml[end] !== '>')) {
      const character = xml[end] ?? '';
      if (quote === '' ? character === '"' || character === "'" : character === quote)
        quote = quote === '' ? character : '';
      end++;
    }
    const isUrl = /^<!ENTITY\s+[\w:.-]+\s+(["'])https?:\/\/[^<&%"']*\1\s*$/.test(xml.slice(start, end));
    if (!isUrl) yield { start, end: Math.min(end + 1, xml.length) };
    start = xml.indexOf('<!ENTITY', Math.max(end, start + 8));
  }
}

function fetchesOrAnimates(tag: OpenTag, { name, value }: Attribute): boolean {
  const bare = name.slice(name.lastIndexOf(':') + 1);
  if (bare === 'base') return true;
  // What an animation would set to something else later.
  if (bare === 'attributename') return /^\s*(?:on|(?:[\w-]+:)?href\s*$)/i.test(value);
  if (bare === 'href' || bare === 'src') return !/(?:^|:)a$/.test(tag.name) && !isInside(value);
  return fetches(value);
}

/** Whether a reference stays in the picture. */
function isInside(url: string): boolean {
  const trimmed = url.trim();
  return trimmed === '' || trimmed.startsWith('#') || (/^data:/i.test(trimmed) && !isScriptUrl(trimmed));
}

/** Whether style text refers to anything outside; what is escaped in it may. */
function fetches(css: string): boolean {
  if (/@import|image-set|\\/i.test(css)) return true;
  return [...css.matchAll(/url\s*\(\s*["']?([^"')]*)/gi)].some(([, url = '']) => !isInside(url));
}
