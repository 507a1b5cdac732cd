/**
 * A lock that mail programs know: `FILE.lock`, made by whoever writes to FILE. It says who made it, so that one whose
 * process is gone is broken at once; one that says nothing we understand, when it is old.
 */
import { randomUUID } from 'node:crypto';
import { link, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';

/** Milliseconds that a writer waits for another. */
const PATIENCE = 30_000;
/** Milliseconds after which a lock is a forgotten one; nobody takes so long. */
const OLD = 5 * 60_000;
const LOOK_EVERY = 20;

/** Those who wait for a file in this thread; the last of each. */
const queues = new Map<string, Promise<unknown>>();

/**
 * Does something while nobody else writes to the file.
 * @throws Error where somebody holds it for too long
 */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const before = queues.get(file) ?? Promise.resolve();
  const mine = before.catch(() => {}).then(() => locked(file, work));
  queues.set(file, mine);
  try {
    return await mine;
  } finally {
    if (queues.get(file) === mine) queues.delete(file);
  }
}

async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  const lock = `${file}.lock`;
  const content = JSON.stringify({
    pid: process.pid,
    started: await startOf(process.pid),
    host: hostname(),
    id: randomUUID(),
  });
  const end = performance.now() + PATIENCE;
  while (!(await take(lock, content))) {
    if (performance.now() > end) throw new Error(`${file} is locked by somebody else (${lock})`);
    if (!(await breakForgotten(lock))) await pause(LOOK_EVERY);
  }
  try {
    return await work();
  } finally {
    await rm(lock, { force: true });
  }
}

/** Makes the lock with its content in it, which open() and write() would not: somebody may look in between. */
async function take(lock: string, content: string): Promise<boolean> {
  const own = `${lock}.${randomUUID()}`;
  const file = await open(own, 'wx', 0o600);
  try {
    await file.writeFile(content);
  } finally {
    await file.close();
  }
  try {
    await link(own, lock);
    return true;
  } catch (error) {
    if (isCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(own, { force: true });
  }
}

/** Breaks a lock whose maker is gone. Resolves to whether it looked at one that is not there any more. */
async function breakForgotten(lock: string): Promise<boolean> {
  let content: string;
  let changed: number;
  try {
    [content, { mtimeMs: changed }] = await Promise.all([readFile(lock, 'utf8'), stat(lock)]);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return true;
    throw error;
  }
  const isGone = (await makerIsGone(content)) ?? Date.now() - changed > OLD;
  if (!isGone) return false;
  const aside = `${lock}.${randomUUID()}`;
  try {
    await rename(lock, aside);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return true;
    throw error;
  }
  // Somebody may have been faster, and made his own meanwhile: he gets it back.
  if ((await readFile(aside, 'utf8')) !== content) await link(aside, lock).catch(() => {});
  await rm(aside, { force: true });
  return true;
}

/** Whether the process that made a lock is gone; undefined where that cannot be told. */
async function makerIsGone(content: string): Promise<boolean | undefined> {
  let maker: unknown;
  try {
    maker = JSON.parse(content);
  } catch {
    return undefined;
  }
  if (typeof maker !== 'object' || maker === null) return undefined;
  const { pid, started, host } = maker as Record<string, unknown>;
  if (typeof pid !== 'number' || typeof started !== 'string' || started === '' || host !== hostname()) {
    return undefined;
  }
  return (await startOf(pid)) !== started;
}

/** When a process was started, so that another one with its number is not taken for it; empty where it is gone. */
async function startOf(pid: number): Promise<string> {
  try {
    const line = await readFile(`/proc/${pid}/stat`, 'latin1');
    // The name of the program, in brackets, may hold anything.
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
