import { describe, expect, it } from 'vitest';
import { combine, fisher, logChiSquared, probability, scoreOf } from '../../../lib/bayes/score.ts';

const many = (p: number, count: number): number[] => Array.from({ length: count }, () => p);

describe('chi-squared', () => {
  it('is the distribution', () => {
    // From tables: with 2 degrees of freedom 5.991 is exceeded with 5 %, with 10 degrees 18.307.
    expect(Math.exp(logChiSquared(5.991 / 2, 1))).toBeCloseTo(0.05, 4);
    expect(Math.exp(logChiSquared(18.307 / 2, 5))).toBeCloseTo(0.05, 4);
    expect(logChiSquared(0, 5)).toBe(0);
  });

  it('is a number however much there is', () => {
    expect(logChiSquared(50_000, 5_000)).toBeLessThan(-10_000);
    expect(logChiSquared(5_000, 5_000)).toBeCloseTo(Math.log(0.5), 1);
    expect(Number.isFinite(logChiSquared(1e6, 10))).toBe(true);
  });
});

describe('scores', () => {
  it('are between ham and spam', () => {
    expect(combine([])).toBe(0.5);
    expect(combine(many(0.99, 20))).toBeGreaterThan(0.999_999);
    expect(combine(many(0.01, 20))).toBeLessThan(0.000_001);
    expect(combine([...many(0.99, 200), ...many(0.01, 200)])).toBeCloseTo(0.5);
    for (const n of [1, 300, 5_000]) {
      expect(combine(many(0.9999, n))).toBeLessThanOrEqual(1);
      expect(combine(many(0.0001, n))).toBeGreaterThanOrEqual(0);
    }
  });

  it('are lifted where most of much contradicting evidence is for spam, and never lowered', () => {
    const contradicting = [...many(0.99, 60), ...many(0.01, 40)];
    expect(fisher(contradicting)).toBeCloseTo(0.5);
    expect(combine(contradicting)).toBeGreaterThan(0.6);
    expect(combine(contradicting)).toBeLessThanOrEqual(0.9);
    const against = [...many(0.99, 40), ...many(0.01, 60)];
    expect(combine(against)).toBe(fisher(against));
  });

  it('give rare tokens less weight', () => {
    const totals = { spam: 100, ham: 100 };
    const [once, often] = [1, 50].map((spam) => probability({ spam, ham: 0 }, totals));
    expect(once).toBeLessThan(often ?? 0);
    expect(probability({ spam: 0, ham: 0 }, totals)).toBe(0.52);
    // By the share of each kind, not by numbers of messages.
    expect(probability({ spam: 10, ham: 1 }, { spam: 1_000, ham: 100 })).toBeCloseTo(0.5, 2);
  });

  it('are spam where a text begins so, whatever follows', () => {
    expect(scoreOf(0.001, [many(0.99, 6)])).toBe(0.99);
    expect(scoreOf(0.001, [many(0.99, 5)])).toBe(0.001);
    expect(scoreOf(0.999_9, [many(0.99, 6)])).toBe(0.999_9);
  });
});
