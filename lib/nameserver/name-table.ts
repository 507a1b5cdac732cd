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

/** A table of what is said of names by lines of type `Line`. */
export class NameTable<Line> {
  /** Number of a key + 1; 0 where there is none. Half of them are empty, or more. */
  #slots = new Int32Array(64);
  #bytes = Buffer.alloc(1024);
  #used = 0;
  readonly #hashes: number[] = [];
  readonly #starts: number[] = [];
  readonly #lengths: number[] = [];
  /** All uses of a key together. */
  readonly #kinds: number[] = [];
  /** The first use of each key, and of each use the next; -1 is none. */
  readonly #first: number[] = [];
  readonly #next: number[] = [];
  readonly #useKinds: number[] = [];
  readonly #lines: Line[] = [];

  /** Adds what `line` says of a name in the form of the wire. */
  add(name: Uint8Array, kind: number, line: Line): void {
    const key = this.#keyFor(name);
    this.#kinds[key] = (this.#kinds[key] ?? 0) | kind;
    this.#next.push(this.#first[key] ?? -1);
    this.#first[key] = this.#lines.length;
    this.#useKinds.push(kind);
    this.#lines.push(line);
  }

  /** Notes that names above this one exist. */
  addParents(name: Uint8Array): void {
    for (let at = 1 + (name[0] ?? 0); at < name.length; at += 1 + (name[at] ?? 0)) {
      const key = this.#keyFor(name.subarray(at));
      const kinds = this.#kinds[key] ?? 0;
      // Those above it are there since it was.
      if ((kinds & PARENT) !== 0) return;
      this.#kinds[key] = kinds | PARENT;
    }
  }

  /** The key with these bytes, whose hash the caller has; -1 if there is none. */
  find(bytes: Uint8Array, start: number, end: number, hash: number): number {
    const slots = this.#slots;
    const mask = slots.length - 1;
    for (let slot = spread(hash) & mask; ; slot = (slot + 1) & mask) {
      const key = (slots[slot] ?? 0) - 1;
      if (key < 0) return -1;
      if (this.#hashes[key] === hash && this.#equals(key, bytes, start, end)) return key;
    }
  }

  /** What the key stands for, all together. */
  kinds(key: number): number {
    return this.#kinds[key] ?? 0;
  }

  /** The first use of a key; -1 if there is none. */
  first(key: number): number {
    return this.#first[key] ?? -1;
  }

  next(use: number): number {
    return this.#next[use] ?? -1;
  }

  kindOf(use: number): number {
    return this.#useKinds[use] ?? 0;
  }

  lineOf(use: number): Line | undefined {
    return this.#lines[use];
  }

  #keyFor(name: Uint8Array): number {
    let hash = HASH_START;
    for (let i = name.length - 1; i >= 0; i--) hash = hashByte(hash, name[i] ?? 0);
    const found = this.find(name, 0, name.length, hash);
    if (found >= 0) return found;
    const key = this.#hashes.length;
    if (this.#used + name.length > this.#bytes.length) this.#growBytes();
    this.#bytes.set(name, this.#used);
    this.#hashes.push(hash);
    this.#starts.push(this.#used);
    this.#lengths.push(name.length);
    this.#kinds.push(0);
    this.#first.push(-1);
    this.#used += name.length;
    if (2 * (key + 1) > this.#slots.length) this.#growSlots();
    else this.#place(key);
    return key;
  }

  #equals(key: number, bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#lengths[key] !== end - start) return false;
    const own = this.#bytes;
    let at = this.#starts[key] ?? 0;
    for (let i = start; i < end; i++) if (bytes[i] !== own[at++]) return false;
    return true;
  }

  #place(key: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = spread(this.#hashes[key] ?? 0) & mask;
    while (slots[slot] !== 0) slot = (slot + 1) & mask;
    slots[slot] = key + 1;
  }

  #growSlots(): void {
    this.#slots = new Int32Array(this.#slots.length * 2);
    for (let key = 0; key < this.#hashes.length; key++) this.#place(key);
  }

  #growBytes(): void {
    const bytes = Buffer.alloc(this.#bytes.length * 2);
    bytes.set(this.#bytes);
    this.#bytes = bytes;
  }
}

/** The last bits of FNV depend on few others. */
function spread(hash: number): number {
  return hash ^ (hash >>> 15);
}
