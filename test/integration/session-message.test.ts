import { describe, expect, it } from 'vitest';
import { type Header, Milter, reject } from '../../lib/index.ts';
import type { WireConnection } from '../../lib/testing/index.ts';
import { CLIENT, codeOf, ENVELOPE, gate, MESSAGE, serving, thrownBy } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

describe('every callback', () => {
  it('calls its method with what the MTA said, in order', async () => {
    const calls: unknown[][] = [];
    class All extends Milter {
      static override readonly early = ['header', 'eoh', 'body'] as const;
      override negotiate(offer: { actions: number; steps: number }) {
        calls.push(['negotiate', offer.actions, offer.steps]);
      }
      override connect(client: unknown) {
        calls.push(['connect', client]);
      }
      override helo(name: string) {
        calls.push(['helo', name]);
      }
      override envfrom(sender: string, parameters: readonly string[]) {
        calls.push(['envfrom', sender, parameters]);
      }
      override envrcpt(recipient: string, parameters: readonly string[]) {
        calls.push(['envrcpt', recipient, parameters]);
      }
      override data() {
        calls.push(['data']);
      }
      override unknown(command: string) {
        calls.push(['unknown', command]);
      }
      override header({ name, value }: Header) {
        calls.push(['header', name, value]);
      }
      override eoh() {
        calls.push(['eoh']);
      }
      override body(chunk: Buffer) {
        calls.push(['body', chunk.toString()]);
      }
      override eom() {
        calls.push(['eom']);
      }
      override abort() {
        calls.push(['abort']);
      }
      override close() {
        calls.push(['close']);
      }
    }
    await using t = await serving(All);
    const mta = await t.mta();
    await mta.connect('mx.one.test', CLIENT);
    await mta.helo('one.test');
    await mta.unknown('FOO bar');
    await mta.envfrom('<ann@one.test>', ['SIZE=10', 'BODY=8BITMIME']);
    await mta.envrcpt('<bob@two.test>', ['NOTIFY=NEVER']);
    await mta.envrcpt('<cid@two.test>');
    await mta.data();
    await mta.header('Subject', 'hello');
    await mta.header('X-Two', '2');
    await mta.eoh();
    await mta.body('a\r\n');
    await mta.body('b\r\n');
    await mta.eom();
    await mta.envfrom('<>');
    await mta.abort();
    await mta.quit();
    await t.idle();
    await until('close', () => calls.at(-1)?.[0] === 'close');
    expect(calls).toEqual([
      ['negotiate', 0x1ff, 0x1fffff],
      ['connect', { hostname: 'mx.one.test', ...CLIENT }],
      ['helo', 'one.test'],
      ['unknown', 'FOO bar'],
      ['envfrom', '<ann@one.test>', ['SIZE=10', 'BODY=8BITMIME']],
      ['envrcpt', '<bob@two.test>', ['NOTIFY=NEVER']],
      ['envrcpt', '<cid@two.test>', []],
      ['data'],
      ['header', 'Subject', 'hello'],
      ['header', 'X-Two', '2'],
      ['eoh'],
      ['body', 'a\r\n'],
      ['body', 'b\r\n'],
      ['eom'],
      ['envfrom', '<>', []],
      ['abort'],
      ['close'],
    ]);
  });

  it('is called on one instance for each connection', async () => {
    const instances = new Set<Milter>();
    class Counted extends Milter {
      override envfrom() {
        instances.add(this);
      }
    }
    await using t = await serving(Counted);
    const [one, two] = [await t.mta(), await t.mta()];
    for (const mta of [one, two, one, two]) {
      await mta.envfrom('<a@one.test>');
      await mta.abort();
    }
    expect(instances.size).toBe(2);
  });

  it('makes no instance before something crosses', async () => {
    let made = 0;
    class Late extends Milter {
      readonly constructorRan = ++made;
      override eom() {}
    }
    await using t = await serving(Late);
    const mta = await t.mta();
    await mta.connect('one.test', CLIENT);
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.data();
    await mta.eoh();
    expect(made).toBe(0);
    await mta.eom();
    expect(made).toBe(1);
  });
});

