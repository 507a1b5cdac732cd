/** What the addon takes from JavaScript: exactly what it should be, and nothing that would have to be made into it. */
import { describe, expect, it } from 'vitest';
import {
  loadAddon,
  type NativeOptions,
  type NativePlan,
  type NativeServer,
} from '../../lib/engine/libmilter/addon.ts';
import { readBatch } from '../../lib/engine/libmilter/records.ts';
import { Mode, stageIndex, stages, verdictCode } from '../../lib/protocol/stages.ts';
import { connectMta } from '../../lib/testing/index.ts';

const OPTIONS: NativeOptions = {
  socket: 'inet:0@127.0.0.1',
  unixPath: '',
  socketMode: -1,
  socketGroup: -1,
  backlog: 0,
  timeoutSeconds: 0,
  debug: 0,
  maxDataSize: 0,
  maxConnections: 10,
};

const perStage = <T>(value: T): T[] => Array<T>(stages.length).fill(value);

/** MAIL waits for a verdict, nothing else is wanted. */
const PLAN: NativePlan = {
  id: 1,
  modes: perStage<number>(Mode.off).with(stageIndex.envfrom, Mode.wait),
  deadlines: perStage(60_000),
  asksAtNegotiate: false,
  rejectedRecipients: false,
  bodyChunks: false,
  maxBody: 1000,
  onError: { verdict: verdictCode.reject, packed: undefined },
  macros: [],
  stageMacros: perStage([]),
  requestedMacros: perStage(''),
};

/** A server that answers every MAIL with what `answer` says, and how to end it. */
async function start(answer: (native: NativeServer, ticket: number) => unknown) {
  const starting = Promise.withResolvers<string>();
  const ending = Promise.withResolvers<void>();
  const native = new (loadAddon().Server)(OPTIONS, {
    started: (address, code) =>
      code === '' ? starting.resolve(address) : starting.reject(new Error(address)),
    stopped: () => ending.resolve(),
    later: () => setImmediate(() => native.resume()),
    batch(tickets, bodies) {
      readBatch(tickets, bodies, ({ id, stage }) => {
        if (stage === stageIndex.envfrom) answer(native, id);
      });
      queueMicrotask(() => native.resume());
    },
  });
  native.addPlan(PLAN);
  native.start();
  const address = await starting.promise;
  return {
    native,
    address,
    async [Symbol.asyncDispose]() {
      native.close(0);
      await ending.promise;
    },
  };
}

/** Whatever may be meant for a number, a text, a flag or a list, and is none. Coercion would run the last ones. */
const noValue = (): never => {
  throw new Error('this was coerced');
};
type Row = readonly [name: string, value: unknown];
const COERCIBLE: readonly Row[] = [
  ['undefined', undefined],
  ['null', null],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['a fraction', 1.5],
  ['a negative number', -2],
  ['a number beyond 64 bits', 1e30],
  ['a bigint', 1n],
  ['an array', [1]],
  ['a symbol', Symbol('1')],
  [
    'an object that cannot be coerced',
    { valueOf: noValue, toString: noValue, [Symbol.toPrimitive]: noValue },
  ],
];

describe('a verdict that is no known one', () => {
  it.each<Row>([...COERCIBLE, ['a text', '0'], ['an unknown number', 5], ['256', 256]])(
    'is a tempfail: %s',
    async (_, verdict) => {
      let answered: unknown;
      await using server = await start((native, ticket) => {
        answered = native.settle(ticket, verdict as number);
      });
      await using mta = await connectMta(server.address);
      expect(await mta.envfrom('<ann@one.test>')).toMatchObject({ verdict: 'tempfail' });
      expect(answered).toBe(true);
    },
  );

  it.each<Row>([...COERCIBLE.slice(1), ['a text', 'actions']])(
    'is one whose packed part is %s',
    async (_, packed) => {
      await using server = await start((native, ticket) => {
        native.settle(ticket, verdictCode.continue, packed as Buffer);
      });
      await using mta = await connectMta(server.address);
      expect(await mta.envfrom('<ann@one.test>')).toMatchObject({ verdict: 'tempfail' });
    },
  );
});

describe('every other value', () => {
  const reject = (native: NativeServer, ticket: number): unknown => native.settle(ticket, verdictCode.reject);
  const refused = (method: string): object =>
    expect.objectContaining({ name: 'TypeError', message: expect.stringMatching(`^${method}: .* must be `) });

  it.each<Row>([...COERCIBLE, ['a text', '1']])('is refused when it is wrong: %s', async (_, value) => {
    await using server = await start(reject);
    const { native } = server;
    const wrong = value as never;
    const calls: Readonly<Record<string, () => unknown>> = {
      settle: () => native.settle(wrong, 0),
      usePlan: () => native.usePlan(wrong),
      removePlan: () => native.removePlan(wrong),
      close: () => native.close(wrong),
      holdLoop: () => native.holdLoop(wrong),
      addPlan: () => native.addPlan(wrong),
      lookup: () => native.lookup(wrong, 'i'),
      Server: () => new (loadAddon().Server)(wrong, wrong),
    };
    for (const [method, call] of Object.entries(calls)) expect(call, method).toThrow(refused(method));
    await using mta = await connectMta(server.address);
    expect(await mta.envfrom('<ann@one.test>')).toMatchObject({ verdict: 'reject' });
  });

  it.each<Row>([...COERCIBLE.slice(1), ['a text of NUL', '\0']])(
    'of a plan or of the options likewise: %s',
    async (_, value) => {
      await using server = await start(reject);
      for (const name of Object.keys(PLAN)) {
        if (name === 'onError' && typeof value === 'object' && value !== null) continue; // A tempfail, as above.
        expect(() => server.native.addPlan({ ...PLAN, [name]: value }), name).toThrow(refused('addPlan'));
      }
      for (const name of ['modes', 'deadlines', 'stageMacros', 'requestedMacros'] as const) {
        const one = { ...PLAN, [name]: [...PLAN[name].slice(1), value] };
        expect(() => server.native.addPlan(one), name).toThrow(refused('addPlan'));
      }
      for (const name of Object.keys(OPTIONS)) {
        const options = { ...OPTIONS, [name]: value };
        expect(() => new (loadAddon().Server)(options, {} as never), name).toThrow(refused('Server'));
      }
    },
  );

  it('is a plan that is there', async () => {
    await using server = await start(reject);
    expect(() => server.native.usePlan(7)).toThrow(refused('usePlan'));
    expect(() => server.native.removePlan(7)).toThrow(refused('removePlan'));
    expect(() => server.native.removePlan(PLAN.id)).toThrow(refused('removePlan'));
    server.native.addPlan({ ...PLAN, id: 2 });
    server.native.usePlan(2);
    server.native.removePlan(PLAN.id);
    await using mta = await connectMta(server.address);
    expect(await mta.envfrom('<ann@one.test>')).toMatchObject({ verdict: 'reject' });
  });
});
