import { describe, expect, it } from 'vitest';
import { Backend, BackendError } from '../../../lib/filter/backend.ts';

function backend({ concurrency = 10, timeout = 20_000 } = {}) {
  let now = 0;
  const one = new Backend({ concurrency, timeout, now: () => now });
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
});
