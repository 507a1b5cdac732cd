/** What is peculiar to the store in a file: what it makes, how it fails, how it is brought to a new version. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { RETENTION } from '../../../lib/bayes/expiry.ts';
import { SqliteStore } from '../../../lib/bayes/store/sqlite.ts';
import { openStore } from '../../../lib/filter/store/open.ts';
import { SqliteFile } from '../../../lib/filter/store/sqlite-file.ts';
import { type Store, StoreError } from '../../../lib/filter/store/store.ts';
import { migrate } from '../../../lib/sqlite.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { asAnother, describeWith } from '../../helpers/requirements.ts';
import { storeChild } from '../../helpers/store-child.ts';
import { surroundings } from '../../helpers/store-place.ts';
import { until } from '../../helpers/wait.ts';

interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly path: string;
  /** Opens the store once more, as another process would. */
  open(): Promise<Store>;
}

async function place(): Promise<Place> {
  const directory = await temporaryDirectory();
  const folder = join(directory.path, 'lib/milter');
  const path = join(folder, 'milter.db');
  const opened: Store[] = [];
  return {
    folder,
    path,
    open: async () => {
      const store = await openStore({ kind: 'sqlite', path }, surroundings());
      opened.push(store);
      return store;
    },
    [Symbol.asyncDispose]: async () => {
      for (const store of opened) await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

describe('a store in a file', () => {
  it('makes nothing before something is written, and then for nobody else to read', async () => {
    await using made = await place();
    const store = await made.open();
    expect(await store.get('k')).toBeUndefined();
    expect(await store.batch([{ call: 'get', key: 'k' }])).toEqual([undefined]);
    for await (const entry of store.scan('k')) throw new Error(`there is ${entry[0]}`);
    expect(existsSync(made.folder)).toBe(false);
    const before = process.umask(0);
    try {
      await store.set('k', 'v');
    } finally {
      process.umask(before);
    }
    expect((statSync(made.folder).mode & 0o777).toString(8)).toBe('700');
    const modes = readdirSync(made.folder).map((name) => statSync(join(made.folder, name)).mode & 0o777);
    expect(modes.map((mode) => mode.toString(8))).toEqual(['600', '600', '600']);
  });

  it('leaves one file behind when it is closed, and refuses what comes later', async () => {
    await using made = await place();
    const store = await made.open();
    const writes = Array.from({ length: 3_000 }, (_, i) => store.set(`k${i}`, 'v'));
    await store.close();
    await Promise.all(writes);
    expect(readdirSync(made.folder)).toEqual(['milter.db']);
    await expect(store.get('k')).rejects.toThrow(new StoreError('the store is closed'));
    expect(await (await made.open()).get('k2999')).toBe('v');
  });

  it('lets go of what has expired', async () => {
    await using made = await place();
    const file = new SqliteFile(made.path);
    onTestFinished(() => file.close());
    const sets = Array.from({ length: 30 }, (_, i) => ({
      call: 'set' as const,
      key: `k${i}`,
      value: 'v',
      keep: i < 20 ? { ttl: 1_000 } : {},
    }));
    file.run([...sets, { call: 'admit', limits: [{ key: 'w', add: 1, most: 9, per: 500 }] }], 0);
    expect(file.sweep(999, 100)).toBe(0);
    expect(file.sweep(1_000, 15)).toBe(16);
    expect(file.sweep(1_000, 15)).toBe(5);
    const database = new DatabaseSync(made.path);
    onTestFinished(() => database.close());
    expect(database.prepare('SELECT count(*) AS n FROM entries').get()).toMatchObject({ n: 10 });
    expect(database.prepare('SELECT count(*) AS n FROM windows').get()).toMatchObject({ n: 0 });
  });

  it('does so by itself, all of it, while nothing is asked', async () => {
    await using made = await place();
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const clock = { at: 0 };
    const store = await openStore(
      { kind: 'sqlite', path: made.path },
      surroundings(() => clock.at),
    );
    await Promise.all(Array.from({ length: 2_500 }, (_, i) => store.set(`k${i}`, 'v', { ttl: 1_000 })));
    await store.set('stays', 'v');
    const database = new DatabaseSync(made.path);
    onTestFinished(() => database.close());
    const count = database.prepare('SELECT count(*) AS n FROM entries');
    expect(count.get()).toMatchObject({ n: 2_501 });
    clock.at = 1_000;
    vi.advanceTimersByTime(10_000);
    await until('what has expired to be gone', () => {
      const { n } = count.get() ?? {};
      return n === 1;
    });
    await store.close();
  });

  it('finds each thing by an index, however many there are', async () => {
    await using made = await place();
    await (await made.open()).set('k', 'v');
    const database = new DatabaseSync(made.path);
    onTestFinished(() => database.close());
    const plan = (query: string): string =>
      JSON.stringify(database.prepare(`EXPLAIN QUERY PLAN ${query}`).all());
    expect(plan("SELECT value FROM entries WHERE key = 'k' AND (expires IS NULL OR expires > 1)")).toMatch(
      /SEARCH entries USING INDEX sqlite_autoindex_entries_1/,
    );
    expect(
      plan("SELECT key FROM entries WHERE listed AND key >= 'a' AND key < CAST('b' AS TEXT) ORDER BY key"),
    ).toMatch(/SEARCH entries USING (COVERING )?INDEX entries_listed/);
    expect(plan('SELECT rowid FROM entries WHERE expires <= 1 ORDER BY expires LIMIT 1')).toMatch(
      /SEARCH entries USING COVERING INDEX entries_expires/,
    );
  });

  it('does not hold the event loop while it waits for the disk, or for another process', async () => {
    await using made = await place();
    const store = await made.open();
    await store.set('k', 'v');
    const other = new DatabaseSync(made.path);
    onTestFinished(() => other.close());
    other.exec('BEGIN IMMEDIATE');
    let settled = false;
    const write = store.set('k', 'w').then(() => {
      settled = true;
    });
    // The event loop turns, timers run, and others are heard, while the write waits for the lock.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(settled).toBe(false);
    other.exec('COMMIT');
    await write;
    expect(await store.get('k')).toBe('w');
  });
});

describe('a file that cannot be used', () => {
  it('is told with its name: the folder is a file', async () => {
    await using made = await place();
    mkdirSync(join(made.folder, '..'), { recursive: true });
    writeFileSync(made.folder, '');
    const store = await made.open();
    const message = `the store ${made.path} fails: EEXIST: file already exists, mkdir '${made.folder}'`;
    await expect(store.set('k', 'v')).rejects.toThrow(message);
    await expect(store.increment('k', 1)).rejects.toThrow(StoreError);
  });

  it('is told with its name: it is something else, and stays as it is', async () => {
    await using made = await place();
    mkdirSync(made.folder, { recursive: true });
    writeFileSync(made.path, 'x'.repeat(5_000));
    const store = await made.open();
    await expect(store.get('k')).rejects.toThrow(`the store ${made.path} fails: file is not a database`);
    expect(statSync(made.path).size).toBe(5_000);
  });

  it('is told with its name: a later release wrote it', async () => {
    await using made = await place();
    mkdirSync(made.folder, { recursive: true });
    const database = new DatabaseSync(made.path);
    database.exec('PRAGMA user_version = 1000');
    database.close();
    await expect((await made.open()).get('k')).rejects.toThrow(
      /milter\.db fails: it was written by a later release/,
    );
  });

  it.skipIf(process.platform !== 'linux')('is closed again whenever it was found so', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'milter.db');
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 1');
    database.close();
    const isOpen = (): number => {
      const links = readdirSync('/proc/self/fd').map((fd) => readlink(`/proc/self/fd/${fd}`));
      return links.filter((link) => link.startsWith(path)).length;
    };
    const file = new SqliteFile(path);
    for (let i = 0; i < 3; i++) {
      expect(file.run([{ call: 'get', key: 'k' }], Date.now())).toEqual([
        { error: `the store ${path} fails: no such table: entries` },
      ]);
      expect(isOpen()).toBe(0);
    }
    expect(() => new SqliteStore(path, RETENTION)).toThrow('no such table');
    expect(isOpen()).toBe(0);
  });
});

/** Where a link leads; empty where it is gone. */
function readlink(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

describeWith(['a limit of threads'], 'a file of somebody else', () => {
  it('is told with its name, and is not taken for one that is missing', async () => {
    await using made = await place();
    const url = { kind: 'sqlite', path: made.path } as const;
    await (await made.open()).set('k', 'v');
    const fault = `StoreError: the store ${made.path} fails: EACCES: permission denied`;
    expect(await storeChild(url, 'get', asAnother(1))).toEqual([expect.stringContaining(fault)]);
    expect(await storeChild(url, 'set', asAnother(1))).toEqual([expect.stringContaining(fault)]);
    for (const folder of [made.folder, dirname(made.folder)]) chmodSync(folder, 0o755);
    chmodSync(made.path, 0o644);
    expect(await storeChild(url, 'set', asAnother(1))).toEqual([`${fault}, open '${made.path}'`]);
  });
});

const canMount = spawnSync('unshare', ['--mount', 'true']).status === 0;

describe.skipIf(!canMount)('a full disk', () => {
  it('fails what is written, not what is read, and is forgotten when there is room again', async () => {
    await using made = await place();
    mkdirSync(made.folder, { recursive: true });
    await using _disk = smallDisk(made.folder);
    const store = await made.open();
    await store.set('k', 'v');
    const ballast = join(made.folder, 'ballast');
    spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=1k', 'count=1000']);
    const outcomes = await Promise.allSettled([
      store.set('big', 'x'.repeat(300_000)),
      store.increment('n', 1),
      store.get('k'),
    ]);
    const full = { reason: new StoreError(`the store ${made.path} fails: database or disk is full`) };
    expect(outcomes).toMatchObject([full, full, { value: 'v' }]);
    rmSync(ballast);
    expect(await store.increment('n', 1)).toBe(1);
    await store.close();
  });
});

/** A file system of its own. */
function smallDisk(folder: string): AsyncDisposable {
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'none', folder]).status).toBe(0);
  return {
    [Symbol.asyncDispose]: () => {
      expect(spawnSync('umount', [folder]).status).toBe(0);
      return Promise.resolve();
    },
  };
}

