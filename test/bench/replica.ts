/**
 * What it costs to wait for a replica: one master with one replica, asked by way of its sentinels, which waits until the replica has
 * what was written, and directly, which does not; in turns: `node test/bench/replica.ts [--rounds 5] [--calls 2000]`.
 */
import { parseArgs } from 'node:util';
import { openStore } from '../../lib/filter/store/open.ts';
import type { Store } from '../../lib/filter/store/store.ts';
import { startSentinelledRedis } from '../helpers/redis.ts';
import { surroundings } from '../helpers/store-place.ts';
import { type Figures, measure } from './calls.ts';
import { median } from './report.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, calls: { type: 'string', default: '2000' } },
});
const ROUNDS = Number(values.rounds);
const CALLS = Number(values.calls);
const MONTH = 30 * 86_400_000;

await using redis = await startSentinelledRedis();
const master = await redis.master();
const stores: Readonly<Record<string, Store>> = {
  'waits for a replica': await openStore(redis.url, surroundings()),
  'does not wait': await openStore(master.url, surroundings()),
};

console.log('| one call writes | under way | | calls a second | p50 / p99 |\n|---|---:|---|---:|---:|');
for (const fsync of ['everysec', 'always']) {
  for (const server of redis.servers) await server.ask(`CONFIG SET appendfsync ${fsync}`);
  for (const atOnce of [1, 100]) {
    const found = new Map(Object.keys(stores).map((name) => [name, [] as Figures[]]));
    // The first is to warm up.
    for (let round = -1; round < ROUNDS; round++) {
      for (const [name, store] of Object.entries(stores)) {
        const figures = await measure(atOnce, atOnce === 1 ? CALLS / 4 : CALLS, (n) =>
          store.set(`${round}/${n}`, '1764172800000 3', { ttl: MONTH }),
        );
        if (round >= 0) found.get(name)?.push(figures);
      }
    }
    for (const [name, rounds] of found) {
      const of = (pick: (one: Figures) => number): number => median(rounds.map(pick));
      const times = `${of((one) => one.median).toFixed(2)} / ${of((one) => one.most).toFixed(2)} ms`;
      console.log(
        `| appendfsync ${fsync} | ${atOnce} | ${name} | ${of((one) => one.rate).toFixed(0)} | ${times} |`,
      );
    }
  }
}
const waits = /cmdstat_wait:calls=(\d+)/.exec(await master.ask('INFO commandstats'))?.[1];
if (waits === undefined) throw new Error('nobody waited');
await Promise.all(Object.values(stores).map((store) => store.close()));
