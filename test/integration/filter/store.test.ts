/** What every store does, whatever it is kept in. */

import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openStore } from '../../../lib/filter/store/open.ts';
import type { ScanOptions, Store, WindowLimit } from '../../../lib/filter/store/store.ts';
import { History, type HistoryRecord } from '../../../lib/filter/watch/history.ts';
import { keepingLogger } from '../../helpers/filter.ts';
import { fc, runs } from '../../helpers/fuzz.ts';
import { killWriter, storeChild } from '../../helpers/store-child.ts';
import { type StoreKind, type StorePlace, sharedStores, surroundings } from '../../helpers/store-place.ts';

const inMemory: StoreKind = {
  name: 'memory',
  // Every store that is opened is empty.
  place: () =>
    Promise.resolve({
      url: { kind: 'memory' },
      clear: () => Promise.resolve(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    }),
};

const emptyRecord: Omit<HistoryRecord, 'ref'> = {
  at: Date.UTC(2026, 0, 1),
  client: { hostname: 'mail.example.org', kind: 'external' },
  helo: '',
  sender: '',
  recipients: [],
  findings: [],
  points: 0,
  verdict: 'accept',
  changedBy: [],
};

/** A clock that stands still. */
interface Clock {
  at: number;
}

async function entries(store: Store, prefix: string): Promise<(readonly [string, string])[]> {
  const found: (readonly [string, string])[] = [];
  for await (const entry of store.scan(prefix)) found.push(entry);
  return found;
}

/** A place that is made once, since a cluster takes seconds to come together, and empty for every test. */
function emptyPlace(kind: StoreKind): () => StorePlace {
  let place: StorePlace;
  beforeAll(async () => {
    place = await kind.place();
  });
  beforeEach(() => place.clear());
  afterAll(() => place[Symbol.asyncDispose]());
  return () => place;
}

/** So that each of them is met: NUL, braces, globs, beyond U+FFFF, and the characters around the borders of a prefix. */
const oddTexts = [
  '',
  'a',
  'a/b',
  'a{b}',
  'a*',
  'a?',
  'a[b]',
  'a\0b',
  'é',
  '\uffff',
  '😀',
  '\u{10ffff}',
  ' ',
  '"',
  "'",
];

describe.each([inMemory, ...sharedStores])('the store in $name', (kind) => {
  const place = emptyPlace(kind);

  /** Runs the test on an empty store; its time is the clock's. */
  async function within(test: (store: Store, clock: Clock) => Promise<void>): Promise<void> {
    const clock = { at: Date.now() };
    const store = await openStore(
      place().url,
      surroundings(() => clock.at),
    );
    try {
      await test(store, clock);
    } finally {
      await store.close();
    }
  }

  it('gives what was set, until it expires or is deleted', () =>
    within(async (store, clock) => {
      expect(await store.get('none')).toBeUndefined();
      await store.set('for ever', 'a');
      await store.set('a while', 'b', { ttl: 1_000 });
      await store.set('no time', 'c', { ttl: 0 });
      expect([await store.get('for ever'), await store.get('a while'), await store.get('no time')]).toEqual([
        'a',
        'b',
        undefined,
      ]);
      clock.at += 999;
      expect(await store.get('a while')).toBe('b');
      clock.at += 1;
      expect(await store.get('a while')).toBeUndefined();
      await store.set('a while', 'again');
      clock.at += 1e9;
      expect(await store.get('a while')).toBe('again');
      await store.delete('a while');
      await store.delete('a while');
      expect(await store.get('a while')).toBeUndefined();
      expect(await store.get('for ever')).toBe('a');
    }));

  it('keeps odd keys and values as they are', () =>
    within(async (store) => {
      const long = 'x'.repeat(200_000);
      await store.set('long', long);
      expect(await store.get('long')).toBe(long);
      for (const odd of oddTexts) await store.set(`odd/${odd}`, odd);
      expect(await Promise.all(oddTexts.map((odd) => store.get(`odd/${odd}`)))).toEqual(oddTexts);
    }));

  it('adds up, exactly', () =>
    within(async (store, clock) => {
      const sums = await Promise.all(Array.from({ length: 200 }, () => store.increment('n', 1)));
      expect(sums.sort((a, b) => a - b)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
      expect(await store.increment('n', -300)).toBe(-100);
      expect(await store.get('n')).toBe('-100');
      expect(await store.increment('big', Number.MAX_SAFE_INTEGER)).toBe(Number.MAX_SAFE_INTEGER);
      expect(await store.get('big')).toBe(String(Number.MAX_SAFE_INTEGER));
      await store.set('text', 'no number');
      expect(await store.increment('text', 2)).toBe(2);

      expect(await store.increment('short', 1, { ttl: 1_000 })).toBe(1);
      clock.at += 900;
      expect(await store.increment('short', 1, { ttl: 1_000 })).toBe(2);
      clock.at += 100;
      expect(await store.increment('short', 1, { ttl: 1_000 })).toBe(1);
    }));

  it('sets only what is still as expected', () =>
    within(async (store, clock) => {
      expect(await store.compareAndSet('k', 'a', 'b')).toBe(false);
      const first = await Promise.all(
        Array.from({ length: 50 }, (_, i) => store.compareAndSet('k', undefined, `v${i}`, { ttl: 1_000 })),
      );
      expect(first.filter((won) => won)).toHaveLength(1);
      const value = await store.get('k');
      expect(value).toBe(`v${first.indexOf(true)}`);
      expect(await store.compareAndSet('k', 'other', 'x')).toBe(false);
      expect(await store.compareAndSet('k', value, '')).toBe(true);
      expect(await store.compareAndSet('k', undefined, 'x')).toBe(false);
      expect(await store.compareAndSet('k', '', 'x', { ttl: 1_000 })).toBe(true);
      clock.at += 1_000;
      expect(await store.compareAndSet('k', 'x', 'y')).toBe(false);
      expect(await store.compareAndSet('k', undefined, 'y')).toBe(true);
    }));

  it('does more together with what it sets, or none of it', () =>
    within(async (store) => {
      await store.set('p/old', 'x', { listed: true });
      const along = [
        { call: 'delete', key: 'p/old' },
        { call: 'set', key: 'p/new', value: 'y', keep: { listed: true } },
        { call: 'increment', key: 'p/count', by: 2, keep: { listed: true } },
      ] as const;
      expect(await store.compareAndSet('p/k', 'other', 'a', {}, along)).toBe(false);
      expect(await entries(store, 'p/')).toEqual([['p/old', 'x']]);
      const won = await Promise.all(
        Array.from({ length: 20 }, () => store.compareAndSet('p/k', undefined, 'a', {}, along)),
      );
      expect(won.filter((one) => one)).toHaveLength(1);
      expect(await entries(store, 'p/')).toEqual([
        ['p/count', '2'],
        ['p/new', 'y'],
      ]);
    }));

  it('goes on behind a key, and gives only what holds a text', () =>
    within(async (store) => {
      const many = Array.from({ length: 4_500 }, (_, i) => String(i).padStart(4, '0'));
      const keep = { listed: true };
      await store.batch(
        many.map((key) => ({ call: 'set', key: `p/${key}`, value: `ü${key}%_ı`, keep }) as const),
      );
      const found = async (options: ScanOptions): Promise<readonly string[]> => {
        const keys = [];
        for await (const [key] of store.scan('p/', options)) keys.push(key);
        return keys;
      };
      expect(await found({ after: 'p/4497' })).toEqual(['p/4498', 'p/4499']);
      expect(await found({ after: 'p/4497x', about: 1 })).toEqual(['p/4498', 'p/4499']);
      expect(await found({ holding: '4499' })).toEqual(['p/4499']);
      expect(await found({ holding: 'ü00' })).toHaveLength(100);
      expect(await found({ holding: '%_', after: 'p/4000' })).toHaveLength(499);
      expect(await found({ holding: '_%' })).toEqual([]);
    }));

  it('lists what is to be listed, in the order of its UTF-8, page by page', () =>
    within(async (store, clock) => {
      const many = Array.from({ length: 450 }, (_, i) => String(i).padStart(3, '0'));
      await Promise.all(many.map((key) => store.set(`p/many/${key}`, `v${key}`, { listed: true })));
      await Promise.all(oddTexts.map((key) => store.set(`p/odd/${key}`, key, { listed: true, ttl: 1_000 })));
      await store.set('p/hidden', 'x');
      await store.set('p0', 'x', { listed: true });
      expect(await entries(store, 'p/many/')).toEqual(many.map((key) => [`p/many/${key}`, `v${key}`]));
      expect(await entries(store, 'p/many/44')).toHaveLength(10);
      const inOrder = oddTexts.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      expect((await entries(store, 'p/odd/')).map(([, value]) => value)).toEqual(inOrder);
      expect((await entries(store, 'p/odd/a*')).map(([, value]) => value)).toEqual(['a*']);
      expect(await entries(store, 'p/hidden')).toEqual([]);
      expect(await entries(store, 'p/none')).toEqual([]);

      await store.set('p/many/000', 'x');
      await store.delete('p/many/001');
      await store.increment('p/many/count', 1, { listed: true });
      await store.compareAndSet('p/many/cas', undefined, 'x', { listed: true });
      clock.at += 1_000;
      const left = await entries(store, 'p/');
      expect(left.map(([key]) => key)).toEqual([
        ...many.slice(2).map((key) => `p/many/${key}`),
        'p/many/cas',
        'p/many/count',
      ]);
    }));

  it('does a batch as one', () =>
    within(async (store) => {
      expect(
        await store.batch([
          { call: 'get', key: 'a' },
          { call: 'set', key: 'a', value: '1', keep: { ttl: 1_000 } },
          { call: 'get', key: 'a' },
          { call: 'increment', key: 'a', by: 4 },
          { call: 'increment', key: 'b', by: -2 },
          { call: 'delete', key: 'a' },
          { call: 'get', key: 'a' },
        ]),
      ).toEqual([undefined, undefined, '1', 5, -2, undefined, undefined]);
      expect(await store.batch([])).toEqual([]);

      // Of two sums that are always changed together nobody sees one without the other.
      const both = [
        { call: 'increment', key: 'x', by: 1 },
        { call: 'increment', key: 'y', by: 1 },
      ] as const;
      const results = await Promise.all(Array.from({ length: 100 }, () => store.batch(both)));
      expect(results.filter(([x, y]) => x !== y)).toEqual([]);
    }));

  it('admits no more than the limit, whoever asks at once', () =>
    within(async (store, clock) => {
      const hour = { key: 'hour', add: 1, most: 30, per: 3_600_000 };
      const day = { key: 'day', add: 2, most: 80, per: 86_400_000 };
      const results = await Promise.all(Array.from({ length: 60 }, () => store.admit([hour, day])));
      expect(results.filter(({ admitted }) => admitted)).toHaveLength(30);
      expect(results.find(({ admitted }) => !admitted)).toMatchObject({ index: 0 });

      clock.at += 3_600_000;
      const later = await Promise.all(Array.from({ length: 30 }, () => store.admit([hour, day])));
      expect(later.filter(({ admitted }) => admitted)).toHaveLength(10);
      const refused = later.find((result) => !result.admitted);
      expect(refused).toMatchObject({ index: 1 });

      // Nothing was added to the hour for what the day refused.
      expect(await store.admit([{ ...hour, add: 20 }])).toEqual({ admitted: true });
      expect(await store.admit([{ ...hour, add: 1 }])).toMatchObject({ admitted: false });

      await store.giveBack([{ ...hour, add: 5 }]);
      expect(await store.admit([{ ...hour, add: 6 }])).toMatchObject({ admitted: false });
      expect(await store.admit([{ ...hour, add: 5 }])).toEqual({ admitted: true });
      await store.giveBack([{ ...hour, add: 1_000 }]);
      expect(await store.admit([{ ...hour, add: 31 }])).toMatchObject({ admitted: false });
      expect(await store.admit([{ ...hour, add: 30 }])).toEqual({ admitted: true });
    }));

  it('has a window slide by the millisecond', () =>
    within(async (store, clock) => {
      const limit = { key: 'k', add: 1, most: 2, per: 3_600_000 };
      clock.at += 12_345;
      expect(await store.admit([limit])).toEqual({ admitted: true });
      clock.at += 120_000;
      expect(await store.admit([limit])).toEqual({ admitted: true });
      clock.at += 3_600_000 - 120_000 - 1;
      expect(await store.admit([limit])).toEqual({ admitted: false, index: 0, wait: 1 });
      clock.at += 1;
      expect(await store.admit([limit])).toEqual({ admitted: true });
      expect(await store.admit([limit])).toEqual({ admitted: false, index: 0, wait: 120_000 });
    }));

  it('holds nobody back for longer than two windows where the clock was ahead, and is set back', () =>
    within(async (store, clock) => {
      const limit = { key: 'k', add: 1, most: 2, per: 60_000 };
      const right = clock.at;
      clock.at += 86_400_000;
      for (let i = 0; i < 2; i++) expect(await store.admit([limit])).toEqual({ admitted: true });
      // Another machine's clock may be ahead a little.
      clock.at -= 30_000;
      expect(await store.admit([limit])).toMatchObject({ admitted: false });
      clock.at = right;
      for (let i = 0; i < 2; i++) expect(await store.admit([limit])).toEqual({ admitted: true });
      expect(await store.admit([limit])).toMatchObject({ admitted: false });
    }));

  it('says how long to wait, and then it fits', () =>
    within(async (store, clock) => {
      const limit = { key: 'k', add: 1, most: 3, per: 60_000 };
      for (let i = 0; i < 3; i++) {
        expect(await store.admit([limit])).toEqual({ admitted: true });
        clock.at += 10_000;
      }
      const refused = await store.admit([limit]);
      if (refused.admitted) throw new Error('a fourth was admitted');
      expect(await store.admit([{ ...limit, add: 0 }])).toEqual({ admitted: true });
      clock.at += refused.wait - 1;
      expect(await store.admit([limit])).toMatchObject({ admitted: false, wait: 1 });
      clock.at += 1;
      expect(await store.admit([limit])).toEqual({ admitted: true });
    }));

  it('has parts that do not see each other', () =>
    within(async (store) => {
      const [one, other, observed] = [store.part('one'), store.part('other'), store.part('one(observed)')];
      const limit: WindowLimit = { key: 'k', add: 1, most: 1, per: 1_000 };
      for (const part of [one, other, observed, one.part('two')]) {
        expect(await part.get('k')).toBeUndefined();
        expect(await part.increment('k', 1, { listed: true })).toBe(1);
        expect(await part.admit([limit])).toEqual({ admitted: true });
        expect(await part.batch([{ call: 'increment', key: 'k', by: 1 }])).toEqual([2]);
      }
      expect(await entries(other, '')).toEqual([['k', '2']]);
      expect(await entries(one, '')).toEqual([
        ['k', '2'],
        ['two/k', '2'],
      ]);
      await one.giveBack([limit]);
      expect(await one.admit([limit])).toEqual({ admitted: true });
      expect(await other.admit([limit])).toMatchObject({ admitted: false });
      await one.close();
      expect(await store.get('one/k')).toBe('2');
    }));

  it('keeps a history, in which messages are found, and no more than `max` of them', () =>
    within(async (store, clock) => {
      const log = keepingLogger();
      const history = new History(store.part('history'), { keep: 1e9, max: 150, log, now: () => clock.at });
      for (let i = 0; i < 400; i++) {
        history.write({ ...emptyRecord, ref: `R${i}`, queueId: `Q${i}`, sender: `<${i % 9}@example.org>` });
        if (i % 100 === 99) await history.flush();
      }
      const found = await history.find({}, 1_000);
      expect(found.map(({ ref }) => ref)).toEqual(Array.from({ length: 150 }, (_, i) => `R${399 - i}`));
      expect(await history.find({ from: '<7@', since: 0 }, 2)).toMatchObject([
        { ref: 'R394' },
        { ref: 'R385' },
      ]);
      expect(await history.find({ id: 'Q399' })).toMatchObject([{ ref: 'R399' }]);
      expect(await history.find({ id: 'Q249' })).toEqual([]);
      expect(log.lines).toEqual([]);
    }));

  it('refuses numbers that it could not keep', () =>
    within(async (store) => {
      await expect(store.increment('k', 0.5)).rejects.toThrow('the store adds whole numbers, not 0.5');
      await expect(store.set('k', 'v', { ttl: Number.NaN })).rejects.toThrow('in milliseconds, not NaN');
      await expect(
        store.batch([{ call: 'increment', key: 'k', by: Number.POSITIVE_INFINITY }]),
      ).rejects.toThrow('whole numbers');
    }));

  it('does what a store in memory does, whatever it is asked', () =>
    within(async (store, clock) => {
      const model = await openStore(
        { kind: 'memory' },
        surroundings(() => clock.at),
      );
      let round = 0;
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(anyCall, fc.nat(700)), { minLength: 1, maxLength: 30 }),
          async (calls) => {
            const name = `part ${round++}`;
            const [real, expected] = [store.part(name), model.part(name)];
            for (const [call, later] of calls) {
              expect(await call(real)).toEqual(await call(expected));
              clock.at += later;
            }
            expect(await entries(real, '')).toEqual(await entries(expected, ''));
          },
        ),
        runs(60),
      );
    }));
});

