/** How much memory of Redis each thing takes that the filter remembers: `npm run bench -- redis [--things N]`. */
import { parseArgs } from 'node:util';
import { openBayes } from '../../lib/bayes/index.ts';
import { pairKey } from '../../lib/filter/mail/pair-key.ts';
import { openStore } from '../../lib/filter/store/open.ts';
import type { Store } from '../../lib/filter/store/store.ts';
import { History } from '../../lib/filter/watch/history.ts';
import { fillHeld } from '../helpers/held-items.ts';
import { startRedis } from '../helpers/redis.ts';
import { surroundings } from '../helpers/store-place.ts';

const { values } = parseArgs({ options: { things: { type: 'string', default: '20000' } } });
const THINGS = Number(values.things);
const AT_ONCE = 200;
const DAY = 86_400_000;

async function each(work: (n: number) => Promise<unknown>): Promise<void> {
  for (let first = 0; first < THINGS; first += AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, THINGS - first) }, (_, i) => work(first + i)));
  }
}

const address = (n: number): string => `<someone.${n}@sender${n % 997}.example>`;

const FILLS: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  'a triple of the greylist': (store) =>
    each((n) => {
      const key = `triple/sender${n % 997}.example/${pairKey(address(n), '<user@example.com>')}`;
      return store.compareAndSet(key, undefined, `${Date.now()} ${Date.now()} 1`, { ttl: 36 * DAY });
    }),
  'a known sender of one user': (store) =>
    each((n) => store.set(pairKey(address(n), '<user@example.com>'), '', { ttl: 60 * DAY })),
  'a limit of one sender, five times used': (store) =>
    each(async (n) => {
      const limit = { key: `senders/${address(n)}`, most: 1_000, per: DAY };
      for (let i = 0; i < 5; i++) await store.admit([{ ...limit, add: 1 }]);
    }),
  'a message in the history': async (store) => {
    const { log } = surroundings();
    const history = new History(store, { keep: 14 * DAY, max: 10_000_000, log, now: Date.now });
    await each(async (n) => {
      history.write({
        ref: `R${n}`,
        at: Date.now(),
        queueId: `4X${n}`,
        client: { address: '192.0.2.7', hostname: 'mail.example.org', kind: 'external' },
        helo: 'mail.example.org',
        sender: address(n),
        direction: 'incoming',
        recipients: [{ address: '<user@example.com>', verdict: 'accept' }],
        findings: [{ name: 'spf-pass', action: 'continue', subject: 'example.org', observed: false }],
        points: 0,
        verdict: 'accept',
        changedBy: [],
      });
      if (n % 2_000 === 1_999) await history.flush();
    });
    await history.flush();
  },
  'a held message, in the index': (store) => fillHeld(store, 0, THINGS),
};

async function used(redis: Awaited<ReturnType<typeof startRedis>>): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.ask('INFO memory'))?.[1]);
}

console.log(`bytes of Redis for each of ${THINGS}`);
for (const [what, fill] of Object.entries(FILLS)) {
  await using redis = await startRedis(['--appendfsync', 'no']);
  const store = await openStore(redis.url, surroundings());
  await store.get('warm-up');
  const before = await used(redis);
  await fill(store.part('part'));
  console.log(`${what.padEnd(45)} ${Math.round(((await used(redis)) - before) / THINGS)}`);
  await store.close();
}
for (const tokens of [THINGS, 10 * THINGS]) {
  await using redis = await startRedis(['--appendfsync', 'no']);
  await using bayes = await openBayes({ url: redis.url.url });
  await bayes.statistics();
  const before = await used(redis);
  const lines = Array.from({ length: tokens }, (_, n) => `word${n} ${(n % 5) + 1} 0 20261101\n`);
  const learned = await bayes.importBogofilter(['.MSG_COUNT 1000 1000 20261101\n', ...lines]);
  const each = Math.round(((await used(redis)) - before) / learned);
  console.log(`${`a token of the shared dictionary, of ${learned}`.padEnd(45)} ${each}`);
}
