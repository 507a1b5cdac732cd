/**
 * Names and suffixes of names, in a hash table of bytes: a hundred thousand cost one array of a few megabytes, and a
 * query looks up each of its suffixes without making a string.
 */
import { HASH_START, hashByte } from './name.ts';

/** What a key stands for; a key may stand for several things. */
export const EXACT = 1;
/** The names below it. */
export const BELOW = 2;
/** The IPv4 or IPv6 addresses whose reversed form ends so. */
export const NETWORK4 = 4;
export const NETWORK6 = 8;
/** Names that are listed are below it: it exists, though with no record (RFC 8020). */
export const PARENT = 16;

/** Integers of a slot: the hash of a key, and its number + 1, which is 0 where the slot is empty. */
const SLOT = 2;
/** Integers of a key: where its bytes are and how many, all its kinds, and its first use or -1. Together, for the cache. */
const KEY = 4;
/** Integers of a use: the next one of the same key or -1, its kind, and its line. */
const USE = 3;

/** A table of what is said of names by lines of type `Line`. */
export class NameTable<Line> {
  /** At most half of them are in use. */
  #slots = new Int32Array(64 * SLOT);
  #keys = new Int32Array(64 * KEY);
  #size = 0;
  #bytes = Buffer.alloc(1024);
  #used = 0;
  #uses = new Int32Array(64 * USE);
  readonly #lines: Line[] = [];

  /** Adds what `line` says of a name in the form of the wire. */
  add(name: Uint8Array, kind: number, line: Line): void {
    const at = KEY * this.#keyFor(name);
    const use = this.#lines.push(line) - 1;
    if (USE * (use + 1) > this.#uses.length) this.#uses = grown(this.#uses);
    this.#uses.set([this.#keys[at + 3] ?? -1, kind, use], USE * use);
    this.#keys[at + 2] = (this.#keys[at + 2] ?? 0) | kind;
    this.#keys[at + 3] = use;
  }

  /** Notes that names above this one exist. */
  addParents(name: Uint8Array): void {
    for (let at = 1 + (name[0] ?? 0); at < name.length; at += 1 + (name[at] ?? 0)) {
      const key = KEY * this.#keyFor(name.subarray(at));
      const kinds = this.#keys[key + 2] ?? 0;
      // Those above it are there since it was.
      if ((kinds & PARENT) !== 0) return;
      this.#keys[key + 2] = kinds | PARENT;
    }
  }

  /** The key with these bytes, whose hash the caller has; -1 if there is none. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length / SLOT - 1;
    for (let slot = spread(hash) & mask; ; slot = (slot + 1) & mask) {
      const key = (slots[SLOT * slot + 1] ?? 0) - 1;
      if (key < 0) return -1;
      if (slots[SLOT * slot] === hash && this.#equals(key, bytes, start, end)) return key;
    }
  }

  /** What the key stands for, all together. */
  kinds(key: number): number {
    return this.#keys[KEY * key + 2] ?? 0;
  }

  /** The first use of a key; -1 if there is none. */
  first(key: number): number {
    return this.#keys[KEY * key + 3] ?? -1;
  }

  next(use: number): number {
    return this.#uses[USE * use] ?? -1;
  }

  kindOf(use: number): number {
    return this.#uses[USE * use + 1] ?? 0;
  }

  lineOf(use: number): Line | undefined {
    return this.#lines[use];
  }

  #keyFor(name: Uint8Array): number {
    let hash = HASH_START;
    for (let i = name.length - 1; i >= 0; i--) hash = hashByte(hash, name[i] ?? 0);
    const found = this.find(name, 0, name.length, hash);
    if (found >= 0) return found;
    const key = this.#size++;
    if (this.#used + name.length > this.#bytes.length) this.#growBytes();
    if (KEY * this.#size > this.#keys.length) this.#keys = grown(this.#keys);
    if (2 * SLOT * this.#size > this.#slots.length) this.#growSlots();
    this.#bytes.set(name, this.#used);
    this.#keys.set([this.#used, name.length, 0, -1], KEY * key);
    this.#used += name.length;
    this.#place(hash, key + 1);
    return key;
  }

  #equals(key: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#keys[KEY * key + 1] !== end - start) return false;
    const own = this.#bytes;
    let at = this.#keys[KEY * key] ?? 0;
    for (let i = start; i < end; i++) if (bytes[i] !== own[at++]) return false;
    return true;
  }

  #place(hash: number, number: number): void {
    const slots = this.#slots;
    const mask = slots.length / SLOT - 1;
    let slot = spread(hash) & mask;
    while (slots[SLOT * slot + 1] !== 0) slot = (slot + 1) & mask;
    slots[SLOT * slot] = hash;
    slots[SLOT * slot + 1] = number;
  }

  #growSlots(): void {
    const before = this.#slots;
    this.#slots = new Int32Array(before.length * 2);
    for (let at = 0; at < before.length; at += SLOT) {
      const number = before[at + 1] ?? 0;
      if (number !== 0) this.#place(before[at] ?? 0, number);
    }
  }

  #growBytes(): void {
    const bytes = Buffer.alloc(this.#bytes.length * 2);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}

function grown(array: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2);
  larger.set(array);
  return larger;
}

/** The last bits of FNV depend on few others. */
function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}