describe.each(sharedStores)('the store in $name', (kind) => {
  const place = emptyPlace(kind);

  it('is exact when several processes use it at once', async () => {
    const { url } = place();
    const said = await Promise.all([1, 2, 3].map(() => storeChild(url, 'count')));
    const results = said.map(([result]) => result as { sums: number[]; admitted: number });
    const sums = results.flatMap((result) => result.sums).sort((a, b) => a - b);
    expect(sums).toEqual(Array.from({ length: 600 }, (_, i) => i + 1));
    expect(results.reduce((sum, { admitted }) => sum + admitted, 0)).toBe(150);
    const store = await openStore(url, surroundings());
    expect(await store.get('swap')).toBe('120');
    await store.close();
  });

  it('has what was acknowledged, whole, after its process was killed', async () => {
    const { url } = place();
    const last = await killWriter(url, 50);
    const store = await openStore(url, surroundings());
    const known = Number(await store.get('last'));
    expect(known).toBeGreaterThanOrEqual(last);
    const keys = Array.from({ length: known }, (_, i) => `k${i + 1}`);
    expect(await Promise.all(keys.map((one) => store.get(one)))).toEqual(keys.map((one) => one.slice(1)));
    expect(await store.get(`k${known + 1}`)).toBeUndefined();
    await store.close();
  });
});

