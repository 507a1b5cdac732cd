import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type LogSettings, makeLogger } from '../../../../lib/filter/watch/log.ts';

let written: string[] = [];

beforeEach(() => {
  written = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written.push(String(text));
    return true;
  });
});
afterEach(() => void vi.restoreAllMocks());

function logger(settings: Partial<LogSettings> = {}) {
  return makeLogger({ level: 'info', format: 'text', ...settings });
}

/** The only line, which ends. */
function line(): string {
  expect(written).toHaveLength(1);
  const [first = ''] = written;
  expect(first).toMatch(/^[^\n]*\n$/);
  return first.slice(0, -1);
}

describe('the log', () => {
  it('says what is important enough', () => {
    for (const [level, count] of [
      ['debug', 4],
      ['info', 3],
      ['warn', 2],
      ['error', 1],
    ] as const) {
      written = [];
      const log = logger({ level });
      log.debug({}, 'd');
      log.info({}, 'i');
      log.warn({}, 'w');
      log.error({}, 'e');
      expect(written.slice(-count)).toEqual(
        ['debug: d', 'info: i', 'warn: w', 'error: e'].slice(-count).map((text) => `milter: ${text}\n`),
      );
      expect(written).toHaveLength(count);
    }
  });

  it('is text for people', () => {
    logger().info({ session: 'a1', queueId: undefined, points: 3, sender: '<a@example.org>' }, 'verdict');
    expect(line()).toBe('milter: info: verdict session=a1 points=3 sender=<a@example.org>');
  });

  it('is JSON for programs, and where nobody looks', () => {
    const before = process.stderr.isTTY;
    for (const format of ['json', 'auto'] as const) {
      written = [];
      process.stderr.isTTY = false;
      logger({ format }).warn({ module: 'helo', list: ['a', 'b'] }, 'odd');
      const { time, ...rest } = JSON.parse(line()) as { time: string };
      expect(rest).toEqual({ level: 'warn', message: 'odd', module: 'helo', list: ['a', 'b'] });
      expect(new Date(time).toISOString()).toBe(time);
    }
    written = [];
    process.stderr.isTTY = true;
    logger({ format: 'auto' }).warn({}, 'odd');
    expect(line()).toBe('milter: warn: odd');
    process.stderr.isTTY = before;
  });

  it('has priorities for the journal', () => {
    const log = logger({ level: 'debug', format: 'journal' });
    log.debug({}, 'd');
    log.info({}, 'i');
    log.warn({}, 'w');
    log.error({ a: 'b' }, 'e');
    expect(written).toEqual(['<7>d\n', '<6>i\n', '<4>w\n', '<3>e a=b\n']);
  });

  it.each(['text', 'json', 'journal'] as const)('keeps mail from writing lines of its own: %s', (format) => {
    const evil = 'x\nmilter: info: all is well\r\u001b[2J\u0085\u2028\u0000\u202e\u{e0041}" y=z';
    logger({ format }).info({ helo: evil, deep: { subject: evil }, 'na\nme': 'v' }, `said ${evil}`);
    expect(line()).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    if (format === 'json') expect(JSON.parse(line())).toMatchObject({ helo: evil });
  });

  it('says why of an error, down to its cause, and no stack', () => {
    const error = new Error('the store is away', { cause: new Error('no\nroute', { cause: 'text' }) });
    logger().error({ error }, 'failed');
    expect(line()).toBe('milter: error: failed error="the store is away; caused by: no\\nroute"');
  });

  it('cuts what is long, and takes what JSON cannot', () => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    for (const format of ['text', 'json'] as const) {
      written = [];
      const log = logger({ format });
      log.info(
        { long: 'x'.repeat(100_000), list: Array.from({ length: 10_000 }, () => 'y'.repeat(100)) },
        'z'.repeat(100_000),
      );
      // Two texts, and a hundred items.
      expect(line().length).toBeLessThan(2 * 2_100 + 100 * 110);
      written = [];
      log.info({ big: 12n, circle, fun: () => 1, symbol: Symbol('s'), broken: '\ud800' }, 'odd');
      expect(line()).toContain('12');
    }
  });
});
