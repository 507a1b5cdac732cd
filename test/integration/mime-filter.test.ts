import { describe, expect, it } from 'vitest';
import { type Message, Milter, type MilterClass, MilterError, SMFIF, SMFIP } from '../../lib/index.ts';
import type { MimeMessage } from '../../lib/mime/index.ts';
import type { ConnectOptions, MessageResult } from '../../lib/testing/index.ts';
import { ENVELOPE, playUpTo, serving, type TestServer } from '../helpers/server.ts';

const TYPE = 'multipart/mixed;\r\n\tboundary=b';
const HEAD = `Received: one\r\nReceived: two\r\nSubject:  odd  spaces\r\nX-Raw:caf\xe9\r\nContent-Type: ${TYPE}\r\n\r\n`;
const BODY = [
  'preamble \xff without a line end at its end--b',
  '--b',
  'Content-Type: text/plain; charset=iso-8859-1  ',
  '',
  'caf\xe9 \t ',
  '--b  ',
  'content-TYPE: application/octet-stream; name="game.exe"',
  'Content-Transfer-Encoding: base64',
  '',
  'TVqQ',
  'AAMA',
  '--b--',
  'epilogue',
].join('\r\n');
const MAIL = Buffer.from(`${HEAD}${BODY}`, 'latin1');

/** A filter that edits the tree in eom. */
function editing(
  edit: (tree: MimeMessage, message: Message) => unknown,
  answer?: 'continue' | 'accept' | 'reject' | 'discard' | 'tempfail',
): MilterClass {
  return class Editing extends Milter {
    override async eom() {
      await edit(await this.message.mime(), this.message);
      return answer;
    }
  };
}

const editHeader = ({ root }: MimeMessage): void => root.headers.set('X-Raw', 'new');
const editBody = ({ root }: MimeMessage): void => root.children[0]?.replaceContent('new');

/** The actions that come of the mail, with bytes as text of one character each. */
async function actionsOf(
  filter: MilterClass,
  options?: ConnectOptions,
): Promise<{ verdict: string; actions: readonly string[] }> {
  await using t = await serving(filter);
  return await play(t, options);
}

async function play(t: TestServer, options?: ConnectOptions, body = BODY) {
  await using mta = await t.mta(options);
  await mta.envfrom(ENVELOPE.sender);
  await mta.envrcpt(ENVELOPE.recipients[0]);
  await mta.data();
  for (const field of HEAD.trimEnd().split(/\r\n(?![\t])/)) {
    const colon = field.indexOf(':');
    const raw = Buffer.from(field.slice(colon + 1).replaceAll('\r\n', '\n'), 'latin1');
    await mta.header(field.slice(0, colon), raw);
  }
  await mta.eoh();
  await mta.body(Buffer.from(body, 'latin1'));
  const { verdict, actions } = await mta.eom();
  const shown = actions.map((action) => {
    if (action.type === 'replaceBody') return `body ${action.body.toString('latin1')}`;
    if (action.type === 'addHeader')
      return `add ${action.header.name}:${action.header.raw.toString('latin1')}`;
    if (action.type !== 'changeHeader') return action.type;
    const { name, occurrence, header } = action;
    return `${name} ${occurrence}:${header?.raw.toString('latin1') ?? ' deleted'}`;
  });
  return { verdict, actions: shown };
}

/** The mail as it would be delivered. */
async function delivered(filter: MilterClass): Promise<MessageResult> {
  await using t = await serving(filter);
  await using mta = await t.mta();
  return await mta.sendMessage(MAIL, ENVELOPE);
}

/** The codes of what was wrong with handlers, as the server logged it. */
function faults(t: TestServer): readonly unknown[] {
  return t.log.map(({ fields: { error } }) => (error instanceof MilterError ? error.code : error));
}

