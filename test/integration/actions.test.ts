import { describe, expect, it } from 'vitest';
import { type Message, Milter, SMFIF, SMFIP } from '../../lib/index.ts';
import { type Action, fakeSession, type Stage } from '../../lib/testing/index.ts';
import { EditingAll, editedHeaders, expectedValues } from '../helpers/header-edits.ts';
import { codeOf, ENVELOPE, MESSAGE, playUpTo, serving, thrownBy } from '../helpers/server.ts';

const MESSAGE_STAGES = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'] as const;

/** A filter that acts in `stage`, once a message. */
function actingIn(stage: Stage, act: (message: Message) => void, early = false): typeof Milter {
  class Acting extends Milter {
    static override readonly early = early ? (['header', 'eoh', 'body'] as const) : [];
  }
  Object.defineProperty(Acting.prototype, stage, {
    value(this: Acting) {
      act(this.message);
    },
  });
  return Acting;
}

/** Every kind of action, what libmilter sends for it, and the flag that it needs. */
const ACTIONS: readonly (readonly [string, number, (message: Message) => void, unknown])[] = [
  [
    'addHeader',
    SMFIF.ADDHDRS,
    (message) => message.addHeader('X-Added', 'value'),
    { type: 'addHeader', header: { name: 'X-Added', value: 'value' } },
  ],
  [
    'insertHeader',
    SMFIF.ADDHDRS,
    (message) => message.insertHeader(3, 'X-Inserted', 'value'),
    { type: 'insertHeader', index: 3, header: { name: 'X-Inserted', value: 'value' } },
  ],
  [
    'changeHeader',
    SMFIF.CHGHDRS,
    (message) => message.changeHeader('Subject', 1, 'changed'),
    { type: 'changeHeader', name: 'Subject', occurrence: 1, header: { name: 'Subject', value: 'changed' } },
  ],
  [
    'changeHeader to delete',
    SMFIF.CHGHDRS,
    (message) => message.changeHeader('Subject', 1, null),
    { type: 'changeHeader', name: 'Subject', occurrence: 1, header: null },
  ],
  [
    'changeFrom',
    SMFIF.CHGFROM,
    (message) => message.changeFrom('new@one.test', ['RET=HDRS', 'ENVID=x']),
    { type: 'changeFrom', address: '<new@one.test>', parameters: ['RET=HDRS', 'ENVID=x'] },
  ],
  [
    'addRcpt',
    SMFIF.ADDRCPT,
    (message) => message.addRcpt('<extra@two.test>'),
    { type: 'addRcpt', address: '<extra@two.test>', parameters: [] },
  ],
  [
    'addRcpt with parameters',
    SMFIF.ADDRCPT_PAR,
    (message) => message.addRcpt('extra@two.test', ['NOTIFY=NEVER']),
    { type: 'addRcpt', address: '<extra@two.test>', parameters: ['NOTIFY=NEVER'] },
  ],
  [
    'deleteRcpt',
    SMFIF.DELRCPT,
    (message) => message.deleteRcpt('bob@two.test'),
    { type: 'deleteRcpt', address: '<bob@two.test>' },
  ],
  [
    'replaceBody',
    SMFIF.CHGBODY,
    (message) => message.replaceBody('new body\r\n'),
    { type: 'replaceBody', body: Buffer.from('new body\r\n'), contiguous: true },
  ],
  [
    'quarantine',
    SMFIF.QUARANTINE,
    (message) => message.quarantine('looks odd'),
    { type: 'quarantine', reason: 'looks odd' },
  ],
];

