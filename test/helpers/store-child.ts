/** Processes that use a store. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { StoreUrl } from '../../lib/filter/config/schema.ts';

const FILE = join(import.meta.dirname, '../fixtures/filter/store-child.ts');

/** Runs one to its end; `command` goes before it. Resolves to the lines it said. */
export async function storeChild(
  url: StoreUrl,
  task: 'count' | 'get' | 'set',
  command: readonly string[] = [],
): Promise<unknown[]> {
  const [program = '', ...args] = [...command, process.execPath, FILE, JSON.stringify(url), task];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  if (child.exitCode !== 0) throw new Error(`it ended with ${child.exitCode}: ${err}`);
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line): unknown => JSON.parse(line));
}

/** Has one write numbers, kills it after `count` were acknowledged, and resolves to the last that it heard of. */
export async function killWriter(url: StoreUrl, count: number): Promise<number> {
  const child = spawn(process.execPath, [FILE, JSON.stringify(url), 'write'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  let last = 0;
  for await (const line of createInterface(child.stdout)) {
    last = Number(line);
    if (last >= count) child.kill('SIGKILL');
  }
  await closed;
  return last;
}
