/**
 * Finds the patterns that may match a name by pieces of two to four characters that must be in it: each pattern is
 * entered under that piece of its own which fewest others are entered under, so that a name is compared with a few
 * patterns, however many there are.
 */
import type { Pattern } from '../regexp.ts';
import type { Glob } from './glob.ts';
import { NAME_END, type QueryName } from './name.ts';

/** Whether a pattern is to match whole names, what is below such names, or both. */
export type Scope = 'whole' | 'below' | 'both';

/** A pattern and where it is from. */
export interface IndexedPattern<Line> {
  readonly line: Line;
  readonly match: Glob | Pattern;
  readonly scope: Scope;
}

/** Knuth's multiplier: its highest bits depend on all of a key's. */
const SPREAD = 0x9e37_79b1;
const END = String.fromCharCode(NAME_END);
/** Half the names of the world end in .com: a piece there is worth as little as one with so many patterns. */
const TAIL_COST = 16;
/** Likewise digits alone: a number that is in a pattern is in many names that have nothing to do with it. */
const NUMBER_COST = 4;
/** Bits that say whether a piece with such a hash was entered: most of a name's were not, and these are at hand. */
const FILTER_BITS = 18;
/** Pieces are no longer: four bytes are one integer. */
const PIECE = 4;

interface Piece {
  readonly text: string;
  /** For so many patterns it counts besides those that are entered under it. */
  readonly cost: number;
}

/** The patterns of a list. */
export class PatternIndex<Line> {
  readonly #patterns: IndexedPattern<Line>[] = [];
  /** Of each pattern the next one with the same piece; -1 is none. */
  readonly #next: number[] = [];
  /** The query for which a pattern was looked at last. */
  readonly #seen: number[] = [];
  #query = 0;
  /** A hash table from pieces to the first pattern + 1, and to how many there are. */
  #keys = new Int32Array(256);
  #first = new Int32Array(256);
  #counts = new Int32Array(256);
  #size = 0;
  readonly #filter = new Uint8Array(2 ** (FILTER_BITS - 3));
  readonly #lengths = new Set<number>();
  /** Patterns without any piece. */
  readonly #loose: number[] = [];

  get size(): number {
    return this.#patterns.length;
  }

  /** How many patterns every name must be compared with. */
  get loose(): number {
    return this.#loose.length;
  }

