/** The short form of `npm run soak`: both engines, and whether it would find what it looks for. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { soakEngine } from '../soak/engine.ts';
import { flatness, slopeOf } from '../soak/flat.ts';

const SHORT = { threads: 1, messages: 1_500, connections: 32 } as const;

describe.each([
  { engine: 'libmilter', threads: 1 },
  { engine: 'js', threads: 1 },
  { engine: 'js', threads: 2 },
] as const)('a short soak of $engine with $threads thread(s)', ({ engine, threads }) => {
  it('answers every message as it must, and leaves nothing', async () => {
    const { tally, heap, faults } = await soakEngine({ ...SHORT, engine, threads });
    expect(faults).toEqual([]);
    expect(tally.messages).toBeGreaterThanOrEqual(SHORT.messages);
    expect(heap).toBeDefined();
  }, 120_000);
});

describe('the soak', () => {
  it('finds a filter that keeps something of each message', async () => {
    const filter = new URL('../fixtures/soak/leaky.ts', import.meta.url);
    const { faults } = await soakEngine({ ...SHORT, engine: 'js', filter });
    expect(faults).toEqual([expect.stringMatching(/^heap memory grows: \d+\.\d bytes a message, bound /)]);
  }, 120_000);

  it('takes the slope of least squares, after warm-up', () => {
    const samples = Array.from({ length: 20 }, (_, i) => ({
      messages: i * 1_000,
      bytes: 50_000_000 + i * 7_000 + (i % 2) * 100,
    }));
    expect(slopeOf(samples)).toBeCloseTo(7, 1);
    const rising = samples.map(({ messages, bytes }) => ({
      messages,
      bytes: messages < 10_000 ? messages * 5_000 : bytes,
    }));
    const allowance = { warmUp: 10_000, perMessage: 8, sway: 900 };
    expect(flatness(rising, allowance)?.slope).toBeCloseTo(7, 1);
    expect(flatness(rising, allowance)?.bound).toBeCloseTo(8.1);
    expect(flatness(rising, { ...allowance, warmUp: 18_000 })).toBeUndefined();
  });

  it.each([{ args: ['--messages', '0'] }, { args: ['postfix'] }])(
    'refuses $args with a line and exit code 2',
    ({ args }) => {
      const { status, stderr } = spawnSync(
        process.execPath,
        [join(import.meta.dirname, '../soak/run.ts'), ...args],
        {
          encoding: 'utf8',
        },
      );
      expect(stderr).toMatch(/^soak: .*\nusage: npm run soak -- .*\n$/);
      expect(status).toBe(2);
    },
  );
});