const key = fc.constantFrom('a', 'b', 'c/d');
const keep = fc.record(
  { ttl: fc.integer({ min: 1, max: 3_000 }), listed: fc.boolean() },
  { requiredKeys: [] },
);
const limits = fc.array(
  fc.record({
    key,
    add: fc.nat(3),
    most: fc.nat(10),
    per: fc.constant(2_000),
  }),
  { minLength: 1, maxLength: 3 },
);
const anyCall = fc.oneof(
  key.map((k) => (store: Store) => store.get(k)),
  fc.tuple(key, keep).map(
    ([k, how]) =>
      (store: Store) =>
        store.set(k, JSON.stringify(how), how),
  ),
  fc.tuple(key, fc.integer({ min: -9, max: 9 }), keep).map(
    ([k, by, how]) =>
      (store: Store) =>
        store.increment(k, by, how),
  ),
  fc.tuple(key, fc.constantFrom(undefined, '{}', '1'), keep).map(
    ([k, old, how]) =>
      (store: Store) =>
        store.compareAndSet(k, old, '1', how),
  ),
  key.map((k) => (store: Store) => store.delete(k)),
  limits.map((all) => (store: Store) => store.admit(all)),
  limits.map((all) => (store: Store) => store.giveBack(all)),
  fc.tuple(key, key, keep).map(
    ([k, other, how]) =>
      (store: Store) =>
        store.batch([
          { call: 'get', key: k },
          { call: 'set', key: other, value: 'batch', keep: how },
          { call: 'increment', key: k, by: 2 },
          { call: 'delete', key: other },
          { call: 'get', key: k },
        ]),
  ),
);
