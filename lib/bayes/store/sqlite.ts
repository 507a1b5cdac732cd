/** Dictionaries in a file, which several processes may share. Synchronous: it belongs into a thread that has nothing else to do. */
import { randomBytes } from 'node:crypto';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { openDatabase, transaction } from '../../sqlite.ts';
import { CountCache } from '../cache.ts';
import { dayOf, unpack } from '../counts.ts';
import { isStale } from '../expiry.ts';
import { KEYS, type Secret } from '../hash.ts';
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

const migrations: readonly string[] = [
  `CREATE TABLE secret (value BLOB NOT NULL);
   CREATE TABLE dictionaries (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, spam INTEGER NOT NULL DEFAULT 0,
     ham INTEGER NOT NULL DEFAULT 0, tokens INTEGER NOT NULL DEFAULT 0);
   CREATE TABLE tokens (dictionary INTEGER NOT NULL, key INTEGER NOT NULL, counts INTEGER NOT NULL,
     PRIMARY KEY (dictionary, key)) WITHOUT ROWID;
   CREATE TABLE records (dictionary INTEGER NOT NULL, digest BLOB NOT NULL, expires INTEGER NOT NULL, record BLOB NOT NULL,
     PRIMARY KEY (dictionary, digest)) WITHOUT ROWID;
   CREATE INDEX records_expires ON records (expires);`,
];

/** Rows that one slice of expiry looks at. */
const SLICE = 2_000;

interface Row {
  readonly [column: string]: unknown;
}

/** A file of SQLite. */
export class SqliteStore implements DictionaryStore {
  readonly #database: DatabaseSync;
  readonly #retention: Retention;
  readonly #cache = new CountCache();
  readonly #ids = new Map<string, number>();
  readonly #statements: Statements;
  /** Which state of the file the cache is of. */
  #version: unknown;
  /** Where expiry goes on. */
  #cursor = { dictionary: 0, key: -1 };

  /** @throws Error where the file cannot be opened */
  constructor(path: string, retention: Retention) {
    this.#retention = retention;
    const { database, statements } = openDatabase(path, migrations, false, prepare);
    this.#database = database;
    this.#statements = statements;
  }

