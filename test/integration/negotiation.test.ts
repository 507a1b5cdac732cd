import { describe, expect, it } from 'vitest';
import { Milter, type MilterClass, SMFIF, SMFIP, serve } from '../../lib/index.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { codeOf, ENVELOPE, MESSAGE, playUpTo, serving } from '../helpers/server.ts';

/** A class that overrides exactly these methods. */
function overriding(...stages: readonly string[]): typeof Milter {
  class Some extends Milter {}
  for (const stage of stages) Object.defineProperty(Some.prototype, stage, { value: () => undefined });
  return Some;
}

const ALL_STEPS = 0x1fffff;
const NAMES = Object.entries(SMFIP);
const NO_REPLY = NAMES.reduce((bits, [name, bit]) => (name.startsWith('NR_') ? bits | bit : bits), 0);

/** The names of the SMFIP_* bits, but for the two that are always asked for. */
function named(steps: number): string[] {
  const set = NAMES.filter(([, bit]) => (steps & bit) !== 0).map(([name]) => name);
  return set.filter((name) => name !== 'SKIP' && name !== 'HDR_LEADSPC');
}

/** On a unix socket: on TCP the engine in TypeScript answers DATA. */
async function negotiatedBy(filter: MilterClass, steps = ALL_STEPS): Promise<string[]> {
  await using folder = await temporaryDirectory();
  await using t = await serving(filter, { socket: `unix:${folder.path}/s` });
  const { negotiated } = await t.mta({ steps });
  expect(negotiated.steps & ~steps).toBe(0);
  return named(negotiated.steps);
}

const NO = ['NOCONNECT', 'NOHELO', 'NOMAIL', 'NORCPT', 'NOBODY', 'NOHDRS', 'NOEOH', 'NOUNKNOWN', 'NODATA'];
const NR = ['NR_HDR', 'NR_CONN', 'NR_HELO', 'NR_MAIL', 'NR_RCPT', 'NR_DATA', 'NR_UNKN', 'NR_EOH', 'NR_BODY'];

