/** libmilter has a thread of its own that waits for SIGTERM, and may get the one that was meant for Node's main thread. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { RunningMilter } from '../helpers/cli.ts';
import { until } from '../helpers/wait.ts';

/** The numbers of rt_sigtimedwait(2), in which such a thread sleeps, and of tgkill(2), by which one thread is sent a signal. */
const CALLS = { x64: [128, 234], arm64: [137, 131] } as const;
const calls = CALLS[process.arch as keyof typeof CALLS] as readonly [number, number] | undefined;
const able =
  process.platform === 'linux' && calls !== undefined && spawnSync('perl', ['-e', '1']).status === 0;
if (!able) console.warn('skipped: a swallowed signal: needs Linux on x64 or arm64, and perl');

it.skipIf(!able)('a SIGTERM that libmilter takes ends `milter run` as any other', async () => {
  const [sigtimedwait, tgkill] = calls ?? [0, 0];
  await using running = new RunningMilter([
    join(import.meta.dirname, '../../examples/bcc.ts'),
    '--socket',
    'inet:0@127.0.0.1',
  ]);
  await running.address();
  const { pid } = running.child;
  const thread = await until('the thread that waits for signals', () =>
    readdirSync(`/proc/${pid}/task`).find(
      (task) =>
        Number.parseInt(readFileSync(`/proc/${pid}/task/${task}/syscall`, 'utf8'), 10) === sigtimedwait,
    ),
  );
  const sent = spawnSync('perl', ['-e', `exit(syscall(${tgkill}, ${pid}, ${thread}, 15) == 0 ? 0 : 1)`]);
  expect(sent.status).toBe(0);
  expect(await running.status()).toBe(0);
  expect(running.err + running.out).toContain('libmilter stopped on a signal');
});
