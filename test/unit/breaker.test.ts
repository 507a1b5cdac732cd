import { describe, expect, it } from 'vitest';
import { Breaker, BreakerError, type BreakerOptions } from '../../lib/breaker.ts';

function open(options: Partial<BreakerOptions> = {}) {
  const clock = { at: 0 };
  const breaker = new Breaker({ name: 'clamd', now: () => clock.at, pause: 1_000, ...options });
  let asked = 0;
  const ask = (answer: () => Promise<string>) =>
    breaker.run(() => {
      asked++;
      return answer();
    });
  return { breaker, clock, ask, asked: () => asked };
}

const works = () => Promise.resolve('fine');
const fails = () => Promise.reject(new Error('connection refused'));

describe('a breaker', () => {
  it('lets questions and their errors through while the backend works', async () => {
    const { ask, breaker } = open({ failures: 3 });
    expect(await ask(works)).toBe('fine');
    await expect(ask(fails)).rejects.toThrow('connection refused');
    expect(breaker.isOpen).toBe(false);
    expect(await ask(works)).toBe('fine');
  });

  it('fails at once after so many failures in a row, saying why', async () => {
    const { ask, breaker, asked } = open({ failures: 3 });
    for (const answer of [fails, fails, works, fails, fails, fails]) await ask(answer).catch(() => {});
    expect(breaker.isOpen).toBe(true);
    const error = await ask(works).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BreakerError);
    expect(error).toMatchObject({
      message: 'clamd is down, and is not asked for a while: connection refused',
      cause: new Error('connection refused'),
    });
    expect(asked()).toBe(6);
  });

  it('puts one question after the pause; the others go on when that one was answered', async () => {
    const { ask, clock, breaker, asked } = open();
    await ask(fails).catch(() => {});
    clock.at = 999;
    await expect(ask(works)).rejects.toThrow(BreakerError);
    clock.at = 1_000;
    const { promise, resolve } = Promise.withResolvers<string>();
    const first = ask(() => promise);
    await expect(ask(works)).rejects.toThrow(BreakerError);
    expect(asked()).toBe(2);
    resolve('back');
    expect(await first).toBe('back');
    expect(breaker.isOpen).toBe(false);
    expect(await ask(works)).toBe('fine');
  });

  it('pauses no longer where the clock is set back', async () => {
    const { ask, clock } = open();
    clock.at = 3_600_000;
    await ask(fails).catch(() => {});
    clock.at = 0;
    expect(await ask(works)).toBe('fine');
  });

  it('pauses anew when that one fails too', async () => {
    const { ask, clock, asked } = open();
    await ask(fails).catch(() => {});
    clock.at = 1_000;
    await expect(ask(fails)).rejects.toThrow('connection refused');
    clock.at = 1_999;
    await expect(ask(works)).rejects.toThrow(BreakerError);
    clock.at = 2_000;
    expect(await ask(works)).toBe('fine');
    expect(asked()).toBe(3);
  });

  it('is not opened by errors of a backend that is there', async () => {
    const { ask, breaker } = open({ isDown: (error) => !String(error).includes('refused') });
    await ask(fails).catch(() => {});
    expect(breaker.isOpen).toBe(false);
  });

  it('takes a backend that throws for one that fails', async () => {
    const { ask, breaker } = open();
    const thrown = () => {
      throw new Error('at once');
    };
    await expect(ask(thrown)).rejects.toThrow('at once');
    expect(breaker.isOpen).toBe(true);
  });
});
