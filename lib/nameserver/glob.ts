/**
 * Patterns of fixed and free parts: `ded###.com`, `*-pills.*`, `ded[300-399].com`. Matched without a regular expression,
 * in at most name times pattern steps.
 */
import { LineFault } from './fault.ts';
import { NAME_END, NAME_START } from './name.ts';

/** Above all bytes. */
const ANY = 0x100;
const DIGIT = 0x101;
const STAR = 0x102;
/** With the first and last digit in its lowest byte. */
const DIGITS_FROM_TO = 0x200;
/** With the number of the range below. */
const RANGE = 0x1_0000;

interface Range {
  readonly first: number;
  readonly last: number;
  /** Digits, where leading zeros were written; else 0. */
  readonly width: number;
}

/** A number longer than that is none that a range has. */
const MAX_DIGITS = 15;

/** A pattern for names in lower case. */
export class Glob {
  readonly #tokens: readonly number[];
  readonly #ranges: readonly Range[];
  /** What stands in every name that matches, for an index: see `PatternIndex`. */
  readonly literals: readonly string[];

  /** @throws LineFault */
  constructor(source: string) {
    const tokens: number[] = [];
    const ranges: Range[] = [];
    const literals: string[] = [];
    let literal = String.fromCharCode(NAME_START);
    const pause = (): void => {
      literals.push(literal);
      literal = '';
    };
    for (const part of source.match(/\[[^\]]*\]?|[^[]/g) ?? []) {
      if (part === '*' || part === '?' || part === '#') {
        pause();
        if (part !== '*') tokens.push(part === '#' ? DIGIT : ANY);
        else if (tokens.at(-1) !== STAR) tokens.push(STAR);
      } else if (part.startsWith('[')) {
        const [, first = '', last = ''] = /^\[(\d+)-(\d+)\]$/.exec(part) ?? [];
        if (first === '') throw new LineFault(`has ${part}: a range is written like [300-399]`);
        if (Number(first) > Number(last)) throw new LineFault(`has ${part}, which ends before it begins`);
        const digit = first.length === 1 && last.length === 1;
        if (!digit) literal += commonStart(first, last);
        pause();
        if (digit) tokens.push(DIGITS_FROM_TO | (Number(first) << 4) | Number(last));
        else tokens.push(RANGE + ranges.push(readRange(part, first, last)) - 1);
      } else {
        literal += part;
        tokens.push(part.charCodeAt(0));
      }
    }
    literal += String.fromCharCode(NAME_END);
    pause();
    checkNeighbours(tokens);
    this.#tokens = tokens;
    this.#ranges = ranges;
    this.literals = literals;
  }

  /** Whether `text` from `start` to `end` matches. */
  matches(text: Uint8Array, start: number, end: number): boolean {
    const tokens = this.#tokens;
    let token = 0;
    let at = start;
    // Where the last star is, and up to where of the text it reaches so far: only the last one is ever widened. That a
    // wider star never needs an earlier one again holds for ranges too, as each takes a whole number.
    let star = -1;
    let reach = 0;
    while (at < end) {
      const wanted = tokens[token];
      if (wanted === STAR) {
        star = token++;
        reach = at;
        continue;
      }
      const next = wanted === undefined ? -1 : this.#step(wanted, text, start, at, end);
      if (next >= 0) {
        token++;
        at = next;
      } else if (star >= 0) {
        token = star + 1;
        at = ++reach;
      } else {
        return false;
      }
    }
    while (tokens[token] === STAR) token++;
    return token === tokens.length;
  }

  /** Where the text goes on behind what one token matches; -1 where it does not. */
  #step(wanted: number, text: Uint8Array, start: number, at: number, end: number): number {
    const byte = text[at] ?? 0;
    if (wanted < ANY) return wanted === byte ? at + 1 : -1;
    if (wanted === ANY) return at + 1;
    const digit = byte - 0x30;
    if (digit < 0 || digit > 9) return -1;
    if (wanted === DIGIT) return at + 1;
    if (wanted < RANGE) return digit >= ((wanted >> 4) & 15) && digit <= (wanted & 15) ? at + 1 : -1;
    const range = this.#ranges[wanted - RANGE];
    if (range === undefined || (at > start && isDigit(text[at - 1] ?? 0))) return -1;
    let value = 0;
    let to = at;
    for (; to < end && isDigit(text[to] ?? 0); to++) {
      if (to - at === MAX_DIGITS) return -1;
      value = value * 10 + (text[to] ?? 0) - 0x30;
    }
    const isWritten = range.width === 0 ? digit !== 0 || to === at + 1 : to - at === range.width;
    return isWritten && value >= range.first && value <= range.last ? to : -1;
  }
}

function readRange(part: string, first: string, last: string): Range {
  if (first.length > MAX_DIGITS || last.length > MAX_DIGITS)
    throw new LineFault(`has ${part}, whose numbers have more than ${MAX_DIGITS} digits`);
  const hasZeros = first.length > 1 && first.startsWith('0');
  if ((hasZeros || last.startsWith('0')) && first.length !== last.length)
    throw new LineFault(`has ${part}: with leading zeros both numbers need as many digits`);
  return { first: Number(first), last: Number(last), width: hasZeros ? first.length : 0 };
}

/** A range is a whole number, so no digit of the name may belong to what stands beside it. */
function checkNeighbours(tokens: readonly number[]): void {
  const isDigitLike = (token: number | undefined): boolean =>
    token !== undefined && (token === DIGIT || token >= DIGITS_FROM_TO || isDigit(token));
  for (const [i, token] of tokens.entries()) {
    if (token >= RANGE && (isDigitLike(tokens[i - 1]) || isDigitLike(tokens[i + 1])))
      throw new LineFault('has a digit beside a range of numbers: put it into the range');
  }
}

/** The digits that all numbers of the range begin with. */
function commonStart(first: string, last: string): string {
  if (first.length !== last.length) return '';
  let length = 0;
  while (length < first.length && first[length] === last[length]) length++;
  return first.slice(0, length);
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
