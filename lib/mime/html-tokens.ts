/**
 * The one place that knows htmlparser2: HTML text to tags and comments with their offsets.
 *
 * Foreign content (SVG, MathML) is not told apart here. Where browsers would read the same characters in two ways, as text
 * or as markup, the caller gets the raw range and looks at both.
 */
import { Tokenizer, type TokenizerCallbacks } from 'htmlparser2';
import type { Steps } from './slice.ts';

/** Characters that are looked at before others may work. */
const STEP = 65_536;

/** One attribute as written. */
export interface Attribute {
  /** Lower case. */
  readonly name: string;
  /** Entities decoded. */
  readonly value: string;
  /** From the first character of the name to behind the value and its quote. */
  readonly start: number;
  readonly end: number;
}

/** An opening tag. */
export interface OpenTag {
  /** Lower case. */
  readonly name: string;
  readonly attributes: readonly Attribute[];
  readonly start: number;
  /** Behind the `>`. */
  readonly end: number;
  /** Whether it ends in `/>`, which in XML makes an element of its own. */
  readonly isSelfClosing: boolean;
  /** Whether the text ends inside the tag, whose last attribute may be missing here. */
  readonly isCutOff: boolean;
}

/** What {@link tokenize} reports, in order of the text. */
export interface TokenHandler {
  onOpenTag(tag: OpenTag): void;
  onCloseTag(name: string, start: number, end: number): void;
  /** What is between the marks of a comment, CDATA section or `<!…>`. */
  onComment(start: number, end: number): void;
  /** Text between tags in pieces, entities decoded; that of scripts and style sheets as it stands. Slower where it is asked for. */
  onText?(text: string): void;
}

/** Walks over HTML, or XML, once, in steps. Any text will do; nothing throws. */
export function* tokenize(html: string, handler: TokenHandler, xmlMode = false): Steps<void> {
  let tag: Pick<OpenTag, 'name' | 'start'> | undefined;
  let name = '';
  let nameStart = 0;
  let value = '';
  const endTag = (end: number, isSelfClosing: boolean, isCutOff: boolean) => {
    if (!tag) return;
    handler.onOpenTag({ name: tag.name, attributes, start: tag.start, end, isSelfClosing, isCutOff });
    tag = undefined;
  };
  let attributes: Attribute[] = [];
  const onText = handler.onText?.bind(handler);
  const tokenizer = new Tokenizer(
    // Text is skipped faster when entities in it are not looked at; those of attributes are decoded below.
    { decodeEntities: onText !== undefined, xmlMode },
    {
      ...NOTHING,
      ...(onText && {
        ontext: (start, end) => onText(html.slice(start, end)),
        ontextentity: (codePoint) => onText(String.fromCodePoint(codePoint)),
        onattribentity(codePoint) {
          value += String.fromCodePoint(codePoint);
        },
      }),
      onopentagname(start, end) {
        attributes = [];
        tag = { name: html.slice(start, end).toLowerCase(), start: start - 1 };
      },
      onopentagend: (end) => endTag(end + 1, false, false),
      onselfclosingtag: (end) => endTag(end + 1, true, false),
      onattribname(start, end) {
        name = html.slice(start, end).toLowerCase();
        nameStart = start;
        value = '';
      },
      onattribdata(start, end) {
        // A value comes in two where a step ends in it.
        value += html.slice(start, end);
      },
      onattribend(_, end) {
        const decoded = onText === undefined ? decodeAttribute(value) : value;
        attributes.push({ name, value: decoded, start: nameStart, end });
      },
      onclosetag(start, end) {
        const close = html.indexOf('>', end);
        handler.onCloseTag(
          html.slice(start, end).toLowerCase(),
          start - 2,
          close < 0 ? html.length : close + 1,
        );
      },
      oncomment: (start, end, marks) => handler.onComment(start, end - marks),
      oncdata: (start, end, marks) => handler.onComment(start, end - marks),
      onprocessinginstruction: (start, end) => handler.onComment(start, end),
    },
  );
  for (let start = 0; start < html.length; start += STEP) {
    tokenizer.write(html.slice(start, start + STEP));
    yield;
  }
  tokenizer.end();
  endTag(html.length, false, true);
}

const ignore = () => {};
const NOTHING: TokenizerCallbacks = {
  onattribdata: ignore,
  onattribend: ignore,
  onattribentity: ignore,
  onattribname: ignore,
  oncdata: ignore,
  onclosetag: ignore,
  oncomment: ignore,
  ondeclaration: ignore,
  onend: ignore,
  onopentagend: ignore,
  onopentagname: ignore,
  onprocessinginstruction: ignore,
  onselfclosingtag: ignore,
  ontext: ignore,
  ontextentity: ignore,
};

/** An attribute's value with its entities decoded, as the parser decodes them. */
function decodeAttribute(raw: string): string {
  if (!raw.includes('&')) return raw;
  const source = `<a b="${raw.replaceAll('"', '&quot;')}">`;
  let value = '';
  const decoder = new Tokenizer(
    { decodeEntities: true },
    {
      ...NOTHING,
      onattribdata(start, end) {
        value += source.slice(start, end);
      },
      onattribentity(codePoint) {
        value += String.fromCodePoint(codePoint);
      },
    },
  );
  decoder.write(source);
  return value;
}
