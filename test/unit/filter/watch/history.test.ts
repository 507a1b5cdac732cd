import { describe, expect, it } from 'vitest';
import { BackedStore } from '../../../../lib/filter/store/backed.ts';
import { MemoryBackend, MemoryTable } from '../../../../lib/filter/store/memory.ts';
import { StoreError } from '../../../../lib/filter/store/store.ts';
import { History, type HistoryOptions, type HistoryRecord } from '../../../../lib/filter/watch/history.ts';
import { MetricsRegistry } from '../../../../lib/filter/watch/metrics.ts';
import { keepingLogger } from '../../../helpers/filter.ts';

const DAY = 86_400_000;

/** A history in memory, and what it stands on. */
function open(settings: Partial<HistoryOptions> = {}) {
  const clock = { at: Date.UTC(2026, 0, 1) };
  const now = () => clock.at;
  const table = new MemoryTable();
  const store = new BackedStore(new MemoryBackend(now, table), new MetricsRegistry());
  const log = keepingLogger();
  const history = new History(store, { keep: 14 * DAY, max: 1_000_000, log, now, ...settings });
  return { history, store, table, clock, log };
}

function record(ref: string, more: Partial<HistoryRecord> = {}): HistoryRecord {
  return {
    ref,
    at: Date.UTC(2026, 0, 1),
    client: { address: '192.0.2.1', hostname: 'mail.example.org', kind: 'external' },
    helo: 'mail.example.org',
    sender: '<a@example.org>',
    recipients: [],
    findings: [],
    points: 0,
    verdict: 'continue',
    changedBy: [],
    ...more,
  };
}

const to = (address: string) => ({ address, verdict: 'accept' as const });

async function refs(history: History, query = {}, limit?: number): Promise<string[]> {
  return (await history.find(query, limit)).map(({ ref }) => ref);
}

describe('the history', () => {
  it('finds a message by its reference in any case, and by its queue id', async () => {
    const { history } = open();
    const kept = record('K7Q2M4', { queueId: '4abcDEF', subject: 'x', recipients: [to('<b@example.com>')] });
    history.write(kept);
    history.write(record('ZZZZZZ'));
    expect(await history.find({ id: 'k7q2m4' })).toEqual([kept]);
    expect(await history.find({ id: '4abcDEF' })).toEqual([kept]);
    expect(await history.find({ id: '4ABCDEF' })).toEqual([]);
    expect(await history.find({ id: 'NONE' })).toEqual([]);
  });

  it('keeps what was last said of a message, whether that was written already or not', async () => {
    const { history } = open();
    history.write(record('A', { verdict: 'continue' }));
    history.write(record('A', { verdict: 'reject' }));
    history.write(record('B'));
    await history.flush();
    history.write(record('A', { verdict: 'tempfail', queueId: 'Q' }));
    expect(await history.find({})).toMatchObject([{ ref: 'B' }, { ref: 'A', verdict: 'tempfail' }]);
    expect(await refs(history, { id: 'Q' })).toEqual(['A']);
  });

  it('finds by parts of addresses and by time, the newest first, no more than asked for', async () => {
    const { history, clock } = open();
    for (let i = 0; i < 450; i++) {
      history.write(
        record(`R${i}`, {
          at: clock.at,
          sender: i % 2 === 0 ? '<Even@Example.org>' : '<odd@example.org>',
          recipients: [to('<first@example.com>'), to(`<r${i}@example.com>`)],
        }),
      );
      await history.flush();
      clock.at += 1_000;
    }
    expect(await refs(history, {}, 3)).toEqual(['R449', 'R448', 'R447']);
    expect(await refs(history, {}, 1_000)).toHaveLength(450);
    expect(await refs(history, { from: 'even@' }, 2)).toEqual(['R448', 'R446']);
    expect(await refs(history, { to: 'R7@' })).toEqual(['R7']);
    expect(await refs(history, { to: 'R7@', from: 'even' })).toEqual([]);
    expect(await refs(history, { since: clock.at - 2_000 })).toEqual(['R449', 'R448']);
    expect(await refs(history, { since: clock.at - 400_000 }, 1_000)).toHaveLength(400);
  });

  it('finds a message that took long behind others that came later', async () => {
    const { history, clock } = open();
    const began = clock.at;
    clock.at += 60_000;
    history.write(record('QUICK', { at: clock.at }));
    await history.flush();
    clock.at += 60_000;
    history.write(record('SLOW', { at: began }));
    expect(await refs(history, { since: began + 1 })).toEqual(['QUICK']);
    expect(await refs(history)).toEqual(['SLOW', 'QUICK']);
  });

  it('keeps no more than `max`, with nothing that leads to the others', async () => {
    const { history, table } = open({ max: 5 });
    for (let i = 0; i < 23; i++) {
      history.write(record(`R${i}`, { queueId: `Q${i}` }));
      if (i % 4 === 0) await history.flush();
    }
    expect(await refs(history)).toEqual(['R22', 'R21', 'R20', 'R19', 'R18']);
    expect(await refs(history, { id: 'R17' })).toEqual([]);
    expect(await refs(history, { id: 'Q17' })).toEqual([]);
    expect(await refs(history, { id: 'Q18' })).toEqual(['R18']);
    expect(table.size).toBe(5 * 3 + 1);
  });

  it('does not lose a message whose queue id was in use before', async () => {
    const { history } = open({ max: 2 });
    for (const ref of ['A', 'B', 'C']) {
      history.write(record(ref, { queueId: ref === 'B' ? 'other' : 'same' }));
      await history.flush();
    }
    expect(await refs(history)).toEqual(['C', 'B']);
    expect(await refs(history, { id: 'same' })).toEqual(['C']);
  });

  it('forgets after `keep`', async () => {
    const { history, clock, table } = open({ keep: DAY });
    history.write(record('OLD', { queueId: 'Q' }));
    await history.flush();
    clock.at += DAY;
    history.write(record('NEW'));
    expect(await refs(history)).toEqual(['NEW']);
    expect(await refs(history, { id: 'OLD' })).toEqual([]);
    table.sweep(clock.at, 100);
    expect(table.size).toBe(3);
  });

  it.each([{ max: 0 }, { keep: 0 }])('writes nothing with %o', async (settings) => {
    const { history, table } = open(settings);
    history.write(record('A'));
    expect(await refs(history)).toEqual([]);
    expect(table.size).toBe(0);
  });

  it('bounds what one message takes', async () => {
    const { history } = open();
    history.write(
      record('A', { recipients: Array.from({ length: 1_000 }, (_, i) => to(`<r${i}@example.com>`)) }),
    );
    expect((await history.find({}))[0]?.recipients).toHaveLength(100);
  });

  it('says how much was lost while the store was away, and goes on', async () => {
    const { history, store, log } = open();
    const { batch } = store;
    store.batch = () => Promise.reject(new StoreError('away'));
    for (let i = 0; i < 300; i++) history.write(record(`R${i}`));
    await history.flush();
    expect(log.lines).toMatchObject([
      { level: 'warn', fields: { messages: 300 }, message: 'the history could not be written' },
    ]);
    store.batch = batch;
    history.write(record('AFTER'));
    expect(await refs(history)).toEqual(['AFTER']);
  });

  it('writes by itself, and at the end', async () => {
    const { history, store } = open();
    history.write(record('A'));
    await history.close();
    expect(await store.get('ref/A')).toBe('1');
  });
});
