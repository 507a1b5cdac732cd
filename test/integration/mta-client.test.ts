import { expect, it } from 'vitest';
import { connectMta, type StageReply, type WireConnection } from '../../lib/testing/index.ts';
import { type MilterScript, startPymilter } from '../helpers/pymilter.ts';
import { describeWith } from '../helpers/requirements.ts';
import { unusedPort } from '../helpers/wait.ts';

/** SMFIP_* bits by what they do. */
const STEP = {
  noHelo: 0x2,
  noBody: 0x10,
  noUnknown: 0x100,
  skip: 0x400,
  silentHeader: 0x80,
  silentConnect: 0x1000,
  silentHelo: 0x2000,
  silentMail: 0x4000,
  silentRcpt: 0x8000,
  silentData: 0x10000,
  silentUnknown: 0x20000,
  silentEoh: 0x40000,
  silentBody: 0x80000,
  leadingSpace: 0x100000,
} as const;

const CLIENT = { family: 'inet', address: '192.0.2.7', port: 4711 } as const;
const MESSAGE = 'Subject: hello\r\nX-Old: one\r\nX-Old: two\r\nX-Old: three\r\n\r\nfirst line\r\n';
const ENVELOPE = { sender: 'ann@one.test', recipients: ['bob@two.test'] };

/** A filter that follows `script`, and an MTA connected to it; both end with the test. */
async function talkTo(script: MilterScript, options?: Parameters<typeof connectMta>[1]) {
  const filter = await startPymilter(script);
  const mta = await connectMta(filter.spec, options);
  return {
    filter,
    mta,
    async [Symbol.asyncDispose]() {
      await mta.close();
      await filter[Symbol.asyncDispose]();
    },
  };
}

/** Everything up to RCPT, without which libmilter says nothing to the content of a message. */
async function beginMessage(mta: WireConnection): Promise<StageReply> {
  await mta.connect('one.test', CLIENT);
  await mta.helo('one.test');
  await mta.envfrom('<a@one.test>');
  return await mta.envrcpt('<b@two.test>');
}