describe('overriding a method is the negotiation', () => {
  it.each([
    // What is overridden, what is switched off, what gets no reply.
    [['connect'], NO.filter((name) => name !== 'NOCONNECT'), NR.filter((name) => name !== 'NR_CONN')],
    [
      ['helo'],
      NO.filter((name) => !['NOCONNECT', 'NOHELO'].includes(name)),
      NR.filter((name) => name !== 'NR_HELO'),
    ],
    [
      ['envfrom'],
      ['NORCPT', 'NOBODY', 'NOHDRS', 'NOEOH', 'NOUNKNOWN', 'NODATA'],
      NR.filter((name) => name !== 'NR_MAIL'),
    ],
    [
      ['envrcpt'],
      ['NOBODY', 'NOHDRS', 'NOEOH', 'NOUNKNOWN', 'NODATA'],
      NR.filter((name) => name !== 'NR_RCPT'),
    ],
    [['data'], ['NOBODY', 'NOHDRS', 'NOEOH', 'NOUNKNOWN'], NR.filter((name) => name !== 'NR_DATA')],
    // Late: gathered, so without reply; the body belongs to what a message is then.
    [['header'], ['NOUNKNOWN'], NR],
    [['eoh'], ['NOUNKNOWN'], NR],
    [['body'], ['NOUNKNOWN'], NR],
    [['eom'], ['NOUNKNOWN'], NR],
    [['header', 'eoh', 'body', 'eom'], ['NOUNKNOWN'], NR],
    [
      ['envfrom', 'envrcpt', 'eom'],
      ['NOUNKNOWN'],
      NR.filter((name) => !['NR_MAIL', 'NR_RCPT'].includes(name)),
    ],
    [['abort'], ['NOBODY', 'NOHDRS', 'NOEOH', 'NOUNKNOWN'], NR],
    [['close'], ['NOBODY', 'NOHDRS', 'NOEOH', 'NOUNKNOWN'], NR],
    [
      ['unknown'],
      ['NOMAIL', 'NORCPT', 'NOBODY', 'NOHDRS', 'NOEOH', 'NODATA'],
      NR.filter((name) => name !== 'NR_UNKN'),
    ],
    [
      ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'unknown', 'eom'],
      [],
      ['NR_HDR', 'NR_EOH', 'NR_BODY'],
    ],
  ])('of %j', async (stages, off, silent) => {
    expect((await negotiatedBy(overriding(...stages))).toSorted()).toEqual([...off, ...silent].toSorted());
  });

  it.each([
    [['header'], ['NR_EOH', 'NR_BODY']],
    [['eoh'], ['NR_HDR', 'NR_BODY']],
    [['body'], ['NR_HDR', 'NR_EOH']],
    [['header', 'eoh', 'body'], []],
  ] as const)('of %j when they are early', async (stages, silent) => {
    class Early extends overriding(...stages) {
      static override readonly early = stages;
    }
    const quiet = ['NR_CONN', 'NR_HELO', 'NR_MAIL', 'NR_RCPT', 'NR_DATA', 'NR_UNKN'];
    expect((await negotiatedBy(Early)).toSorted()).toEqual(['NOUNKNOWN', ...quiet, ...silent].toSorted());
  });

  it('of a class that has no use for the body', async () => {
    class Bodiless extends overriding('eom') {
      static override readonly body = 'none';
    }
    expect((await negotiatedBy(Bodiless)).toSorted()).toEqual(['NOBODY', 'NOUNKNOWN', ...NR].toSorted());
  });

  it('counts methods that were inherited, and those of a copy of the package', async () => {
    class Grandchild extends overriding('envfrom') {}
    expect(await negotiatedBy(Grandchild)).not.toContain('NR_MAIL');
    const other: { Milter: typeof Milter } = await import(`${'../../lib/milter/milter.ts'}?another-copy`);
    expect(other.Milter).not.toBe(Milter);
    class OfCopy extends other.Milter {
      override eom() {
        this.message.addHeader('X-Copy', 'works');
      }
    }
    expect((await negotiatedBy(OfCopy)).toSorted()).toEqual(['NOUNKNOWN', ...NR].toSorted());
    await using t = await serving(OfCopy);
    const { message } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(message.headers.at(-1)?.value).toBe('works');
  });

  it('asks for rejected recipients only when told to', async () => {
    class Nosy extends overriding('envrcpt') {
      static override readonly rejectedRecipients = true;
    }
    expect(await negotiatedBy(Nosy)).toContain('RCPT_REJ');
    expect(await negotiatedBy(overriding('envrcpt'))).not.toContain('RCPT_REJ');
  });

  it('always asks for SKIP, leading spaces and every action that is offered', async () => {
    await using t = await serving(overriding('eom'));
    const { negotiated } = await t.mta();
    expect(negotiated.steps & (SMFIP.SKIP | SMFIP.HDR_LEADSPC)).toBe(SMFIP.SKIP | SMFIP.HDR_LEADSPC);
    expect(negotiated.actions).toBe(0x1ff);
    const some = SMFIF.ADDHDRS | SMFIF.QUARANTINE;
    expect((await t.mta({ actions: some })).negotiated.actions).toBe(some);
  });

  it.each([2, 3, 4, 5, 6])('serves an MTA of protocol version %i', async (version) => {
    let seen: unknown[] = [];
    class Whole extends Milter {
      override eom() {
        const { sender, recipients, headers, body } = this.message;
        seen = [sender, recipients.length, headers.length, body.toString(), this.session.helo];
        this.message.addHeader('X-Seen', 'yes');
      }
    }
    await using t = await serving(Whole);
    const mta = await t.mta({ version });
    const result = await mta.sendMessage(MESSAGE, { ...ENVELOPE, helo: 'h.test' });
    expect(result.message.headers.at(-1)?.raw.toString()).toBe(' yes');
    expect(seen).toEqual(['<ann@one.test>', 1, 4, 'first line\r\n', 'h.test']);
  });

  it('answers natively what an MTA cannot leave unanswered', async () => {
    await using t = await serving(overriding('eom'));
    const mta = await t.mta({ steps: 0 });
    expect(mta.negotiated.steps).toBe(0);
    expect((await playUpTo(mta, 'unknown')).verdict).toBe('continue');
    expect(t.server.stats().tickets.created).toBe(0);
    expect((await mta.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
    expect(t.server.stats().tickets.created).toBe(1);
  });

  it('costs one crossing a message when only eom is overridden', async () => {
    await using t = await serving(overriding('eom'));
    const mta = await t.mta();
    for (let i = 1; i <= 3; i++) {
      await mta.sendMessage(MESSAGE, ENVELOPE);
      expect(t.server.stats().tickets.created).toBe(i);
    }
  });
});

describe('negotiate()', () => {
  it('may choose flags itself, within what was offered', async () => {
    const offers: unknown[] = [];
    class Raw extends Milter {
      override async negotiate(offer: { actions: number; steps: number }) {
        offers.push(offer);
        return { actions: SMFIF.ADDHDRS | SMFIF.CHGBODY, steps: SMFIP.NOHELO | SMFIP.NOBODY | SMFIP.SKIP };
      }
      override eom() {
        offers.push(
          this.session.negotiated,
          codeOf(() => this.message.quarantine('x')),
        );
      }
    }
    await using t = await serving(Raw);
    const mta = await t.mta({ actions: SMFIF.ADDHDRS | SMFIF.CHGFROM, steps: 0x7f });
    expect(mta.negotiated).toMatchObject({ actions: SMFIF.ADDHDRS, steps: SMFIP.NOHELO | SMFIP.NOBODY });
    await playUpTo(mta, 'eom');
    expect(offers).toEqual([
      // libmilter offers the no-reply flags in any case, and itself replies where the MTA wants that.
      { actions: SMFIF.ADDHDRS | SMFIF.CHGFROM, steps: 0x7f | NO_REPLY },
      { actions: SMFIF.ADDHDRS, steps: SMFIP.NOHELO | SMFIP.NOBODY },
      'ERR_MILTER_NOT_GRANTED',
    ]);
  });

  it('that returns nothing leaves the flags to the overridden methods', async () => {
    expect((await negotiatedBy(overriding('negotiate', 'eom'))).toSorted()).toEqual(
      ['NOUNKNOWN', ...NR].toSorted(),
    );
  });

  it('may choose one kind of flag only', async () => {
    class Half extends overriding('eom') {
      override negotiate() {
        return { actions: SMFIF.ADDHDRS };
      }
    }
    await using folder = await temporaryDirectory();
    await using t = await serving(Half, { socket: `unix:${folder.path}/s` });
    const { negotiated } = await t.mta();
    expect(negotiated.actions).toBe(SMFIF.ADDHDRS);
    expect(named(negotiated.steps).toSorted()).toEqual(['NOUNKNOWN', ...NR].toSorted());
  });

  it.each([
    ['tempfail', true],
    ['reject', true],
    ['accept', false],
    ['continue', false],
  ] as const)('that throws, with onError %s, has the connection closed: %s', async (onError, closed) => {
    class Failing extends Milter {
      static override readonly onError = onError;
      override negotiate(): never {
        throw new Error('no');
      }
      override eom() {}
    }
    await using t = await serving(Failing);
    const outcome = await t.mta().then(
      (mta) => named(mta.negotiated.steps).includes('NOUNKNOWN'),
      (error: { code: string }) => error.code,
    );
    expect(outcome).toBe(closed ? 'ERR_MILTER_CLOSED' : true);
    expect(t.log).toMatchObject([
      { level: 'error', fields: { stage: 'negotiate', code: 'ERR_MILTER_HANDLER' } },
    ]);
  });
});

describe('a factory', () => {
  it('chooses the class for each connection, and its flags follow', async () => {
    class Envelopes extends overriding('envfrom') {}
    class Contents extends overriding('eom') {}
    const made: Milter[] = [];
    await using t = await serving(() => {
      const milter = made.length % 2 === 0 ? new Envelopes() : new Contents();
      made.push(milter);
      return milter;
    });
    expect(named((await t.mta()).negotiated.steps)).toContain('NOHDRS');
    expect(named((await t.mta()).negotiated.steps)).not.toContain('NOHDRS');
    expect(made).toEqual([expect.any(Envelopes), expect.any(Contents)]);
  });

  it('may hand arguments to a constructor', async () => {
    class Tagging extends Milter {
      readonly #tag: string;
      constructor(tag: string) {
        super();
        this.#tag = tag;
      }
      override eom() {
        this.message.addHeader('X-Tag', `${this.#tag} ${this.session.helo}`);
      }
    }
    await using t = await serving(() => new Tagging('red'));
    const { message } = await (await t.mta()).sendMessage(MESSAGE, { ...ENVELOPE, helo: 'h.test' });
    expect(message.headers.at(-1)?.value).toBe('red h.test');
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no database');
      },
    ],
    ['makes something else', () => ({}) as unknown as Milter],
    ['makes nothing', () => undefined as unknown as Milter],
  ])('that %s has the connection closed, which says why in the log', async (_, factory) => {
    await using t = await serving(factory as () => Milter);
    await expect(t.mta()).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    expect(t.log).toMatchObject([{ level: 'error', fields: { stage: 'negotiate' } }]);
    expect(t.server.stats().failures).toBe(1);
  });
});

