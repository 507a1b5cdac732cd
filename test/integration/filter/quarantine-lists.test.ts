/** Lists of held messages stay as fast as they are, however many are held. */
import { expect, it } from 'vitest';
import type { HeldItems } from '../../../lib/filter/quarantine/items.ts';
import { openStore } from '../../../lib/filter/store/open.ts';
import type { Store } from '../../../lib/filter/store/store.ts';
import { fillHeld, HELD_OWNERS, heldItem } from '../../helpers/held-items.ts';
import { quickest } from '../../helpers/quickest.ts';
import { sharedStores, surroundings } from '../../helpers/store-place.ts';

const FEW = 1_000;
const MANY = 10_000;

/** The store, and how many entries were read from it. */
function counting(store: Store): { readonly store: Store; read: number } {
  const counted = { read: 0, store };
  counted.store = {
    ...store,
    get: (key) => {
      counted.read++;
      return store.get(key);
    },
    compareAndSet: (...call) => store.compareAndSet(...call),
    batch: (calls) => {
      counted.read += calls.length;
      return store.batch(calls);
    },
    async *scan(prefix, options) {
      for await (const entry of store.scan(prefix, options)) {
        counted.read++;
        yield entry;
      }
    },
  };
  return counted;
}

// A cluster does what one server does.
const stores = sharedStores.filter(({ name }) => name !== 'Redis Cluster');

it.each(stores)(
  '$name: a page does not take longer with ten times as many',
  { timeout: 120_000 },
  async (kind) => {
    await using place = await kind.place();
    const opened = await openStore(place.url, surroundings());
    const counted = counting(opened.part('quarantine'));
    const lists = {
      everybody: (items: HeldItems) => items.page({}),
      owner: (items: HeldItems) => items.page({ owners: ['user7@example.com'], limit: 4 }),
      deep: (items: HeldItems) => items.page({ after: `${1e15 - heldItem(FEW / 2).at}${'0'.repeat(32)}` }),
      newest: (items: HeldItems) => items.page({ text: 'OFFER NUMBER' }),
    };
    const measure = async (items: HeldItems): Promise<Record<string, { read: number; time: number }>> => {
      const figures: Record<string, { read: number; time: number }> = {};
      for (const [name, list] of Object.entries(lists)) {
        counted.read = 0;
        await list(items);
        const { read } = counted;
        figures[name] = { read, time: await quickest(15, () => list(items)) };
      }
      return figures;
    };
    const few = await measure(await fillHeld(counted.store, 0, FEW));
    const items = await fillHeld(counted.store, FEW, MANY);
    const many = await measure(items);
    for (const name of Object.keys(lists)) {
      expect(many[name]?.read, `${name}: entries read`).toBeLessThanOrEqual(few[name]?.read ?? 0);
      expect((many[name]?.time ?? 0) / (few[name]?.time ?? 1), `${name}: time`).toBeLessThan(5);
    }
    // A search that finds one looks into all texts, and reads one item.
    counted.read = 0;
    const { items: found } = await items.page({ text: `offer number ${MANY - 1}:` });
    expect(found).toEqual([heldItem(MANY - 1)]);
    expect(counted.read).toBe(2);
    expect(
      (await items.page({ owners: [`user${HELD_OWNERS - 1}@example.com`], limit: 1_000 })).items,
    ).toHaveLength(MANY / HELD_OWNERS);
    expect(await items.count()).toEqual({ open: MANY, oldest: heldItem(0).at });
    await opened.close();
  },
);