describeWith(['pymilter'], 'connectMta, against libmilter', () => {
  it('tells the filter every stage with its arguments', async () => {
    await using talk = await talkTo({});
    const { mta, filter } = talk;
    expect(await mta.connect('mx.one.test', CLIENT)).toEqual({ verdict: 'continue' });
    await mta.helo('one.test');
    await mta.unknown('FOO bar');
    await mta.envfrom('<ann@one.test>', ['SIZE=10', 'BODY=8BITMIME']);
    await mta.envrcpt('<bob@two.test>', ['NOTIFY=NEVER']);
    await mta.data();
    await mta.header('Subject', 'hello');
    await mta.eoh();
    await mta.body('a\r\n');
    expect(await mta.eom()).toEqual({ verdict: 'continue', actions: [], progress: 0 });
    await mta.quit();
    await filter.called('close');
    expect((await filter.events()).map(({ stage, args }) => [stage, ...args])).toEqual([
      ['negotiate', 0x1ff, 0x1fffff],
      ['connect', 'mx.one.test', 2, ['192.0.2.7', 4711]],
      ['helo', 'one.test'],
      ['unknown', 'FOO bar'],
      ['envfrom', '<ann@one.test>', 'SIZE=10', 'BODY=8BITMIME'],
      ['envrcpt', '<bob@two.test>', 'NOTIFY=NEVER'],
      ['data'],
      ['header', 'Subject', 'hello'],
      ['eoh'],
      ['body', 'a\r\n'],
      ['eom'],
      ['close'],
    ]);
  });

  it.each([
    ['an IPv6 client', { address: '2001:db8::7', port: 25 }, [10, ['2001:db8::7', 25, 0, 0]]],
    ['a client on a unix socket', { address: '/run/client' }, [1, '/run/client']],
    ['a client it does not know', undefined, [0, null]],
  ])('tells the filter of %s', async (_, client, expected) => {
    await using talk = await talkTo({});
    await talk.mta.connect('client.test', client);
    const [event] = await talk.filter.called('connect');
    expect(event?.args.slice(1)).toEqual(expected);
  });

  it.each(['inet:PORT@127.0.0.1', 'inet:PORT@[127.0.0.1]', 'inet:PORT@localhost', 'inet:PORT'])(
    'dials %s',
    async (pattern) => {
      const port = String(await unusedPort());
      await using filter = await startPymilter({}, `inet:${port}@127.0.0.1`);
      await using mta = await connectMta(pattern.replace('PORT', port));
      expect(await mta.helo('one.test')).toEqual({ verdict: 'continue' });
      expect(await filter.events()).toHaveLength(2);
    },
  );

  it.each(['inet6:PORT@[::1]', 'inet6:PORT@::1', 'inet6:PORT'])('dials %s', async (pattern) => {
    const port = String(await unusedPort());
    await using filter = await startPymilter({}, `inet6:${port}@[::1]`);
    await using mta = await connectMta(pattern.replace('PORT', port));
    expect(await mta.helo('one.test')).toEqual({ verdict: 'continue' });
    expect(await filter.events()).toHaveLength(2);
  });

  it('sends macros just before their stage', async () => {
    await using talk = await talkTo({ macros: ['i', '{client_addr}', '{mail_addr}', '{rcpt_addr}'] });
    const { mta, filter } = talk;
    await mta.connect('one.test', CLIENT, { '{client_addr}': '192.0.2.7' });
    await mta.envfrom('<a@one.test>', [], { i: '4XyZ', '{mail_addr}': 'a@one.test' });
    await mta.envrcpt('<b@two.test>', [], { '{rcpt_addr}': 'b@two.test' });
    const [connect, envfrom, envrcpt] = (await filter.events())
      .slice(1)
      .map(({ macros }) => Object.values(macros));
    expect(connect).toEqual([null, '192.0.2.7', null, null]);
    expect(envfrom).toEqual(['4XyZ', '192.0.2.7', 'a@one.test', null]);
    expect(envrcpt).toEqual(['4XyZ', '192.0.2.7', 'a@one.test', 'b@two.test']);
  });

  it('knows the macros that the filter asked for', async () => {
    await using talk = await talkTo({ symlists: { envfrom: ['i', '{mail_addr}'], eom: [], eoh: ['i'] } });
    expect(talk.mta.negotiated).toEqual({
      version: 6,
      actions: 0x1ff,
      steps: STEP.skip,
      symlists: { envfrom: ['i', '{mail_addr}'], eom: [], eoh: ['i'] },
    });
  });

  it.each([
    ['accept', { verdict: 'accept' }],
    ['reject', { verdict: 'reject' }],
    ['discard', { verdict: 'discard' }],
    ['tempfail', { verdict: 'tempfail' }],
    ['skip', { verdict: 'skip' }],
  ] as const)('understands the verdict %s', async (verdict, expected) => {
    await using talk = await talkTo({ stages: { envrcpt: { '*': { verdict } } } });
    expect(await beginMessage(talk.mta)).toEqual(expected);
  });

  it.each([
    [['550', '5.7.1', 'Go away'], { code: 550, enhanced: '5.7.1', lines: ['Go away'] }],
    [['451', null, '5.0 stars'], { code: 451, enhanced: null, lines: ['5.0 stars'] }],
    [['554', '5.7.0', 'one', '', 'three'], { code: 554, enhanced: '5.7.0', lines: ['one', '', 'three'] }],
    [['450', '4.2.0', '100%% sure'], { code: 450, enhanced: '4.2.0', lines: ['100% sure'] }],
  ] as const)('reads the reply %j', async (reply, expected) => {
    const verdict = expected.code < 500 ? 'tempfail' : 'reject';
    await using talk = await talkTo({ stages: { envrcpt: { '*': { verdict, reply } } } });
    expect(await beginMessage(talk.mta)).toEqual({ verdict, reply: expected });
  });

  it('hands over every action in the order in which it came', async () => {
    const actions = [
      ['addheader', 'X-Added', 'yes'],
      ['addheader', 'X-Top', 'no', 0],
      ['chgheader', 'Subject', 1, 'changed'],
      ['chgheader', 'X-Old', 2, ''],
      ['progress'],
      ['chgfrom', '<new@one.test>'],
      ['addrcpt', '<more@two.test>'],
      ['addrcpt', '<dsn@two.test>', 'NOTIFY=NEVER ORCPT=rfc822;x'],
      ['delrcpt', '<bob@two.test>'],
      ['replacebody', 'other\r\n'],
      ['quarantine', 'looks odd'],
    ] as const;
    await using talk = await talkTo({ stages: { eom: { '*': { actions, verdict: 'accept' } } } });
    await beginMessage(talk.mta);
    const eom = await talk.mta.eom();
    expect(eom).toMatchObject({ verdict: 'accept', progress: 1 });
    expect(eom.actions).toMatchObject([
      { type: 'addHeader', header: { name: 'X-Added', value: 'yes' } },
      { type: 'insertHeader', index: 0, header: { name: 'X-Top', value: 'no' } },
      { type: 'changeHeader', name: 'Subject', occurrence: 1, header: { value: 'changed' } },
      { type: 'changeHeader', name: 'X-Old', occurrence: 2, header: null },
      { type: 'changeFrom', address: '<new@one.test>', parameters: [] },
      { type: 'addRcpt', address: '<more@two.test>', parameters: [] },
      { type: 'addRcpt', address: '<dsn@two.test>', parameters: ['NOTIFY=NEVER', 'ORCPT=rfc822;x'] },
      { type: 'deleteRcpt', address: '<bob@two.test>' },
      { type: 'replaceBody', body: Buffer.from('other\r\n'), contiguous: true },
      { type: 'quarantine', reason: 'looks odd' },
    ]);
  });

  it('does not send the stages that are switched off', async () => {
    await using talk = await talkTo({ steps: STEP.noHelo | STEP.noBody | STEP.noUnknown });
    const { mta, filter } = talk;
    await beginMessage(mta);
    expect(await mta.helo('one.test')).toEqual({ verdict: 'none' });
    expect(await mta.unknown('FOO')).toEqual({ verdict: 'none' });
    expect(await mta.body('text')).toEqual({ verdict: 'none' });
    await mta.eom();
    expect((await filter.events()).map(({ stage }) => stage)).toEqual([
      'negotiate',
      'connect',
      'envfrom',
      'envrcpt',
      'eom',
    ]);
  });

  it('waits for no answer where the filter gives none', async () => {
    const { silentConnect, silentHelo, silentMail, silentRcpt, silentData, silentUnknown } = STEP;
    const envelope = silentConnect | silentHelo | silentMail | silentRcpt | silentData | silentUnknown;
    await using talk = await talkTo({
      steps: envelope | STEP.silentHeader | STEP.silentEoh | STEP.silentBody,
      stages: { eom: { '*': { verdict: 'reject', reply: ['550', null, 'no'] } } },
    });
    const { mta, filter } = talk;
    await mta.connect('one.test', CLIENT);
    await mta.helo('one.test');
    await mta.unknown('FOO');
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.data();
    await mta.header('Subject', 'x');
    await mta.eoh();
    expect(await mta.body('x'.repeat(200_000))).toEqual({ verdict: 'continue' });
    expect(await mta.eom()).toMatchObject({ verdict: 'reject', reply: { code: 550 } });
    expect((await filter.events()).map(({ stage }) => stage).slice(1, 9)).toEqual([
      'connect',
      'helo',
      'unknown',
      'envfrom',
      'envrcpt',
      'data',
      'header',
      'eoh',
    ]);
  });

  it('splits a big body and loses none of it', async () => {
    const body = Buffer.alloc(200_000, 'line of text\r\n').toString();
    await using talk = await talkTo({});
    await beginMessage(talk.mta);
    expect(await talk.mta.body(body)).toEqual({ verdict: 'continue' });
    const chunks = await talk.filter.called('body', 4);
    expect(chunks.map(({ args }) => String(args[0]).length)).toEqual([65_535, 65_535, 65_535, 3395]);
    expect(chunks.map(({ args }) => args[0]).join('')).toBe(body);
  });

  it('stops sending the body after skip, until the next message', async () => {
    await using talk = await talkTo({ stages: { body: { '*': { verdict: 'skip' } } } });
    const { mta, filter } = talk;
    await mta.connect('one.test', CLIENT);
    await mta.helo('one.test');
    for (let message = 1; message <= 2; message++) {
      await mta.envfrom('<a@one.test>');
      await mta.envrcpt('<b@two.test>');
      expect(await mta.body('x'.repeat(200_000))).toEqual({ verdict: 'skip' });
      expect(await mta.body('more')).toEqual({ verdict: 'skip' });
      expect(await mta.eom()).toMatchObject({ verdict: 'continue' });
      expect((await filter.events()).filter(({ stage }) => stage === 'body')).toHaveLength(message);
    }
  });

  it.each([
    ['with SMFIP_HDR_LEADSPC', STEP.leadingSpace, ' text', '  two'],
    ['without SMFIP_HDR_LEADSPC', 0, 'text', ' two'],
  ])('sends a header %s as an MTA does', async (_, steps, asText, asBytes) => {
    await using talk = await talkTo({ steps });
    await beginMessage(talk.mta);
    await talk.mta.header('X-Text', 'text');
    await talk.mta.header('X-Bytes', Buffer.from('  two'));
    await talk.mta.header('X-Odd', Buffer.from('\xe9\n\tfolded', 'latin1'));
    const headers = await talk.filter.called('header', 3);
    expect(headers.map(({ args }) => args[1])).toEqual([asText, asBytes, '\udce9\n\tfolded']);
  });

  it('ends a message with abort and begins another', async () => {
    await using talk = await talkTo({});
    const { mta, filter } = talk;
    await beginMessage(mta);
    await mta.abort();
    await mta.envfrom('<c@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.eom();
    expect((await filter.events()).slice(3).map(({ stage, args }) => [stage, ...args])).toEqual([
      ['envfrom', '<a@one.test>'],
      ['envrcpt', '<b@two.test>'],
      ['abort'],
      ['envfrom', '<c@one.test>'],
      ['envrcpt', '<b@two.test>'],
      ['eom'],
    ]);
  });

  it('plays calls made without waiting in call order', async () => {
    await using talk = await talkTo({ stages: { envfrom: { '*': { verdict: 'tempfail' } } } });
    const { mta } = talk;
    const replies = await Promise.all([
      mta.connect('one.test', CLIENT),
      mta.helo('one.test'),
      mta.envfrom('<a@one.test>'),
      mta.abort(),
    ]);
    expect(replies).toEqual([
      { verdict: 'continue' },
      { verdict: 'continue' },
      { verdict: 'tempfail' },
      undefined,
    ]);
  });

  it.each([2, 3, 4])('speaks version %i', async (version) => {
    await using talk = await talkTo({}, { version });
    const { mta } = talk;
    expect(mta.negotiated.version).toBe(version);
    await mta.connect('one.test', CLIENT);
    expect(await mta.unknown('FOO')).toEqual({ verdict: version >= 3 ? 'continue' : 'none' });
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    expect(await mta.data()).toEqual({ verdict: version >= 4 ? 'continue' : 'none' });
    await mta.eoh();
    expect(await mta.eom()).toMatchObject({ verdict: 'continue' });
  });

  it('rejects when the filter asks for more than is offered and hangs up', async () => {
    await using filter = await startPymilter({ steps: STEP.leadingSpace });
    await expect(connectMta(filter.spec, { steps: STEP.skip })).rejects.toMatchObject({
      code: 'ERR_MILTER_CLOSED',
      message: expect.stringMatching(/^negotiate at unix:.*: the filter closed the connection$/),
    });
  });

  it('rejects when the filter hangs up at a broken frame, and ever after', async () => {
    await using talk = await talkTo({});
    await talk.mta.raw(Buffer.from('7fffffff', 'hex'));
    await expect(talk.mta.helo('one.test')).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    await expect(talk.mta.eom()).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
  });

  it('rejects when the filter does not answer in time', async () => {
    await using talk = await talkTo({}, { timeout: 50 });
    // libmilter says nothing to a recipient without a sender.
    await expect(talk.mta.envrcpt('<b@two.test>')).rejects.toMatchObject({
      code: 'ERR_MILTER_DEADLINE',
      message: expect.stringMatching(/^envrcpt at .*: no answer within 50 ms$/),
    });
  });

  it('rejects when the filter dies', async () => {
    const filter = await startPymilter({});
    await using mta = await connectMta(filter.spec);
    await filter[Symbol.asyncDispose]();
    await expect(mta.helo('one.test')).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
  });

  it('rejects when nobody listens', async () => {
    await expect(connectMta(`inet:${await unusedPort()}@127.0.0.1`)).rejects.toMatchObject({
      code: 'ERR_MILTER_SOCKET',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });

  it('rejects after close', async () => {
    await using talk = await talkTo({});
    await talk.mta.close();
    await expect(talk.mta.helo('one.test')).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
  });

  it('refuses text that no frame can carry', async () => {
    await using talk = await talkTo({});
    await expect(talk.mta.helo('one\0two')).rejects.toThrow(TypeError);
    await expect(talk.mta.connect('one.test', { address: 'nowhere' })).rejects.toThrow(/say its family/);
    expect(await talk.mta.helo('one.test')).toEqual({ verdict: 'continue' });
  });
});

describeWith(['pymilter'], 'sendMessage, against libmilter', () => {
  it('plays a local submission as Postfix does', async () => {
    await using talk = await talkTo({});
    const local = { sender: '<ann@one.test>', recipients: ['<bob@two.test>'], local: true };
    expect(await talk.mta.sendMessage(MESSAGE, local)).toMatchObject({
      recipients: [{ address: '<bob@two.test>' }],
      message: { sender: '<ann@one.test>', recipients: ['<bob@two.test>'] },
    });
    await talk.mta.sendMessage(MESSAGE, { ...local, sender: '' });
    const events = await talk.filter.events();
    const told = (stage: string): unknown[] =>
      events.filter((event) => event.stage === stage).map(({ args }) => args);
    expect(told('connect')).toEqual([['localhost', 2, ['127.0.0.1', 0]]]);
    expect(told('envfrom')).toEqual([['ann@one.test'], ['']]);
    expect(told('envrcpt')).toEqual([['bob@two.test'], ['bob@two.test']]);
    for (const wrong of [{ helo: 'a' }, { client: CLIENT }]) {
      const sent = talk.mta.sendMessage(MESSAGE, { ...local, ...wrong });
      await expect(sent).rejects.toThrow('option "local" goes with neither "client" nor "helo"');
    }
  });

  it('plays messages one after another on one connection', async () => {
    await using talk = await talkTo({});
    const first = await talk.mta.sendMessage(MESSAGE, ENVELOPE);
    await talk.mta.sendMessage('Subject: second\n\nlast\n', { ...ENVELOPE, sender: '' });
    expect(first).toMatchObject({
      verdict: 'continue',
      stage: 'eom',
      recipients: [{ address: '<bob@two.test>', verdict: 'continue' }],
      message: { sender: '<ann@one.test>', recipients: ['<bob@two.test>'] },
    });
    expect(first.message.toBytes().toString()).toBe(MESSAGE);
    expect((await talk.filter.events()).map(({ stage, args }) => [stage, args[0]])).toEqual([
      ['negotiate', 0x1ff],
      ['connect', 'localhost'],
      ['helo', 'localhost'],
      ['envfrom', '<ann@one.test>'],
      ['envrcpt', '<bob@two.test>'],
      ['data', undefined],
      ['header', 'Subject'],
      ['header', 'X-Old'],
      ['header', 'X-Old'],
      ['header', 'X-Old'],
      ['eoh', undefined],
      ['body', 'first line\r\n'],
      ['eom', undefined],
      ['envfrom', '<>'],
      ['envrcpt', '<bob@two.test>'],
      ['data', undefined],
      ['header', 'Subject'],
      ['eoh', undefined],
      ['body', 'last\r\n'],
      ['eom', undefined],
    ]);
  });

  it('delivers the message with the changes that the filter made', async () => {
    const actions = [
      ['addheader', 'X-Added', 'yes'],
      ['addheader', 'X-Top', 'first', 0],
      ['chgheader', 'X-Old', 3, ''],
      ['chgheader', 'x-old', 1, ''],
      ['chgheader', 'subject', 1, 'changed'],
      ['chgheader', 'X-New', 1, 'appended'],
      ['chgfrom', '<new@one.test>'],
      ['addrcpt', '<more@two.test>'],
      ['delrcpt', '<bob@two.test>'],
      ['quarantine', 'looks odd'],
      ['replacebody', 'x'.repeat(70_000)],
    ] as const;
    await using talk = await talkTo({ stages: { eom: { '*': { actions } } } });
    const { message } = await talk.mta.sendMessage(MESSAGE, {
      sender: '<ann@one.test>',
      recipients: ['<bob@two.test>', '<eve@two.test>'],
    });
    expect(message).toMatchObject({
      sender: '<new@one.test>',
      recipients: ['<eve@two.test>', '<more@two.test>'],
      quarantine: 'looks odd',
    });
    expect(message.toBytes().toString()).toBe(
      'X-Top: first\r\nsubject: changed\r\nX-Old: two\r\nX-Added: yes\r\nX-New: appended\r\n\r\n' +
        'x'.repeat(70_000),
    );
  });

  it('tells of each recipient, and delivers to those whom the filter let pass', async () => {
    const reply = ['550', '5.1.1', 'no such user'] as const;
    await using talk = await talkTo({
      stages: { envrcpt: { '<no@two.test>': { verdict: 'reject', reply } } },
    });
    const result = await talk.mta.sendMessage(MESSAGE, {
      sender: 'ann@one.test',
      recipients: ['no@two.test', 'bob@two.test'],
    });
    expect(result.recipients).toEqual([
      {
        address: '<no@two.test>',
        verdict: 'reject',
        reply: { code: 550, enhanced: '5.1.1', lines: ['no such user'] },
      },
      { address: '<bob@two.test>', verdict: 'continue' },
    ]);
    expect(result).toMatchObject({
      verdict: 'continue',
      stage: 'eom',
      message: { recipients: ['<bob@two.test>'] },
    });
  });

  it('ends where no recipient is left', async () => {
    await using talk = await talkTo({ stages: { envrcpt: { '*': { verdict: 'tempfail' } } } });
    const result = await talk.mta.sendMessage(MESSAGE, ENVELOPE);
    expect(result).toMatchObject({ verdict: 'tempfail', stage: 'envrcpt', message: { recipients: [] } });
    await talk.mta.helo('again');
    expect((await talk.filter.events()).slice(-3).map(({ stage }) => stage)).toEqual([
      'envrcpt',
      'abort',
      'helo',
    ]);
  });

  it.each(['connect', 'helo', 'envfrom', 'data', 'header', 'eoh', 'body', 'eom'] as const)(
    'ends at %s where the filter rejects',
    async (stage) => {
      const reply = ['554', '5.7.1', 'no'] as const;
      await using talk = await talkTo({ stages: { [stage]: { '*': { verdict: 'reject', reply } } } });
      for (let message = 1; message <= 2; message++) {
        const result = await talk.mta.sendMessage(MESSAGE, ENVELOPE);
        expect(result).toMatchObject({
          verdict: 'reject',
          stage,
          reply: { code: 554, enhanced: '5.7.1', lines: ['no'] },
          message: { recipients: [] },
        });
      }
    },
  );

  it.each(['connect', 'envfrom', 'envrcpt', 'body'] as const)(
    'delivers to everybody, unchanged, where the filter accepts at %s',
    async (stage) => {
      await using talk = await talkTo({ stages: { [stage]: { '*': { verdict: 'accept' } } } });
      const recipients = ['<bob@two.test>', '<eve@two.test>'];
      const result = await talk.mta.sendMessage(MESSAGE, { ...ENVELOPE, recipients });
      expect(result).toMatchObject({ verdict: 'accept', stage, message: { recipients } });
      expect(result.recipients.map(({ address }) => address)).toEqual(recipients);
      expect(result.message.toBytes().toString()).toBe(MESSAGE);
    },
  );

  it('delivers to nobody what the filter discards', async () => {
    await using talk = await talkTo({ stages: { eom: { '*': { verdict: 'discard' } } } });
    const result = await talk.mta.sendMessage(MESSAGE, ENVELOPE);
    expect(result).toMatchObject({ verdict: 'discard', stage: 'eom', message: { recipients: [] } });
  });

  it('fails a message whose new body came in pieces, as Postfix does', async () => {
    const actions = [['replacebody', 'one'], ['progress'], ['replacebody', 'two']] as const;
    await using talk = await talkTo({ stages: { eom: { '*': { actions } } } });
    const result = await talk.mta.sendMessage(MESSAGE, ENVELOPE);
    expect(result).toMatchObject({ verdict: 'tempfail', stage: 'eom', reply: { code: 451 } });
  });

  it('gives the macros to every stage, but those of a message only within it', async () => {
    await using talk = await talkTo({ macros: ['j', 'i', '{auth_authen}'] });
    const macros = { j: 'mx.test', i: '4XyZ', '{auth_authen}': 'ann' };
    await talk.mta.sendMessage(MESSAGE, { ...ENVELOPE, macros });
    const seen = new Map((await talk.filter.events()).map((event) => [event.stage, event.macros]));
    expect(seen.get('connect')).toEqual({ j: 'mx.test', i: null, '{auth_authen}': null });
    expect(seen.get('envfrom')).toEqual(macros);
    expect(seen.get('eom')).toEqual(macros);
  });
});
