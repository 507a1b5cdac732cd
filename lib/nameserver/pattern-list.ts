/**
 * A list made of names, networks and patterns. Names and networks are suffixes in one hash table: `192.0.2.0/24` is all
 * addresses whose reversed form ends in `2.0.192`. Patterns are found by what must be in a name.
 */
import { type Ip, parseIp } from '../ip.ts';
import { show } from '../options.ts';
import { compileRegExp, RegExpFault } from '../regexp.ts';
import { LineFault } from './fault.ts';
import { Glob } from './glob.ts';
import { LineReader, type ListAnswer } from './line.ts';
import { HASH_START, hashByte, isName, NAME_START, type QueryName, toWire } from './name.ts';
import { BELOW, EXACT, NameTable, NETWORK4, NETWORK6, PARENT } from './name-table.ts';
import { PatternIndex, type Scope } from './pattern-index.ts';
import { requiredLiterals } from './regexp-literals.ts';

/** A line of a list, as it was entered. */
export interface ListLine {
  /** From 1; 0 for the test entries that every list has. */
  readonly number: number;
  readonly pattern: string;
  readonly isException: boolean;
  readonly answer: ListAnswer;
}

/** What a list says of a name. */
export interface Finding {
  /** Lines that match, in their order, none where an exception does too. Good until the next search. */
  readonly lines: readonly ListLine[];
  /** The exception that does; a test entry's has number 0. */
  readonly exception: ListLine | undefined;
  /** The name has no records, but something below it may: it exists. */
  readonly isParent: boolean;
}

/** Patterns that are compared with each name, since nothing in them can be looked up. */
const MAX_LOOSE = 100;
/** More lines that match the same name answer no better. */
const MAX_FOUND = 16;
/** In an expression, but not in a name or glob. */
const ONLY_IN_REGEXP = /[\\^$|()+{}]|\[(?!\d+-\d+\])/;

/** RFC 5782: what every list must have, and what none may. */
const TEST_ENTRIES = ['127.0.0.2', '::ffff:127.0.0.2', 'test'];
const NEVER_LISTED = ['127.0.0.1', '::ffff:127.0.0.1', 'invalid'];