describe('a filter that could not do what it says', () => {
  class Field extends Milter {
    override envrcpt = () => undefined;
    override eom() {}
  }
  class Hidden extends Milter {
    constructor() {
      super();
      Object.assign(this, { envrcpt: () => 'reject' });
    }
    override eom() {}
  }
  class WithArguments extends Milter {
    constructor(options: { answer: 'reject' }) {
      super();
      const { answer } = options;
      this.envrcpt = () => answer;
    }
    override eom() {}
  }
  class Misspelt extends Milter {
    envRcpt() {
      return 'reject';
    }
    override eom() {}
  }
  class Useless extends Milter {
    check() {}
  }
  class WrongWish extends Milter {
    static override readonly onError = 'rejct' as 'reject';
    override eom() {
      throw new Error('a handler that fails');
    }
  }

  it.each([
    [Field, 'Field: write envrcpt as a method'],
    [Misspelt, 'Misspelt: the method envRcpt is no stage; did you mean "envrcpt"?'],
    [Useless, 'Useless: has no stage'],
    [
      WrongWish,
      'static onError must be tempfail, reject, accept or continue, got "rejct"; did you mean "reject"?',
    ],
  ])('is refused by serve: %o', async (filter, message) => {
    const served = serve(filter, { socket: 'inet:0@127.0.0.1' });
    await expect(served).rejects.toMatchObject({
      code: 'ERR_MILTER_FILTER',
      message: expect.stringContaining(message),
    });
  });

  it.each([
    [() => new Field(), 'write envrcpt as a method'],
    [() => new WithArguments({ answer: 'reject' }), 'write envrcpt as a method'],
    [() => new Misspelt(), 'the method envRcpt is no stage'],
    [() => new Useless(), 'has no stage'],
    [() => new WrongWish(), 'static onError must be'],
  ])('has the connection closed where a factory makes it: %o', async (factory, message) => {
    await using t = await serving(factory);
    await expect(t.mta()).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    expect(t.log).toMatchObject([{ level: 'error', fields: { stage: 'negotiate' } }]);
    expect(String(t.log[0]?.fields.error)).toContain(message);
  });

  it('is answered for at its first stage where nothing could be seen before', async () => {
    await using t = await serving(Hidden);
    expect((await playUpTo(await t.mta(), 'eom')).verdict).toBe('tempfail');
    expect(String(t.log[0]?.fields.error)).toContain('write envrcpt as a method');
  });
});
