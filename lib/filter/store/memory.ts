/** A store that ends with the process, for tries and tests. One thread only. */
import type { Backend, Page, StoreAnswer, StoreRequest } from './request.ts';
import { type Entry, perform, type Table } from './table.ts';
import type { Window } from './window.ts';

/** What has expired is looked for whenever so much was asked. */
const SWEEP_EVERY = 1_000;

/** Keeps everything in maps. */
export class MemoryTable implements Table {
  readonly #entries = new Map<string, Entry>();
  readonly #windows = new Map<string, { readonly window: Window; readonly expires: number }>();

  /** How much is kept, expired or not. */
  get size(): number {
    return this.#entries.size + this.#windows.size;
  }

  read(key: string, now: number): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.expires > now ? entry : undefined;
  }

  write(key: string, entry: Entry): void {
    this.#entries.set(key, entry);
  }

  remove(key: string): void {
    this.#entries.delete(key);
  }

  page(prefix: string, after: string, most: number, now: number): Page['entries'] {
    const found: [string, string][] = [];
    for (const [key, { value, listed, expires }] of this.#entries) {
      if (listed && expires > now && key.startsWith(prefix) && inOrder(key, after) > 0) {
        found.push([key, value]);
      }
    }
    return found.sort(([a], [b]) => inOrder(a, b)).slice(0, most);
  }

  readWindow(key: string): Window {
    return this.#windows.get(key)?.window ?? [];
  }

  writeWindow(key: string, window: Window, expires: number): void {
    this.#windows.set(key, { window, expires });
  }

  sweep(now: number, most: number): number {
    let swept = 0;
    for (const map of [this.#entries, this.#windows]) {
      for (const [key, { expires }] of map) {
        if (swept >= most) return swept;
        if (expires <= now && map.delete(key)) swept++;
      }
    }
    return swept;
  }
}

/** A table of this process. */
export class MemoryBackend implements Backend {
  readonly #now: () => number;
  readonly #table: MemoryTable;
  #asked = 0;

  constructor(now: () => number, table: MemoryTable = new MemoryTable()) {
    this.#now = now;
    this.#table = table;
  }

  ask(request: StoreRequest): Promise<StoreAnswer> {
    const now = this.#now();
    if (++this.#asked % SWEEP_EVERY === 0) this.#table.sweep(now, Number.POSITIVE_INFINITY);
    return Promise.resolve(perform(this.#table, request, now));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** By UTF-8, as SQLite and Redis compare. JavaScript compares UTF-16, where what is beyond U+FFFF comes too early. */
function inOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
