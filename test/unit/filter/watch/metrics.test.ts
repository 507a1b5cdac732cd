import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MetricsRegistry } from '../../../../lib/filter/watch/metrics.ts';

const root = join(import.meta.dirname, '../../../..');

/** A line of Prometheus' text format, version 0.0.4. */
const LINE =
  /^(# TYPE [a-z][a-z0-9_]* (counter|gauge|histogram)|[a-z][a-z0-9_]*(\{[a-z][a-z0-9_]*="([^"\\\n]|\\["\\n])*"(,[a-z][a-z0-9_]*="([^"\\\n]|\\["\\n])*")*\})? (-?[0-9.e+-]+|[+-]Inf|NaN))$/;

function lines(metrics: MetricsRegistry): string[] {
  const text = metrics.toText();
  expect(text === '' || text.endsWith('\n')).toBe(true);
  const all = text.split('\n').slice(0, -1);
  expect(all.filter((line) => !LINE.test(line))).toEqual([]);
  return all;
}

describe('metrics', () => {
  it('are told in the text format of Prometheus', () => {
    const metrics = new MetricsRegistry();
    expect(lines(metrics)).toEqual([]);
    metrics.count('verdicts_total', { verdict: 'reject' });
    metrics.count('verdicts_total', { verdict: 'accept' }, 2);
    metrics.count('verdicts_total', { verdict: 'reject' });
    metrics.gauge('held_bytes', 17);
    metrics.gauge('held_bytes', 1e21);
    metrics.gauge('endless', Number.POSITIVE_INFINITY);
    expect(lines(metrics)).toEqual([
      '# TYPE milter_verdicts_total counter',
      'milter_verdicts_total{verdict="reject"} 2',
      'milter_verdicts_total{verdict="accept"} 2',
      '# TYPE milter_held_bytes gauge',
      'milter_held_bytes 1e+21',
      '# TYPE milter_endless gauge',
      'milter_endless +Inf',
    ]);
    expect(metrics.read('verdicts_total')).toEqual(
      new Map([
        ['{verdict="reject"}', 2],
        ['{verdict="accept"}', 2],
      ]),
    );
    expect(metrics.read('none_total')).toEqual(new Map());
  });

  it('tell durations in buckets, each with all that are shorter', () => {
    const metrics = new MetricsRegistry();
    for (const seconds of [0.0005, 0.001, 0.02, 70])
      metrics.observe('store_seconds', seconds, { call: 'get' });
    metrics.observe('plain_seconds', 1);
    const all = lines(metrics);
    expect(all.slice(0, 14)).toEqual([
      '# TYPE milter_store_seconds histogram',
      ...[
        ['0.001', 2],
        ['0.005', 2],
        ['0.01', 2],
        ['0.05', 3],
        ['0.1', 3],
        ['0.5', 3],
        ['1', 3],
        ['5', 3],
        ['10', 3],
        ['60', 3],
        ['+Inf', 4],
      ].map(([end, count]) => `milter_store_seconds_bucket{call="get",le="${end}"} ${count}`),
      'milter_store_seconds_sum{call="get"} 70.0215',
      'milter_store_seconds_count{call="get"} 4',
    ]);
    expect(all).toContain('milter_plain_seconds_bucket{le="0.5"} 0');
    expect(all).toContain('milter_plain_seconds_count 1');
  });

  it('keep labels harmless and few, whatever mail makes of them', () => {
    const metrics = new MetricsRegistry();
    metrics.count('odd_total', { domain: 'a"b\\c\nd\u{d800}\0' });
    expect(lines(metrics)[1]).toBe('milter_odd_total{domain="a\\"b\\\\c\\nd\ufffd\0"} 1');
    for (let i = 0; i < 5_000; i++) metrics.count('many_total', { domain: `d${i}` });
    metrics.count('many_total', { domain: 'd7' });
    const many = lines(metrics).filter((line) => line.startsWith('milter_many_total'));
    expect(many).toHaveLength(1_001);
    expect(many).toContain('milter_many_total{domain="d7"} 2');
    expect(many.at(-1)).toBe('milter_many_total{other="true"} 4000');
  });

  it('refuse what could not be read by anybody', () => {
    const metrics = new MetricsRegistry();
    metrics.count('a_total');
    for (const wrong of [
      () => metrics.count('a'),
      () => metrics.count('A_total'),
      () => metrics.count('a b_total'),
      () => metrics.count('a_total', {}, -1),
      () => metrics.count('a_total', {}, Number.NaN),
      () => metrics.gauge('a_total', 1),
      () => metrics.observe('a', 1),
      () => metrics.count('a_total', { 'b-c': 'd' }),
      () => metrics.observe('b_seconds', 1, { le: '1' }),
    ]) {
      expect(wrong).toThrow(TypeError);
    }
    expect(lines(metrics)).toEqual(['# TYPE milter_a_total counter', 'milter_a_total 1']);
  });
});

it('docs/metrics.md has every metric, and no other', () => {
  const code = globSync('lib/filter/**/*.ts', { cwd: root }).map((file) =>
    readFileSync(join(root, file), 'utf8'),
  );
  const counted = code.flatMap((text) =>
    [...text.matchAll(/\.(?:count|gauge|observe)\(\s*(?:'([a-z0-9_]+)'|`([a-z0-9_]+)\$\{)/g)].map(
      ([, name, beginning]) => (name === undefined ? `milter_${beginning}…` : `milter_${name}`),
    ),
  );
  // What is done once a day has its name in that of the metric.
  const beginnings = counted.filter((name) => name.endsWith('…')).map((name) => name.slice(0, -1));
  const documented = readFileSync(join(root, 'docs/metrics.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `milter_'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`(milter_[a-z0-9_]+)`/g)])
    .map(([, name = '']) => beginnings.find((beginning) => name.startsWith(beginning)) ?? name);
  const known = counted.map((name) => name.replace('…', ''));
  expect([...new Set(documented)].sort()).toEqual([...new Set(known)].sort());
});