describe('the session', () => {
  it('tells who is there, from the first crossing to the last', async () => {
    const seen: unknown[] = [];
    class Looking extends Milter {
      readonly atBirth = { client: this.session.client, helo: this.session.helo, id: this.session.id };
      override eom() {
        const { client, helo, id, negotiated } = this.session;
        seen.push(this.atBirth, { client, helo, id }, negotiated);
      }
      override close() {
        seen.push(this.session.helo);
      }
    }
    await using t = await serving(Looking);
    const mta = await t.mta();
    await mta.sendMessage(MESSAGE, {
      ...ENVELOPE,
      client: { hostname: 'h.test', ...CLIENT },
      helo: 'mx.one.test',
    });
    await mta.quit();
    const client = { hostname: 'h.test', ...CLIENT };
    const session = { client, helo: 'mx.one.test', id: expect.any(Number) };
    const { actions, steps } = mta.negotiated;
    await until('close', () => seen.length === 4);
    expect(seen).toEqual([session, session, { actions, steps }, 'mx.one.test']);
  });

  it.each([
    [
      'an IPv4 client',
      { address: '192.0.2.7', port: 25 },
      { family: 'inet', address: '192.0.2.7', port: 25 },
    ],
    [
      'an IPv6 client',
      { address: '2001:db8::7', port: 25 },
      { family: 'inet6', address: '2001:db8::7', port: 25 },
    ],
    ['a client on a unix socket', { address: '/run/c' }, { family: 'unix', address: '/run/c', port: 0 }],
    ['a client it does not know', undefined, { family: 'unknown', address: undefined, port: 0 }],
  ] as const)('knows %s', async (_, client, expected) => {
    let seen: unknown;
    class Looking extends Milter {
      override connect(arrived: unknown) {
        seen = arrived;
      }
    }
    await using t = await serving(Looking);
    await (await t.mta()).connect('h.test', client);
    expect(seen).toEqual({ hostname: 'h.test', ...expected });
  });

  it('has an id of its own for each connection', async () => {
    const ids: number[] = [];
    class Looking extends Milter {
      override helo() {
        ids.push(this.session.id);
      }
    }
    await using t = await serving(Looking);
    for (let i = 0; i < 3; i++) await (await t.mta()).helo('one.test');
    expect(new Set(ids).size).toBe(3);
  });

  it('keeps the name of the latest helo', async () => {
    const names: string[] = [];
    class Looking extends Milter {
      override envfrom() {
        names.push(this.session.helo);
      }
    }
    await using t = await serving(Looking);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.abort();
    for (const name of ['first.test', 'second.test']) {
      await mta.helo(name);
      await mta.envfrom('<a@one.test>');
      await mta.abort();
    }
    expect(names).toEqual(['', 'first.test', 'second.test']);
  });
});

describe('outside a message', () => {
  it('this.message throws, before the first, between two, and after the last', async () => {
    const codes = new Map<string, (string | undefined)[]>();
    class Early extends Milter {
      readonly birth = this.#note('birth');
      override connect() {
        this.#note('connect');
      }
      override helo() {
        this.#note('helo');
      }
      override unknown() {
        this.#note('unknown');
      }
      override envfrom() {
        this.#note('envfrom');
      }
      override eom() {
        this.#note('eom');
      }
      override close() {
        this.#note('close');
      }
      #note(stage: string) {
        codes.set(stage, [...(codes.get(stage) ?? []), codeOf(() => this.message)]);
      }
    }
    await using t = await serving(Early);
    const mta = await t.mta();
    await mta.connect('one.test');
    for (let i = 0; i < 2; i++) {
      await mta.helo('one.test');
      await mta.unknown('VRFY');
      await mta.sendMessage(MESSAGE, ENVELOPE);
    }
    await mta.unknown('VRFY');
    await mta.quit();
    const none = 'ERR_MILTER_NO_MESSAGE';
    await until('close', () => codes.has('close'));
    expect(Object.fromEntries(codes)).toEqual({
      birth: [none],
      connect: [none],
      helo: [none, none],
      unknown: [none, none, none],
      envfrom: [undefined, undefined],
      eom: [undefined, undefined],
      close: [none],
    });
  });

  it('and after a message that was given up too, but within abort() it can still be read', async () => {
    const seen: unknown[] = [];
    class Reader extends Milter {
      override envrcpt() {}
      override abort() {
        seen.push(
          this.message.sender,
          codeOf(() => this.message.addHeader('A', 'b')),
        );
      }
      override helo() {
        seen.push(codeOf(() => this.message));
      }
    }
    await using t = await serving(Reader);
    const mta = await t.mta();
    await mta.envfrom('<ann@one.test>');
    await mta.envrcpt('<bob@two.test>');
    await mta.abort();
    await mta.helo('again.test');
    expect(seen).toEqual(['<ann@one.test>', 'ERR_MILTER_MESSAGE_ENDED', 'ERR_MILTER_NO_MESSAGE']);
  });
});

