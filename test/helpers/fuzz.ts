/**
 * fast-check with a seed: the same cases at each run, so that a red suite means a change and not a lucky draw. New ones
 * are looked for with `npm run fuzz`, which sets FUZZ_SEED and FUZZ_RUNS (that multiplies the number of cases); what they
 * find becomes a fixed case of its own.
 */
import { randomInt } from 'node:crypto';
import fc from 'fast-check';

const { FUZZ_SEED = '20261126', FUZZ_RUNS = '1' } = process.env;

/** Cases for one property: `usual`, more in a long run. */
export function runs(usual: number): { numRuns: number } {
  return { numRuns: Math.ceil(usual * Number(FUZZ_RUNS)) };
}

/** Where all chance begins. */
export const seed: number = FUZZ_SEED === 'random' ? randomInt(2 ** 31) : Number(FUZZ_SEED);

fc.configureGlobal({ ...runs(100), seed });

export { fc };