  async secret(): Promise<Secret> {
    const bytes = transaction(this.#database, () => {
      const row = this.#database.prepare('SELECT value FROM secret').get();
      if (row?.['value'] instanceof Uint8Array) return Buffer.from(row['value']);
      const made = randomBytes(8);
      this.#database.prepare('INSERT INTO secret (value) VALUES (?)').run(made);
      return made;
    });
    return [bytes.readInt32LE(0), bytes.readInt32LE(4)];
  }

  async read(name: string, keys: readonly number[]): Promise<Reading> {
    const counts = new Uint32Array(2 * keys.length);
    this.#database.exec('BEGIN');
    try {
      this.#refresh();
      const dictionary = this.#find(name);
      if (dictionary === undefined) return { totals: { spam: 0, ham: 0 }, counts };
      const missing: number[] = [];
      for (const [i, key] of keys.entries()) {
        if (!this.#cache.read(dictionary, key, counts, 2 * i)) missing.push(i);
      }
      if (missing.length > 0) this.#readMissing(dictionary, keys, missing, counts);
      return { totals: this.#totals(dictionary), counts };
    } finally {
      this.#database.exec('COMMIT');
    }
  }

  async record(name: string, digest: Buffer, now: number): Promise<LearnedRecord | undefined> {
    const dictionary = this.#find(name);
    if (dictionary === undefined) return undefined;
    const bytes = this.#statements.record.get(dictionary, digest, dayOf(now))?.['record'];
    return bytes instanceof Uint8Array ? decodeRecord(Buffer.from(bytes)) : undefined;
  }

  async perform(name: string, task: Task, lesson: Lesson, now: number): Promise<Outcome> {
    const today = dayOf(now);
    return this.#change(name, (table) => perform(table, task, lesson, today), today);
  }

  async import(name: string, tokens: readonly Import[], totals: Totals): Promise<void> {
    this.#change(name, (table) => addCounts(table, tokens, totals), 0);
  }

  async sizes(): Promise<readonly DictionarySize[]> {
    return this.#database
      .prepare('SELECT name, spam, ham, tokens FROM dictionaries ORDER BY name')
      .all()
      .map(({ name, spam, ham, tokens }: Row) => ({
        name: String(name),
        spam: Number(spam),
        ham: Number(ham),
        tokens: Number(tokens),
      }));
  }

  async sweep(now: number): Promise<Sweep> {
    const today = dayOf(now);
    const rows = this.#statements.slice.all(this.#cursor.dictionary, this.#cursor.key, SLICE);
    const totals = new Map<number, Totals>();
    const stale = rows.filter((row: Row) => {
      const dictionary = Number(row['dictionary']);
      const known = totals.get(dictionary) ?? this.#totals(dictionary);
      totals.set(dictionary, known);
      return isStale(unpack(Number(row['counts'])), known, today, this.#retention);
    });
    const last: Row | undefined = rows.at(-1);
    const isDone = rows.length < SLICE;
    this.#cursor =
      isDone || last === undefined
        ? { dictionary: 0, key: -1 }
        : { dictionary: Number(last['dictionary']), key: Number(last['key']) };
    const hasOld = this.#statements.hasOld.get(today) !== undefined;
    if (stale.length === 0 && !hasOld) return { dropped: 0, isDone };
    const dropped = transaction(this.#database, () => {
      let count = 0;
      for (const { dictionary, key, counts } of stale as readonly Row[]) {
        // Nothing that was of use meanwhile.
        const gone = Number(
          this.#statements.dropIf.run(Number(dictionary), Number(key), Number(counts)).changes,
        );
        if (gone > 0) this.#statements.addTokens.run(-gone, Number(dictionary));
        this.#cache.forget(Number(dictionary), Number(key));
        count += gone;
      }
      return count + Number(this.#statements.dropOld.run(today, SLICE).changes);
    });
    return { dropped, isDone: isDone && !hasOld };
  }

  async close(): Promise<void> {
    this.#database.close();
  }

  #change<T>(name: string, work: (table: Table) => T, today: number): T {
    return transaction(this.#database, () => {
      this.#refresh();
      this.#statements.add.run(name);
      const dictionary = Number(this.#statements.find.get(name)?.['id']);
      const table = new SqliteTable(
        this.#statements,
        this.#cache,
        dictionary,
        today,
        today + this.#retention.records,
      );
      const result = work(table);
      if (table.added !== 0) this.#statements.addTokens.run(table.added, dictionary);
      this.#bound(name, dictionary);
      return result;
    });
  }

  /** Keeps a dictionary below its cap: of the tokens around a random place, which are as good as any, the oldest go. */
  #bound(name: string, dictionary: number): void {
    const tokens = Number(this.#statements.tokens.get(dictionary)?.['tokens'] ?? 0);
    const excess = tokens - capOf(name, this.#retention);
    if (excess <= 0) return;
    const start = Math.floor(Math.random() * KEYS);
    const most = Math.max(256, 4 * excess);
    const around = [
      ...this.#statements.from.all(dictionary, start, most),
      ...this.#statements.before.all(dictionary, start, most),
    ].slice(0, most);
    const oldest = around
      .map((row: Row) => ({ key: Number(row['key']), ...unpack(Number(row['counts'])) }))
      .sort((a, b) => a.day - b.day || a.spam + a.ham - (b.spam + b.ham))
      .slice(0, excess);
    for (const { key } of oldest) {
      this.#statements.remove.run(dictionary, key);
      this.#cache.forget(dictionary, key);
    }
    this.#statements.addTokens.run(-oldest.length, dictionary);
  }

  /** What others wrote makes the cache void. */
  #refresh(): void {
    const version = this.#statements.version.get()?.['data_version'];
    if (version === this.#version) return;
    this.#version = version;
    this.#cache.clear();
  }

  #find(name: string): number | undefined {
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    const id = this.#statements.find.get(name)?.['id'];
    if (id === undefined) return undefined;
    if (this.#ids.size > 10_000) this.#ids.clear();
    this.#ids.set(name, Number(id));
    return Number(id);
  }

  #totals(dictionary: number): Totals {
    const { spam = 0, ham = 0 } = this.#statements.totals.get(dictionary) ?? {};
    return { spam: Number(spam), ham: Number(ham) };
  }

  #readMissing(
    dictionary: number,
    keys: readonly number[],
    missing: readonly number[],
    counts: Uint32Array,
  ): void {
    const found = lookUp(
      this.#statements,
      dictionary,
      missing.map((i) => keys[i] ?? 0),
    );
    for (const i of missing) {
      const key = keys[i] ?? 0;
      const packed = found.get(key);
      const { spam, ham } = packed === undefined ? { spam: 0, ham: 0 } : unpack(packed);
      counts[2 * i] = spam;
      counts[2 * i + 1] = ham;
      this.#cache.write(dictionary, key, spam, ham);
    }
  }
}

/** The packed counts of those keys that are there. */
function lookUp(
  statements: Statements,
  dictionary: number,
  keys: readonly number[],
): ReadonlyMap<number, number> {
  const rows: readonly Row[] = statements.get.all(JSON.stringify(keys), dictionary);
  return new Map(rows.map(({ key, counts }) => [Number(key), Number(counts)]));
}