describe('nothing leaks from one message into the next', () => {
  it('neither envelope, headers, body, queue id, macros, actions nor the signal', async () => {
    const seen: unknown[] = [];
    const messages: Milter['message'][] = [];
    class Looking extends Milter {
      override envfrom() {
        messages.push(this.message);
        seen.push(this.#all());
        if (messages.length === 1) this.message.addHeader('X-First', 'yes');
      }
      override envrcpt() {}
      override header() {}
      override eom() {
        seen.push(this.#all());
      }
      #all() {
        const { sender, senderParameters, recipients, headers, body, queueId, signal, bodyComplete } =
          this.message;
        return {
          sender,
          senderParameters,
          recipients: recipients.map(({ address }) => address),
          headers: [...headers].map(({ name, value }) => `${name}=${value}`),
          body: body.toString(),
          queueId,
          auth: this.session.macro('auth_authen'),
          rcpt: this.session.macro('rcpt_addr'),
          aborted: signal.aborted,
          bodyComplete,
        };
      }
    }
    const nothing = {
      headers: [],
      recipients: [],
      body: '',
      queueId: undefined,
      auth: undefined,
      rcpt: undefined,
      aborted: false,
      bodyComplete: true,
    };
    await using t = await serving(Looking, { maxBody: 1000 });
    const mta = await t.mta();
    await mta.envfrom('<first@one.test>', ['SIZE=1'], { i: 'Q1', '{auth_authen}': 'ann' });
    await mta.envrcpt('<bob@two.test>', [], { '{rcpt_addr}': 'bob@two.test' });
    await mta.data();
    await mta.header('Subject', 'one');
    await mta.eoh();
    await mta.body('first body');
    expect((await mta.eom()).actions).toHaveLength(1);
    // No MTA sends that little with MAIL, but one that did must not be shown the first message's.
    await mta.envfrom('<second@one.test>');
    await mta.abort();
    await mta.envfrom('<third@one.test>', []);
    await mta.envrcpt('<cid@two.test>');
    await mta.data();
    await mta.eoh();
    await mta.body('x'.repeat(2000));
    expect(codeOf(() => messages[2]?.body)).toBe(undefined);
    await mta.abort();
    await mta.envfrom('<fourth@one.test>', []);
    await mta.envrcpt('<cid@two.test>');
    await mta.data();
    await mta.eoh();
    expect((await mta.eom()).actions).toEqual([]);
    expect(seen).toEqual([
      {
        ...nothing,
        sender: '<first@one.test>',
        senderParameters: ['SIZE=1'],
        queueId: 'Q1',
        auth: 'ann',
      },
      {
        ...nothing,
        sender: '<first@one.test>',
        senderParameters: ['SIZE=1'],
        recipients: ['<bob@two.test>'],
        headers: ['Subject=one'],
        body: 'first body',
        queueId: 'Q1',
        auth: 'ann',
        rcpt: 'bob@two.test',
      },
      { ...nothing, sender: '<second@one.test>', senderParameters: [] },
      { ...nothing, sender: '<third@one.test>', senderParameters: [] },
      { ...nothing, sender: '<fourth@one.test>', senderParameters: [] },
      { ...nothing, sender: '<fourth@one.test>', senderParameters: [], recipients: ['<cid@two.test>'] },
    ]);
    expect(new Set(messages).size).toBe(4);
  });

  it('however the message before it ended', async () => {
    const endings = [
      'eom',
      'abort',
      'envfrom-reject',
      'rcpt-discard',
      'data-tempfail',
      'eom-reject',
      'MAIL',
      'HELO',
    ];
    const before: unknown[] = [];
    class Ending extends Milter {
      override envfrom(sender: string) {
        before.push([
          this.message.recipients.length,
          this.message.headers.length,
          this.message.signal.aborted,
        ]);
        if (sender !== '<probe>') this.message.addHeader('X-Leak', sender);
        return sender === '<envfrom-reject>' ? 'reject' : undefined;
      }
      override envrcpt() {
        return this.message.sender === '<rcpt-discard>' ? 'discard' : undefined;
      }
      override data() {
        return this.message.sender === '<data-tempfail>' ? 'tempfail' : undefined;
      }
      override eom() {
        return this.message.sender === '<eom-reject>' ? 'reject' : undefined;
      }
    }
    await using t = await serving(Ending);
    const mta = await t.mta();
    for (const ending of endings) {
      const sent = ending === 'MAIL' || ending === 'HELO' || ending === 'abort' ? ending : undefined;
      if (sent === undefined) {
        await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: `<${ending}>` });
      } else {
        await mta.envfrom(`<${ending}>`);
        await mta.envrcpt('<b@two.test>');
        if (ending === 'abort') await mta.abort();
        if (ending === 'HELO') await mta.helo('again.test');
      }
      const probe = await mta.sendMessage('A: b\r\n\r\n', { ...ENVELOPE, sender: '<probe>' });
      expect([ending, probe.verdict, probe.message.headers.map(({ name }) => name)]).toEqual([
        ending,
        'continue',
        ['A'],
      ]);
    }
    expect(before).toEqual(before.map(() => [0, 0, false]));
  });

  it('a message that has ended takes no more actions', async () => {
    let kept: Milter['message'] | undefined;
    class Keeping extends Milter {
      override eom() {
        kept = this.message;
      }
    }
    await using t = await serving(Keeping);
    const mta = await t.mta();
    await mta.sendMessage(MESSAGE, ENVELOPE);
    const message = kept;
    if (message === undefined) throw new Error('eom was not called');
    const codes = [
      () => message.addHeader('A', 'b'),
      () => message.insertHeader(0, 'A', 'b'),
      () => message.changeHeader('A', 1, null),
      () => message.changeFrom('a@one.test'),
      () => message.addRcpt('a@one.test'),
      () => message.deleteRcpt('a@one.test'),
      () => message.replaceBody('x'),
      () => message.quarantine('x'),
    ].map(codeOf);
    expect(codes).toEqual(codes.map(() => 'ERR_MILTER_MESSAGE_ENDED'));
    // What it was remains to be seen.
    expect([message.sender, message.headers.get('subject')?.value, message.body.toString()]).toEqual([
      '<ann@one.test>',
      'hello',
      'first line\r\n',
    ]);
  });
});

