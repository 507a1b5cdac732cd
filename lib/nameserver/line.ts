/** One line of a list: `PATTERN [CODES] [ttl=…] [until=…] [TEXT]`, or `!PATTERN` for what is not listed whatever else says. */
import { parseIp4 } from '../ip.ts';
import { show } from '../options.ts';
import { LineFault } from './fault.ts';

/** What is answered for names that a line matches. */
export interface ListAnswer {
  /** Addresses in 127.0.0.0/8, as integers. */
  readonly codes: readonly number[];
  /** The reason, cut where what was asked for is put in; undefined: there is no TXT record. */
  readonly text: readonly Buffer[] | undefined;
  /** Seconds; undefined: those of the zone. */
  readonly ttl: number | undefined;
  /** Milliseconds since 1970 at which the line ends to hold; Infinity: never. */
  readonly until: number;
}

/** A line, taken apart. */
export interface ReadLine {
  readonly pattern: string;
  readonly isException: boolean;
  readonly answer: ListAnswer;
}

const LISTED = 0x7f00_0002;
const LOOPBACK = 127;
const MAX_CODES = 16;
/** With the longest name put in it fits into a reply over TCP many times. */
const MAX_TEXT = 1_000;
const MAX_INSERTS = 4;
const MAX_TTL = 86_400 * 7;
const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Answers that many lines share are made once. */
export class LineReader {
  readonly #answers = new Map<string, ListAnswer>();

  /** @throws LineFault */
  read(line: string): ReadLine {
    const [, mark, pattern = '', rest = ''] = /^(!?)(\S*)\s*(.*)$/s.exec(line.trim()) ?? [];
    const isException = mark === '!';
    if (pattern === '') throw new LineFault('has no pattern');
    let answer = this.#answers.get(rest);
    if (answer === undefined) {
      answer = readAnswer(rest);
      this.#answers.set(rest, answer);
    }
    if (isException && /^(?:127[.]|ttl=)/.test(rest))
      throw new LineFault(`${show(`!${pattern}`)} is an exception, and has no answer of its own`);
    return { pattern, isException, answer };
  }
}

function readAnswer(rest: string): ListAnswer {
  let text = rest;
  const take = (pattern: RegExp): string | undefined => {
    const found = pattern.exec(text)?.[0];
    if (found !== undefined) text = text.slice(found.length).trimStart();
    return found;
  };
  // Something that begins so was meant for a code.
  const codes = readCodes(take(/^\d+\.\S*/) ?? '127.0.0.2');
  const options = new Map<string, string>();
  for (let word = take(/^(?:ttl|until)=\S*/); word !== undefined; word = take(/^(?:ttl|until)=\S*/)) {
    const [name = '', value = ''] = word.split('=');
    if (options.has(name)) throw new LineFault(`has ${name}= twice`);
    options.set(name, value);
  }
  return {
    codes,
    text: readText(text),
    ttl: readTtl(options.get('ttl')),
    until: readUntil(options.get('until')),
  };
}

function readCodes(word: string): number[] {
  const codes = word.split(',').map((text) => {
    const code = parseIp4(text);
    if (code === undefined || code >>> 24 !== LOOPBACK)
      throw new LineFault(`has the code ${show(text)}; codes are addresses like 127.0.0.2`);
    // RFC 5782 section 2.1; 127.255.255.0/24 says of itself that who asks is refused.
    if (code < LISTED || code >>> 8 === 0x7fff_ff)
      throw new LineFault(`has the code ${text}, which does not mean that something is listed`);
    return code;
  });
  if (codes.length > MAX_CODES) throw new LineFault(`has more than ${MAX_CODES} codes`);
  return [...new Set(codes)];
}

function readTtl(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, digits, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const seconds = Number(digits) * (UNITS[unit] ?? Number.NaN);
  if (seconds <= MAX_TTL) return seconds;
  throw new LineFault(`has ttl=${text}; it is written like ttl=300s, 5m, 6h or 1d, seven days at most`);
}

function readUntil(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const time = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?Z)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(time)) return time;
  throw new LineFault(`has until=${text}; it is written like until=2026-12-31 or until=2026-12-31T18:00Z`);
}

/** `$` is what was asked for, `$$` a dollar sign. */
function readText(text: string): Buffer[] | undefined {
  if (text === '') return undefined;
  if (/\p{Cc}/u.test(text)) throw new LineFault('has control characters in its text');
  // NUL, which it cannot have, stands for two dollar signs meanwhile.
  const parts = text
    .replaceAll('$$', '\0')
    .split('$')
    .map((part) => Buffer.from(part.replaceAll('\0', '$')));
  if (parts.length - 1 > MAX_INSERTS)
    throw new LineFault(`has more than ${MAX_INSERTS} times "$" in its text`);
  if (Buffer.concat(parts).length > MAX_TEXT)
    throw new LineFault(`has a text of more than ${MAX_TEXT} bytes`);
  return parts;
}
