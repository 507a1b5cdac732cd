/** Opening SQLite files that several processes write. The one place that makes `node:sqlite` databases. */
import { closeSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeFoldersSync } from './folders.ts';

/** Milliseconds to wait for other processes that write. */
const BUSY = 10_000;

/**
 * Opens a file, and makes it where there is none, readable for its owner alone. Where that fails, or `prepare`, it is closed.
 * @param migrations each brings a file of the version before it to the next; the first makes one. Never change one that was released
 * @param prepare makes what the file is used by, of a file that is open and of the last version
 * @param durable whether what was committed outlasts a loss of power; a process that is killed loses nothing either way
 * @throws Error if the file has a later version, or is none of SQLite
 */
export function openDatabase<T>(
  path: string,
  migrations: readonly string[],
  durable: boolean,
  prepare: (database: DatabaseSync) => T,
): T {
  makeFoldersSync(dirname(path), 0o700);
  // SQLite would let others read it, and gives its other files the mode of this one.
  closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, { timeout: BUSY });
  try {
    database.exec(
      `PRAGMA journal_mode = WAL; PRAGMA synchronous = ${durable ? 'FULL' : 'NORMAL'}; PRAGMA journal_size_limit = 16777216`,
    );
    migrate(database, migrations);
    return prepare(database);
  } catch (error) {
    database.close();
    throw error;
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

/** Does all of it or, where that throws, nothing. Others do not write meanwhile. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
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
