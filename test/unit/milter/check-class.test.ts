import { describe, expect, it } from 'vitest';
import { compose, Milter, type MilterClass, reject } from '../../../lib/index.ts';
import { checkClass } from '../../../lib/milter/check-class.ts';
import { Dispatcher } from '../../../lib/run/dispatcher.ts';
import { readOptions } from '../../../lib/serve/options.ts';
import { fakeSession } from '../../../lib/testing/index.ts';

/** What is said of a class; undefined where it may be served. */
function refused(filter: MilterClass): string | undefined {
  try {
    checkClass(filter);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_MILTER_FILTER' });
    return (error as Error).message;
  }
}

/** A class that has these methods besides eom. */
function having(...names: readonly string[]): MilterClass {
  class Gate extends Milter {
    override eom() {}
  }
  for (const name of names) Object.defineProperty(Gate.prototype, name, { value: () => undefined });
  return Gate;
}

const AS_FIELD = 'as a method; as a field it cannot be seen at negotiation';

describe('checkClass', () => {
  it.each([
    [
      'a field',
      class Gate extends Milter {
        override eom = () => 'discard' as const;
      },
    ],
    [
      'a field besides methods',
      class Gate extends Milter {
        override envfrom() {}
        override eom = async () => {};
      },
    ],
    [
      'an assignment in the constructor',
      class Gate extends Milter {
        constructor() {
          super();
          this.eom = () => 'discard';
        }
      },
    ],
    [
      'a field of a parent',
      class Gate extends class Parent extends Milter {
        override eom = () => {};
      } {
        override helo() {}
      },
    ],
    [
      'a field in a class that reads its session',
      class Gate extends Milter {
        readonly client = this.session.client;
        override eom = () => (this.client.port === 0 ? 'discard' : 'continue') as 'discard' | 'continue';
      },
    ],
    // As a bundler writes it.
    [
      'a minified field',
      new Function('M', 'return class Gate extends M{a=1;eom=()=>"discard";data(){}}')(Milter),
    ],
  ] as const)('refuses a stage as %s', (_, filter) => {
    expect(refused(filter as MilterClass)).toBe(`Gate: write eom ${AS_FIELD}`);
  });

  it.each([
    ['a field', 'class Gate extends M { envRcpt = () => "reject"; eom() {} }', 'envRcpt', 'envrcpt'],
    ['an async one', 'class Gate extends M { onConnect = async () => {}; eom() {} }', 'onConnect', 'connect'],
    [
      'an assignment in the constructor',
      'class Gate extends M { constructor() { super(); this.mailFrom = () => {} } eom() {} }',
      'mailFrom',
      'envfrom',
    ],
  ])('refuses a misspelt stage as %s', (_, source, name, meant) => {
    const filter = new Function('M', `return ${source}`)(Milter) as MilterClass;
    expect(refused(filter)).toMatch(`Gate: the method ${name} is no stage; did you mean "${meant}"?`);
  });

  it.each(['onError = "reject"', 'observe = true', 'early = ["body"]', 'deadlines = {}', 'macros = {}'])(
    'refuses a wish that is not static, %s',
    (field) => {
      const filter = new Function('M', `return class Gate extends M { ${field}; eom() {} }`)(
        Milter,
      ) as MilterClass;
      const [name = ''] = field.split(' ');
      expect(refused(filter)).toBe(`Gate: write "static ${name}"; as a field of each instance it is no wish`);
    },
  );

  it('takes fields and variables of other names, and private ones', () => {
    class Gate extends Milter {
      readonly #observe = () => 1;
      readonly collect = () => this.#observe();
      readonly rcpts = new Set<string>();
      readonly headerValue = 5;
      override eom() {
        const early = this.collect() + this.rcpts.size + this.headerValue;
        this.message.addHeader('X', String(early));
      }
    }
    expect(refused(Gate)).toBe(undefined);
  });

  it('makes no instance of a class that assigns to no stage', () => {
    let made = 0;
    class Quiet extends Milter {
      static override readonly body = 'none';
      static override readonly early = [] as const;
      readonly #data = made++;
      override eom() {
        const body = this.#data;
        const compare = body === 1 ? (data: number) => data : undefined;
        return compare === undefined ? 'continue' : 'accept';
      }
    }
    expect(refused(Quiet)).toBe(undefined);
    expect(made).toBe(0);
  });

  it('makes one instance only of a class that seems to', () => {
    let made = 0;
    class Odd extends Milter {
      constructor() {
        super();
        made++;
      }
      override eom() {
        let data = '';
        if (this.session.helo === '') data = 'text';
        this.message.addHeader('X', data);
      }
    }
    compose(Odd, Odd);
    expect(refused(Odd)).toBe(undefined);
    expect(made).toBe(1);
  });

  it('leaves a class alone whose constructor cannot run without a connection', () => {
    class Needy extends Milter {
      readonly sender = this.message.sender;
      override eom() {}
      other() {
        let data = 0;
        if (this.sender === '') data = 1;
        return data;
      }
    }
    expect(refused(Needy)).toBe(undefined);
  });

  it('refuses a class without any stage', () => {
    class Gate extends Milter {
      check() {}
    }
    expect(refused(Gate)).toMatch(
      /^Gate: has no stage, so it would do nothing: write one of negotiate, connect, /,
    );
    expect(refused(Milter)).toMatch(/^Milter: has no stage/);
    expect(refused(class extends Milter {})).toMatch(/^a class without a name: has no stage/);
  });

  it.each([
    ['envRcpt', 'envrcpt'],
    ['env_rcpt', 'envrcpt'],
    ['envrpct', 'envrcpt'],
    ['rcpt', 'envrcpt'],
    ['rcptTo', 'envrcpt'],
    ['mailFrom', 'envfrom'],
    ['MailFrom', 'envfrom'],
    ['mail', 'envfrom'],
    ['envform', 'envfrom'],
    ['onConnect', 'connect'],
    ['on_connect', 'connect'],
    ['handleConnect', 'connect'],
    ['xxfi_connect', 'connect'],
    ['conect', 'connect'],
    ['Header', 'header'],
    ['headers', 'header'],
    ['onHello', 'helo'],
    ['ehlo', 'helo'],
    ['boddy', 'body'],
    ['endOfHeaders', 'eoh'],
    ['abord', 'abort'],
    ['onClose', 'close'],
    ['onData', 'data'],
    ['onUnknown', 'unknown'],
    ['onNegotiate', 'negotiate'],
  ])('takes a method %s for a misspelt %s', (name, meant) => {
    expect(refused(having(name))).toBe(
      `Gate: the method ${name} is no stage; did you mean "${meant}"? (a helper would need a name of its own, or #${name})`,
    );
  });

  it('names a misspelt stage also where it is the only one', () => {
    for (const name of ['onEom', 'on_eom', 'EOM', 'endOfMessage', 'emo']) {
      class Gate extends Milter {}
      Object.defineProperty(Gate.prototype, name, { value: () => 'discard' });
      expect(refused(Gate), name).toContain('did you mean "eom"?');
    }
  });

  it.each([
    'known',
    'isKnown',
    'check',
    'lookup',
    'help',
    'date',
    'clone',
    'leader',
    'headerValue',
    'readBody',
    'connected',
    'on',
    'onDatabaseError',
    'sendMail',
    'closeDatabase',
    'connectDatabase',
    'reader',
    'bodyText',
    'reset',
    'dataOf',
    'toString',
    ...['about', 'closed', 'eof', 'held', 'helper', 'holder', 'header2', 'body2', 'heading'],
    ...['collect', 'compact', 'contact', 'content', 'context', 'convert', 'correct', 'connector'],
  ])("leaves a helper %s of the filter's own alone", (name) => {
    expect(refused(having(name))).toBe(undefined);
  });

  it('takes a name beside a stage for a helper where the stage is there', () => {
    expect(refused(having('onEom', 'endOfMessage', 'EOM'))).toBe(undefined);
  });

  it('takes inherited stages and mixins', () => {
    const Stamping = (Base: MilterClass) =>
      class Stamped extends Base {
        override eom() {}
      };
    class Child extends having('envrcpt') {
      help() {}
    }
    expect(refused(Child)).toBe(undefined);
    expect(refused(Stamping(class Plain extends Milter {}))).toBe(undefined);
    expect(
      refused(
        class OnlyAbort extends Milter {
          override abort() {}
        },
      ),
    ).toBe(undefined);
  });
});