describe('a new version', () => {
  it('is made in one step, or not at all', async () => {
    await using made = await place();
    mkdirSync(made.folder, { recursive: true });
    const database = new DatabaseSync(made.path);
    onTestFinished(() => database.close());
    const first = 'CREATE TABLE a (x); INSERT INTO a VALUES (1)';
    migrate(database, [first]);
    const tables = () => database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    expect(() => migrate(database, [first, 'CREATE TABLE b (x)', 'CREATE TABLE a (x)'])).toThrow(
      'already exists',
    );
    expect(tables()).toMatchObject([{ name: 'a' }]);
    expect(database.prepare('PRAGMA user_version').get()).toMatchObject({ user_version: 1 });
    migrate(database, [first, 'CREATE TABLE b (x)']);
    migrate(database, [first, 'CREATE TABLE b (x)']);
    expect(tables()).toMatchObject([{ name: 'a' }, { name: 'b' }]);
    expect(database.prepare('SELECT x FROM a').all()).toMatchObject([{ x: 1 }]);
  });

  it('is made by one of several processes that start at once', async () => {
    await using made = await place();
    const url = { kind: 'sqlite', path: made.path } as const;
    const said = await Promise.all([1, 2, 3, 4].map(() => storeChild(url, 'set')));
    expect(said).toEqual([['written'], ['written'], ['written'], ['written']]);
  });
});
