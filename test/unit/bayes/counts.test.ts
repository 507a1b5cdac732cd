import { describe, expect, it } from 'vitest';
import { counted, dayOf, MOST_COUNTED, pack, unpack } from '../../../lib/bayes/counts.ts';
import { isStale, RETENTION } from '../../../lib/bayes/expiry.ts';

describe('counts', () => {
  it('are the same packed and unpacked', () => {
    for (const spam of [0, 1, 2, 77, 5_000, MOST_COUNTED]) {
      for (const ham of [0, 1, 3, 999, MOST_COUNTED]) {
        for (const day of [0, 2_300, 16_383]) {
          expect(unpack(pack({ spam, ham, day }))).toEqual({ spam, ham, day });
        }
      }
    }
    expect(pack({ spam: 1, ham: 0, day: dayOf(Date.UTC(2026, 0, 1)) })).toBeLessThan(2 ** 15);
  });

  it('stop at their bounds', () => {
    expect(counted({ spam: 0, ham: 1, day: 5 }, 'spam', -1, 6)).toEqual({ spam: 0, ham: 1, day: 6 });
    expect(counted({ spam: MOST_COUNTED, ham: 0, day: 5 }, 'spam', 1, 6).spam).toBe(MOST_COUNTED);
  });
});

it('tokens go the sooner the less they say', () => {
  const totals = { spam: 100, ham: 100 };
  const goes = (spam: number, ham: number, age: number): boolean =>
    isStale({ spam, ham, day: 1_000 - age }, totals, 1_000, RETENTION);
  expect([goes(1, 0, 15), goes(1, 0, 16)]).toEqual([false, true]);
  expect([goes(2, 1, 60), goes(2, 1, 61)]).toEqual([false, true]);
  expect([goes(5, 5, 90), goes(5, 5, 91), goes(9, 0, 91)]).toEqual([false, true, false]);
  expect([goes(50, 0, 365), goes(50, 0, 366)]).toEqual([false, true]);
});
