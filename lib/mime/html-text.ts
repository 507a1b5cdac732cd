/**
 * What a page says: the text that its reader sees, the text that is hidden from him, and where its links go. For judging
 * what is written; nothing here is good for showing.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';
import { isHidingRule, styleHides } from './html-styles.ts';
import { type OpenTag, tokenize } from './html-tokens.ts';
import { finish, finishInTurns, type Steps } from './slice.ts';

/** A page as {@link readPage} reads it. */
export interface PageText {
  /** What is seen; blocks are apart by line ends, inline elements are not apart at all. */
  readonly visible: string;
  /** What styles hide: not shown, of no size, in the colour of its background. */
  readonly hidden: string;
  /** Values of attributes that hold addresses, in order, each once; at most 1000. */
  readonly links: readonly string[];
  /** Names of elements with those of their attributes, such as `img`, `img.width`, each once; at most 1000. */
  readonly marks: readonly string[];
}

const MAX_LISTED = 1_000;
/** Characters of a style sheet, of a rule in it, and of what that is for. */
const MAX_SHEET = 65_536;
const MAX_RULE = 2_000;
const MAX_SELECTORS = 500;
/** Open elements that are kept account of: those deeper inherit from the last. */
const MAX_DEPTH = 256;

/** Elements that stand apart from what is around them. Any other, known or not, may stand within a word. */
const BLOCKS = new Set(
  (
    'address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption figure footer form ' +
    'frame frameset h1 h2 h3 h4 h5 h6 head header hr html iframe legend li main menu nav ol option p pre search section select summary ' +
    'table tbody td textarea tfoot th thead title tr ul'
  ).split(' '),
);
/** Elements without content and end tag. */
const VOID = new Set(
  'area base basefont bgsound br col embed frame hr img input link meta param source track wbr'.split(' '),
);
/** Elements whose content is not shown, and is no text either. */
const SILENT = new Set(['script', 'style', 'template', 'noembed', 'noframes']);
const ADDRESSES = new Set(['href', 'src', 'action', 'formaction', 'background', 'data', 'poster']);
/** Attributes whose text stands for the element. */
const SPOKEN = new Set(['alt', 'title', 'placeholder']);

interface Open {
  readonly name: string;
  readonly isHidden: boolean;
  /** Its text, but not that of elements in it that have another colour. */
  readonly isUnseen: boolean;
  readonly isSilent: boolean;
  readonly color: string;
  readonly background: string;
}

/** Reads HTML text. Any text will do; time is linear in its length. */
export function readPage(html: string): PageText {
  checkValue('readPage: the HTML', html, text, wrongArgument);
  return finish(readSteps(html));
}

/** The same in turns of the event loop, for who has other work than this. */
export async function readPageInTurns(html: string): Promise<PageText> {
  checkValue('readPageInTurns: the HTML', html, text, wrongArgument);
  return await finishInTurns(readSteps(html));
}

function* readSteps(html: string): Steps<PageText> {
  const visible: string[] = [];
  const hidden: string[] = [];
  const links = new Set<string>();
  const marks = new Set<string>();
  const hidingNames = new Set<string>();
  const open: Open[] = [
    { name: '', isHidden: false, isUnseen: false, isSilent: false, color: 'black', background: 'white' },
  ];
  let wasHidden = false;
  const innermost = (): Open | undefined => open.at(-1);
  const add = (set: Set<string>, value: string): void => {
    if (set.size < MAX_LISTED) set.add(value);
  };
  const breakLine = (): void => {
    visible.push('\n');
    hidden.push('\n');
  };
  const enter = (tag: OpenTag): void => {
    const around = innermost();
    if (around === undefined) return;
    add(marks, tag.name);
    const attributes = new Map(tag.attributes.map(({ name, value }) => [name, value]));
    for (const [name, value] of attributes) {
      add(marks, `${tag.name}.${name}`);
      if (ADDRESSES.has(name) && value !== '') add(links, value.trim().slice(0, 2_000));
      if (SPOKEN.has(name)) (around.isHidden ? hidden : visible).push(' ', value, ' ');
    }
    if (VOID.has(tag.name) || open.length >= MAX_DEPTH) return;
    const style = attributes.size === 0 ? { ...around, isHidden: false } : styleHides(attributes, around);
    open.push({
      ...style,
      name: tag.name,
      isHidden: around.isHidden || style.isHidden || isHidingRule(attributes, tag.name, hidingNames),
      isSilent: around.isSilent || SILENT.has(tag.name),
    });
  };
  yield* tokenize(html, {
    onOpenTag: (tag) => {
      if (BLOCKS.has(tag.name)) breakLine();
      enter(tag);
    },
    onCloseTag: (name) => {
      if (BLOCKS.has(name)) breakLine();
      const at = open.findLastIndex((one) => one.name === name);
      if (at > 0) open.length = at;
    },
    onComment: () => {},
    onText: (text) => {
      const at = innermost();
      if (at?.name === 'style') for (const name of hidingRules(text)) add(hidingNames, name);
      if (at === undefined || at.isSilent) return;
      // Two texts that are hidden apart are no one word.
      const isHidden = at.isHidden || at.isUnseen;
      if (isHidden && !wasHidden) hidden.push('\n');
      wasHidden = isHidden;
      (isHidden ? hidden : visible).push(text);
    },
  });
  return { visible: visible.join(''), hidden: hidden.join(''), links: [...links], marks: [...marks] };
}

/** The simple selectors (`.class`, `#id`, `element`) that a style sheet hides. */
function hidingRules(sheet: string): readonly string[] {
  const found: string[] = [];
  // Not by one expression, which would begin anew at each letter of what is no rule.
  const rules = sheet.slice(0, MAX_SHEET).split('}').slice(0, -1);
  for (const rule of rules) {
    const [selectors = '', body] = rule.split('{').slice(-2);
    if (body === undefined || body.length > MAX_RULE) continue;
    const attributes = new Map([['style', body]]);
    if (!styleHides(attributes, { color: '', background: '' }).isHidden) continue;
    for (const one of selectors.slice(-MAX_SELECTORS).split(',')) {
      const name = one.trim().toLowerCase();
      if (/^[.#]?[\w-]+$/.test(name)) found.push(name);
    }
  }
  return found;
}
