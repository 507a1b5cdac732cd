/** TOML, and where in the text everything stands, which the parser does not tell. */
import { parse, TomlError } from 'smol-toml';
import { show } from '../../options.ts';

/** From 1, both. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** Keys and indices from the top: `['module', 2, 'match', 'from', 0]`. */
export type Path = readonly (string | number)[];

/** What is no TOML, or more than a configuration may be. */
export class TomlFault extends Error {
  readonly position: Position;

  constructor(message: string, position: Position) {
    super(message);
    this.position = position;
  }
}

/** A text that was read. */
export interface TomlText {
  readonly values: Readonly<Record<string, unknown>>;
  /** Where this key or element begins, or else the nearest thing around it; the text's beginning for `[]`. */
  position(path: Path): Position;
}

const MAX_BYTES = 4 * 1024 * 1024;
/** Nothing in a configuration is nested so deeply. */
const MAX_DEPTH = 16;

/** @throws TomlFault */
export function parseToml(text: string): TomlText {
  const start = { line: 1, column: 1 };
  if (text.length > MAX_BYTES) throw new TomlFault(`has more than ${MAX_BYTES / 1024 / 1024} MiB`, start);
  const values = parseValues(text);
  const offsets = new Offsets(text).read();
  const lines = lineStarts(text);
  return {
    values,
    position: (path) => {
      for (let length = path.length; length > 0; length--) {
        const offset = offsets.get(pathKey(path.slice(0, length)));
        if (offset !== undefined) return positionOf(lines, offset);
      }
      return start;
    },
  };
}

function parseValues(text: string): Readonly<Record<string, unknown>> {
  try {
    return parse(text, { maxDepth: MAX_DEPTH, unsafeKeyBehaviour: 'throw' });
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column, message } = error;
    const what = message.replace(/^Invalid TOML document: /, '').replace(/\n.*$/s, '');
    const rest = text.split('\n')[line - 1]?.slice(column - 1) ?? '';
    throw new TomlFault(explained(what, rest), { line, column });
  }
}

/** The parser's words in ours, where those tell an administrator more. `rest` is the line from the fault on. */
function explained(what: string, rest: string): string {
  const name = /^\s*([^=\]\r\n]*[^=\]\s])/.exec(rest)?.[1] ?? '';
  if (what.includes('redefine')) return `${show(name)} is given twice`;
  if (what.includes('unsafe property')) return `${show(name)} can be no key`;
  if (what === 'invalid value' && /^[A-Za-z_/]/.test(rest)) return 'is no value: write texts in "quotes"';
  return what;
}

function pathKey(path: Path): string {
  return path.join('\0');
}

function lineStarts(text: string): readonly number[] {
  const starts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  return starts;
}

function positionOf(lines: readonly number[], offset: number): Position {
  let low = 0;
  let high = lines.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if ((lines[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return { line: low + 1, column: offset - (lines[low] ?? 0) + 1 };
}

const BLANK = /(?:[ \t\r\n]+|#[^\n]*)*/y;
const BARE_KEY = /[^\s.=\]}"'#,[{]+/y;
const SCALAR = /[^,\]}\n#]*/y;

/**
 * Finds where keys and elements begin. The text is sound, since the parser took it, so this needs to know only what
 * ends where.
 */
class Offsets {
  readonly #text: string;
  readonly #found = new Map<string, number>();
  /** How many tables an array of tables has so far. */
  readonly #tables = new Map<string, number>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): ReadonlyMap<string, number> {
    // A byte order mark is no key.
    if (this.#text.startsWith('\u{feff}')) this.#at = 1;
    let table: Path = [];
    for (this.#skip(BLANK); this.#at < this.#text.length; this.#skip(BLANK)) {
      if (this.#text[this.#at] === '[') table = this.#header();
      else this.#pair(table);
    }
    return this.#found;
  }

  #header(): Path {
    const start = this.#at;
    const isArray = this.#text.startsWith('[[', start);
    this.#at += isArray ? 2 : 1;
    const keys = this.#keys();
    this.#at += isArray ? 2 : 1;
    let path: Path = [];
    for (const [i, { name }] of keys.entries()) {
      path = [...path, name];
      this.#note(path, start);
      const key = pathKey(path);
      const tables = this.#tables.get(key) ?? 0;
      const isNext = isArray && i === keys.length - 1;
      if (isNext) this.#tables.set(key, tables + 1);
      if (isNext || tables > 0) path = [...path, isNext ? tables : tables - 1];
    }
    this.#note(path, start);
    return path;
  }

  #pair(table: Path): void {
    let path = table;
    for (const { name, offset } of this.#keys()) {
      path = [...path, name];
      this.#note(path, offset);
    }
    this.#at++; // The equals sign.
    this.#value(path);
  }

  #value(path: Path): void {
    this.#skip(BLANK);
    const first = this.#text[this.#at];
    if (first === '[') this.#elements(']', (i) => this.#element([...path, i]));
    else if (first === '{') this.#elements('}', () => this.#pair(path));
    else if (first === '"' || first === "'") this.#string(first);
    else this.#skip(SCALAR);
  }

  #elements(end: string, read: (index: number) => void): void {
    this.#at++;
    for (let i = 0; ; i++) {
      this.#skip(BLANK);
      if (this.#text[this.#at] === end || this.#at >= this.#text.length) break;
      read(i);
      this.#skip(BLANK);
      if (this.#text[this.#at] === ',') this.#at++;
    }
    this.#at++;
  }

  #element(path: Path): void {
    this.#note(path, this.#at);
    this.#value(path);
  }

  /** A dotted key, with the white space around it. */
  #keys(): { readonly name: string; readonly offset: number }[] {
    const keys: { name: string; offset: number }[] = [];
    do {
      if (keys.length > 0) this.#at++; // The dot.
      this.#skip(BLANK);
      keys.push({ offset: this.#at, name: this.#key() });
      this.#skip(BLANK);
      if (keys.length > MAX_DEPTH) {
        throw new TomlFault(
          `has more than ${MAX_DEPTH} keys in one`,
          positionOf(lineStarts(this.#text), this.#at),
        );
      }
    } while (this.#text[this.#at] === '.');
    return keys;
  }

  #key(): string {
    const start = this.#at;
    const first = this.#text[start];
    if (first !== '"' && first !== "'") {
      this.#skip(BARE_KEY);
      return this.#text.slice(start, this.#at);
    }
    this.#string(first);
    const quoted = this.#text.slice(start, this.#at);
    // The parser knows the escapes.
    return Object.keys(parse(`${quoted} = 0`)).join();
  }

  #string(quote: string): void {
    const long = quote.repeat(3);
    const end = this.#text.startsWith(long, this.#at) ? long : quote;
    let at = this.#at + end.length;
    while (at < this.#text.length && !this.#text.startsWith(end, at)) {
      at += quote === '"' && this.#text[at] === '\\' ? 2 : 1;
    }
    at += end.length;
    // A long string may end with quotes of its own.
    if (end === long) while (this.#text[at] === quote) at++;
    this.#at = at;
  }

  #skip(pattern: RegExp): void {
    pattern.lastIndex = this.#at;
    this.#at += pattern.exec(this.#text)?.[0].length ?? 0;
  }

  /** The first place counts. */
  #note(path: Path, offset: number): void {
    const key = pathKey(path);
    if (!this.#found.has(key)) this.#found.set(key, offset);
  }
}
