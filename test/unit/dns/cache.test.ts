import { describe, expect, it } from 'vitest';
import type { Answer, RecordType, ResolveOptions, Resolver } from '../../../lib/dns/index.ts';
import { cached } from '../../../lib/dns/index.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';

const zone = {
  'a.example': { A: ['192.0.2.1'] },
  'b.example': { A: ['192.0.2.2'] },
  'broken.example': 'servfail',
  'slow.example': 'timeout',
} as const;

/** Answers when told to. */
class SlowResolver implements Resolver {
  readonly asked: (AbortSignal | undefined)[] = [];
  readonly #waiting: ((answer: Answer<never>) => void)[] = [];

  resolve<T extends RecordType>(_name: string, _type: T, options?: ResolveOptions): Promise<Answer<T>> {
    this.asked.push(options?.signal);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  answer(answer: Answer<never>): void {
    this.#waiting.shift()?.(answer);
  }
}

describe('a cache', () => {
  it('asks once, and answers without a promise from then on', () => {
    const inner = new MemoryResolver(zone);
    const resolver = cached(inner);
    const first = resolver.resolve('a.example', 'A');
    expect(first).toEqual({ status: 'ok', records: ['192.0.2.1'], ttl: 300 });
    expect(resolver.resolve('A.Example.', 'A')).toEqual(first);
    expect(inner.queries).toHaveLength(1);
  });

  it('keeps types apart', async () => {
    const inner = new MemoryResolver(zone);
    const resolver = cached(inner);
    await resolver.resolve('a.example', 'A');
    expect(resolver.resolve('a.example', 'AAAA')).toMatchObject({ status: 'nodata' });
    expect(inner.queries).toHaveLength(2);
  });

  it('keeps an absence for as long as its SOA allows', async () => {
    const inner = new MemoryResolver(zone, { ttl: 100_000 });
    const resolver = cached(inner, { maxAbsenceTtl: 60 });
    await resolver.resolve('none.example', 'A');
    expect(resolver.resolve('none.example', 'A')).toEqual({ status: 'nxdomain', ttl: 60 });
    expect(inner.queries).toHaveLength(1);
  });

  it.each(['broken.example', 'slow.example'])('never keeps a failure: %s', async (name) => {
    const inner = new MemoryResolver(zone);
    const resolver = cached(inner);
    await resolver.resolve(name, 'A');
    await resolver.resolve(name, 'A');
    expect(inner.queries).toHaveLength(2);
  });

  it('keeps nothing whose TTL is not known, unless told to', async () => {
    const inner = new MemoryResolver(zone, { ttl: 0 });
    for (const resolver of [cached(inner), cached(inner, { minTtl: 5 })]) {
      await resolver.resolve('a.example', 'A');
      await resolver.resolve('a.example', 'A');
    }
    expect(inner.queries).toHaveLength(3);
  });

  it('caps the TTL', async () => {
    const resolver = cached(new MemoryResolver(zone, { ttl: 1_000_000 }), { maxTtl: 100 });
    await resolver.resolve('a.example', 'A');
    expect(resolver.resolve('a.example', 'A')).toMatchObject({ ttl: 100 });
  });

  it('forgets the oldest answer when it is full', async () => {
    const inner = new MemoryResolver(zone);
    const resolver = cached(inner, { maxEntries: 2 });
    for (const name of ['a.example', 'b.example', 'c.example', 'c.example', 'b.example', 'a.example']) {
      await resolver.resolve(name, 'A');
    }
    expect(inner.queries.map(({ name }) => name)).toEqual([
      'a.example',
      'b.example',
      'c.example',
      'a.example',
    ]);
  });

  it('does not keep what is huge', async () => {
    const inner = new MemoryResolver({ 'big.example': { TXT: new Array(100).fill('x'.repeat(200)) } });
    const resolver = cached(inner);
    expect(await resolver.resolve('big.example', 'TXT')).toMatchObject({ status: 'ok' });
    await resolver.resolve('big.example', 'TXT');
    expect(inner.queries).toHaveLength(2);
  });

  it('makes one query of equal ones that run at the same time', async () => {
    const inner = new SlowResolver();
    const resolver = cached(inner);
    const answers = [resolver.resolve('a.example', 'A'), resolver.resolve('a.example', 'A')];
    inner.answer({ status: 'nxdomain', ttl: 10 });
    expect(await Promise.all(answers)).toEqual([
      { status: 'nxdomain', ttl: 10 },
      { status: 'nxdomain', ttl: 10 },
    ]);
    expect(inner.asked).toHaveLength(1);
  });

  it('stops a shared query only when nobody waits for it any more', async () => {
    const inner = new SlowResolver();
    const resolver = cached(inner);
    const controls = [new AbortController(), new AbortController()];
    const answers = controls.map(({ signal }) => resolver.resolve('a.example', 'A', { signal }));
    controls[0]?.abort();
    expect(await answers[0]).toMatchObject({ status: 'timeout' });
    expect(inner.asked[0]?.aborted).toBe(false);
    controls[1]?.abort();
    expect(await answers[1]).toMatchObject({ status: 'timeout' });
    expect(inner.asked[0]?.aborted).toBe(true);
    // Who asks now must not get the answer of the query that was stopped.
    const late = resolver.resolve('a.example', 'A');
    expect(inner.asked).toHaveLength(2);
    inner.answer({ status: 'timeout' });
    inner.answer({ status: 'nodata' });
    expect(await late).toMatchObject({ status: 'nodata' });
  });

  it('asks nothing for a name that cannot be asked', () => {
    const inner = new MemoryResolver(zone);
    expect(cached(inner).resolve('a..example', 'A')).toMatchObject({ status: 'badname' });
    expect(inner.queries).toEqual([]);
  });
});
