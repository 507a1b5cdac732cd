/**
 * Where everything lies: the byte-range index of one message.
 *
 * The scanner walks the bytes once, finding line starts with the engine's own search, and copies nothing. It knows only
 * what it needs to find parts: header sections, Content-Type, boundaries (RFC 2046 section 5.1). All else is read later
 * from the ranges it leaves.
 */

import { fieldColon } from '../headers.ts';
import { decodeText } from '../text.ts';
import {
  type ContentField,
  type ContentFields,
  contentFieldName,
  holdsMessage,
  noContentFields,
  readContentFields,
} from './content-fields.ts';
import type { ParseLimits, ParseProblem } from './limits.ts';

/** The ranges of one part in `source`. A multipart's bytes are: header, preamble, (delimiter, child)*, tail. */
export interface Layout {
  readonly source: Buffer;
  readonly parent: Layout | undefined;
  readonly depth: number;
  /** First byte of the header section. */
  readonly start: number;
  /** Where the fields end: the blank line, or the body if there is no blank line. */
  headerEnd: number;
  bodyStart: number;
  /** The line break before the next delimiter belongs to that delimiter, not to the part. */
  end: number;
  /** The lower-case type/subtype that governs the structure: declared, or the default of RFC 2046. */
  type: string;
  /** Whether this is a file uuencoded in a text: its header section is made up, in front of `source`'s own bytes. */
  readonly madeUpHeader?: Buffer;
  /** A multipart's boundary, one character per byte. */
  boundary: string | undefined;
  /** The first field of each name that decides how the part is read. */
  fields: ContentFields;
  readonly children: Layout[];
  /** Where the delimiter before each child starts, the line break in front of it included. */
  readonly delimiters: number[];
  /** Where the tail starts: the close delimiter, or the end. -1 while no close delimiter was seen. */
  close: number;
}

/** What all scans of one message share, the scans of its encoded parts included. */
export interface ScanContext {
  readonly limits: ParseLimits;
  readonly problems: ParseProblem[];
  parts: number;
  /** How many bytes may still be read a second time. */
  rescannable: number;
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const DASH = 0x2d;
const LINE_AND_DASHES = Buffer.from('\n--');

/** A first look: whether a line starts as `Content-` or `X-Sun-` do. */
function mayBeContentField(bytes: Buffer, line: number): boolean {
  const first = (bytes[line] ?? 0) | 0x20;
  return (first === 0x63 && bytes[line + 7] === DASH) || (first === 0x78 && bytes[line + 5] === DASH);
}

/** Where the line behind this one starts. */
export function nextLine(bytes: Buffer, line: number): number {
  const lineFeed = bytes.indexOf(LF, line);
  return lineFeed < 0 ? bytes.length : lineFeed + 1;
}

/** Where the name of a field ends: white space in front of the colon is obsolete, not illegal. */
function nameEnd(bytes: Buffer, colon: number): number {
  let end = colon;
  while (bytes[end - 1] === SPACE || bytes[end - 1] === TAB) end--;
  return end;
}

/** One open multipart, innermost last. */
interface Level {
  readonly layout: Layout;
  readonly boundary: string;
  /** The level with the same boundary that this one hides until it is closed. */
  readonly hidden: number | undefined;
}

/** Where in a message the scan starts: at the header of an entity of this depth, unless told otherwise. */
export interface ScanStart {
  readonly depth: number;
  /** The header section ends here, whatever it looks like. */
  readonly headerEnd?: number;
  /** The bytes are the body of this multipart. */
  readonly multipart?: { readonly type: string; readonly boundary: string };
}

/** One pass over the bytes, in as many goes as the caller likes. */
export class Scanner {
  readonly root: Layout;
  readonly #bytes: Buffer;
  readonly #context: ScanContext;
  readonly #levels: Level[] = [];
  readonly #byBoundary = new Map<string, number>();
  /** Longest boundary met: no delimiter line need be read further than that. */
  #longest = 0;
  /** The root's header section as told by the caller, who got fields and body apart. */
  readonly #givenHeaderEnd: number | undefined;
  /** The innermost part that is still growing. */
  #current: Layout;
  /** The line start at which its body goes on, or -1 while its header section is to be read. */
  #position = -1;
  #done: boolean = false;