describe('handlers of one connection never overlap', () => {
  it('a stage waits until abort has settled', async () => {
    const events: string[] = [];
    const [entered, hold] = [gate(), gate()];
    class Slow extends Milter {
      override envfrom(sender: string) {
        events.push(`envfrom ${sender}`);
      }
      override async abort() {
        events.push('abort begins');
        entered.open();
        await hold.opened;
        events.push('abort ends');
      }
    }
    await using t = await serving(Slow);
    const mta = await t.mta();
    await mta.envfrom('<one>');
    await mta.abort();
    const second = mta.envfrom('<two>');
    await entered.opened;
    // The next MAIL is here by the time in which another connection is served.
    await (await t.mta()).envfrom('<other>');
    hold.open();
    await second;
    expect(events).toEqual([
      'envfrom <one>',
      'abort begins',
      'envfrom <other>',
      'abort ends',
      'envfrom <two>',
    ]);
  });

  it('abort comes only after the handler that ran when the client left has answered', async () => {
    const events: string[] = [];
    const [entered, hold] = [gate(), gate()];
    class Slow extends Milter {
      override async envrcpt() {
        entered.open();
        await hold.opened;
        events.push('envrcpt ends');
      }
      override abort() {
        events.push('abort');
      }
      override close() {
        events.push('close');
      }
    }
    await using t = await serving(Slow);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    const lost = mta.envrcpt('<b@two.test>').catch(() => undefined);
    await entered.opened;
    await mta.close();
    await lost;
    hold.open();
    await until('close', () => events.includes('close'));
    expect(events).toEqual(['envrcpt ends', 'abort', 'close']);
  });
});

