/** What is kept of mail on disk outlives kill -9 at any moment: what was acknowledged is there, and nothing by half. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { openFilter } from '../../lib/filter/index.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { keepingLogger, probeDirectory } from '../helpers/filter.ts';

/** A round takes some seconds, most of them to start; `KILLS=50` is the long form. */
const ROUNDS = Number(process.env['KILLS'] ?? 16);
/** Lines of every seventh message: some 3 MB, which take a while to write. */
const LARGE = 120_000;
/** Acknowledgements that a round waits for at most before it kills. */
const MOST = 12;

const configuration = (data: string): string => `
socket = "inet:8894@127.0.0.1"
hostname = "mx.example.com"
data = "${data}"

[[module]]
use = "./probe.ts"
recipient = "quarantine"
recipients = ["held@example.com"]

[[module]]
use = "copies"
copy = [{ of = "all", maildir = "copies" }, { of = "all", mbox = "copies.mbox" }]
`;

/** Sends message after message, four at a time, and says which were acknowledged. */
const CHILD = `
  import { writeSync } from 'node:fs';
  import { openFilter } from '${new URL('../../lib/filter/index.ts', import.meta.url).href}';
  import { fakeSession } from '${new URL('../../lib/testing/index.ts', import.meta.url).href}';
  const [config, directory, start] = process.argv.slice(-3);
  const nothing = () => {};
  const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const filter = await openFilter(config, { directory, logger });
  let next = Number(start);
  const work = async () => {
    const mta = fakeSession(filter.Filter, { logger });
    for (;;) {
      const n = next++;
      const line = 'From line to line ' + n + '\\r\\n';
      const eml = 'Subject: ' + n + '\\r\\n\\r\\n' + line.repeat(n % 7 === 0 ? ${LARGE} : 20) + 'END ' + n + '\\r\\n';
      const { verdict } = await mta.sendMessage(eml, {
        sender: 'a@example.org',
        recipients: ['copied@example.com', 'held@example.com'],
      });
      if (verdict === 'continue') writeSync(1, n + '\\n');
    }
  };
  await Promise.all([work(), work(), work(), work()]);
`;

/** Runs the child until it has acknowledged so many, or until something is seen, and kills it at once. */
async function killed(
  config: string,
  start: number,
  after: number,
  isSeen: () => boolean,
): Promise<readonly number[]> {
  const child = spawn(
    process.execPath,
    ['--input-type=module', '--eval', CHILD, config, probeDirectory, String(start)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const acknowledged: number[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    acknowledged.push(Number(line));
    if (acknowledged.length === after) child.kill('SIGKILL');
  });
  const look = (): void => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    if (isSeen()) child.kill('SIGKILL');
    else setImmediate(look);
  };
  look();
  await Promise.all([once(child, 'exit'), once(lines, 'close')]);
  return acknowledged;
}

it(`is whole after ${ROUNDS} times kill -9`, { timeout: 60_000 + ROUNDS * 20_000 }, async () => {
  await using directory = await temporaryDirectory();
  const data = join(directory.path, 'data');
  const config = configuration(data);
  const acknowledged: number[] = [];
  const box = join(data, 'copies.mbox');
  // What is appended to the mbox stands in a file beside it meanwhile.
  const isAppending = (): boolean => {
    const before = statSync(`${box}.undo`, { throwIfNoEntry: false });
    return before !== undefined && before.size > 1_000_000;
  };
  for (let round = 0; round < ROUNDS; round++) {
    // Each round has numbers of its own.
    const start = 1 + round * 1_000;
    const inTheMiddle = round % 2 === 0;
    const after = inTheMiddle ? Number.POSITIVE_INFINITY : 1 + ((round * 7) % MOST);
    acknowledged.push(...(await killed(config, start, after, inTheMiddle ? isAppending : () => false)));
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(ROUNDS / 2);

  // One more message undoes what the last round may have cut off.
  const filter = await openFilter(config, { directory: probeDirectory, logger: keepingLogger() });
  const { fakeSession } = await import('../../lib/testing/index.ts');
  await fakeSession(filter.Filter).sendMessage('Subject: 0\n\nEND 0\n', {
    sender: 'a@example.org',
    recipients: ['copied@example.com', 'held@example.com'],
  });

  const whole = (text: string, quote: string): number => {
    const [, digits = '', body = ''] = /^Subject: (\d+)\n\n(.*)$/s.exec(text) ?? [];
    const n = Number(digits);
    const lines = n === 0 ? 0 : n % 7 === 0 ? LARGE : 20;
    const isWhole = body === `${`${quote}From line to line ${n}\n`.repeat(lines)}END ${n}\n`;
    return isWhole ? n : Number.NaN;
  };
  const messages = await Promise.all(
    (await readdir(join(data, 'copies/new'))).map(
      async (name) => await readFile(join(data, 'copies/new', name), 'latin1'),
    ),
  );
  const inMaildir = new Set(messages.map((text) => whole(text, '')));
  const entries = (await readFile(box, 'latin1')).split(/^From a@example\.org .*\n/m).slice(1);
  const inMbox = new Set(entries.map((entry) => whole(entry.replace(/\n$/, ''), '>')));
  const inQuarantine = new Set<number>();
  for await (const item of filter.quarantine.held.list()) {
    const text = (await filter.quarantine.held.read(item)).toString('latin1').replaceAll('\r\n', '\n');
    inQuarantine.add(whole(text, ''));
  }
  for (const [where, kept] of Object.entries({ inMaildir, inMbox, inQuarantine })) {
    expect(
      acknowledged.filter((n) => !kept.has(n)),
      `acknowledged and not ${where}`,
    ).toEqual([]);
    expect(kept.has(Number.NaN), `something half ${where}`).toBe(false);
  }
  expect((await filter.quarantine.check()).lost).toEqual([]);
  await filter.close();
});