describe.each(ACTIONS)('%s', (_, bit, act, expected) => {
  it('is applied at end of message, whichever stage records it', async () => {
    for (const early of [false, true]) {
      for (const stage of MESSAGE_STAGES) {
        await using t = await serving(actingIn(stage, act, early));
        const mta = await t.mta();
        await playUpTo(mta, 'body');
        expect(await mta.eom(), stage).toMatchObject({ verdict: 'continue', actions: [expected] });
      }
    }
  });

  it('is refused where it is written if the MTA did not grant it', async () => {
    const codes: (string | undefined)[] = [];
    for (const stage of ['envfrom', 'eom'] as const) {
      await using t = await serving(actingIn(stage, (message) => codes.push(codeOf(() => act(message)))));
      const mta = await t.mta({ actions: 0x1ff & ~bit });
      await playUpTo(mta, 'body');
      expect(await mta.eom()).toMatchObject({ verdict: 'continue', actions: [] });
    }
    expect(codes).toEqual(['ERR_MILTER_NOT_GRANTED', 'ERR_MILTER_NOT_GRANTED']);
  });
});

describe('a header that is written', () => {
  const WRITES = (message: Message): void => {
    message.addHeader('X-Text', 'text');
    message.addHeader('X-Bytes', Buffer.from('bytes'));
    message.addHeader('X-Empty', '');
    message.insertHeader(0, 'X-Text', 'text');
    message.insertHeader(0, 'X-Bytes', Buffer.from('\tbytes'));
    message.changeHeader('Subject', 1, '');
    message.changeHeader('Subject', 2, Buffer.from('bytes'));
    message.changeHeader('Subject', 3, Buffer.alloc(0));
  };
  const raw = (actions: readonly Action[]): string[] =>
    actions.map((action) =>
      'header' in action ? `${action.header?.name}:${action.header?.raw}` : action.type,
    );

  it('has one space before text and bytes verbatim where leading spaces are kept', async () => {
    await using t = await serving(actingIn('eom', WRITES));
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    expect(raw((await mta.eom()).actions)).toEqual([
      'Subject: ',
      'Subject:bytes',
      // Not a byte would be a deletion.
      'Subject: ',
      'X-Text: text',
      'X-Bytes:bytes',
      'X-Empty: ',
      'X-Text: text',
      'X-Bytes:\tbytes',
    ]);
  });

  it('leaves the space to an MTA that puts it there itself', async () => {
    await using t = await serving(actingIn('eom', (message) => message.addHeader('X-Text', 'text')));
    const mta = await t.mta({ steps: 0x1fffff & ~SMFIP.HDR_LEADSPC });
    await playUpTo(mta, 'body');
    expect(raw((await mta.eom()).actions)).toEqual(['X-Text: text']);
    expect(mta.negotiated.steps & SMFIP.HDR_LEADSPC).toBe(0);
  });

  it('may be folded, 8-bit, or no UTF-8 at all', async () => {
    const value = Buffer.from('one\n\ttwo\n three \xff\xfe grüße', 'latin1');
    await using t = await serving(actingIn('eom', (message) => message.addHeader('X-Odd', value)));
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    expect((await mta.eom()).actions).toMatchObject([{ header: { raw: value } }]);
  });

  it('is a copy: what the filter does to its bytes later does not show', async () => {
    const bytes = Buffer.from(' before');
    await using t = await serving(
      actingIn('eom', (message) => {
        message.addHeader('X-Copied', bytes);
        message.replaceBody(bytes);
        bytes.fill('!');
      }),
    );
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    expect((await mta.eom()).actions).toMatchObject([
      { header: { value: 'before' } },
      { body: Buffer.from(' before') },
    ]);
  });
});