type Statements = ReturnType<typeof prepare>['statements'];

function prepare(database: DatabaseSync) {
  // A message changes many pages: they need not all go to the file at once.
  database.exec('PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16000; PRAGMA mmap_size = 268435456');
  const statement = (sql: string): StatementSync => database.prepare(sql);
  const statements = {
    version: statement('PRAGMA data_version'),
    find: statement('SELECT id FROM dictionaries WHERE name = ?'),
    add: statement('INSERT INTO dictionaries (name) VALUES (?) ON CONFLICT DO NOTHING'),
    totals: statement('SELECT spam, ham FROM dictionaries WHERE id = ?'),
    addTotals: statement(
      'UPDATE dictionaries SET spam = max(0, spam + ?), ham = max(0, ham + ?) WHERE id = ?',
    ),
    tokens: statement('SELECT tokens FROM dictionaries WHERE id = ?'),
    addTokens: statement('UPDATE dictionaries SET tokens = tokens + ? WHERE id = ?'),
    // The planner would go through all tokens.
    get: statement(
      'SELECT tokens.key, counts FROM json_each(?) CROSS JOIN tokens ON dictionary = ? AND tokens.key = json_each.value',
    ),
    set: statement(
      'INSERT INTO tokens (dictionary, key, counts) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET counts = excluded.counts',
    ),
    remove: statement('DELETE FROM tokens WHERE dictionary = ? AND key = ?'),
    dropIf: statement('DELETE FROM tokens WHERE dictionary = ? AND key = ? AND counts = ?'),
    from: statement('SELECT key, counts FROM tokens WHERE dictionary = ? AND key >= ? ORDER BY key LIMIT ?'),
    before: statement(
      'SELECT key, counts FROM tokens WHERE dictionary = ? AND key < ? ORDER BY key DESC LIMIT ?',
    ),
    slice: statement(
      'SELECT dictionary, key, counts FROM tokens WHERE (dictionary, key) > (?, ?) ORDER BY dictionary, key LIMIT ?',
    ),
    record: statement('SELECT record FROM records WHERE dictionary = ? AND digest = ? AND expires >= ?'),
    setRecord: statement(
      `INSERT INTO records (dictionary, digest, expires, record) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET expires = excluded.expires, record = excluded.record`,
    ),
    removeRecord: statement('DELETE FROM records WHERE dictionary = ? AND digest = ?'),
    hasOld: statement('SELECT 1 FROM records WHERE expires < ? LIMIT 1'),
    dropOld: statement(
      `DELETE FROM records WHERE (dictionary, digest) IN (SELECT dictionary, digest FROM records WHERE expires < ? LIMIT ?)`,
    ),
  } as const;
  return { database, statements };
}

/** One dictionary, within a transaction. */
class SqliteTable implements Table {
  /** Tokens that came, less those that went. */
  added = 0;
  readonly #statements: Statements;
  readonly #cache: CountCache;
  readonly #dictionary: number;
  readonly #today: number;
  readonly #expires: number;

  constructor(statements: Statements, cache: CountCache, dictionary: number, today: number, expires: number) {
    this.#statements = statements;
    this.#cache = cache;
    this.#dictionary = dictionary;
    this.#today = today;
    this.#expires = expires;
  }

  totals(): Totals {
    const { spam = 0, ham = 0 } = this.#statements.totals.get(this.#dictionary) ?? {};
    return { spam: Number(spam), ham: Number(ham) };
  }

  addTotals(spam: number, ham: number): void {
    this.#statements.addTotals.run(spam, ham, this.#dictionary);
  }

  get(keys: readonly number[]): ReadonlyMap<number, number> {
    return lookUp(this.#statements, this.#dictionary, keys);
  }

  set(key: number, packed: number, isNew: boolean): void {
    if (isNew) this.added++;
    this.#statements.set.run(this.#dictionary, key, packed);
    this.#cache.forget(this.#dictionary, key);
  }

  remove(key: number): void {
    this.added -= Number(this.#statements.remove.run(this.#dictionary, key).changes);
    this.#cache.forget(this.#dictionary, key);
  }

  record(digest: Buffer): Buffer | undefined {
    const bytes = this.#statements.record.get(this.#dictionary, digest, this.#today)?.['record'];
    return bytes instanceof Uint8Array ? Buffer.from(bytes) : undefined;
  }

  setRecord(digest: Buffer, record: Buffer): void {
    this.#statements.setRecord.run(this.#dictionary, digest, this.#expires, record);
  }

  removeRecord(digest: Buffer): void {
    this.#statements.removeRecord.run(this.#dictionary, digest);
  }
}
