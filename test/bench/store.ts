/**
 * What a call of each store costs, alone and with many under way, with a thousand entries and with a million; what SQLite would
 * hold the event loop for if it had no thread: `node test/bench/store.ts`.
 */
import { join } from 'node:path';
import { openStore } from '../../lib/filter/store/open.ts';
import { SqliteFile } from '../../lib/filter/store/sqlite-file.ts';
import type { Store, StoreCall } from '../../lib/filter/store/store.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { sharedStores, surroundings } from '../helpers/store-place.ts';
import { type Figures, measure, summary } from './calls.ts';

const SIZES = [1_000, 1_000_000];
const AT_ONCE = 100;

async function fill(store: Store, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 1_000) {
    const calls: StoreCall[] = Array.from({ length: Math.min(1_000, to - first) }, (_, i) => ({
      call: 'set',
      key: keyOf(first + i),
      value: '1764172800000 3',
      keep: { ttl: 36 * 86_400_000 },
    }));
    await store.batch(calls);
  }
}

/** As keys of the greylist look. */
function keyOf(number: number): string {
  return `192.0.2.0/24 sender${number}@example.org recipient@example.com`;
}

function row(...cells: readonly (string | Figures)[]): void {
  const shown = cells.map((cell) =>
    typeof cell === 'string'
      ? cell.padEnd(14)
      : `${cell.median.toFixed(2)} ms, 99 %: ${cell.most.toFixed(2)} ms, ${Math.round(cell.rate)}/s`.padEnd(
          42,
        ),
  );
  console.log(shown.join(' '));
}

for (const kind of sharedStores) {
  await using place = await kind.place();
  const store = await openStore(place.url, surroundings());
  const part = store.part('bench');
  let filled = 0;
  for (const size of SIZES) {
    await fill(part, filled, size);
    filled = size;
    const key = (): string => keyOf(Math.floor(Math.random() * size));
    const works: readonly (readonly [string, () => Promise<unknown>])[] = [
      ['get', () => part.get(key())],
      ['set', () => part.set(key(), 'v', { ttl: 86_400_000 })],
      ['increment', () => part.increment(`n ${key()}`, 1, { ttl: 60_000 })],
      ['admit', () => part.admit([{ key: 'window', add: 1, most: 1e9, per: 3_600_000 }])],
    ];
    for (const [name, work] of works) {
      row(kind.name, String(size), name, await measure(1, 300, work), await measure(AT_ONCE, 5_000, work));
    }
  }
  await store.close();
}

await using directory = await temporaryDirectory();
const file = new SqliteFile(join(directory.path, 'milter.db'));
const times = Array.from({ length: 500 }, (_, i) => {
  const began = performance.now();
  file.run([{ call: 'set', key: keyOf(i), value: 'v' }], Date.now());
  return performance.now() - began;
});
file.close();
const { median, most } = summary(times);
console.log(`a commit of SQLite holds its thread for ${median.toFixed(2)} ms, 99 %: ${most.toFixed(2)} ms`);
