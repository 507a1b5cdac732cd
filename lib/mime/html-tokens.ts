/**
 * The one place that knows htmlparser2: HTML text to tags and comments with their offsets.
 *
 * Foreign content (SVG, MathML) is not told apart here. Where browsers would read the same characters in two ways, as text
 * or as markup, the caller gets the raw range and looks at both.
 */
import { Tokenizer } from 'htmlparser2';

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
  /** Whether the text ends inside the tag, whose last attribute may be missing here. */
  readonly isCutOff: boolean;
}

/** What {@link tokenize} reports, in order of the text. */
export interface TokenHandler {
  onOpenTag(tag: OpenTag): void;
  onCloseTag(name: string, start: number, end: number): void;
  /** What is between the marks of a comment, CDATA section or `<!…>`. */
  onComment(start: number, end: number): void;
}

/** Walks over HTML once. Any text will do; nothing throws. */
export function tokenize(html: string, handler: TokenHandler): void {
  let tag: { name: string; attributes: Attribute[]; start: number } | undefined;
  let attribute = { name: '', value: '', start: 0 };
  const endTag = (end: number, isCutOff = false) => {
    if (tag) handler.onOpenTag({ ...tag, end, isCutOff });
    tag = undefined;
  };
  const tokenizer = new Tokenizer(
    { decodeEntities: true },
    {
      onopentagname(start, end) {
        tag = { name: html.slice(start, end).toLowerCase(), attributes: [], start: start - 1 };
      },
      onopentagend: (end) => endTag(end + 1),
      onselfclosingtag: (end) => endTag(end + 1),
      onattribname(start, end) {
        attribute = { name: html.slice(start, end).toLowerCase(), value: '', start };
      },
      onattribdata(start, end) {
        attribute.value += html.slice(start, end);
      },
      onattribentity(codePoint) {
        attribute.value += String.fromCodePoint(codePoint);
      },
      onattribend(_, end) {
        tag?.attributes.push({ ...attribute, end });
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
      ondeclaration: () => {},
      onprocessinginstruction: (start, end) => handler.onComment(start, end),
      ontext: () => {},
      ontextentity: () => {},
      onend: () => {},
    },
  );
  tokenizer.write(html);
  tokenizer.end();
  endTag(html.length, true);
}
