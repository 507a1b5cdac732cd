/**
 * A store that ends with the process, for tries and tests. One thread only.
 */

import { PartOfStore } from './part.ts';
import type { Admission, Keep, Store, StoreCall, StoreResults, WindowLimit } from './store.ts';
import { addTo, inWindow, total, type Window, waitFor } from './window.ts';

interface Entry {
  value: string;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
}

/** Old entries are looked for whenever so many were written. */
const SWEEP_EVERY = 1_000;

/** Keeps everything in maps. */
export class MemoryStore implements Store {
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #windows = new Map<string, { window: Window; expires: number }>();
  #written = 0;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  get(key: string): Promise<string | undefined> {
    return Promise.resolve(this.#get(key));
  }

  set(key: string, value: string, keep?: Keep): Promise<void> {
    return Promise.resolve(this.#set(key, value, keep));
  }

  increment(key: string, by: number, keep?: Keep): Promise<number> {
    return Promise.resolve(this.#increment(key, by, keep));
  }

  compareAndSet(key: string, expected: string | undefined, value: string, keep?: Keep): Promise<boolean> {
    if (this.#get(key) !== expected) return Promise.resolve(false);
    this.#set(key, value, keep);
    return Promise.resolve(true);
  }

  delete(key: string): Promise<void> {
    this.#entries.delete(key);
    return Promise.resolve();
  }

  async *scan(prefix: string): AsyncIterable<readonly [string, string]> {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort();
    for (const key of keys) {
      const value = await this.get(key);
      if (value !== undefined) yield [key, value];
    }
  }

  batch<const Calls extends readonly StoreCall[]>(calls: Calls): Promise<StoreResults<Calls>> {
    return Promise.resolve(calls.map((call) => this.#call(call)) as StoreResults<Calls>);
  }

  admit(limits: readonly WindowLimit[]): Promise<Admission> {
    const now = this.#now();
    const windows = limits.map(({ key, per }) => inWindow(this.#windows.get(key)?.window ?? [], now, per));
    for (const [index, { add, most, per }] of limits.entries()) {
      const window = windows[index] ?? [];
      if (total(window) + add > most) {
        return Promise.resolve({ admitted: false, index, wait: waitFor(window, add, most, now, per) });
      }
    }
    for (const limit of limits) this.#add(limit, limit.add, now);
    return Promise.resolve({ admitted: true });
  }

  giveBack(limits: readonly WindowLimit[]): Promise<void> {
    for (const limit of limits) this.#add(limit, -limit.add, this.#now());
    return Promise.resolve();
  }

  part(name: string): Store {
    return new PartOfStore(this, name);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #get(key: string): string | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && entry.expires > this.#now() ? entry.value : undefined;
  }

  #set(key: string, value: string, keep: Keep | undefined): undefined {
    const expires = keep?.ttl === undefined ? Number.POSITIVE_INFINITY : this.#now() + keep.ttl;
    this.#entries.set(key, { value, expires });
    this.#sweep();
  }

  #increment(key: string, by: number, keep: Keep | undefined): number {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expires <= this.#now()) {
      this.#set(key, String(by), keep);
      return by;
    }
    const sum = Number(entry.value) + by;
    entry.value = String(sum);
    return sum;
  }

  #call(call: StoreCall): string | number | undefined {
    switch (call.call) {
      case 'get':
        return this.#get(call.key);
      case 'set':
        return this.#set(call.key, call.value, call.keep);
      case 'increment':
        return this.#increment(call.key, call.by, call.keep);
      case 'delete':
        this.#entries.delete(call.key);
        return undefined;
    }
  }

  #add({ key, per }: WindowLimit, amount: number, now: number): void {
    const window = addTo(this.#windows.get(key)?.window ?? [], amount, now, per);
    this.#windows.set(key, { window, expires: now + 2 * per });
    this.#sweep();
  }

  /** Lets go of what has expired, now and then. */
  #sweep(): void {
    if (++this.#written % SWEEP_EVERY !== 0) return;
    const now = this.#now();
    for (const map of [this.#entries, this.#windows]) {
      for (const [key, { expires }] of map) if (expires <= now) map.delete(key);
    }
  }
}