describe('abort()', () => {
  const calls: string[] = [];
  class Listening extends Milter {
    override envfrom(sender: string) {
      return sender === '<reject>' ? 'reject' : sender === '<accept>' ? 'accept' : undefined;
    }
    override eom() {
      return this.message.sender === '<tempfail>' ? 'tempfail' : undefined;
    }
    override abort() {
      calls.push(this.message.sender);
    }
    override close() {
      calls.push('close');
    }
  }

  /** What is left of a message after MAIL. */
  async function finish(mta: WireConnection): Promise<void> {
    await mta.envrcpt('<b@two.test>');
    await mta.data();
    await mta.eoh();
    expect((await mta.eom()).verdict).toBe('continue');
  }

  it.each([
    ['RSET', ['abort', 'quit'], ['<a>', 'close']],
    ['another MAIL', ['envfrom', 'abort', 'quit'], ['<a>', '<second>', 'close']],
    ['HELO', ['helo', 'quit'], ['<a>', 'close']],
    ['QUIT', ['quit'], ['<a>', 'close']],
    ['a lost connection', ['close'], ['<a>', 'close']],
    ['a successful end', ['eom', 'quit'], ['close']],
    ['RSET after a successful end', ['eom', 'abort', 'quit'], ['close']],
  ] as const)('after MAIL and %s', async (_, ends, expected) => {
    calls.length = 0;
    await using t = await serving(Listening);
    const mta = await t.mta();
    await mta.envfrom('<a>');
    for (const end of ends) {
      if (end === 'envfrom') await mta.envfrom('<second>');
      else if (end === 'eom') await finish(mta);
      else if (end === 'helo') await mta.helo('again.test');
      else await mta[end]();
    }
    await until('close', () => calls.includes('close'));
    expect(calls).toEqual(expected);
  });

  it.each(['<reject>', '<accept>', '<tempfail>'])(
    'is not called after our own verdict %s',
    async (sender) => {
      calls.length = 0;
      await using t = await serving(Listening);
      const mta = await t.mta();
      await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender });
      await mta.abort();
      await mta.quit();
      await until('close', () => calls.includes('close'));
      expect(calls).toEqual(['close']);
    },
  );

  it('is called for a message of which nothing else was overridden', async () => {
    const senders: string[] = [];
    class OnlyAbort extends Milter {
      override abort() {
        senders.push(this.message.sender, ...this.message.recipients.map(({ address }) => address));
      }
    }
    await using t = await serving(OnlyAbort);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.abort();
    await until('abort', () => senders.length > 0);
    expect(senders).toEqual(['<a@one.test>', '<b@two.test>']);
  });
});

describe('a Milter', () => {
  it('is not made by new', () => {
    class Mine extends Milter {}
    expect(thrownBy(() => new Mine())).toMatchObject({ code: 'ERR_MILTER_FILTER' });
  });
});

describe('many connections at once', () => {
  it('see each its own session and messages', async () => {
    const wrong: unknown[] = [];
    class Own extends Milter {
      override async envrcpt(recipient: string) {
        await new Promise((resolve) => setImmediate(resolve));
        if (!recipient.includes(this.session.helo)) wrong.push([recipient, this.session.helo]);
        if (recipient.startsWith('<no')) return reject(550, '5.1.1', `not ${this.session.helo}`);
        this.message.addHeader('X-Rcpt', recipient);
        return undefined;
      }
      override async eom() {
        await new Promise((resolve) => setImmediate(resolve));
        this.message.addHeader('X-Of', `${this.message.sender} ${this.message.queueId}`);
      }
    }
    await using t = await serving(Own);
    await Promise.all(
      Array.from({ length: 30 }, async (_, i) => {
        const mta = await t.mta();
        await mta.helo(`h${i}.test`);
        for (let message = 0; message < 5; message++) {
          await mta.envfrom(`<${i}-${message}>`, [], { i: `Q${i}-${message}` });
          const refused = await mta.envrcpt(`<no@h${i}.test>`);
          if (refused.reply?.lines[0] !== `not h${i}.test`) wrong.push(refused);
          await mta.envrcpt(`<yes@h${i}.test>`);
          await mta.data();
          await mta.eoh();
          const { actions } = await mta.eom();
          const values = actions.map((action) => ('header' in action ? action.header?.value : action.type));
          expect(values).toEqual([`<yes@h${i}.test>`, `<${i}-${message}> Q${i}-${message}`]);
        }
      }),
    );
    expect(wrong).toEqual([]);
  });
});
