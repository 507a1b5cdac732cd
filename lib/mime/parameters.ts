/**
 * Content-Type and Content-Disposition: a value and its parameters (RFC 2045 section 5.1, RFC 2183), read as mail
 * readers do: continuations and charsets of RFC 2231, encoded words where RFC 2047 forbids them, missing quotes and
 * semicolons, duplicates.
 */
import { decodeCharset } from './charsets.ts';
import { type Comments, NO_COMMENTS, pairBrackets, withoutComments } from './comments.ts';
import { decodeWords } from './words.ts';

/** One parameter, decoded. A name may come more than once. */
export interface Parameter {
  /** Lower case, without the marks of RFC 2231. */
  readonly name: string;
  /** Decoded (RFC 2231), without quotes. */
  readonly value: string;
}

/** A parameter as it stands in the field. */
interface RawParameter {
  readonly name: string;
  /** Unquoted, not decoded. */
  readonly value: string;
  /** The part of the field's text it takes, from its first character to before the next semicolon. */
  readonly start: number;
  readonly end: number;
  /** Whether its quote is never closed. */
  readonly isOpen: boolean;
}

const NONE: readonly never[] = [];

/** A structured field's value and parameters. */
export class Structured {
  /** What stands before the first semicolon, lower case, without white space, quotes and comments. */
  readonly value: string;
  /** The text of the field before its parameters. */
  readonly head: string;
  readonly #text: string;
  readonly #raw: readonly RawParameter[];
  /** The parameters as other readers see them, who know comments everywhere, or not at all. */
  readonly #others: readonly (readonly RawParameter[])[];
  #parameters: readonly Parameter[] | undefined;