describe('the tree of message.mime()', () => {
  it('is the message as received, and asks for nothing while nothing is edited', async () => {
    let seen: unknown;
    const reading = editing((tree) => {
      seen = tree.toBytes().toString('latin1');
      for (const part of tree.parts()) part.content();
    });
    expect(await actionsOf(reading)).toEqual({ verdict: 'continue', actions: [] });
    expect(seen).toBe(MAIL.toString('latin1'));
    expect((await delivered(reading)).message.toBytes().equals(MAIL)).toBe(true);
  });

  it('becomes header changes alone when fields alone are edited', async () => {
    const { actions } = await actionsOf(
      editing(({ root: { headers } }) => {
        headers.set('subject', 'new\r\n folded');
        headers.remove('Received');
        headers.set('X-Raw', Buffer.from('\xff', 'latin1'));
        headers.add('X-New', 'caf\u00e9');
        headers.add('X-New', '');
      }),
    );
    expect(actions).toEqual(
      [
        'Subject 1: new\n folded',
        'X-Raw 1:\xff',
        'Received 2: deleted',
        'Received 1: deleted',
        'X-New 1: caf\xc3\xa9',
        'X-New 1: ',
      ].map((action) => action.replace(/^X-New 1/, 'add X-New')),
    );
  });

  it('becomes a new body alone when a part is edited, in which every other byte is as it was', async () => {
    const { verdict, message } = await delivered(
      editing(({ root }) => root.children[1]?.replaceContent('harmless')),
    );
    expect(verdict).toBe('continue');
    expect(message.toBytes().toString('latin1')).toBe(
      MAIL.toString('latin1').replace('TVqQ\r\nAAMA', Buffer.from('harmless').toString('base64')),
    );
  });

  it('changes fields and body together where an edit takes both', async () => {
    const { message } = await delivered(editing(({ root }) => root.wrap().headers.set('X-Inner', 'yes')));
    expect(message.headers.map(({ name }) => name)).toEqual([
      'Received',
      'Received',
      'Subject',
      'X-Raw',
      'Content-Type',
      'MIME-Version',
    ]);
    expect(message.headers[4]?.value).not.toContain('boundary=b');
    expect(message.body.toString('latin1')).toContain(`Content-Type: ${TYPE}\r\nX-Inner: yes\r\n\r\n${BODY}`);
  });

  it('asks for nothing when what was edited is set back', async () => {
    const back = editing(({ root: { headers } }) => {
      headers.set('X-Raw', 'new');
      headers.set('X-Raw', Buffer.from('caf\xe9', 'latin1'));
    });
    expect(await actionsOf(back)).toEqual({ verdict: 'continue', actions: [] });
  });

  it('is the same at every call', async () => {
    const same: unknown[] = [];
    const { actions } = await actionsOf(
      class extends Milter {
        override async eom() {
          const [first, second] = await Promise.all([this.message.mime(), this.message.mime()]);
          editHeader(first);
          same.push(first === second, first === (await this.message.mime()));
        }
      },
    );
    expect(same).toEqual([true, true]);
    expect(actions).toEqual(['X-Raw 1: new']);
  });

  it('is a new one for every message of a connection', async () => {
    let messages = 0;
    await using t = await serving(
      editing(({ root }) => {
        if (messages++ === 0) root.headers.add('X-First', 'yes');
      }),
    );
    await using mta = await t.mta();
    const results = [await mta.sendMessage(MAIL, ENVELOPE), await mta.sendMessage(MAIL, ENVELOPE)];
    expect(results.map(({ message }) => message.headers.at(-1)?.name)).toEqual(['X-First', 'Content-Type']);
  });

  it('goes with other actions, which keep their order', async () => {
    const { actions } = await actionsOf(
      editing((tree, message) => {
        editBody(tree);
        editHeader(tree);
        message.changeHeader('Received', 1, 'changed');
        message.quarantine('odd');
      }),
    );
    expect(actions.map((action) => action.slice(0, 12))).toEqual([
      'Received 1: ',
      'X-Raw 1: new',
      'quarantine',
      'body preambl',
    ]);
  });

  it('writes fields so that each has its one space from an MTA that puts it there itself', async () => {
    const { actions } = await actionsOf(
      editing(({ root: { headers } }) => {
        headers.set('Subject', 'text');
        headers.set('X-Raw', Buffer.from('bytes'));
        headers.add('X-Two', Buffer.from('  two'));
        headers.add('X-None', '');
      }),
      { steps: 0xfffff & ~SMFIP.HDR_LEADSPC },
    );
    // What this MTA adds is the first space of each.
    expect(actions).toEqual(['Subject 1: text', 'X-Raw 1: bytes', 'add X-Two:  two', 'add X-None:  ']);
  });

  it('is unchanged by a body that comes without its leading spaces', async () => {
    const untouched = editing(() => {});
    expect(await actionsOf(untouched, { steps: 0 })).toEqual({ verdict: 'continue', actions: [] });
  });
});

describe('edits', () => {
  it.each(['continue', 'accept'] as const)('are sent with %s', async (answer) => {
    const { verdict, actions } = await actionsOf(editing(editHeader, answer));
    expect([verdict, actions]).toEqual([answer, ['X-Raw 1: new']]);
  });

  it.each(['reject', 'discard', 'tempfail'] as const)('are dropped with %s', async (answer) => {
    expect(await actionsOf(editing(editHeader, answer))).toEqual({ verdict: answer, actions: [] });
  });

  it.each(['tempfail', 'continue', 'accept'] as const)(
    'of a handler that fails are dropped, also where failures are answered with %s',
    async (onError) => {
      class Failing extends Milter {
        static override readonly onError = onError;
        override async eom() {
          editHeader(await this.message.mime());
          this.message.addHeader('X-Before', 'yes');
          throw new Error('on purpose');
        }
      }
      expect(await actionsOf(Failing)).toEqual({ verdict: onError, actions: [] });
    },
  );

  it('made after a handler returned are too late', async () => {
    let outcome: unknown;
    class Hasty extends Milter {
      override eom() {
        outcome = this.message
          .mime()
          .then(editHeader)
          .catch((error: MilterError) => error.code);
        return 'accept' as const;
      }
    }
    expect(await actionsOf(Hasty)).toEqual({ verdict: 'accept', actions: [] });
    expect(await outcome).toBe('ERR_MILTER_MESSAGE_ENDED');
  });

  it('are made behind late handlers of header and body', async () => {
    const heard: string[] = [];
    class Late extends editing(editBody) {
      override header() {
        heard.push('header');
      }
      override body() {
        heard.push('body');
      }
    }
    const { actions } = await actionsOf(Late);
    expect(heard).toEqual([...Array(5).fill('header'), 'body']);
    expect(actions).toEqual([`body ${BODY.replace('caf\xe9 \t ', 'new')}`]);
  });

  it('that the MTA does not allow fail the handler, and none of them is made', async () => {
    await using t = await serving(
      editing((tree) => {
        editHeader(tree);
        editBody(tree);
      }),
    );
    expect(await play(t, { actions: 0x1ff & ~SMFIF.CHGBODY })).toEqual({ verdict: 'tempfail', actions: [] });
    expect(faults(t)).toEqual(['ERR_MILTER_NOT_GRANTED']);
  });
});

