/**
 * The store's file, as the thread of sqlite.ts uses it: all that is asked together is one transaction, so that it is
 * written to the disk once. The one place that knows `node:sqlite`.
 */
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { MemoryTable } from './memory.ts';
import { type Page, type StoreAnswer, type StoreRequest, writes } from './request.ts';
import { type Entry, perform, type Table } from './table.ts';
import type { Window } from './window.ts';

/** What came of a request. */
export type Outcome = { readonly answer: StoreAnswer } | { readonly error: string };

/**
 * Each brings a file of the version before it to the next; the first makes one. Never change one that was released.
 */
const migrations: readonly string[] = [
  `CREATE TABLE entries (key TEXT PRIMARY KEY, value TEXT NOT NULL, expires REAL, listed INTEGER NOT NULL);
   CREATE INDEX entries_listed ON entries (key) WHERE listed;
   CREATE INDEX entries_expires ON entries (expires) WHERE expires IS NOT NULL;
   CREATE TABLE windows (key TEXT PRIMARY KEY, slices TEXT NOT NULL, expires REAL NOT NULL);
   CREATE INDEX windows_expires ON windows (expires);`,
];

/** Milliseconds to wait for other processes that write. */
const BUSY = 10_000;

/** A store's file. It is made when something is first written. */
export class SqliteFile {
  readonly #path: string;
  #open: { readonly database: DatabaseSync; readonly table: SqliteTable } | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Performs all of them in one transaction. Where that fails, those that only read are performed without. */
  run(requests: readonly StoreRequest[], now: number): readonly Outcome[] {
    if (!requests.some(writes)) return requests.map((request) => this.#read(request, now));
    try {
      const { database, table } = this.#opened();
      return transaction(database, () =>
        requests.map((request) => ({ answer: perform(table, request, now) })),
      );
    } catch (error) {
      const failed = { error: this.#describe(error) };
      return requests.map((request) => (writes(request) ? failed : this.#read(request, now)));
    }
  }

  /** Lets go of some of what has expired, and says how many those were. */
  sweep(now: number, most: number): number {
    if (this.#open === undefined) return 0;
    const { database, table } = this.#open;
    try {
      return transaction(database, () => table.sweep(now, most));
    } catch {
      // Those who ask for something are told.
      return 0;
    }
  }

  close(): void {
    this.#open?.database.close();
    this.#open = undefined;
  }

  #read(request: StoreRequest, now: number): Outcome {
    try {
      // A file that may not be looked at is no missing file.
      if (this.#open === undefined && statSync(this.#path, { throwIfNoEntry: false }) === undefined) {
        return { answer: perform(new MemoryTable(), request, now) };
      }
      return { answer: perform(this.#opened().table, request, now) };
    } catch (error) {
      return { error: this.#describe(error) };
    }
  }

  #opened(): { readonly database: DatabaseSync; readonly table: SqliteTable } {
    if (this.#open !== undefined) return this.#open;
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    // SQLite would let others read it, and gives its other files the mode of this one.
    closeSync(openSync(this.#path, 'a', 0o600));
    const database = new DatabaseSync(this.#path, { timeout: BUSY });
    try {
      database.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 16777216',
      );
      migrate(database, migrations);
      this.#open = { database, table: new SqliteTable(database) };
      return this.#open;
    } catch (error) {
      database.close();
      throw error;
    }
  }

  #describe(error: unknown): string {
    return `the store ${this.#path} fails: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/**
 * Brings a file to the last version, in one transaction. Of several processes, one does.
 * @throws Error if the file has a later version
 */
export function migrate(database: DatabaseSync, steps: readonly string[]): void {
  if (versionOf(database) === steps.length) return;
  transaction(database, () => {
    const version = versionOf(database);
    if (version > steps.length) {
      throw new Error(
        `it was written by a later release (its version is ${version}, the last known ${steps.length})`,
      );
    }
    for (const step of steps.slice(version)) database.exec(step);
    database.exec(`PRAGMA user_version = ${steps.length}`);
  });
}

function versionOf(database: DatabaseSync): number {
  const { user_version: version } = database.prepare('PRAGMA user_version').get() ?? {};
  return Number(version);
}

function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // A full disk has SQLite roll back by itself.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** Entries and windows in the file's two tables. */
class SqliteTable implements Table {
  readonly #read: StatementSync;
  readonly #write: StatementSync;
  readonly #remove: StatementSync;
  readonly #page: StatementSync;
  readonly #readWindow: StatementSync;
  readonly #writeWindow: StatementSync;
  readonly #sweeps: readonly StatementSync[];

  constructor(database: DatabaseSync) {
    const live = '(expires IS NULL OR expires > ?)';
    this.#read = database.prepare(`SELECT value, expires, listed FROM entries WHERE key = ? AND ${live}`);
    this.#write = database.prepare(
      `INSERT INTO entries (key, value, expires, listed) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE
       SET value = excluded.value, expires = excluded.expires, listed = excluded.listed`,
    );
    this.#remove = database.prepare('DELETE FROM entries WHERE key = ?');
    this.#page = database.prepare(
      `SELECT key, value FROM entries WHERE listed AND key >= ? AND key < CAST(? AS TEXT) AND ${live} ORDER BY key LIMIT ?`,
    );
    this.#readWindow = database.prepare('SELECT slices FROM windows WHERE key = ?');
    this.#writeWindow = database.prepare(
      `INSERT INTO windows (key, slices, expires) VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE
       SET slices = excluded.slices, expires = excluded.expires`,
    );
    this.#sweeps = ['entries', 'windows'].map((table) =>
      database.prepare(
        `DELETE FROM ${table} WHERE rowid IN (SELECT rowid FROM ${table} WHERE expires <= ? ORDER BY expires LIMIT ?)`,
      ),
    );
  }

  read(key: string, now: number): Entry | undefined {
    const row = this.#read.get(key, now);
    if (row === undefined) return undefined;
    const { value, expires, listed } = row;
    return {
      value: String(value),
      expires: expires === null ? Number.POSITIVE_INFINITY : Number(expires),
      listed: listed === 1,
    };
  }

  write(key: string, { value, expires, listed }: Entry): void {
    this.#write.run(key, value, expires === Number.POSITIVE_INFINITY ? null : expires, listed ? 1 : 0);
  }

  remove(key: string): void {
    this.#remove.run(key);
  }

  page(prefix: string, after: string, most: number, now: number): Page['entries'] {
    const from = after === '' ? prefix : `${after}\0`;
    // 0xff is behind every byte of UTF-8.
    const end = Buffer.concat([Buffer.from(prefix), Buffer.of(0xff)]);
    const rows = this.#page.all(from, end, now, most);
    return rows.map(({ key, value }) => [String(key), String(value)]);
  }

  readWindow(key: string): Window {
    const { slices = '[]' } = this.#readWindow.get(key) ?? {};
    return JSON.parse(String(slices)) as Window;
  }

  writeWindow(key: string, window: Window, expires: number): void {
    this.#writeWindow.run(key, JSON.stringify(window), expires);
  }

  sweep(now: number, most: number): number {
    return this.#sweeps.reduce((swept, statement) => swept + Number(statement.run(now, most).changes), 0);
  }
}
