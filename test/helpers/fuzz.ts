/**
 * fast-check with a seed: the same cases at each run, so that a red suite means a change and not a lucky draw. New ones
 * are looked for with `FUZZ_SEED=random FUZZ_RUNS=20 vitest run test/fuzz` (FUZZ_RUNS multiplies the number of cases);
 * what they find becomes a fixed case of its own.
 */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';

const { FUZZ_SEED = '20261126', FUZZ_RUNS = '1' } = process.env;

/** Cases for one property: `usual`, more in a long run. */
export function runs(usual: number): { numRuns: number } {
  return { numRuns: Math.ceil(usual * Number(FUZZ_RUNS)) };
}

fc.configureGlobal({
  ...runs(100),
  seed: FUZZ_SEED === 'random' ? randomInt(2 ** 31) : Number(FUZZ_SEED),
});

export { fc };