/** Lines are added one by one; it can be asked at any time. */
export class PatternList {
  readonly #reader = new LineReader();
  readonly #names = new NameTable<ListLine>();
  readonly #patterns = new PatternIndex<ListLine>();
  readonly #now: () => number;
  // What the search under way has found.
  readonly #found: ListLine[] = [];
  #exception: ListLine | undefined;
  #test: ListLine | undefined;
  readonly #take = (line: ListLine): void => {
    if (line.answer.until <= this.#now()) return;
    if (line.isException) this.#exception ??= line;
    else if (line.number === 0) this.#test = line;
    else if (this.#found.length < MAX_FOUND && !this.#found.includes(line)) this.#found.push(line);
  };

  /** @param now milliseconds since 1970 */
  constructor(now: () => number = Date.now) {
    this.#now = now;
    for (const pattern of TEST_ENTRIES) this.#addBuiltIn(pattern, false);
    for (const pattern of NEVER_LISTED) this.#addBuiltIn(pattern, true);
  }

  /**
   * Adds one line.
   * @param number where it stands, for those who ask which line it was
   * @throws LineFault
   */
  add(text: string, number: number): void {
    this.#enter({ number, ...this.#reader.read(text) });
  }

  /** What is said of a name in the zone: of its part before the zone. */
  find(name: QueryName): Finding {
    this.#found.length = 0;
    this.#exception = undefined;
    this.#test = undefined;
    const isParent = this.#findSuffixes(name);
    this.#patterns.find(name, this.#take);
    if (this.#found.length > 1) this.#found.sort((a, b) => a.number - b.number);
    const isExcepted = this.#exception !== undefined;
    const listed = isExcepted || this.#found.length === 0 ? NONE : this.#found;
    const lines = listed === NONE && this.#test !== undefined ? [this.#test] : listed;
    return { lines, exception: this.#exception, isParent };
  }

  /** Looks up the name and all its suffixes, and tells whether it is above something that may be listed. */
  #findSuffixes(name: QueryName): boolean {
    const { wire, starts, labels } = name;
    const names = this.#names;
    let isParent = false;
    let hash = HASH_START;
    let at = name.length;
    for (let label = labels - 1; label >= 0; label--) {
      const start = starts[label] ?? 0;
      while (at > start) hash = hashByte(hash, wire[--at] ?? 0);
      const key = names.find(wire, start, name.length, hash);
      if (key < 0) continue;
      const kinds = names.kinds(key);
      let holds = label === 0 ? EXACT : BELOW;
      if ((kinds & NETWORK4) !== 0 && name.isAddressPart(4)) {
        if (labels === 4) holds |= NETWORK4;
        else isParent = true;
      }
      if ((kinds & NETWORK6) !== 0 && name.isAddressPart(6)) {
        if (labels === 32) holds |= NETWORK6;
        else isParent = true;
      }
      if (label === 0 && (kinds & PARENT) !== 0) isParent = true;
      if ((kinds & holds) === 0) continue;
      for (let use = names.first(key); use >= 0; use = names.next(use)) {
        const line = (names.kindOf(use) & holds) === 0 ? undefined : names.lineOf(use);
        if (line !== undefined) this.#take(line);
      }
    }
    return isParent;
  }

  #addBuiltIn(pattern: string, isException: boolean): void {
    const { answer } = this.#reader.read(`${pattern} 127.0.0.2 test entry`);
    this.#enter({ number: 0, pattern, isException, answer });
  }

  #enter(line: ListLine): void {
    const { pattern } = line;
    if (pattern.length > 1 && pattern.startsWith('/') && pattern.endsWith('/')) {
      this.#addRegExp(pattern.slice(1, -1), line);
      return;
    }
    if (/[^\x21-\x7e]/.test(pattern))
      throw new LineFault(`${show(pattern)} is no ASCII: write domains in their form with xn--`);
    const isRegExp = ONLY_IN_REGEXP.test(pattern);
    if (!isRegExp && (/[/:]/.test(pattern) || /^[\d.[\]#*?-]*\d\.[\d.[\]#*?-]*$/.test(pattern)))
      this.#addNetwork(line);
    else if (isRegExp) this.#addRegExp(pattern, line);
    else this.#addName(line);
  }

  #addRegExp(source: string, line: ListLine): void {
    try {
      const match = compileRegExp(source, { caseless: true });
      this.#addPattern({ line, match, scope: 'whole' }, requiredLiterals(source));
    } catch (error) {
      throw error instanceof RegExpFault ? new LineFault(`${show(source)} is ${error.message}`) : error;
    }
  }

  #addName(line: ListLine): void {
    const pattern = line.pattern.toLowerCase();
    const [head = ''] = /^(?:\*?\.)?/.exec(pattern) ?? [];
    const name = pattern.slice(head.length).replace(/\.$/, '');
    if (!/[*?#[]/.test(name)) {
      if (!isName(name)) throw new LineFault(`${show(line.pattern)} is no domain`);
      const kind = head === '' ? EXACT : head === '.' ? EXACT | BELOW : BELOW;
      const wire = toWire(name);
      this.#names.add(wire, kind, line);
      if (!line.isException) this.#names.addParents(wire);
      return;
    }
    if (!/^[a-z0-9_.*?#[\]-]+$/.test(name)) throw new LineFault(`${show(line.pattern)} is no pattern`);
    const scope: Scope = head === '' ? 'whole' : head === '.' ? 'both' : 'below';
    let glob: Glob;
    try {
      glob = new Glob(name);
    } catch (error) {
      throw error instanceof LineFault ? new LineFault(`${show(line.pattern)} ${error.message}`) : error;
    }
    const start = String.fromCharCode(NAME_START);
    const literals = scope === 'whole' ? glob.literals : glob.literals.map((one) => one.replace(start, ''));
    this.#addPattern({ line, match: glob, scope }, literals);
    const tail = /\.[a-z0-9_.-]+$/.exec(name)?.[0].slice(1) ?? '';
    // The labels behind the last free one.
    if (!line.isException && isName(tail)) this.#names.addParents(toWire(`x.${tail}`));
  }

  #addPattern(pattern: Parameters<PatternIndex<ListLine>['add']>[0], literals: readonly string[]): void {
    const before = this.#patterns.loose;
    this.#patterns.add(pattern, literals);
    if (before < this.#patterns.loose && this.#patterns.loose > MAX_LOOSE)
      throw new LineFault(
        `${show(pattern.line.pattern)} has no two letters side by side that must be in a name, ` +
          `and such patterns cost time with every query: ${MAX_LOOSE} at most`,
      );
  }

  #addNetwork(line: ListLine): void {
    const { pattern } = line;
    const [, text = '', digits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(pattern) ?? [];
    const address = parseNetwork(text);
    if (address === undefined)
      throw new LineFault(
        `${show(pattern)} is no network; networks are written like 192.0.2.0/24 or 2001:db8::/32`,
      );
    const most = address.family === 4 ? 32 : 128;
    const prefix = digits === undefined ? most : Number(digits);
    if (prefix < 1 || prefix > most) throw new LineFault(`${show(pattern)} needs a prefix from 1 to ${most}`);
    const bits = address.family === 4 ? 8 : 4;
    const units = unitsOf(address);
    const whole = Math.floor(prefix / bits);
    const rest = prefix % bits;
    const last = units[whole] ?? 0;
    const free = 1 << (bits - rest);
    const isClean = units.slice(whole + 1).every((unit) => unit === 0) && (last & (free - 1)) === 0;
    if (prefix < most && !isClean)
      throw new LineFault(
        `${show(pattern)} has bits set beyond its first ${prefix}: write the network's first address`,
      );
    const kind = address.family === 4 ? NETWORK4 : NETWORK6;
    const head = units.slice(0, whole);
    // A prefix within an octet or nibble is so many octets or nibbles.
    const suffixes = rest === 0 ? [head] : Array.from({ length: free }, (_, i) => [...head, last + i]);
    for (const suffix of suffixes) {
      const wire = toWire(
        suffix
          .map((unit) => unit.toString(bits === 8 ? 10 : 16))
          .reverse()
          .join('.'),
      );
      this.#names.add(wire, kind, line);
      if (!line.isException) this.#names.addParents(wire);
    }
  }
}

const NONE: readonly ListLine[] = [];

/** IPv4-mapped addresses stay what they are: a list is asked for them by 32 nibbles. */
function parseNetwork(text: string): Ip | undefined {
  const address = parseIp(text);
  if (address?.family !== 4 || !text.includes(':')) return address;
  return { family: 6, words: [0, 0, 0xffff, address.bits], text };
}

/** The octets of an IPv4 address, or the nibbles of an IPv6 one. */
function unitsOf(address: Ip): number[] {
  if (address.family === 4) return [24, 16, 8, 0].map((shift) => (address.bits >>> shift) & 255);
  return address.words.flatMap((word) => [28, 24, 20, 16, 12, 8, 4, 0].map((shift) => (word >>> shift) & 15));
}