  constructor(source: Buffer, context: ScanContext, start: ScanStart) {
    this.#bytes = source;
    this.#context = context;
    this.#givenHeaderEnd = start.headerEnd;
    this.root = newLayout(source, undefined, 0, start.depth);
    this.#current = this.root;
    context.parts++;
    if (start.multipart) {
      this.root.type = start.multipart.type;
      this.#position = 0;
      this.#open(this.root, start.multipart.boundary);
    }
  }

  /** Goes on for about `steps` lines of interest. Returns whether the end is reached. */
  run(steps: number = Number.POSITIVE_INFINITY): boolean {
    let left = steps;
    while (!this.#done && left > 0) left -= this.#position < 0 ? this.#readHeader() : this.#readBody(left);
    return this.#done;
  }

  #readHeader(): number {
    const bytes = this.#bytes;
    const part = this.#current;
    const given = part === this.root ? this.#givenHeaderEnd : undefined;
    const limit = part.start + this.#context.limits.headerBytes;
    let lines = 1;
    let position = part.start;
    // The fields that decide how the part is read, and the one among them whose lines go on.
    const found: ContentField[] = [];
    let growing: { end: number } | undefined;
    let separator = 0;
    for (; ; lines++) {
      const first = bytes[position];
      if (first === undefined) break;
      if (given === undefined || position >= given) {
        if (first === LF) separator = 1;
        else if (first === CR && bytes[position + 1] === LF) separator = 2;
        else if (first === CR && position + 1 === bytes.length) separator = 1;
        if (separator > 0 || given !== undefined) break;
      }
      if (first === DASH && bytes[position + 1] === DASH && this.#delimiterAt(position)) break;
      const next = nextLine(bytes, position);
      if ((first !== SPACE && first !== TAB) || position === part.start) {
        growing = undefined;
        const colon = fieldColon(bytes, position, next);
        if (colon < 0) {
          // A section that starts with no field is no header section; an odd line amid fields ends nothing, since
          // mail readers differ and a type declared after it must not slip by. "From " is an mbox separator.
          const isFirst = position === part.start && given === undefined;
          if (isFirst && bytes.toString('latin1', position, position + 5) !== 'From ') break;
        } else if (mayBeContentField(bytes, position)) {
          const name = contentFieldName(bytes, position, nameEnd(bytes, colon));
          if (name !== undefined) {
            const field = { name, end: next, read: () => decodeText(bytes, colon + 1, field.end).trimEnd() };
            found.push(field);
            growing = field;
          }
        }
      } else if (growing) growing.end = next;
      position = next;
      if (given === undefined && position > limit) {
        this.#problem('headerBytes', position);
        break;
      }
    }
    part.headerEnd = position;
    part.bodyStart = position + separator;
    part.end = bytes.length;
    this.#position = part.bodyStart;
    part.fields = found.length > 0 ? readContentFields(found) : noContentFields;
    for (const what of part.fields.contradictions)
      this.#context.problems.push({ kind: 'ambiguous', what, offset: part.start });
    this.#enter(part);
    return lines;
  }

  /** Decides what the body of `part` is, its header section being known. */
  #enter(part: Layout): void {
    const inDigest = part.parent?.type === 'multipart/digest';
    const { type, encoding } = part.fields;
    part.type = type?.value || (inDigest ? 'message/rfc822' : 'text/plain');
    const isMessage = holdsMessage(part.type) && encoding === 'identity';
    const boundary = part.type.startsWith('multipart/') ? part.fields.boundaries[0] : undefined;
    if (!isMessage && boundary === undefined) return;
    if (part.depth >= this.#context.limits.depth) this.#problem('depth', part.bodyStart);
    else if (boundary !== undefined) this.#open(part, boundary);
    else this.#begin(part, part.bodyStart);
  }

  #open(layout: Layout, boundary: string): void {
    layout.boundary = boundary;
    this.#longest = Math.max(this.#longest, boundary.length);
    this.#levels.push({ layout, boundary, hidden: this.#byBoundary.get(boundary) });
    this.#byBoundary.set(boundary, this.#levels.length - 1);
  }

  /** Starts a child of `parent` at this offset, if the message may have one more part. */
  #begin(parent: Layout, start: number): void {
    if (this.#context.parts >= this.#context.limits.parts) {
      this.#problem('parts', start);
      this.#finish();
      return;
    }
    this.#context.parts++;
    this.#current = newLayout(this.#bytes, parent, start, parent.depth + 1);
    parent.children.push(this.#current);
    this.#position = -1;
  }