describe('a class that cannot be served', () => {
  class Misspelt extends Milter {
    onEom() {
      return 'discard';
    }
  }
  class Wrong extends Milter {
    static readonly onErorr = 'reject';
    override eom() {}
  }

  it.each([Misspelt, Wrong])('%o is refused by compose and fakeSession', (filter) => {
    const fault = expect.objectContaining({ code: 'ERR_MILTER_FILTER' });
    expect(() => compose(filter)).toThrow(fault);
    expect(() => fakeSession(filter)).toThrow(fault);
    expect(() => fakeSession(() => new filter())).toThrow(fault);
  });
});

describe('the border to the libmilter side', () => {
  it('makes a tempfail of whatever is no verdict', () => {
    const settled: unknown[] = [];
    const backend = {
      addPlan() {},
      removePlan() {},
      lookup: () => undefined,
      settle(...answer: unknown[]) {
        settled.push(answer);
        return true;
      },
    };
    const settings = readOptions({ socket: 'inet:1' });
    const dispatcher = new Dispatcher(backend, having(), Milter, settings, settings.logger);
    const parts = { reply: reject(550, null, 'no') };
    for (const verdict of [Number.NaN, -1, 5, 6, 7, 9, 0.5, undefined as never, 'reject' as never]) {
      dispatcher.settle(1, verdict, parts);
    }
    expect(settled).toEqual(Array.from({ length: 9 }, () => [1, 4, {}]));
    dispatcher.settle(2, 1, parts);
    expect(settled.at(-1)).toEqual([2, 1, parts]);
  });
});
