/**
 * Content-Type and Content-Disposition: a value and its parameters (RFC 2045 section 5.1, RFC 2183), read as mail
 * readers do: continuations and charsets of RFC 2231, encoded words where RFC 2047 forbids them, missing quotes and
 * semicolons, duplicates.
 */
import { decodeCharset } from './charsets.ts';
import { decodeWords } from './words.ts';

/** One parameter, decoded. A name may come more than once. */
export interface Parameter {
  /** Lower case, without the marks of RFC 2231. */
  readonly name: string;
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
}

/** A structured field's value and parameters. */
export class Structured {
  /** What stands before the first semicolon, lower case, without white space and comments. */
  readonly value: string;
  /** The text of the field before its parameters. */
  readonly head: string;
  readonly #text: string;
  readonly #raw: readonly RawParameter[];
  #parameters: readonly Parameter[] | undefined;

  constructor(text: string, head: string, raw: readonly RawParameter[]) {
    this.#text = text;
    this.head = head;
    this.value = withoutComments(head).replace(/\s+/g, '').toLowerCase();
    this.#raw = raw;
  }

  /** All parameters in order, decoded; the pieces of one RFC 2231 value put together where the first stood. */
  get parameters(): readonly Parameter[] {
    this.#parameters ??= decodeParameters(this.#raw);
    return this.#parameters;
  }

  /** The value of a parameter: of duplicates the first, but one in RFC 2231's form before a plain one. */
  get(name: string): string | undefined {
    return this.parameters.find((parameter) => parameter.name === name)?.value;
  }

  /** A parameter that is no text for people, such as a boundary: encoded words in it are what they look like. */
  literal(name: string): string | undefined {
    return this.#raw.find((raw) => raw.name === name)?.value ?? this.get(name);
  }

  /** The field's text with these parameters set, those given as undefined left out, all others as they were written. */
  with(changes: Readonly<Record<string, string | undefined>>): string {
    const kept = this.#raw.filter((raw) => !Object.hasOwn(changes, bareName(raw.name)));
    let text = this.head.trim();
    for (const { start, end } of kept) text += `; ${this.#text.slice(start, end).trim()}`;
    for (const [name, value] of Object.entries(changes)) {
      if (value !== undefined) text += `;\r\n\t${formatParameter(name, value)}`;
    }
    // What was received may hold what must not be written.
    return text.replace(/\0|\r(?!\n)|\r?\n(?![ \t])/g, ' ');
  }
}

function bareName(name: string): string {
  const star = name.indexOf('*');
  return star < 0 ? name : name.slice(0, star);
}

/** Reads a structured field's text, folding and leading white space included. Never throws. */
export function parseStructured(text: string): Structured {
  const headEnd = skipHead(text);
  const raw: RawParameter[] = [];
  let position = headEnd;
  while (position < text.length) {
    const start = skip(text, position, isFillCode);
    const nameEnd = skip(text, start, isNameCode);
    const equals = skip(text, nameEnd, isBlankCode);
    if (nameEnd === start || text[equals] !== '=') {
      // No parameter: on to the next semicolon.
      const semicolon = text.indexOf(';', Math.max(start, position + 1));
      position = semicolon < 0 ? text.length : semicolon;
      continue;
    }
    const name = text.slice(start, nameEnd).toLowerCase();
    const { value, end } = readValue(text, skip(text, equals + 1, isBlankCode));
    raw.push({ name, value, start, end });
    position = end;
  }
  return new Structured(text, text.slice(0, headEnd), raw);
}

/** The first semicolon outside a comment; without one, the end. */
function skipHead(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '(') depth++;
    else if (character === ')') depth--;
    else if (character === ';' && depth <= 0) return i;
  }
  const semicolon = text.indexOf(';');
  return semicolon < 0 ? text.length : semicolon;
}

function withoutComments(text: string): string {
  if (!text.includes('(')) return text;
  let kept = '';
  let depth = 0;
  for (const character of text) {
    if (character === '(') depth++;
    else if (character === ')') depth = Math.max(0, depth - 1);
    else if (depth === 0) kept += character;
  }
  return kept;
}

/** Reads a value, quoted or not, and where it ends: at a semicolon, at the end, or where the next parameter begins. */
function readValue(text: string, start: number): { value: string; end: number } {
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
    position++;
    const next = skip(text, position, isBlankCode);
    const nameEnd = skip(text, next, isNameCode);
    // A forgotten semicolon.
    if (next > position && nameEnd > next && text[skip(text, nameEnd, isBlankCode)] === '=') {
      return { value: unfold(value), end: next };
    }
  }
  const semicolon = text.indexOf(';', position);
  const end = semicolon < 0 ? text.length : semicolon;
  // Text right behind the closing quote is glued on: some readers take it for part of the name.
  const isApart = position > start && isBlankCode(text.charCodeAt(position));
  const rest = isApart ? '' : withoutTrailingComment(withoutFields(text.slice(position, end)).trim());
  return { value: unfold(value + rest), end };
}

/** Text before a folded line that looks like a field: somebody indented it by mistake. */
function withoutFields(text: string): string {
  const field = text.search(/\n[ \t]+[A-Za-z][\w-]*:/);
  return field < 0 ? text : text.slice(0, field);
}

function withoutTrailingComment(text: string): string {
  if (!text.endsWith(')')) return text;
  const open = text.lastIndexOf('(');
  return open === 0 || (open > 0 && isBlankCode(text.charCodeAt(open - 1)))
    ? text.slice(0, open).trimEnd()
    : text;
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
  const extended = new Map<string, { index: number; encoded: boolean; value: string }[]>();
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

/** One value of the pieces `name*0*=`, `name*1=` …, sorted by number (RFC 2231 section 3); each repeated number 0 begins another. */
function joinPieces(
  pieces: readonly { readonly index: number; readonly encoded: boolean; readonly value: string }[],
): string[] {
  const groups: (typeof pieces)[number][][] = [];
  for (const piece of pieces.toSorted((a, b) => a.index - b.index)) {
    const last = groups.at(-1);
    if (!last || piece.index === 0) groups.push([piece]);
    else last.push(piece);
  }
  return groups.map((group) => {
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
  });
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
