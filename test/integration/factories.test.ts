import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { compose, type Filter, Milter, type MilterClass } from '../../lib/index.ts';
import { fakeSession, type WireConnection } from '../../lib/testing/index.ts';
import { ENVELOPE, MESSAGE, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** A class that adds a header with its name and, if it was given one, its setting. */
function adding(name: string): new (setting?: string) => Milter {
  class Adding extends Milter {
    readonly #setting: string;
    constructor(setting = '') {
      super();
      this.#setting = setting;
    }
    override eom() {
      this.message.addHeader('X-Member', `${name}${this.#setting}`);
    }
  }
  return Adding;
}

async function members(filter: Filter): Promise<readonly string[]> {
  await using t = await serving(filter);
  const { message, verdict } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
  expect(verdict).toBe('continue');
  return message.headers.filter(({ name }) => name === 'X-Member').map(({ value }) => value);
}

const A = adding('A');
const B = adding('B');

describe('compose', () => {
  it('takes factories among classes', async () => {
    const filter = compose(
      A,
      () => new B(' set'),
      A,
      () => new A(' set'),
    );
    expect(filter.name).toBe('compose(Adding, factory, Adding, factory)');
    expect(await members(filter)).toEqual(['A', 'B set', 'A', 'A set']);
    expect(await members(() => new B(' alone'))).toEqual(['B alone']);
  });

  it('takes composed filters with factories, and factories of composed filters', async () => {
    const inner = compose(B, () => new B(' set'));
    expect(await members(compose(A, inner))).toEqual(['A', 'B', 'B set']);
    expect(await members(compose(A, () => new inner()))).toEqual(['A', 'B', 'B set']);
  });

  it('makes an instance for each connection, of what its factory chooses then', async () => {
    let connections = 0;
    const choosing = () => (connections++ % 2 === 0 ? new A(` ${connections}`) : new B(` ${connections}`));
    await using t = await serving(compose(A, choosing));
    const seen: unknown[] = [];
    for (let i = 0; i < 3; i++) {
      const mta = await t.mta();
      for (let message = 0; message < 2; message++) {
        const result = await mta.sendMessage(MESSAGE, ENVELOPE);
        seen.push(result.message.headers.at(-1)?.value);
      }
    }
    expect(seen).toEqual(['A 1', 'A 1', 'B 2', 'B 2', 'A 3', 'A 3']);
  });

  it('has the session and the wishes of what a factory made', async () => {
    const helos: string[] = [];
    class Wishing extends Milter {
      static override readonly early = ['header'] as const;
      override header() {
        helos.push(this.session.helo);
        return 'reject' as const;
      }
    }
    await using t = await serving(compose(A, () => new Wishing()));
    const mta = await t.mta();
    const { verdict, stage } = await mta.sendMessage(MESSAGE, { ...ENVELOPE, helo: 'client.test' });
    expect([verdict, stage, helos]).toEqual(['reject', 'header', ['client.test']]);
  });

  it('closes the connection where a factory fails, and names no member for it', async () => {
    for (const factory of [
      () => {
        throw new Error('on purpose');
      },
      () => ({}) as Milter,
      () => undefined as unknown as Milter,
    ]) {
      await using t = await serving(compose(A, factory));
      await expect(t.mta()).rejects.toThrow();
      expect(t.log).toMatchObject([{ fields: { stage: 'negotiate', filter: undefined } }]);
    }
  });

  it('refuses what is neither', () => {
    for (const wrong of [class {}, 5, undefined, 'A'] as unknown as MilterClass[]) {
      expect(() => compose(A, wrong)).toThrow(/argument 2 is no Milter class/);
    }
  });
});

describe('a factory that makes a class for each connection', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;

  const made: WeakRef<object>[] = [];
  const factory = (): Milter => {
    const Made = adding('made');
    made.push(new WeakRef(Made));
    return new Made();
  };

  async function leavesFew(connections: number): Promise<void> {
    expect(made.length).toBeGreaterThanOrEqual(connections);
    await until('all but a few classes to be collected', () => {
      collect();
      return made.filter((ref) => ref.deref() !== undefined).length < 100;
    });
    made.length = 0;
  }

  async function play(mta: WireConnection): Promise<void> {
    await mta.sendMessage(MESSAGE, ENVELOPE);
    await mta.close();
  }

  it.each([
    ['alone', factory],
    ['in a composed filter', compose(A, factory)],
  ])('%s leaves nothing of them behind', async (_, filter) => {
    await using t = await serving(filter);
    for (let i = 0; i < 300; i++) await play(await t.mta());
    await t.idle();
    await leavesFew(300);
    // And those in use were not taken for unused.
    const kept = await Promise.all(Array.from({ length: 100 }, () => t.mta()));
    for (const mta of kept) expect((await mta.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
    made.length = 0;
  });

  it('leaves nothing of them behind in fake sessions', async () => {
    for (let i = 0; i < 200; i++) await play(fakeSession(compose(A, factory)));
    await leavesFew(200);
  });
});
