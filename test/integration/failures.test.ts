import { describe, expect, it } from 'vitest';
import { type Header, Milter, MilterError, type OnError, reject, SMFIF } from '../../lib/index.ts';
import type { Stage } from '../../lib/testing/index.ts';
import { codeOf, ENVELOPE, MESSAGE, PLAYED_STAGES, playUpTo, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** The ways in which a handler can fail. */
const FAULTS: readonly (readonly [string, () => unknown])[] = [
  [
    'throws',
    () => {
      throw new Error('broken');
    },
  ],
  ['rejects', () => Promise.reject(new Error('broken'))],
  [
    'throws no Error',
    () => {
      throw 'broken';
    },
  ],
  ['answers with an unknown word', () => 'ok'],
  ['answers with a number', () => 4],
  ['answers with null', () => null],
  ['answers with false', () => Promise.resolve(false)],
  [
    'answers with what looks like a reply',
    () => ({ verdict: 'reject', code: 550, enhanced: null, lines: ['x'] }),
  ],
  ['answers with a changed copy of a reply', () => ({ ...reject(550, null, 'x'), lines: ['x\r\n250 fine'] })],
  ['answers with a reply of another code', () => ({ ...reject(550, null, 'x'), code: 250 })],
  ['changes a reply', () => Object.assign(reject(550, null, 'x'), { code: 250 })],
  [
    'throws what cannot be logged as it is',
    () => {
      const error: Error & { size?: bigint } = new Error('broken');
      throw Object.assign(error, { cause: error, size: 5n });
    },
  ],
];

/** A filter whose handler of `stage` is `fault`. */
function failingIn(stage: Stage, fault: () => unknown, onError?: OnError): typeof Milter {
  class Failing extends Milter {
    static override readonly early = ['header', 'eoh', 'body'] as const;
  }
  if (onError !== undefined) Object.defineProperty(Failing, 'onError', { value: onError });
  Object.defineProperty(Failing.prototype, stage, { value: fault });
  return Failing;
}

describe.each(PLAYED_STAGES)('a handler of %s', (stage) => {
  it('that fails in any way gives the onError verdict, and is reported', async () => {
    for (const [how, fault] of FAULTS) {
      await using t = await serving(failingIn(stage, fault), { onError: 'reject' });
      const answer = await playUpTo(await t.mta(), stage);
      expect([how, answer]).toEqual([
        how,
        expect.objectContaining({
          verdict: 'reject',
          reply: { code: 554, enhanced: '5.3.0', lines: [expect.any(String)] },
        }),
      ]);
      expect(t.log).toMatchObject([
        {
          level: 'error',
          fields: { stage, session: expect.any(Number), filter: 'Failing', code: 'ERR_MILTER_HANDLER' },
        },
      ]);
      expect(t.server.stats()).toMatchObject({ failures: 1, deadlines: 0 });
    }
  });

  it('that fails is answered as its class says, else the server, else with tempfail', async () => {
    const fault = (): never => {
      throw new Error('broken');
    };
    const heard: unknown[] = [];
    for (const [ofClass, ofServer] of [
      [undefined, undefined],
      ['tempfail', 'accept'],
      ['reject', undefined],
      ['accept', 'tempfail'],
      ['continue', 'reject'],
      [undefined, 'continue'],
    ] as const) {
      await using t = await serving(failingIn(stage, fault, ofClass), ofServer && { onError: ofServer });
      const { verdict, reply } = await playUpTo(await t.mta(), stage);
      heard.push([verdict, reply?.code, reply?.enhanced]);
    }
    expect(heard).toEqual([
      ['tempfail', 451, '4.3.0'],
      ['tempfail', 451, '4.3.0'],
      ['reject', 554, '5.3.0'],
      [stage === 'unknown' ? 'continue' : 'accept', undefined, undefined],
      ['continue', undefined, undefined],
      ['continue', undefined, undefined],
    ]);
  });
});

describe('a failure', () => {
  it('drops the actions that the failing call recorded, and keeps the earlier ones', async () => {
    class Failing extends Milter {
      static override readonly onError = 'continue';
      override envfrom() {
        this.message.addHeader('X-Envfrom', 'kept');
      }
      override async envrcpt() {
        this.message.addHeader('X-Envrcpt', 'dropped');
        await Promise.resolve();
        this.message.addRcpt('dropped@two.test');
        throw new Error('broken');
      }
      override header({ value }: Header) {
        this.message.addHeader('X-Header', value);
        if (value === 'two') throw new Error('broken');
      }
      // @ts-expect-error: the types do not let a handler answer with nonsense.
      override eom(): string {
        this.message.addHeader('X-Eom', 'dropped');
        return 'nonsense';
      }
    }
    await using t = await serving(Failing as unknown as typeof Milter);
    const { message, verdict } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(verdict).toBe('continue');
    expect(message.headers.slice(4).map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'X-Envfrom: kept',
      'X-Header: hello',
      'X-Header: one',
      'X-Header: three',
    ]);
    expect(message.recipients).toEqual(ENVELOPE.recipients);
    expect(t.server.stats().failures).toBe(3);
  });

  it('of an earlier stage with onError accept keeps what was recorded before, and accepts', async () => {
    class Failing extends Milter {
      static override readonly onError = 'accept';
      override envfrom() {
        this.message.addHeader('X-Kept', 'yes');
      }
      override data(): never {
        throw new Error('broken');
      }
      override eom() {
        this.message.addHeader('X-Never', 'called');
      }
    }
    await using t = await serving(Failing);
    const { message, verdict, stage } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect([verdict, stage]).toEqual(['accept', 'eom']);
    expect(message.headers.slice(4).map(({ name }) => name)).toEqual(['X-Kept']);
  });

  it('harms neither the next message nor another connection', async () => {
    class Sometimes extends Milter {
      override eom() {
        if (this.message.sender === '<bad>') throw new Error('broken');
        this.message.addHeader('X-Fine', 'yes');
      }
    }
    await using t = await serving(Sometimes);
    const mta = await t.mta();
    const verdicts: string[] = [];
    for (const sender of ['<bad>', '<good>', '<bad>', '<good>']) {
      verdicts.push((await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender })).verdict);
      verdicts.push((await (await t.mta()).sendMessage(MESSAGE, { ...ENVELOPE, sender: '<x>' })).verdict);
    }
    expect(verdicts).toEqual([
      'tempfail',
      'continue',
      'continue',
      'continue',
      'tempfail',
      'continue',
      'continue',
      'continue',
    ]);
  });

  it('is logged with stage, session, queue id, filter and the cause', async () => {
    const cause = new TypeError('broken');
    class Named extends Milter {
      override eom(): never {
        throw cause;
      }
    }
    await using t = await serving(Named);
    await (await t.mta()).sendMessage(MESSAGE, { ...ENVELOPE, macros: { i: '4XyZ' } });
    expect(t.log).toEqual([
      {
        level: 'error',
        message: 'the eom handler failed',
        fields: {
          stage: 'eom',
          session: expect.any(Number),
          queueId: '4XyZ',
          filter: 'Named',
          code: 'ERR_MILTER_HANDLER',
          error: cause,
        },
      },
    ]);
  });

  it('of a handler that met one of our own errors keeps that as the cause', async () => {
    const codes: unknown[] = [];
    class Ungranted extends Milter {
      override eom() {
        this.message.quarantine('x');
      }
    }
    await using t = await serving(Ungranted);
    const mta = await t.mta({ actions: 0x1ff & ~SMFIF.QUARANTINE });
    expect((await mta.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('tempfail');
    for (const { fields } of t.log) {
      codes.push(fields.code, fields.error instanceof MilterError && fields.error.code);
    }
    expect(codes).toEqual(['ERR_MILTER_HANDLER', 'ERR_MILTER_NOT_GRANTED']);
  });

  it('says what was answered and what may be', async () => {
    await using t = await serving(failingIn('connect', () => 'discard'));
    await playUpTo(await t.mta(), 'connect');
    expect(t.log[0]?.message).toBe(
      'connect answered with "discard"; it may answer with nothing, continue, accept, reject, tempfail, or a reply of reject() or tempfail()',
    );
  });

  it('of the constructor fails every stage that needs the instance', async () => {
    class Unmakeable extends Milter {
      constructor() {
        super();
        throw new Error('no database');
      }
      override envfrom() {}
      override envrcpt() {}
    }
    await using t = await serving(Unmakeable);
    const mta = await t.mta();
    expect((await mta.envfrom('<a@one.test>')).verdict).toBe('tempfail');
    await mta.abort();
    expect((await mta.envfrom('<a@one.test>')).verdict).toBe('tempfail');
    expect(t.server.stats().failures).toBe(2);
  });

  it('of abort() or close() is logged, and nothing else comes of it', async () => {
    const codes: unknown[] = [];
    class Failing extends Milter {
      override envfrom() {
        codes.push(codeOf(() => this.message));
      }
      override abort(): never {
        throw new Error('abort is broken');
      }
      override close(): Promise<void> {
        return Promise.reject(new Error('close is broken'));
      }
    }
    await using t = await serving(Failing);
    const mta = await t.mta();
    for (let i = 0; i < 2; i++) {
      expect((await mta.envfrom('<a@one.test>')).verdict).toBe('continue');
      await mta.abort();
    }
    await mta.quit();
    await until('close', () => t.log.length === 3);
    expect(t.log.map(({ fields }) => fields.stage)).toEqual(['abort', 'abort', 'close']);
    expect(codes).toEqual([undefined, undefined]);
  });
});