describe('edits and replaceBody by one filter', () => {
  const code = 'ERR_MILTER_BODY_CONFLICT';

  it('exclude each other: replaceBody throws after an edit', async () => {
    let thrown: unknown;
    const { actions } = await actionsOf(
      editing((tree, message) => {
        editHeader(tree);
        try {
          message.replaceBody('new');
        } catch (error) {
          thrown = error;
        }
      }),
    );
    expect(thrown).toMatchObject({ name: 'MilterError', code });
    expect(actions).toEqual(['X-Raw 1: new']);
  });

  it('exclude each other: mime() throws after replaceBody, whichever stage that was in', async () => {
    for (const stage of ['envfrom', 'eom'] as const) {
      let thrown: unknown;
      class Both extends Milter {
        override envfrom() {
          if (stage === 'envfrom') this.message.replaceBody('new');
        }
        override async eom() {
          if (stage === 'eom') this.message.replaceBody('new');
          await this.message.mime().catch((error: unknown) => {
            thrown = error;
          });
        }
      }
      expect((await actionsOf(Both)).actions).toEqual(['body new']);
      expect(thrown).toMatchObject({ name: 'MilterError', code });
    }
  });

  it('exclude each other: an edit after both calls fails the handler', async () => {
    await using t = await serving(
      editing((tree, message) => {
        message.replaceBody('new');
        editBody(tree);
      }),
    );
    expect(await play(t)).toEqual({ verdict: 'tempfail', actions: [] });
    expect(faults(t)).toEqual([code]);
  });

  it('do not meet where the tree is only read', async () => {
    const reading = editing(({ root }, message) => message.replaceBody(root.children[0]?.content() ?? ''));
    expect((await actionsOf(reading)).actions).toEqual(['body caf\xe9 \t ']);
  });
});

describe('a message that is not whole', () => {
  const code = 'ERR_MILTER_BODY_INCOMPLETE';
  const noting = (codes: unknown[]): MilterClass =>
    class Noting extends Milter {
      override async eom() {
        codes.push(
          await this.message.mime().then(
            () => 'tree',
            (error: unknown) => (error as MilterError).code,
          ),
        );
      }
    };

  it('has no tree beyond maxBody', async () => {
    const codes: unknown[] = [];
    await using t = await serving(noting(codes), { maxBody: 1_000 });
    await play(t, {}, 'x'.repeat(1_001));
    await play(t);
    expect(codes).toEqual([code, 'tree']);
  });

  it('has no tree after an early skip', async () => {
    const codes: unknown[] = [];
    class Skipping extends noting(codes) {
      static override readonly early = ['body'] as const;
      override body() {
        return 'skip' as const;
      }
    }
    await actionsOf(Skipping);
    expect(codes).toEqual([code]);
  });

  it("has no tree with static body = 'none', also where the MTA sends the body all the same", async () => {
    const codes: unknown[] = [];
    class Bodiless extends noting(codes) {
      static override readonly body = 'none';
    }
    await actionsOf(Bodiless);
    await actionsOf(Bodiless, { steps: SMFIP.NOHELO });
    expect(codes).toEqual([code, code]);
  });

  it('has no tree before eom, nor in abort', async () => {
    const codes: unknown[] = [];
    const stages = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'abort'] as const;
    class Early extends Milter {
      static override readonly early = ['header', 'eoh', 'body'] as const;
    }
    for (const stage of stages) {
      Object.defineProperty(Early.prototype, stage, {
        async value(this: Milter) {
          await this.message.mime().catch((error: MilterError) => codes.push(error.code));
        },
      });
    }
    await using t = await serving(Early);
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    await mta.abort();
    await mta.quit();
    await t.idle();
    expect(codes).toEqual([...Array(6).fill(code), 'ERR_MILTER_MESSAGE_ENDED']);
  });

  it('ends at its deadline: no tree after that', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    class Slow extends Milter {
      override async eom() {
        const { signal } = this.message;
        await new Promise((ended) => signal.addEventListener('abort', ended));
        resolve(await this.message.mime().catch((error: MilterError) => error.code));
      }
    }
    await using t = await serving(Slow, { deadlines: { eom: 50 } });
    expect(await play(t)).toEqual({ verdict: 'tempfail', actions: [] });
    expect(await promise).toBe('ERR_MILTER_MESSAGE_ENDED');
  });
});