describe('text that would smuggle something', () => {
  const BAD = ['a\0b', 'a\rb', 'a\nb', 'a\r\nb', '\n', 'end\n', 'end\r'];
  const WHERE: readonly (readonly [string, (message: Message, text: string) => void])[] = [
    ['addHeader name', (message, text) => message.addHeader(text, 'v')],
    ['addHeader value', (message, text) => message.addHeader('A', text)],
    ['addHeader bytes', (message, text) => message.addHeader('A', Buffer.from(text))],
    ['insertHeader name', (message, text) => message.insertHeader(0, text, 'v')],
    ['insertHeader value', (message, text) => message.insertHeader(0, 'A', text)],
    ['changeHeader name', (message, text) => message.changeHeader(text, 1, 'v')],
    ['changeHeader value', (message, text) => message.changeHeader('A', 1, text)],
    ['changeFrom address', (message, text) => message.changeFrom(text)],
    ['changeFrom parameter', (message, text) => message.changeFrom('a@b', ['RET=HDRS', text])],
    ['addRcpt address', (message, text) => message.addRcpt(text)],
    ['addRcpt parameter', (message, text) => message.addRcpt('a@b', [text])],
    ['deleteRcpt address', (message, text) => message.deleteRcpt(text)],
    ['quarantine reason', (message, text) => message.quarantine(text)],
  ];

  it('throws a TypeError at the call, wherever it is put, and records nothing', async () => {
    const thrown: [string, string, unknown][] = [];
    await using t = await serving(
      actingIn('eom', (message) => {
        for (const [where, put] of WHERE) {
          for (const text of BAD) thrown.push([where, text, thrownBy(() => put(message, text))]);
        }
      }),
    );
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    expect(await mta.eom()).toMatchObject({ verdict: 'continue', actions: [] });
    const notRefused = thrown.filter(([, , error]) => !(error instanceof TypeError));
    expect(notRefused.map(([where, text]) => [where, text])).toEqual([]);
    expect(new Set(thrown.map(([, , error]) => (error as { code?: string }).code))).toEqual(
      new Set(['ERR_MILTER_ARGUMENT']),
    );
  });
});