/** Keeps what goes to standard error, until it is restored. */
function hearStderr() {
  const lines: string[] = [];
  const original = process.stderr.write;
  process.stderr.write = (text: string | Uint8Array): boolean => {
    lines.push(String(text));
    return true;
  };
  return {
    lines,
    restore() {
      process.stderr.write = original;
    },
  };
}

describe('a log that cannot be written', () => {
  const full = (): never => {
    throw new Error('disk full');
  };
  const faults: readonly (readonly [string, () => void])[] = [
    ['throws', full],
    ['rejects', async () => full()],
  ];

  it.each(faults)('as its logger %s, costs no mail, and is told on standard error', async (_how, lost) => {
    const stderr = hearStderr();
    class Talking extends Milter {
      static override readonly onError = 'accept';
      override envfrom(sender: string) {
        this.log.info({ sender }, 'hello');
        if (sender === '<fails@one.test>') throw new Error('broken');
        if (sender === '<hangs@one.test>') return new Promise<undefined>(() => {});
        return reject(550, '5.7.1', 'no');
      }
      override close(): never {
        throw new Error('broken');
      }
    }
    try {
      const logger = { debug: lost, info: lost, warn: lost, error: lost };
      await using t = await serving(Talking, { logger, logVerdicts: true, deadlines: { envfrom: 1_000 } });
      const heard: string[] = [];
      for (const sender of ['<a@one.test>', '<fails@one.test>', '<hangs@one.test>']) {
        const mta = await t.mta();
        heard.push((await mta.envfrom(sender)).verdict);
        await mta.quit();
      }
      expect(heard).toEqual(['reject', 'accept', 'accept']);
      await t.idle();
    } finally {
      stderr.restore();
    }
    expect(stderr.lines.join('')).toMatch(
      /^milter: error: the logger failed at: hello session=\d+ sender=<a@one.test> /,
    );
    expect(stderr.lines.join('')).toContain('disk full');
  });

  it('as a filter gives it circles, BigInts and what throws, is written as well as can be', async () => {
    const stderr = hearStderr();
    class Odd extends Milter {
      override envfrom() {
        const circle: { self?: unknown } = {};
        circle.self = circle;
        const trap = {
          toJSON: () => {
            throw new Error('no JSON');
          },
        };
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        this.log.info(
          { circle, big: 5n, trap, proxy, symbol: Symbol('s'), made: Object.create(null) },
          'odd',
        );
        return 'discard' as const;
      }
    }
    try {
      const { stderrLogger } = await import('../../lib/logger.ts');
      await using t = await serving(Odd, { logger: stderrLogger });
      expect((await (await t.mta()).envfrom('<a@one.test>')).verdict).toBe('discard');
    } finally {
      stderr.restore();
    }
    expect(stderr.lines).toEqual([
      expect.stringMatching(
        /^milter: info: odd session=\d+ circle=<ref \*1> \{ self: \[Circular \*1\] \} big=5n trap=.*proxy=\(a value that throws.*\) symbol=Symbol\(s\) made=\{\}\n$/,
      ),
    ]);
  });
});

describe('the default logger', () => {
  it('writes one line with stage, session and queue id to standard error', async () => {
    const stderr = hearStderr();
    try {
      const { serve } = await import('../../lib/index.ts');
      const { connectMta } = await import('../../lib/testing/index.ts');
      await using server = await serve(
        failingIn('eom', () => 'ok'),
        { socket: 'inet:0@127.0.0.1' },
      );
      await using mta = await connectMta(server.address);
      await mta.sendMessage(MESSAGE, { ...ENVELOPE, macros: { i: '4XyZ' } });
    } finally {
      stderr.restore();
    }
    expect(stderr.lines[0]).toMatch(
      /^milter: error: eom answered with "ok"; .* stage=eom session=\d+ queueId=4XyZ /,
    );
  });
});
