/** Holding and releasing outlive kill -9 at any moment: no message is lost, and no owner gets one twice. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';
import { openFilter } from '../../lib/filter/index.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { keepingLogger, probeDirectory } from '../helpers/filter.ts';
import { mailSink } from '../helpers/mail-sink.ts';

/** A round takes about a second, most of it to start; `KILLS=200` is the long form. */
const ROUNDS = Number(process.env['KILLS'] ?? 12);
const ADMIN = { name: 'test', isAdmin: true } as const;
const OWNERS = ['b@example.com', 'c@example.com'];

const configuration = (data: string, port: number): string => `
socket = "inet:8894@127.0.0.1"
hostname = "mx.example.com"
data = "${data}"
[outgoing]
smtp = "127.0.0.1:${port}"
[[module]]
use = "./probe.ts"
message = "quarantine"
`;

/** Holds message after message for two owners, says which were acknowledged, and releases them; four at a time. */
const CHILD = `
  import { writeSync } from 'node:fs';
  import { openFilter } from '${new URL('../../lib/filter/index.ts', import.meta.url).href}';
  import { fakeSession } from '${new URL('../../lib/testing/index.ts', import.meta.url).href}';
  const [config, directory, start] = process.argv.slice(-3);
  const nothing = () => {};
  const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const filter = await openFilter(config, { directory, logger });
  const { held, review } = filter.quarantine;
  const who = ${JSON.stringify(ADMIN)};
  let next = Number(start);
  const work = async () => {
    const mta = fakeSession(filter.Filter, { logger });
    for (;;) {
      const n = next++;
      const eml = 'Subject: ' + n + '\\r\\n\\r\\n' + 'a line\\r\\n'.repeat(n % 5 === 0 ? 40_000 : 20) + 'END ' + n + '\\r\\n';
      const { verdict } = await mta.sendMessage(eml, { sender: 'a@example.org', recipients: ${JSON.stringify(OWNERS)} });
      if (verdict !== 'discard') continue;
      writeSync(1, n + '\\n');
      for (const owner of ${JSON.stringify(OWNERS)}) {
        const { items } = await held.page({ owners: [owner], text: owner, limit: 20 });
        const item = items.find(({ subject }) => subject === String(n));
        if (item !== undefined) await review.release(who, item.id).catch(nothing);
      }
    }
  };
  await Promise.all([work(), work(), work(), work()]);
`;

it(`delivers to each owner once at most, and loses nothing, in ${ROUNDS} times kill -9`, {
  timeout: 60_000 + ROUNDS * 20_000,
}, async () => {
  await using directory = await temporaryDirectory();
  const data = join(directory.path, 'data');
  let child: ChildProcess | undefined;
  let seen = 0;
  let round = 0;
  // In turn: when the recipient is named; when the whole message is there, and is taken; the same, but it is told to wait.
  await using sink = await mailSink((stage) => {
    seen++;
    const isTime = seen === 1 + 2 * (round % 5) + (round % 3 === 0 ? 0 : 1);
    const kills = round % 4 !== 3 && isTime && stage === (round % 3 === 0 ? 'rcpt' : 'end');
    if (kills) child?.kill('SIGKILL');
    return stage === 'end' && (round % 3 === 2 ? kills : seen % 11 === 0) ? '451 not now' : undefined;
  });
  const config = configuration(data, sink.port);
  const acknowledged: number[] = [];
  for (; round < ROUNDS; round++) {
    seen = 0;
    const before = acknowledged.length;
    const process_ = spawn(
      process.execPath,
      ['--input-type=module', '--eval', CHILD, config, probeDirectory, String(1 + round * 1_000)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    child = process_;
    const lines = createInterface({ input: process_.stdout });
    lines.on('line', (line) => {
      acknowledged.push(Number(line));
      // The other rounds end here: some while they hold, and those that the mail server did not end.
      const enough = round % 4 === 3 ? 1 + (round % 5) : 8;
      if (acknowledged.length - before >= enough) process_.kill('SIGKILL');
    });
    await Promise.all([once(process_, 'exit'), once(lines, 'close')]);
  }
  expect(acknowledged.length).toBeGreaterThanOrEqual(ROUNDS);

  // A later process finds what the others left.
  const later = { ms: 15 * 60_000 };
  const filter = await openFilter(config, {
    directory: probeDirectory,
    logger: keepingLogger(),
    now: () => Date.now() + later.ms,
  });
  const { held, releases, review } = filter.quarantine;
  round = 3;
  const deliveries = (): ReadonlyMap<string, number> => {
    const counts = new Map<string, number>();
    for (const { recipients, message } of sink.mails) {
      const n = /^Subject: (\d+)\r$/m.exec(message)?.[1] ?? '';
      const isWhole = message.endsWith(`a line\r\nEND ${n}\r\n`);
      for (const owner of recipients) {
        const key = isWhole ? `${n} ${owner}` : 'half';
        counts.set(key, (counts.get(key) ?? 0) + 1);
      }
    }
    return counts;
  };
  for (let more = true; more; later.ms += 3_600_000) {
    await releases.work();
    more = false;
    for await (const _ of held.items.sending()) more = true;
  }
  const doubtful = new Set<string>();
  for await (const item of held.list()) {
    if (item.state !== 'held') continue;
    if (item.doubtful === true) {
      doubtful.add(`${item.subject} ${item.owner}`);
      await expect(review.release(ADMIN, item.id)).rejects.toThrow('may have been delivered');
    } else {
      for (let done = false; !done; ) {
        const { outcome } =
          (await held.items.get(item.id))?.state === 'releasing'
            ? await releases.attempt(item)
            : await review.release(ADMIN, item.id);
        done = outcome !== 'waiting';
      }
    }
  }
  const delivered = deliveries();
  expect([...delivered].filter(([, count]) => count > 1)).toEqual([]);
  expect(delivered.has('half')).toBe(false);
  const all = acknowledged.flatMap((n) => OWNERS.map((owner) => `${n} ${owner}`));
  expect(all.filter((one) => !delivered.has(one) && !doubtful.has(one))).toEqual([]);
  // What is in doubt is still there, to the byte.
  for await (const item of held.list()) if (item.doubtful === true) await held.read(item);
  // Of the deaths between the end of a message and its record some were met.
  expect(doubtful.size).toBeGreaterThanOrEqual(1);
  expect((await filter.quarantine.check()).lost).toEqual([]);
  await filter.close();
});
