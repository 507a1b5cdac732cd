/** A scanner that is a command: real ones, also such as no scanner should be. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type CommandLine, ScannerError, scanByCommand } from '../../../lib/scanners/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { until } from '../../helpers/wait.ts';

const sh = (script: string, ...args: string[]): CommandLine => ['/bin/sh', '-c', script, 'scan', ...args];

async function scanned(
  command: CommandLine,
  bytes: Buffer | string = 'hello',
  signal: AbortSignal = AbortSignal.timeout(20_000),
): Promise<string> {
  return await scanByCommand(command, [Buffer.from(bytes)], signal).then(
    ({ virus }) => virus ?? 'clean',
    (error: unknown) => {
      if (!(error instanceof ScannerError)) throw error;
      return `${error.fault}: ${error.message}`;
    },
  );
}

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  folder = await temporaryDirectory();
});
afterAll(async () => await folder[Symbol.asyncDispose]());

it.each<[what: string, command: CommandLine, expected: string]>([
  ['is clean by status 0', sh('cat >/dev/null; exit 0'), 'clean'],
  [
    'is found by status 1, and named',
    sh('cat >/dev/null; echo "stdin: Own.Eicar FOUND"; exit 1'),
    'Own.Eicar',
  ],
  ['is named by the first line otherwise', sh('echo; echo Bad thing; echo more; exit 1'), 'Bad thing'],
  ['need not be named', sh('exit 1'), 'unnamed'],
  [
    'fails by any other status',
    sh('echo "no database" >&2; exit 2'),
    'refused: /bin/sh failed (status 2): "no database"',
  ],
  ['fails without a word', sh('exit 127'), 'refused: /bin/sh failed (status 127)'],
  ['fails by a signal', sh('kill -9 $$'), 'refused: /bin/sh failed (SIGKILL)'],
  ['is given its arguments as they are', sh('[ "$1" = "a b; exit 0" ] && exit 1', 'a b; exit 0'), 'unnamed'],
  [
    'is not there',
    ['/no/such/scanner'],
    'down: /no/such/scanner cannot be run: spawn /no/such/scanner ENOENT',
  ],
  ['is no program', ['/etc/passwd'], 'down: /etc/passwd cannot be run: spawn /etc/passwd EACCES'],
])('what a command scans %s', async (_, command, expected) => {
  expect(await scanned(command)).toBe(expected);
});

it('is given every byte', async () => {
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => i % 256));
  const file = join(folder.path, 'seen');
  expect(await scanned(sh('cat >"$1"', file), bytes)).toBe('clean');
  expect(readFileSync(file).equals(bytes)).toBe(true);
});

it('need not read what it is given', async () => {
  const large = Buffer.alloc(5_000_000);
  expect(await scanned(sh('exit 0'), large)).toBe('clean');
  expect(await scanned(sh('exec <&-; echo "x: Y FOUND"; exit 1'), large)).toBe('Y');
  expect(await scanned(sh('head -c 10 >/dev/null; exit 3'), large)).toMatch(/^refused/);
});

it('may write without end: only some is kept', async () => {
  expect(await scanned(sh('yes | head -c 20000000; exit 1'))).toBe('y');
  const long = await scanned(sh('head -c 1000000 /dev/zero | tr "\\0" x; exit 1'));
  expect(long).toMatch(/^x+$/);
  expect(long.length).toBeLessThanOrEqual(200);
});

it('is killed with all that it started when its time is up', async () => {
  const pids = join(folder.path, 'pids');
  writeFileSync(pids, '');
  const script = 'trap "" TERM; sleep 600 & echo $! >>"$1"; echo $$ >>"$1"; wait; sleep 600';
  const end = new AbortController();
  const scan = scanned(sh(script, pids), 'hello', end.signal);
  const started = await until('both to run', () => {
    const lines = readFileSync(pids, 'utf8').trim().split('\n');
    return lines.length === 2 && lines;
  });
  end.abort(new DOMException('late', 'TimeoutError'));
  expect(await scan).toBe('late: /bin/sh did not answer in time');
  await until('both to be gone', () => started.every((pid) => !isRunning(pid)));
});

it('leaves nothing behind, and does not wait for what keeps its output open', async () => {
  const pid = join(folder.path, 'left');
  expect(await scanned(sh('sleep 600 & echo $! >"$1"; exit 0', pid))).toBe('clean');
  const left = readFileSync(pid, 'utf8').trim();
  await until('it to be gone', () => !isRunning(left));
});

it('does not begin when nobody wants to know', async () => {
  const file = join(folder.path, 'begun');
  expect(await scanned(sh('touch "$1"', file), 'x', AbortSignal.abort())).toMatch(/^cancelled/);
  expect(existsSync(file)).toBe(false);
});

/** Not gone, and not only waiting for somebody to take note of its end. */
function isRunning(pid: string): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
