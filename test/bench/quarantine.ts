/**
 * How long lists and searches of the quarantine take with 100 000 held messages, in each store, and how much of that this process
 * computes: `npm run bench -- quarantine [--held N] [--store SQLite]`.
 */
import { parseArgs } from 'node:util';
import type { HeldItems } from '../../lib/filter/quarantine/items.ts';
import type { HeldQuery } from '../../lib/filter/quarantine/quarantine.ts';
import { openStore } from '../../lib/filter/store/open.ts';
import { fillHeld } from '../helpers/held-items.ts';
import { sharedStores, surroundings } from '../helpers/store-place.ts';

const { values } = parseArgs({
  options: { held: { type: 'string', default: '100000' }, store: { type: 'string', default: '' } },
});
const HELD = Number(values.held);
const TIMES = 21;

const mine = { owners: ['user7@example.com'] };
const questions: readonly (readonly [name: string, query: HeldQuery])[] = [
  ['list, one owner', mine],
  ['list, everybody', {}],
  ['list, a domain of owners', { owns: (owner) => owner.endsWith('7@example.com') }],
  ['search, everybody, many fit', { text: 'nobody believes' }],
  ['search, everybody, one fits', { text: 'offer number 3:' }],
  ['search, everybody, none fits', { text: 'no such text' }],
  ['search, one owner, none fits', { ...mine, text: 'no such text' }],
];

async function time(
  items: HeldItems,
  query: HeldQuery,
): Promise<{ readonly median: number; readonly most: number; readonly computed: number }> {
  const times: number[] = [];
  const before = process.cpuUsage();
  for (let n = 0; n < TIMES; n++) {
    const began = performance.now();
    await items.page(query);
    times.push(performance.now() - began);
  }
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  return {
    median: times[TIMES >> 1] ?? 0,
    most: times.at(-1) ?? 0,
    computed: (user + system) / 1_000 / TIMES,
  };
}

console.log(
  `${HELD} held messages; milliseconds for a page of 50: median, the slowest of ${TIMES}, and computed`,
);
for (const kind of sharedStores.filter(({ name }) => name.startsWith(values.store))) {
  await using place = await kind.place();
  const store = await openStore(place.url, surroundings());
  const began = performance.now();
  const items = await fillHeld(store.part('quarantine'), 0, HELD);
  const rate = HELD / ((performance.now() - began) / 1_000);
  console.log(`\n${kind.name} (held ${Math.round(rate)} a second)`);
  for (const [name, query] of questions) {
    const { median, most, computed } = await time(items, query);
    console.log(
      `  ${name.padEnd(30)} ${median.toFixed(1).padStart(8)} ${most.toFixed(1).padStart(8)} ${computed.toFixed(1).padStart(8)}`,
    );
  }
  await store.close();
}