  /** @param literals see `Glob` and `requiredLiterals` */
  add(pattern: IndexedPattern<Line>, literals: readonly string[]): void {
    const id = this.#patterns.push(pattern) - 1;
    this.#seen.push(0);
    this.#next.push(-1);
    const best = this.#rarest(literals.flatMap(pieces));
    if (best === undefined) {
      this.#loose.push(id);
      return;
    }
    if (2 * (this.#size + 1) > this.#keys.length) this.#grow();
    const slot = this.#slotOf(toKey(best));
    if (this.#counts[slot] === 0) this.#size++;
    this.#keys[slot] = toKey(best);
    const bit = filterBit(toKey(best));
    this.#filter[bit >>> 3] = (this.#filter[bit >>> 3] ?? 0) | (1 << (bit & 7));
    this.#next[id] = (this.#first[slot] ?? 0) - 1;
    this.#first[slot] = id + 1;
    this.#counts[slot] = (this.#counts[slot] ?? 0) + 1;
    this.#lengths.add(best.length);
  }

  /** Calls `found` with the line of each pattern that matches. */
  find(name: QueryName, found: (line: Line) => void): void {
    if (this.#patterns.length === 0) return;
    const text = name.text();
    if (text === undefined) return;
    this.#query++;
    for (const id of this.#loose) this.#compare(id, name, text, found);
    let piece = 0;
    const [has2, has3, has4] = [this.#lengths.has(2), this.#lengths.has(3), this.#lengths.has(PIECE)];
    for (let i = 0; i <= name.length; i++) {
      piece = (piece << 8) | (text[i] ?? 0);
      if (has4 && i >= 3) this.#lookUp(piece, name, text, found);
      if (has3 && i >= 2) this.#lookUp(piece & 0xff_ffff, name, text, found);
      if (has2 && i >= 1) this.#lookUp(piece & 0xffff, name, text, found);
    }
  }

  #lookUp(key: number, name: QueryName, text: Buffer, found: (line: Line) => void): void {
    const bit = filterBit(key);
    if (((this.#filter[bit >>> 3] ?? 0) & (1 << (bit & 7))) === 0) return;
    let id = (this.#first[this.#slotOf(key)] ?? 0) - 1;
    for (; id >= 0; id = this.#next[id] ?? -1) {
      if (this.#seen[id] === this.#query) continue;
      this.#seen[id] = this.#query;
      this.#compare(id, name, text, found);
    }
  }

  #compare(id: number, name: QueryName, text: Buffer, found: (line: Line) => void): void {
    const pattern = this.#patterns[id];
    if (pattern !== undefined && matches(pattern, name, text)) found(pattern.line);
  }

  /** The slot that a key is in, or would be put into. No key is 0. */
  #slotOf(key: number): number {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let slot = (Math.imul(key, SPREAD) >>> 8) & mask;
    while (keys[slot] !== key && keys[slot] !== 0) slot = (slot + 1) & mask;
    return slot;
  }

  /** The piece that fewest patterns are entered under; of several the longest, and of those the first. */
  #rarest(candidates: readonly Piece[]): string | undefined {
    let best: string | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const { text, cost } of candidates) {
      const count = cost + (this.#counts[this.#slotOf(toKey(text))] ?? 0);
      const isBetter = count < least || (count === least && text.length > (best?.length ?? 0));
      if (isBetter) [best, least] = [text, count];
    }
    return best;
  }

  #grow(): void {
    const [keys, first, counts] = [this.#keys, this.#first, this.#counts];
    this.#keys = new Int32Array(keys.length * 2);
    this.#first = new Int32Array(keys.length * 2);
    this.#counts = new Int32Array(keys.length * 2);
    for (const [old, key] of keys.entries()) {
      if (key === 0) continue;
      const slot = this.#slotOf(key);
      this.#keys[slot] = key;
      this.#first[slot] = first[old] ?? 0;
      this.#counts[slot] = counts[old] ?? 0;
    }
  }
}

function matches<Line>({ match, scope }: IndexedPattern<Line>, name: QueryName, text: Buffer): boolean {
  const { length, labels, starts } = name;
  if (!('matches' in match)) return match.testWhole(text.toString('latin1', 1, length));
  if (scope !== 'below' && match.matches(text, 1, length)) return true;
  if (scope === 'whole') return false;
  for (let label = 1; label < labels; label++) {
    if (match.matches(text, (starts[label] ?? 0) + 1, length)) return true;
  }
  return false;
}

/** All pieces of a literal; a short one is a piece itself. */
function pieces(literal: string): Piece[] {
  if (literal.length < 2) return [];
  const tail = literal.endsWith(END) ? literal.lastIndexOf('.') : -1;
  const from = tail < 0 ? literal.length - PIECE : tail;
  const count = Math.max(1, literal.length - PIECE + 1);
  return Array.from({ length: count }, (_, i) => {
    const text = literal.slice(i, i + PIECE);
    const isTail = literal.endsWith(END) && i >= from;
    return { text, cost: (isTail ? TAIL_COST : 0) + (/[a-z]/.test(text) ? 0 : NUMBER_COST) };
  });
}

function filterBit(key: number): number {
  return Math.imul(key, SPREAD) >>> (32 - FILTER_BITS);
}

function toKey(piece: string): number {
  let key = 0;
  for (let i = 0; i < piece.length; i++) key = (key << 8) | piece.charCodeAt(i);
  return key;
}