  constructor(
    text: string,
    head: string,
    raw: readonly RawParameter[],
    others: readonly (readonly RawParameter[])[],
  ) {
    this.#text = text;
    this.head = head;
    const bare = withoutComments(head).trim();
    this.value = (/[\s"]/.test(bare) ? bare.replace(/[\s"]+/g, '') : bare).toLowerCase();
    this.#raw = raw;
    this.#others = others;
  }

  /**
   * All parameters in order, decoded; the pieces of one RFC 2231 value put together where the first stood. Behind them those
   * that only some readers see.
   */
  get parameters(): readonly Parameter[] {
    this.#parameters ??= joinReadings(decodeParameters(this.#raw), this.#others);
    return this.#parameters;
  }

  /** The value of a parameter: of duplicates the first, but one in RFC 2231's form before a plain one. */
  get(name: string): string | undefined {
    return this.parameters.find((parameter) => parameter.name === name)?.value;
  }

  /**
   * Every value that some reader may take for this parameter, the likeliest first. It is no text for people, such as a
   * boundary: encoded words in it are what they look like.
   */
  literals(name: string): readonly string[] {
    const values = new Set<string>();
    const add = (parameters: readonly Parameter[]) => {
      for (const parameter of parameters) if (parameter.name === name) values.add(parameter.value);
    };
    add(this.#raw);
    this.#others.forEach(add);
    add(this.parameters);
    return [...values];
  }

  /** The field's text with these parameters set, those given as undefined left out, all others as they were written. */
  with(changes: Readonly<Record<string, string | undefined>>): string {
    // What was received may hold what must not be written; what takes its place may read otherwise (a space for a NUL).
    const writable = this.#text.replace(/\0|\r(?!\n)|\r?\n(?![ \t])/g, ' ');
    if (writable !== this.#text) return parseStructured(writable).with(changes);
    const kept = this.#raw.filter((raw) => !Object.hasOwn(changes, bareName(raw.name)));
    const isHeadless = (this.#raw[0]?.start ?? Infinity) < this.head.length;
    let text = isHeadless ? '' : this.head.trim();
    for (const { start, end, isOpen } of kept) {
      text += `${text === '' ? '' : '; '}${this.#text.slice(start, end).trim()}`;
      // A quote that was never closed would take in what is written behind it.
      if (isOpen) text += /(?<!\\)(?:\\\\)*\\$/.test(text) ? '\\"' : '"';
    }
    for (const [name, value] of Object.entries(changes)) {
      if (value !== undefined) text += `${text === '' ? '' : ';\r\n\t'}${formatParameter(name, value)}`;
    }
    return text;
  }
}

function bareName(name: string): string {
  const star = name.indexOf('*');
  return star < 0 ? name : name.slice(0, star);
}

/**
 * Where a reader sees comments: between words, as most mails mean brackets (`report (1).pdf` has none); wherever RFC 822
 * has them, inside an unquoted value too; or nowhere, as not all readers know them.
 */
type CommentsSeen = 'apart' | 'everywhere' | 'nowhere';

/** Reads a structured field's text, folding and leading white space included. Never throws. */
export function parseStructured(text: string): Structured {
  const comments = pairBrackets(text);
  const { head, raw } = new FieldReader(text, comments, 'apart').read();
  if (comments.closes.size === 0) return new Structured(text, head, raw, NONE);
  const others = (['everywhere', 'nowhere'] as const).map(
    (seen) => new FieldReader(text, comments, seen).read().raw,
  );
  return new Structured(text, head, raw, others);
}

/** Parameters by name. */
export function toRecord(parameters: readonly Parameter[]): Readonly<Record<string, string>> {
  // The preferred one comes first, and of equal keys fromEntries keeps the last.
  return Object.fromEntries(parameters.toReversed().map(({ name, value }) => [name, value]));
}

/** What all readers see, then what only some do. */
function joinReadings(
  usual: readonly Parameter[],
  others: readonly (readonly RawParameter[])[],
): readonly Parameter[] {
  if (others.length === 0) return usual;
  const key = ({ name, value }: Parameter) => `${name}=${value}`;
  const seen = new Set(usual.map(key));
  const joined = [...usual];
  for (const parameter of others.flatMap(decodeParameters)) {
    if (seen.has(key(parameter))) continue;
    seen.add(key(parameter));
    joined.push(parameter);
  }
  return joined;
}

/** One reading of one field. */
class FieldReader {
  readonly #text: string;
  readonly #comments: Comments;
  readonly #hasComments: boolean;
  readonly #seen: CommentsSeen;

  constructor(text: string, comments: Comments, seen: CommentsSeen) {
    this.#text = text;
    this.#comments = seen === 'nowhere' ? NO_COMMENTS : comments;
    this.#hasComments = this.#comments.closes.size > 0;
    this.#seen = seen;
  }

  read(): { readonly head: string; readonly raw: readonly RawParameter[] } {
    const text = this.#text;
    const headEnd = this.#semicolon(0, true);
    const raw: RawParameter[] = [];
    // Where the value was left out (`filename=a.exe`), readers take the first parameter all the same.
    let position = /^\s*[\w*-]+\s*=/.test(text) ? 0 : headEnd;
    while (position < text.length) {
      const start = this.#skipFill(position, isFillCode);
      const nameEnd = this.#nameEnd(start);
      const equals = this.#skipFill(nameEnd, isBlankCode);
      if (nameEnd === start || text[equals] !== '=') {
        // No parameter: on to the next semicolon.
        position = this.#semicolon(Math.max(start, position + 1), true);
        continue;
      }
      const name = text.slice(start, nameEnd).toLowerCase();
      const { value, end, isOpen } = this.#readValue(this.#skipFill(equals + 1, isBlankCode));
      raw.push({ name, value, start, end, isOpen });
      position = end;
    }
    return { head: text.slice(0, headEnd), raw };
  }

  /** Behind what fills the space between words, comments among it. */
  #skipFill(start: number, fills: (code: number) => boolean): number {
    let i = start;
    for (;;) {
      i = skip(this.#text, i, fills);
      if (!this.#hasComments) return i;
      const close = this.#comments.closes.get(i);
      if (close === undefined) return i;
      i = close + 1;
    }
  }

  #nameEnd(start: number): number {
    const seesInside = this.#hasComments && this.#seen === 'everywhere';
    let i = start;
    while (i < this.#text.length && isNameCode(this.#text.charCodeAt(i))) {
      if (seesInside && this.#comments.closes.has(i)) break;
      i++;
    }
    return i;
  }

  /** The next semicolon that is not in a comment; the end if there is none. */
  #semicolon(start: number, isBetweenWords: boolean): number {
    const text = this.#text;
    let from = start;
    if (this.#hasComments) {
      for (; from < text.length && text[from] !== ';'; from++) {
        const close = this.#comments.closes.get(from);
        if (close === undefined) continue;
        const isComment =
          isBetweenWords || this.#seen === 'everywhere' || from === start || isBlank(text, from - 1);
        if (isComment) from = close;
      }
    }
    const semicolon = text.indexOf(';', from);
    return semicolon < 0 ? text.length : semicolon;
  }

  /** Reads a value, quoted or not, and where it ends: at a semicolon, at the end, or where the next parameter begins. */
  #readValue(start: number): { value: string; end: number; isOpen: boolean } {
    const text = this.#text;
    let value = '';
    let position = start;
    if (text[position] === '"') {
      position++;
      let pieceStart = position;
      for (; position < text.length && text[position] !== '"'; position++) {
        if (text[position] !== '\\') continue;
        value += text.slice(pieceStart, position);
        pieceStart = ++position;
      }
      value += text.slice(pieceStart, position);
      if (position >= text.length) return { value: unfold(value), end: text.length, isOpen: true };
      position++;
      const next = this.#skipFill(position, isBlankCode);
      const nameEnd = this.#nameEnd(next);
      // A forgotten semicolon.
      if (next > position && nameEnd > next && text[this.#skipFill(nameEnd, isBlankCode)] === '=') {
        return { value: unfold(value), end: next, isOpen: false };
      }
    }
    const end = this.#semicolon(position, false);
    // Text right behind the closing quote is glued on: some readers take it for part of the name.
    const isApart =
      position > start &&
      (isBlank(text, position) || (this.#hasComments && this.#comments.closes.has(position)));
    const rest = isApart ? '' : this.#unquoted(position, withoutFields(text, position, end));
    return { value: unfold(value + rest), end, isOpen: false };
  }

  /** An unquoted value without the comments seen in it. */
  #unquoted(start: number, end: number): string {
    const text = this.#text.slice(start, end);
    if (!this.#hasComments) return text.trim();
    if (this.#seen === 'everywhere') return withoutComments(text).trim();
    let last = start + text.trimEnd().length;
    for (;;) {
      const open = this.#comments.opens.get(last - 1);
      if (open === undefined || open < start || (open > start && !isBlank(this.#text, open - 1))) break;
      last = start + this.#text.slice(start, open).trimEnd().length;
    }
    return this.#text.slice(start, last).trim();
  }
}

/** Where a value ends in front of a folded line that looks like a field: somebody indented it by mistake. */
function withoutFields(text: string, start: number, end: number): number {
  const value = text.slice(start, end);
  const field = value.includes('\n') ? value.search(/\n[ \t]+[A-Za-z][\w-]*:/) : -1;
  return field < 0 ? end : start + field;
}

/** Folded lines joined: the line break goes, the white space stays as one space. */
function unfold(text: string): string {
  return text.includes('\n') ? text.replace(/\r?\n[ \t]*/g, ' ') : text;
}

function skip(text: string, start: number, accepts: (code: number) => boolean): number {
  let i = start;
  while (i < text.length && accepts(text.charCodeAt(i))) i++;
  return i;
}

function isBlank(text: string, index: number): boolean {
  return index < text.length && isBlankCode(text.charCodeAt(index));
}

function isBlankCode(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** What may stand between parameters. */
function isFillCode(code: number): boolean {
  return isBlankCode(code) || code === 0x3b;
}

/** What a name may consist of: more than a token, less than what ends it. */
function isNameCode(code: number): boolean {
  return code > 0x20 && code !== 0x3b && code !== 0x3d && code !== 0x22 && code !== 0x7f;
}

function decodeParameters(raws: readonly RawParameter[]): readonly Parameter[] {
  if (!raws.some(({ name }) => name.includes('*'))) {
    return raws.map(({ name, value }) => ({ name, value: decodeWords(value) }));
  }
  const extended = new Map<string, Piece[]>();
  const plain: Parameter[] = [];
  for (const { name, value } of raws) {
    const form = /^(.+?)\*(?:(\d{1,4})(\*?))?$/.exec(name);
    if (!form) {
      plain.push({ name, value: decodeWords(value) });
      continue;
    }
    const [, bare = '', index, star] = form;
    const pieces = extended.get(bare) ?? [];
    extended.set(bare, pieces);
    pieces.push({ index: Number(index ?? 0), encoded: index === undefined || star === '*', value });
  }
  const joined = [...extended].flatMap(([name, pieces]) =>
    joinPieces(pieces).map((value) => ({ name, value })),
  );
  // The extended form comes first: a reader that knows it prefers it (RFC 6266 section 4.3 says the same of HTTP).
  return [...joined, ...plain];
}

/** One piece of a value in the form of RFC 2231 section 3. */
interface Piece {
  readonly index: number;
  readonly encoded: boolean;
  readonly value: string;
}

/** One value of the pieces `name*0*=`, `name*1=` …, sorted by number; each repeated number 0 begins another. */
function joinPieces(pieces: readonly Piece[]): string[] {
  const groups: Piece[][] = [];
  for (const piece of pieces.toSorted((a, b) => a.index - b.index)) {
    const last = groups.at(-1);
    if (!last || piece.index === 0) groups.push([piece]);
    else last.push(piece);
  }
  return groups.flatMap((group) => {
    // Where a number is missing some readers stop.
    const gap = group.findIndex(({ index }, i) => i > 0 && index !== (group[i - 1]?.index ?? 0) + 1);
    return (gap < 0 ? [group] : [group, group.slice(0, gap)]).map(joinGroup);
  });
}

function joinGroup(group: readonly Piece[]): string {
  let charset = '';
  const bytes = group.map(({ encoded, value }, position) => {
    if (!encoded) return Buffer.from(value, 'utf8');
    let text = value;
    const frame = position === 0 ? /^([^']*)'[^']*'/.exec(value) : null;
    if (frame) {
      charset = frame[1] ?? '';
      text = value.slice(frame[0].length);
    }
    return percentDecode(text);
  });
  return decodeWords(decodeCharset(Buffer.concat(bytes), charset));
}

function percentDecode(text: string): Buffer {
  if (!text.includes('%')) return Buffer.from(text, 'utf8');
  const pieces = text.split(/%([0-9a-f]{2})/i);
  // Every second piece is what the group caught: the two digits of an escape.
  return Buffer.concat(pieces.map((piece, i) => Buffer.from(piece, i % 2 === 1 ? 'hex' : 'utf8')));
}

/** Writes `name=value` as a token, a quoted string, or for anything but printable ASCII in RFC 2231's form. */
export function formatParameter(name: string, value: string): string {
  if (/^[\w!#$&+.^`{|}~-]+$/.test(value)) return `${name}=${value}`;
  if (/^[\x20-\x7e]{0,200}$/.test(value)) return `${name}="${value.replace(/["\\]/g, '\\$&')}"`;
  const escaped = [...Buffer.from(value.toWellFormed(), 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9.~_-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
  const pieces = escaped.match(/(?:%[0-9A-F]{2}|[^%]){1,50}/g) ?? [];
  if (pieces.length <= 1) return `${name}*=utf-8''${escaped}`;
  return pieces.map((piece, i) => `${name}*${i}*=${i === 0 ? "utf-8''" : ''}${piece}`).join(';\r\n\t');
}
