import { describe, expect, it } from 'vitest';
import { Backend, BackendError, type BackendOptions } from '../../../../lib/filter/backends/backend.ts';
import { MetricsRegistry } from '../../../../lib/filter/watch/metrics.ts';

function backend({ concurrency = 10, timeout = 20_000, ...more }: Partial<BackendOptions> = {}) {
  let now = 0;
  const one = new Backend({ concurrency, timeout, ...more, now: () => now });
  return { one, pass: (milliseconds: number) => (now += milliseconds) };
}

const failing = (): Promise<never> => Promise.reject(new Error('away'));

describe('a service outside', () => {
  it('is asked so many questions at once', async () => {
    const { one } = backend({ concurrency: 2 });
    let now = 0;
    let most = 0;
    const ask = () =>
      one.ask(async () => {
        most = Math.max(most, ++now);
        await new Promise(setImmediate);
        now--;
        return 'yes';
      });
    expect(await Promise.all(Array.from({ length: 20 }, ask))).toEqual(Array(20).fill('yes'));
    expect(most).toBe(2);
  });

  it('does not keep those waiting for ever who come after others', async () => {
    const { one } = backend({ concurrency: 1, timeout: 10 });
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = one.ask(() => promise);
    await expect(one.ask(() => Promise.resolve())).rejects.toThrow(BackendError);
    resolve();
    await first;
    expect(await one.ask(() => Promise.resolve('again'))).toBe('again');
  });

  it('is left alone for a while when it is down, and asked again then', async () => {
    const { one, pass } = backend();
    for (let i = 0; i < 3; i++) await expect(one.ask(failing)).rejects.toThrow('away');
    await expect(one.ask(() => Promise.resolve())).rejects.toEqual(
      new BackendError('it is down, and is not asked for a while: away'),
    );
    pass(10_000);
    await expect(one.ask(failing)).rejects.toThrow(/^away$/);
    await expect(one.ask(failing)).rejects.toThrow(BackendError);
    pass(10_000);
    expect(await one.ask(() => Promise.resolve('back'))).toBe('back');
    await expect(one.ask(failing)).rejects.toThrow(/^away$/);
    expect(await one.ask(() => Promise.resolve('once is no matter'))).toBe('once is no matter');
  });

  it('has the time that a question says, and is told why it is over', async () => {
    const { one } = backend();
    const reasonOf = (signal: AbortSignal): Promise<unknown> =>
      new Promise((resolve) => signal.addEventListener('abort', () => resolve(signal.reason)));
    expect(await one.ask(reasonOf, { timeout: 5 })).toMatchObject({ name: 'TimeoutError' });
    const controller = new AbortController();
    const giveUp = (signal: AbortSignal): Promise<unknown> => {
      const reason = reasonOf(signal);
      controller.abort(new Error('nobody wants it'));
      return reason;
    };
    expect(await one.ask(giveUp, { signal: controller.signal })).toMatchObject({
      message: 'nobody wants it',
    });
    await expect(one.ask(reasonOf, { signal: controller.signal })).rejects.toThrow(BackendError);
  });

  it('gives its place to who has waited longest, and never has more at once', async () => {
    const { one } = backend({ concurrency: 1 });
    const order: number[] = [];
    let now = 0;
    const ask = (name: number): Promise<void> =>
      one.ask(async () => {
        order.push(name);
        expect(++now).toBe(1);
        await Promise.resolve();
        now--;
      });
    const first = ask(0).then(() => ask(9));
    await Promise.all([first, ask(1), ask(2)]);
    expect(order).toEqual([0, 1, 2, 9]);
  });

  it('has no more waiting than it may', async () => {
    const { one } = backend({ concurrency: 1, name: 'clamd' });
    const { promise, resolve } = Promise.withResolvers<void>();
    const all = Array.from({ length: 1_001 }, () => one.ask(() => promise));
    await expect(one.ask(() => promise)).rejects.toThrow('too many others wait for clamd');
    resolve();
    await Promise.all(all);
  });

  it('is not down by errors that say nothing of it', async () => {
    const { one } = backend({ isDown: () => false });
    for (let i = 0; i < 10; i++) await expect(one.ask(failing)).rejects.toThrow(/^away$/);
  });

  it('is counted', async () => {
    const metrics = new MetricsRegistry();
    const { one } = backend({ concurrency: 1, counted: { metrics, labels: { backend: 'x' } } });
    const { promise, resolve } = Promise.withResolvers<void>();
    const asked = [one.ask(() => promise), one.ask(() => promise), one.ask(() => promise)];
    expect(metrics.toText()).toContain('milter_backend_waiting{backend="x"} 2\n');
    resolve();
    await Promise.all(asked);
    await expect(one.ask(failing)).rejects.toThrow('away');
    const text = metrics.toText();
    expect(text).toContain('milter_backend_waiting{backend="x"} 0\n');
    expect(text).toContain('milter_backend_seconds_count{backend="x"} 4\n');
    expect(text).toContain('milter_backend_failures_total{backend="x"} 1\n');
  });
});