describe('the order of the replay', () => {
  it('is one that no MTA stumbles over, whatever the order of the calls', async () => {
    await using t = await serving(
      actingIn('eom', (message) => {
        message.replaceBody('body');
        message.quarantine('why');
        message.addRcpt('new@two.test');
        message.deleteRcpt('<bob@two.test>');
        message.changeFrom('');
        message.addHeader('X-1', 'a');
        message.insertHeader(0, 'X-2', 'b');
        message.changeHeader('X-Old', 1, null);
        message.changeHeader('X-Old', 3, null);
        message.changeHeader('X-Old', 2, 'changed');
      }),
    );
    const mta = await t.mta();
    const result = await mta.sendMessage(MESSAGE, ENVELOPE);
    expect(result.message).toMatchObject({
      sender: '<>',
      recipients: ['<new@two.test>'],
      quarantine: 'why',
      body: Buffer.from('body'),
    });
    expect([...result.message.headers].map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'X-2: b',
      'Subject: hello',
      'X-Old: changed',
      'X-1: a',
    ]);
  });

  it('is changed values, deletions by falling occurrence, new headers, envelope, quarantine, body', async () => {
    await using t = await serving(
      actingIn('eom', (message) => {
        message.replaceBody('first');
        message.addRcpt('c@two.test');
        message.deleteRcpt('b@two.test');
        message.quarantine('why');
        message.changeFrom('d@two.test');
        message.addHeader('X-1', 'a');
        message.insertHeader(0, 'X-2', 'b');
        for (const occurrence of [1, 3, 2]) message.changeHeader('X-Old', occurrence, null);
        message.changeHeader('Subject', 1, 'new');
        message.replaceBody('second');
      }),
    );
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    const { actions } = await mta.eom();
    expect(
      actions.map((action) => [action.type, 'occurrence' in action ? action.occurrence : undefined]),
    ).toEqual([
      ['changeHeader', 1],
      ['changeHeader', 3],
      ['changeHeader', 2],
      ['changeHeader', 1],
      ['addHeader', undefined],
      ['insertHeader', undefined],
      ['changeFrom', undefined],
      ['deleteRcpt', undefined],
      ['addRcpt', undefined],
      ['quarantine', undefined],
      ['replaceBody', undefined],
    ]);
    expect(actions.at(-1)).toMatchObject({ body: Buffer.from('second') });
  });

  it('adds each header that is changed beyond the last one', async () => {
    await using t = await serving(
      actingIn('eom', (message) => {
        message.changeHeader('Subject', 4, 'fourth');
        message.changeHeader('Subject', 2, 'second');
      }),
    );
    await using mta = await t.mta();
    const { message } = await mta.sendMessage('Subject: first\r\n\r\nx\r\n', ENVELOPE);
    expect(message.headers.map(({ value }) => value)).toEqual(['first', 'second', 'fourth']);
  });

  it.each(['a socket', 'a fake session'])(
    'takes each edit for the occurrence as received, over %s',
    async (over) => {
      await using t = await serving(EditingAll);
      await using mta = over === 'a socket' ? await t.mta() : await fakeSession(EditingAll);
      const { message } = await mta.sendMessage(`${editedHeaders.join('\r\n')}\r\n\r\nx\r\n`, ENVELOPE);
      const values = [...expectedValues.keys()].map((name) => [
        name,
        message.headers.filter((header) => header.name === name).map(({ value }) => value),
      ]);
      expect(values).toEqual([...expectedValues]);
    },
  );

  it('lets the last word count for one occurrence, in any letter case', async () => {
    await using t = await serving(
      actingIn('eom', (message) => {
        message.changeHeader('Subject', 1, 'first');
        message.changeHeader('SUBJECT', 1, null);
        message.changeHeader('subject', 1, 'last');
        message.changeHeader('X-Old', 1, 'gone');
        message.changeHeader('x-old', 1, null);
      }),
    );
    const mta = await t.mta();
    const { message } = await mta.sendMessage(MESSAGE, ENVELOPE);
    expect(message.headers.map(({ value }) => value)).toEqual(['last', 'two', 'three']);
  });

  it('deletes all of several headers of one name', async () => {
    await using t = await serving(
      actingIn('eom', (message) => {
        for (const [i] of message.headers.getAll('x-old').entries())
          message.changeHeader('X-Old', i + 1, null);
      }),
    );
    const { message } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(message.headers.map(({ name }) => name)).toEqual(['Subject']);
  });

  it('sends a body of megabytes in one uninterrupted run', async () => {
    const body = Buffer.alloc(3_000_000, 'abc');
    await using t = await serving(
      actingIn('eom', (message) => {
        message.replaceBody(body);
        message.addHeader('X-After', 'body');
      }),
    );
    const result = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(result.verdict).toBe('continue');
    expect(result.message.body.equals(body)).toBe(true);
  });

  it('can make the body empty', async () => {
    await using t = await serving(actingIn('eom', (message) => message.replaceBody('')));
    const { message } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(message.body.length).toBe(0);
  });
});

describe('headers that are read', () => {
  it('are those received, not pending edits', async () => {
    let seen: string[] = [];
    await using t = await serving(
      actingIn('eom', (message) => {
        message.changeHeader('Subject', 1, 'changed');
        message.addHeader('X-New', 'new');
        message.changeHeader('X-Old', 1, null);
        seen = [...message.headers].map(({ name, value }) => `${name}: ${value}`);
      }),
    );
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(seen).toEqual(['Subject: hello', 'X-Old: one', 'X-Old: two', 'X-Old: three']);
  });
});

