/**
 * The store's file, as the thread of sqlite.ts uses it: all that is asked together is one transaction, so that it is
 * written to the disk once.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { openDatabase, transaction } from '../../sqlite.ts';
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
    this.#open = openDatabase(this.#path, migrations, true, (database) => ({
      database,
      table: new SqliteTable(database),
    }));
    return this.#open;
  }

  #describe(error: unknown): string {
    return `the store ${this.#path} fails: ${error instanceof Error ? error.message : String(error)}`;
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