  #readBody(steps: number): number {
    if (this.#levels.length === 0) {
      this.#finish();
      return 1;
    }
    const bytes = this.#bytes;
    let line = this.#position;
    for (let step = 1; ; step++) {
      if (bytes[line] === DASH && bytes[line + 1] === DASH) {
        const found = this.#delimiterAt(line);
        if (found) {
          this.#delimit(line, found.level, found.closes);
          return step;
        }
      }
      const lineFeed = bytes.indexOf(LINE_AND_DASHES, line);
      if (lineFeed < 0) {
        this.#finish();
        return step;
      }
      line = lineFeed + 1;
      if (step >= steps) {
        this.#position = line;
        return step;
      }
    }
  }

  /**
   * The open multipart whose delimiter this line is. What may follow a boundary is white space and then anything
   * (RFC 2046 section 5.1.1 lets transports pad); what else follows makes it another boundary.
   */
  #delimiterAt(line: number): { readonly level: number; readonly closes: boolean } | undefined {
    if (this.#levels.length === 0) return undefined;
    const lineFeed = this.#bytes.indexOf(LF, line);
    const lineEnd =
      lineFeed < 0 ? this.#bytes.length : this.#bytes[lineFeed - 1] === CR ? lineFeed - 1 : lineFeed;
    const whole = this.#bytes.toString('latin1', line + 2, Math.min(lineEnd, line + 2 + this.#longest + 4));
    const blank = whole.search(/[ \t]/);
    for (const candidate of blank < 0 ? [whole] : [whole, trimBlanks(whole), whole.slice(0, blank)]) {
      const level = this.#byBoundary.get(candidate);
      if (level !== undefined) return { level, closes: false };
      if (!candidate.endsWith('--')) continue;
      const closed = this.#byBoundary.get(candidate.slice(0, -2));
      if (closed !== undefined) return { level: closed, closes: true };
    }
    return undefined;
  }

  #delimit(line: number, index: number, closes: boolean): void {
    const bytes = this.#bytes;
    const multipart = this.#levels[index]?.layout ?? this.root;
    const lineBreak = bytes[line - 1] !== LF ? 0 : bytes[line - 2] === CR ? 2 : 1;
    const end = Math.max(line - lineBreak, this.#current.bodyStart);
    for (let part = this.#current; part !== multipart; part = part.parent ?? multipart) part.end = end;
    while (this.#levels.length > (closes ? index : index + 1)) this.#popLevel();
    const lineFeed = bytes.indexOf(LF, line);
    const next = lineFeed < 0 ? bytes.length : lineFeed + 1;
    this.#current = multipart;
    this.#position = next;
    if (closes) {
      multipart.close = end;
      return;
    }
    const parts = multipart.children.length;
    this.#begin(multipart, next);
    if (multipart.children.length > parts) multipart.delimiters.push(end);
  }

  #popLevel(): void {
    const level = this.#levels.pop();
    if (!level) return;
    if (level.hidden === undefined) this.#byBoundary.delete(level.boundary);
    else this.#byBoundary.set(level.boundary, level.hidden);
  }

  #finish(): void {
    for (let part: Layout | undefined = this.#current; part; part = part.parent)
      part.end = this.#bytes.length;
    this.#done = true;
  }

  #problem(limit: keyof ParseLimits, offset: number): void {
    this.#context.problems.push({ kind: 'limit', limit, value: this.#context.limits[limit], offset });
  }
}

/** Whether the last line of a received part is open, its break being the next delimiter's. */
export function endsOpen(layout: Layout): boolean {
  let last = layout;
  for (let child = last.children.at(-1); child && last.close < 0; child = last.children.at(-1)) last = child;
  return last.end > last.bodyStart;
}

function newLayout(source: Buffer, parent: Layout | undefined, start: number, depth: number): Layout {
  return {
    source,
    parent,
    depth,
    start,
    headerEnd: start,
    bodyStart: start,
    end: source.length,
    type: 'text/plain',
    boundary: undefined,
    fields: noContentFields,
    children: [],
    delimiters: [],
    close: -1,
  };
}

function trimBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === ' ' || text[end - 1] === '\t')) end--;
  return text.slice(0, end);
}