describe('accept before end of message', () => {
  /** Accepts in `stage`; notes every call. */
  function accepting(stage: Stage, calls: string[], acts: boolean): typeof Milter {
    class Accepting extends Milter {
      static override readonly early = ['header', 'eoh', 'body'] as const;
    }
    for (const name of [...MESSAGE_STAGES, 'abort'] as const) {
      Object.defineProperty(Accepting.prototype, name, {
        value(this: Accepting) {
          calls.push(name);
          if (name !== stage) return undefined;
          if (acts) this.message.addHeader('X-Accepted-In', stage);
          return 'accept';
        },
      });
    }
    return Accepting;
  }

  it.each(MESSAGE_STAGES.slice(0, -1))(
    'in %s with actions recorded goes on without the filter, applies them, and then accepts',
    async (stage) => {
      const calls: string[] = [];
      await using t = await serving(accepting(stage, calls, true));
      const mta = await t.mta();
      expect(await playUpTo(mta, 'body')).toEqual({ verdict: 'continue' });
      expect(await mta.eom()).toMatchObject({
        verdict: 'accept',
        actions: [{ type: 'addHeader', header: { name: 'X-Accepted-In', value: stage } }],
      });
      expect(calls).toEqual(MESSAGE_STAGES.slice(0, MESSAGE_STAGES.indexOf(stage) + 1));
      // And the next message is heard of again.
      calls.length = 0;
      await mta.envfrom('<next@one.test>');
      expect(calls).toEqual(['envfrom']);
      await mta.abort();
    },
  );

  it.each(MESSAGE_STAGES)('in %s without actions is passed on at once', async (stage) => {
    const calls: string[] = [];
    await using t = await serving(accepting(stage, calls, false));
    const mta = await t.mta();
    expect((await playUpTo(mta, stage)).verdict).toBe('accept');
    expect(calls).toEqual(MESSAGE_STAGES.slice(0, MESSAGE_STAGES.indexOf(stage) + 1));
  });

  it.each(['header', 'eoh', 'body'] as const)(
    'in a late %s applies them too, and eom is not called',
    async (stage) => {
      const calls: string[] = [];
      class Late extends accepting(stage, calls, true) {
        static override readonly early = [];
      }
      await using t = await serving(Late);
      const mta = await t.mta();
      await playUpTo(mta, 'body');
      expect(await mta.eom()).toMatchObject({ verdict: 'accept', actions: [{ header: { value: stage } }] });
      expect(calls.at(-1)).toBe(stage);
    },
  );

  it('with actions recorded and then RSET, the actions are gone and abort() is not called', async () => {
    const calls: string[] = [];
    await using t = await serving(accepting('envfrom', calls, true));
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.abort();
    await mta.quit();
    await t.idle();
    expect(calls).toEqual(['envfrom']);
  });
});

describe.each(['reject', 'tempfail', 'discard'] as const)('%s', (word) => {
  it('drops the actions of the message', async () => {
    class Dropping extends Milter {
      override envfrom() {
        this.message.addHeader('X-Dropped', 'yes');
        this.message.addRcpt('extra@two.test');
      }
      override eom() {
        this.message.addHeader('X-Dropped', 'yes');
        return word;
      }
    }
    await using t = await serving(Dropping);
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    expect(await mta.eom()).toMatchObject({ verdict: word, actions: [] });
  });
});

describe('an action', () => {
  it('recorded in envrcpt stays when that recipient is refused', async () => {
    class Refusing extends Milter {
      override envrcpt(recipient: string) {
        this.message.addHeader('X-Rcpt', recipient);
        return recipient === '<no@two.test>' ? 'reject' : undefined;
      }
    }
    await using t = await serving(Refusing);
    const result = await (await t.mta()).sendMessage(MESSAGE, {
      sender: '<a@one.test>',
      recipients: ['<no@two.test>', '<yes@two.test>'],
    });
    const added = result.message.headers.filter(({ name }) => name === 'X-Rcpt');
    expect(added.map(({ value }) => value)).toEqual(['<no@two.test>', '<yes@two.test>']);
  });

  it('that is too large for a packet is refused at the call', async () => {
    const errors: unknown[] = [];
    await using t = await serving(
      actingIn('eom', (message) => {
        errors.push(thrownBy(() => message.addHeader('X-Long', 'x'.repeat(65_600))));
        message.addHeader('X-Long', 'x'.repeat(65_000));
      }),
    );
    const { message } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(errors).toEqual([expect.any(TypeError)]);
    expect(message.headers.at(-1)?.value.length).toBe(65_000);
  });
});
