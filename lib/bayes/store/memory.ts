/** Dictionaries that end with the process: for tries and tests. Nothing in it is bounded but by expiry. */
import { randomBytes } from 'node:crypto';
import { dayOf, unpack } from '../counts.ts';
import { isStale } from '../expiry.ts';
import type { Secret } from '../hash.ts';
import type { Totals } from '../score.ts';
import { addCounts, perform, type Table } from './lessons.ts';
import { decodeRecord } from './record.ts';
import {
  capOf,
  type DictionarySize,
  type DictionaryStore,
  type Import,
  type LearnedRecord,
  type Lesson,
  type Outcome,
  type Reading,
  type Retention,
  type Sweep,
  type Task,
} from './store.ts';

class MemoryDictionary implements Table {
  readonly tokens = new Map<number, number>();
  readonly records = new Map<string, { readonly record: Buffer; readonly expires: number }>();
  /** The day until which records that are made now are kept. */
  expires: number = 0;
  #totals: Totals = { spam: 0, ham: 0 };

  totals(): Totals {
    return this.#totals;
  }

  addTotals(spam: number, ham: number): void {
    this.#totals = {
      spam: Math.max(0, this.#totals.spam + spam),
      ham: Math.max(0, this.#totals.ham + ham),
    };
  }

  get(keys: readonly number[]): ReadonlyMap<number, number> {
    const found = new Map<number, number>();
    for (const key of keys) {
      const packed = this.tokens.get(key);
      if (packed !== undefined) found.set(key, packed);
    }
    return found;
  }

  set(key: number, packed: number): void {
    this.tokens.set(key, packed);
  }

  remove(key: number): void {
    this.tokens.delete(key);
  }

  record(digest: Buffer): Buffer | undefined {
    return this.records.get(digest.toString('latin1'))?.record;
  }

  setRecord(digest: Buffer, record: Buffer): void {
    this.records.set(digest.toString('latin1'), { record, expires: this.expires });
  }

  removeRecord(digest: Buffer): void {
    this.records.delete(digest.toString('latin1'));
  }
}

/** A store in maps. */
export class MemoryStore implements DictionaryStore {
  readonly #retention: Retention;
  readonly #secret: Secret;
  readonly #dictionaries = new Map<string, MemoryDictionary>();

  constructor(retention: Retention) {
    this.#retention = retention;
    const bytes = randomBytes(8);
    this.#secret = [bytes.readInt32LE(0), bytes.readInt32LE(4)];
  }

  async secret(): Promise<Secret> {
    return this.#secret;
  }

  async read(name: string, keys: readonly number[]): Promise<Reading> {
    const dictionary = this.#dictionaries.get(name);
    const counts = new Uint32Array(2 * keys.length);
    if (dictionary === undefined) return { totals: { spam: 0, ham: 0 }, counts };
    for (const [i, key] of keys.entries()) {
      const packed = dictionary.tokens.get(key);
      if (packed === undefined) continue;
      const { spam, ham } = unpack(packed);
      counts[2 * i] = spam;
      counts[2 * i + 1] = ham;
    }
    return { totals: dictionary.totals(), counts };
  }

  async record(name: string, digest: Buffer, now: number): Promise<LearnedRecord | undefined> {
    const kept = this.#dictionaries.get(name)?.records.get(digest.toString('latin1'));
    return kept && kept.expires >= dayOf(now) ? decodeRecord(kept.record) : undefined;
  }

  async perform(name: string, task: Task, lesson: Lesson, now: number): Promise<Outcome> {
    const dictionary = this.#dictionary(name);
    const today = dayOf(now);
    dictionary.expires = today + this.#retention.records;
    const kept = dictionary.records.get(lesson.digest.toString('latin1'));
    if (kept !== undefined && kept.expires < today) dictionary.removeRecord(lesson.digest);
    return perform(dictionary, task, lesson, today);
  }

  async import(name: string, tokens: readonly Import[], totals: Totals): Promise<void> {
    addCounts(this.#dictionary(name), tokens, totals);
  }

  async sizes(): Promise<readonly DictionarySize[]> {
    return [...this.#dictionaries].map(([name, one]) => ({ name, ...one.totals(), tokens: one.tokens.size }));
  }

  async sweep(now: number): Promise<Sweep> {
    const today = dayOf(now);
    let dropped = 0;
    for (const [name, dictionary] of this.#dictionaries) {
      for (const [key, packed] of dictionary.tokens) {
        if (!isStale(unpack(packed), dictionary.totals(), today, this.#retention)) continue;
        dictionary.tokens.delete(key);
        dropped++;
      }
      const excess = dictionary.tokens.size - capOf(name, this.#retention);
      if (excess > 0) {
        const oldest = [...dictionary.tokens]
          .sort(([, a], [, b]) => unpack(a).day - unpack(b).day)
          .slice(0, excess);
        for (const [key] of oldest) dictionary.tokens.delete(key);
        dropped += excess;
      }
      for (const [digest, { expires }] of dictionary.records) {
        if (expires < today && dictionary.records.delete(digest)) dropped++;
      }
    }
    return { dropped, isDone: true };
  }

  async close(): Promise<void> {
    this.#dictionaries.clear();
  }

  #dictionary(name: string): MemoryDictionary {
    let dictionary = this.#dictionaries.get(name);
    if (dictionary === undefined) {
      dictionary = new MemoryDictionary();
      this.#dictionaries.set(name, dictionary);
    }
    return dictionary;
  }
}
