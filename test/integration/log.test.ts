/** What the server logs of messages, and what filters log themselves. */
import { describe, expect, it } from 'vitest';
import { compose, Milter, type MilterClass, reject, tempfail } from '../../lib/index.ts';
import type { SendOptions } from '../../lib/testing/index.ts';
import { ENVELOPE, gate, type LogLine, MESSAGE, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** What is logged of a message, but for `session`, which must be that of the connection. */
async function loggedOf(
  filter: MilterClass,
  options: Partial<SendOptions> = {},
): Promise<readonly { readonly level: string; readonly message: string; readonly fields: object }[]> {
  await using t = await serving(filter, { logVerdicts: true, deadlines: { data: 50 } });
  const mta = await t.mta();
  await mta.sendMessage(MESSAGE, { ...ENVELOPE, macros: { i: 'Q7' }, ...options });
  await mta.quit();
  await t.idle();
  return t.log.map(({ level, message, fields: { session, ...fields } }) => {
    expect(session).toBe(1);
    return {
      level,
      message,
      fields: Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)),
    };
  });
}

const MESSAGE_FIELDS = { queueId: 'Q7', sender: '<ann@one.test>' };

describe('with logVerdicts the server logs', () => {
  it.each<readonly [string, MilterClass, string, object]>([
    [
      'a rejection with its reply',
      class Gate extends Milter {
        override eom() {
          return reject(550, '5.7.1', 'no', 'never');
        }
      },
      'message rejected',
      { stage: 'eom', verdict: 'reject', reply: '550 5.7.1 no / never', filter: 'Gate' },
    ],
    [
      'a late rejection at its stage',
      class Gate extends Milter {
        override header() {
          return 'reject' as const;
        }
      },
      'message rejected',
      { stage: 'eom', verdict: 'reject', filter: 'Gate' },
    ],
    [
      'a tempfail',
      class Gate extends Milter {
        override envfrom() {
          return tempfail(451, null, 'later');
        }
      },
      'message told to try later',
      { stage: 'envfrom', verdict: 'tempfail', reply: '451 later', filter: 'Gate' },
    ],
    [
      'a discarded message',
      class Gate extends Milter {
        override data() {
          return 'discard' as const;
        }
      },
      'message discarded',
      { stage: 'data', verdict: 'discard', filter: 'Gate' },
    ],
    [
      'a message that is held',
      class Gate extends Milter {
        override eom() {
          this.message.quarantine('looks odd');
        }
      },
      'message quarantined',
      { reason: 'looks odd' },
    ],
    [
      'a message that is held although it was accepted early',
      class Gate extends Milter {
        override envfrom() {
          this.message.quarantine('looks odd');
          return 'accept' as const;
        }
      },
      'message quarantined',
      { reason: 'looks odd' },
    ],
    [
      'the member of a composed filter that had the word',
      compose(
        class Quiet extends Milter {
          override eom() {}
        },
        class Gate extends Milter {
          override eom() {
            return 'reject' as const;
          }
        },
      ),
      'message rejected',
      { stage: 'eom', verdict: 'reject', filter: 'Gate' },
    ],
  ])('%s', async (_, filter, message, fields) => {
    expect(await loggedOf(filter)).toEqual([
      { level: 'info', message, fields: { ...MESSAGE_FIELDS, ...fields } },
    ]);
  });

  class Recipients extends Milter {
    override envrcpt(recipient: string) {
      if (recipient === '<no@two.test>') return reject(550, '5.1.1', 'Nobody');
      return recipient === '<later@two.test>' ? 'tempfail' : 'continue';
    }
  }
  const refused = ['<no@two.test> reject 550 5.1.1 Nobody', '<later@two.test> tempfail'];

  it.each([
    ['of a message that passes', ['bob@two.test']],
    ['of a message that has no other', []],
  ])('the recipients refused, in one line: %s', async (_, others) => {
    const recipients = ['no@two.test', ...others, 'later@two.test'];
    expect(await loggedOf(Recipients, { recipients })).toEqual([
      { level: 'info', message: 'recipients refused', fields: { ...MESSAGE_FIELDS, refused } },
    ]);
  });

  it('a connection that is refused', async () => {
    class Gate extends Milter {
      override helo(name: string) {
        return name === 'localhost' ? reject(550, null, 'who?') : 'continue';
      }
    }
    expect(await loggedOf(Gate)).toEqual([
      {
        level: 'info',
        message: 'connection rejected',
        fields: { stage: 'helo', verdict: 'reject', reply: '550 who?', filter: 'Gate' },
      },
    ]);
  });

  it('what was answered for a handler that failed or was late', async () => {
    class Failing extends Milter {
      override envfrom(): never {
        throw new Error('broken');
      }
    }
    class Late extends Milter {
      override async data() {
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    }
    const reply = '451 4.3.0 Mail filter failed, please try again later';
    for (const [filter, stage] of [
      [Failing, 'envfrom'],
      [Late, 'data'],
    ] as const) {
      expect(await loggedOf(filter)).toMatchObject([
        { level: 'error', fields: { stage } },
        {
          level: 'info',
          message: 'message told to try later',
          fields: { stage, verdict: 'tempfail', reply },
        },
      ]);
    }
  });

  it('nothing of what just passes or is only changed', async () => {
    class Passing extends Milter {
      override envrcpt() {
        return 'continue' as const;
      }
      override eom() {
        this.message.addHeader('X-Seen', 'yes');
        return this.message.sender === '<a@b>' ? ('accept' as const) : undefined;
      }
    }
    expect(await loggedOf(Passing)).toEqual([]);
    expect(await loggedOf(Passing, { sender: 'a@b' })).toEqual([]);
  });
});

it('without logVerdicts the server logs no verdict', async () => {
  class Gate extends Milter {
    override eom() {
      return 'reject' as const;
    }
  }
  await using t = await serving(Gate);
  expect(await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).toMatchObject({ verdict: 'reject' });
  expect(t.log).toEqual([]);
});

describe('this.log', () => {
  it('is the server’s logger with session and queue id, in every member', async () => {
    class First extends Milter {
      override connect() {
        this.log.debug({ at: 'connect' }, 'first');
      }
      override envfrom() {
        this.log.info({ at: 'envfrom' }, 'first');
      }
    }
    class Second extends Milter {
      override eom() {
        this.log.warn({ at: 'eom', queueId: 'mine' }, 'second');
        this.log.error({ at: 'eom' }, 'second');
      }
      override close() {
        this.log.info({ at: 'close' }, 'second');
      }
    }
    await using t = await serving(compose(First, Second));
    const mta = await t.mta();
    for (const i of ['Q1', 'Q2']) await mta.sendMessage(MESSAGE, { ...ENVELOPE, macros: { i } });
    await mta.quit();
    await t.idle();
    const line = (level: LogLine['level'], message: string, queueId: string | undefined, at: string) => ({
      level,
      message,
      fields: { session: 1, queueId, at },
    });
    const ofMessage = (queueId: string) => [
      line('info', 'first', queueId, 'envfrom'),
      line('warn', 'second', 'mine', 'eom'),
      line('error', 'second', queueId, 'eom'),
    ];
    expect(t.log).toEqual([
      line('debug', 'first', undefined, 'connect'),
      ...ofMessage('Q1'),
      ...ofMessage('Q2'),
      line('info', 'second', undefined, 'close'),
    ]);
  });

  it('bears the queue id of the message of a handler that outlived it', async () => {
    const back = gate();
    class Slow extends Milter {
      override async envfrom(sender: string) {
        if (sender === '<b@two.test>') return;
        await back.opened;
        this.log.info({}, 'late');
      }
    }
    await using t = await serving(Slow, { deadlines: { envfrom: 50 } });
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>', [], { i: 'Q1' });
    await mta.envfrom('<b@two.test>', [], { i: 'Q2' });
    back.open();
    const late = await until('the late line', () => t.log.find(({ message }) => message === 'late'));
    expect(late.fields).toEqual({ session: 1, queueId: 'Q1' });
  });
});

describe('close() names the messages that its grace time cuts off', () => {
  it('in a handler, in the middle of one, and not those that had ended', async () => {
    const [entered, hold] = [gate(), gate()];
    class Hanging extends Milter {
      override envfrom() {}
      override envrcpt() {}
      override async eom() {
        if (this.message.queueId !== 'Q1') return;
        entered.open();
        await hold.opened;
      }
    }
    await using t = await serving(Hanging);
    const [hanging, silent, done] = [await t.mta(), await t.mta(), await t.mta()];
    await done.sendMessage(MESSAGE, { ...ENVELOPE, macros: { i: 'Q3' } });
    await silent.envfrom('<silent@one.test>', [], { i: 'Q2' });
    const result = hanging.sendMessage(MESSAGE, { ...ENVELOPE, macros: { i: 'Q1' } });
    await entered.opened;
    await t.server.close({ deadline: 100 });
    expect((await result).verdict).toBe('tempfail');
    hold.open();
    const named = t.log.map(({ level, message, fields }) => [level, message, fields.queueId]);
    const sentence = 'message cut off by the end of the grace time; its sender will try again';
    expect(named.toSorted()).toEqual([
      ['warn', sentence, 'Q1'],
      ['warn', sentence, 'Q2'],
    ]);
    expect(t.log.every(({ fields }) => typeof fields.session === 'number')).toBe(true);
  });
});
