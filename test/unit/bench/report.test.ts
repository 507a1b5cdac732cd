import { describe, expect, test } from 'vitest';
import type { Competitor, Goal } from '../../bench/competitors.ts';
import { goals, isMet, type LoadResult, median, outcomes, summarize, table } from '../../bench/report.ts';

function competitor(id: string, goal?: Goal): Competitor {
  return { id, name: `the ${id}`, ours: goal !== undefined, command: () => ['true'], ...(goal && { goal }) };
}

function round(rate: number, rest: Partial<LoadResult> = {}): LoadResult {
  return {
    connections: 16,
    steps: 0,
    messages: rate,
    total: rate,
    seconds: 1,
    rate,
    p50: 1000,
    p99: 2000,
    max: 3000,
    starved: 0,
    cpu: 0.25,
    filterCpu: 0.5,
    ...rest,
  };
}

const goal: Goal = { pymilter: 2, c: 0.6, connections: [16] };

describe('the benchmark report', () => {
  test('takes the middle round, or the mean of the middle two', () => {
    expect(median([9, 1, 5])).toBe(5);
    expect(median([9, 1, 5, 7])).toBe(6);
  });

  test('summarizes rounds by their medians and tells CPU time per message', () => {
    const row = summarize(competitor('x'), [round(1000), round(5000), round(2000, { p99: 9000 })]);
    expect(row).toMatchObject({ rate: 2000, p99: 2000, cpuPerMessage: 250, generator: 0.25 });
  });

  test('compares ours with pymilter and with the C no-op of the same steps', () => {
    const rows = [
      summarize(competitor('c-0x0'), [round(9000)]),
      summarize(competitor('c-0x80'), [round(5000, { steps: 0x80 })]),
      summarize(competitor('pymilter'), [round(2000)]),
      summarize(competitor('form', goal), [round(3500, { steps: 0x80 })]),
    ];
    expect(outcomes(rows).map(({ ratio }) => ratio)).toEqual([1.75, 0.7]);
    expect(outcomes(rows).map(isMet)).toEqual([false, true]);
  });

  test('sets no goal for other numbers of connections or against absent competitors', () => {
    const form = competitor('form', goal);
    expect(outcomes([summarize(form, [round(3500)])])).toEqual([]);
    const pymilter = summarize(competitor('pymilter'), [round(2000, { connections: 50 })]);
    expect(outcomes([pymilter, summarize(form, [round(3500, { connections: 50 })])])).toEqual([]);
  });

  test('aligns names to the left and figures to the right', () => {
    const rows = [
      summarize(competitor('pymilter'), [round(2000)]),
      summarize(competitor('form', goal), [round(13500)]),
    ];
    const lines = table(rows).split('\n');
    expect(lines).toHaveLength(3);
    expect(lines[1]).toMatch(/^the pymilter +0x0 +2000 /);
    expect(lines[1]?.indexOf('2000')).toBe((lines[2]?.indexOf('13500') ?? 0) + 1);
    expect(goals(outcomes(rows))).toMatch(
      /^form, 16 connections, against pymilter, every stage +6\.75x +goal 2\.0x +met$/,
    );
  });
});
