import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  checkConfig,
  ownMailRole,
  parseConfig,
  type Services,
  StoreError,
  send,
} from '../../../../lib/filter/index.ts';
import { Contacts } from '../../../../lib/filter/modules/confirm/contacts.ts';
import { writeOwnMail } from '../../../../lib/filter/outgoing/own-mail.ts';
import { Roles } from '../../../../lib/filter/roles.ts';
import { MemoryBackend } from '../../../../lib/filter/store/memory.ts';
import { parseMessage } from '../../../../lib/mime/index.ts';
import type { MemoryZone } from '../../../../lib/testing/index.ts';
import { faultsOf, type TestFilter, type TestMail, testFilter } from '../../../helpers/filter.ts';
import { mailSink, type SinkAnswer, type SunkMail } from '../../../helpers/mail-sink.ts';
import { until } from '../../../helpers/wait.ts';

const DAY = 86_400_000;
const NOW = Date.UTC(2026, 0, 1);
const OWNER = 'ann@ours.example';
const STRANGER = 'bob@far.example';
const LETTER = `From: Bob <${STRANGER}>\r\nTo: ${OWNER}\r\nSubject: dinner\r\nMessage-ID: <1@far.example>\r\n\r\nhello\r\n`;
const ANSWER = `From: Bob <${STRANGER}>\r\nSubject: Re: Please confirm your message\r\n\r\n\r\n`;
const SAYS = '[[module]]\nuse = "./spf-says.ts"\nresult = "pass"\n';

interface Setting {
  readonly modules?: string;
  readonly options?: string;
  readonly spf?: string;
  readonly answer?: SinkAnswer;
  readonly top?: string;
  readonly outgoing?: boolean;
  readonly zone?: MemoryZone;
}

async function site({
  modules = '',
  options = '',
  spf = SAYS,
  answer,
  top = '',
  outgoing = true,
  zone = {},
}: Setting = {}) {
  const sink = await mailSink(answer);
  const clock = { at: NOW };
  const filter = await testFilter(
    `[[module]]
use = "networks"
domains = ["ours.example"]
${spf}${modules}
[[module]]
use = "known"
[[module]]
use = "confirm"
recipients = ["${OWNER}", "cid@ours.example"]
${options}`,
    {
      zone,
      now: () => clock.at,
      top: `${top}\n${outgoing ? `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\n` : ''}`,
    },
  );
  const send = async (mail: TestMail = {}): Promise<string> => {
    const { message, reply, recipients } = await filter.send({
      sender: STRANGER,
      recipients: [OWNER],
      eml: LETTER,
      ...mail,
    });
    const said = recipients.find((one) => one.reply !== undefined)?.reply ?? reply;
    return said === undefined
      ? message.recipients.map((one) => one.slice(1, -1)).join()
      : `${said.code} ${said.enhanced} ${said.lines.join(' ').replace(/ \[ref .*/, '')}`;
  };
  return {
    filter,
    sink,
    clock,
    send,
    found: async () => ((await filter.last())?.findings ?? []).map(({ name }) => name),
    /** States of what is held. */
    held: async () => {
      const items: string[] = [];
      for await (const { owner, state } of filter.quarantine.held.list()) items.push(`${owner} ${state}`);
      return items.sort();
    },
    /** The questions so far, as soon as there are so many. */
    asked: async (count: number) => {
      await until(`${count} questions`, () => questions(sink.mails).length >= count);
      return questions(sink.mails);
    },
    questions: () => questions(sink.mails),
    [Symbol.asyncDispose]: async () => {
      await filter[Symbol.asyncDispose]();
      await sink[Symbol.asyncDispose]();
    },
  };
}

function questions(mails: readonly SunkMail[]) {
  return mails
    .filter(({ message }) => message.includes('Subject: Please confirm your message'))
    .map(({ sender, recipients, message }) => {
      const { root } = parseMessage(Buffer.from(message, 'latin1'));
      const header = (name: string): string => root.headers.get(name)?.value.trim() ?? '';
      return {
        sender,
        to: recipients[0] ?? '',
        header,
        text: (root.text() ?? '').replaceAll('\r\n', '\n'),
        address: header('From').slice(1, -1),
      };
    });
}

/** What another process works with, beside the module's own. */
function servicesOf(filter: TestFilter): Services {
  const { smtp } = filter.config.settings.outgoing;
  if (smtp === undefined) throw new Error('no mail server');
  const entry = filter.config.modules.find(({ name }) => name === 'confirm');
  if (entry === undefined) throw new Error('no module');
  const roles = new Roles();
  roles.provide(ownMailRole, {
    send: async (mail) =>
      await send(filter.config.settings, {
        sender: '<>',
        recipient: `<${mail.to}>`,
        message: writeOwnMail(mail, filter.config.settings, NOW),
      }),
    link: () => undefined,
  });
  return {
    ...({} as Services),
    store: filter.store.part('confirm'),
    log: filter.logger,
    metrics: filter.metrics,
    now: () => NOW,
    role: (role) => roles.first(role),
  };
}

describe('a first message', () => {
  it('is held, and its sender is asked once, by a mail that no program answers', async () => {
    await using all = await site();
    expect(await all.send()).toBe('');
    expect(await all.held()).toEqual([`${OWNER} held`]);
    const [question] = await all.asked(1);
    expect(question).toMatchObject({ sender: '', to: STRANGER });
    expect(question?.address).toMatch(/^ann\+confirm-[a-z2-7]{24}@ours\.example$/);
    for (const [name, value] of [
      ['To', STRANGER],
      ['Reply-To', `<${question?.address}>`],
      ['Auto-Submitted', 'auto-replied'],
      ['Precedence', 'bulk'],
      ['In-Reply-To', '<1@far.example>'],
      ['X-Milter-Released', ''],
    ] as const)
      expect(question?.header(name)).toBe(value);
    expect(question?.text).toContain('Subject: dinner\n');
    expect(question?.text).toContain('until 2026-01-15');
    // The next one is held too, and nobody is asked again.
    expect(await all.send({ eml: LETTER.replace('dinner', 'lunch') })).toBe('');
    all.clock.at += 29 * DAY;
    expect(await all.send({ eml: LETTER.replace('dinner', 'tea') })).toBe('');
    expect(all.questions()).toHaveLength(1);
    all.clock.at += 2 * DAY;
    await all.send({ eml: LETTER.replace('dinner', 'supper') });
    expect(await all.asked(2)).toHaveLength(2);
  });

  it('comes when the answer does, once, and the sender is known from then on', async () => {
    await using all = await site();
    await all.send();
    await all.send({ eml: LETTER.replace('dinner', 'lunch') });
    const [question] = await all.asked(1);
    const answer = { recipients: [question?.address ?? ''], eml: ANSWER };
    expect(await all.send(answer)).toBe('');
    expect(await all.found()).toContain('confirm-confirmed');
    await until('both', () => all.sink.mails.filter(({ sender }) => sender === STRANGER).length === 2);
    expect(await all.send({ eml: LETTER.replace('dinner', 'now') })).toBe(OWNER);
    expect(await all.found()).toContain('known-known');
    // Again: it confirms nothing any more.
    expect(await all.send(answer)).toBe('');
    expect(await all.found()).toContain('confirm-used');
    expect(all.sink.mails.filter(({ sender }) => sender === STRANGER)).toHaveLength(2);
    // The other who wants it has not met him.
    expect(await all.send({ recipients: ['cid@ours.example'] })).toBe('');
    expect(all.questions()).toHaveLength(1);
  });

  it('of several who want it is asked about once, and comes to all of them', async () => {
    await using all = await site();
    expect(await all.send({ recipients: [OWNER, 'dora@ours.example', 'cid@ours.example'] })).toBe(
      'dora@ours.example',
    );
    const [question] = await all.asked(1);
    expect(question?.text).toContain(`${OWNER}, cid@ours.example`);
    await all.send({ recipients: [question?.address ?? ''], eml: ANSWER });
    await until('both', () => all.sink.mails.filter(({ sender }) => sender === STRANGER).length === 2);
  });

  it('is none from whom our user wrote to, from whom he allows, and for who did not ask', async () => {
    await using all = await site();
    await all.send({ address: '127.0.0.1', sender: OWNER, recipients: [STRANGER] });
    expect(await all.send()).toBe(OWNER);
    expect(await all.send({ sender: 'carl@far.example', recipients: ['dora@ours.example'] })).toBe(
      'dora@ours.example',
    );
    expect(await all.send({ sender: 'dora@ours.example' })).toBe(OWNER);
    expect(all.questions()).toEqual([]);
  });
});

describe('nobody is asked', () => {
  const automatic = (header: string): string => `${header}\r\n${LETTER}`;

  it.each<[string, TestMail]>([
    ['the null sender', { sender: '' }],
    ['a list', { eml: automatic('List-Id: <x.example>') }],
    ['bulk', { eml: automatic('Precedence: bulk') }],
    ['what a program sent', { eml: automatic('Auto-Submitted: auto-generated') }],
    ['what a program answered', { eml: automatic('Auto-Submitted: auto-replied') }],
    ['a report', { eml: automatic('Content-Type: multipart/report; boundary=x') }],
    ['a role', { sender: 'noreply@far.example' }],
    ['a postmaster', { sender: 'postmaster@far.example' }],
    ['whose From is a program', { eml: LETTER.replace('Bob <bob@', 'X <MAILER-DAEMON@') }],
  ])('%s, whose mail comes', async (_, mail) => {
    await using all = await site();
    expect(await all.send(mail)).toBe(OWNER);
    expect(all.questions()).toEqual([]);
  });

  it.each(['fail', 'softfail', 'none'])(
    'whom nobody vouches for (SPF %s), but the mail is held',
    async (result) => {
      await using all = await site({ spf: SAYS.replace('pass', result) });
      expect(await all.send()).toBe('');
      expect(await all.found()).toContain('confirm-unproved');
      expect(await all.held()).toEqual([`${OWNER} held`]);
      expect(all.questions()).toEqual([]);
    },
  );

  it('but where DKIM vouches', async () => {
    await using all = await site({
      spf: SAYS.replace('pass', 'none'),
      modules: '[[module]]\nuse = "./auth-says.ts"\ndkim = ["far.example"]\n',
    });
    expect(await all.send()).toBe('');
    expect(await all.asked(1)).toHaveLength(1);
  });

  it('whose mail looks like spam, or is refused or held anyway', async () => {
    const probe = (what: string) => `[[module]]\nuse = "./probe.ts"\nmessage = "${what}"\n`;
    for (const [what, then] of [
      ['score 5', ''],
      ['reject', '554'],
      ['quarantine', ''],
      ['discard', ''],
    ] as const) {
      await using all = await site({ modules: probe(what) });
      expect((await all.send()).slice(0, 3)).toBe(then);
      expect(all.questions()).toEqual([]);
    }
  });
});

describe('an answer', () => {
  async function asked(setting: Setting = {}) {
    const all = await site(setting);
    await all.send();
    const [question] = await all.asked(1);
    const address = question?.address ?? '';
    const came = (): number => all.sink.mails.filter(({ sender }) => sender === STRANGER).length;
    return { ...all, address, came, answer: { recipients: [address], eml: ANSWER } satisfies TestMail };
  }

  it.each<[string, TestMail, string]>([
    ['of the null sender', { sender: '' }, 'machine'],
    ['of another domain', { sender: 'bob@near.example' }, 'foreign'],
    ['of a domain below', { sender: 'bob@mail.far.example' }, 'foreign'],
    ['of a mailer-daemon', { sender: 'MAILER-DAEMON@far.example' }, 'machine'],
    ['whose From is one', { eml: ANSWER.replace('Bob <bob@', '<Mailer-Daemon@') }, 'machine'],
    ['that says that a program wrote it', { eml: `Auto-Submitted: auto-replied\r\n${ANSWER}` }, 'machine'],
    ['that is bulk', { eml: `Precedence: bulk\r\n${ANSWER}` }, 'machine'],
    ['of a list', { eml: `List-Id: <x.example>\r\n${ANSWER}` }, 'machine'],
    ['that is a report', { eml: `Content-Type: multipart/report; boundary=x\r\n${ANSWER}` }, 'machine'],
    ['that returns the question', { eml: ANSWER.replace('Re: Please', 'Undeliverable: Please') }, 'machine'],
    ['of who is away', { eml: ANSWER.replace('Re: Please', 'Out of office: Please') }, 'machine'],
  ])('%s confirms nothing', async (_, mail, found) => {
    await using all = await asked();
    expect(await all.send({ ...all.answer, ...mail })).toMatch(/^550 5\.7\.1 /);
    expect(await all.found()).toContain(`confirm-${found}`);
    expect(await all.held()).toEqual([`${OWNER} held`]);
    // It is good still, for who was asked; also from another address of the domain.
    expect(await all.send({ ...all.answer, sender: 'robert@far.example' })).toBe('');
    await until('the message', () => all.came() === 1);
  });

  it('that nobody vouches for confirms nothing', async () => {
    await using all = await asked();
    await using other = await site({ spf: SAYS.replace('pass', 'softfail') });
    const secret = await all.filter.store.part('confirm').get('key');
    await other.filter.store.part('confirm').set('key', secret ?? '');
    const id = /confirm-(.{8})/.exec(all.address)?.[1] ?? '';
    const pending = await all.filter.store.part('confirm').get(`pending/${id}`);
    await other.filter.store.part('confirm').set(`pending/${id}`, pending ?? '');
    expect(await other.send(all.answer)).toMatch(/^550 5\.7\.1 Please confirm from the domain/);
  });

  it('with a token that was not made here is refused', async () => {
    await using all = await asked();
    const last = all.address.replace(/(.)@/, (_, one) => (one === 'a' ? 'b@' : 'a@'));
    for (const address of [
      last,
      all.address.replace('ann', 'cid'),
      all.address.replace(/confirm-./, 'confirm-2'),
    ])
      if (address !== all.address)
        expect(await all.send({ ...all.answer, recipients: [address] })).toMatch(
          /^550 5\.1\.1 Nobody was asked/,
        );
    // To others it is an address like any.
    const elsewhere = all.address.replace('ann', 'dora');
    expect(await all.send({ ...all.answer, recipients: [elsewhere] })).toBe(elsewhere);
    // Case does not matter.
    expect(await all.send({ ...all.answer, recipients: [all.address.toUpperCase()] })).toBe('');
    await until('the message', () => all.came() === 1);
  });

  it('that comes too late is refused, and one that comes at the last moment is not', async () => {
    await using all = await asked();
    all.clock.at += 14 * DAY - 1;
    expect(await all.send({ ...all.answer, sender: '' })).toMatch(/^550 5\.7\.1 What a program/);
    all.clock.at += DAY;
    expect(await all.send(all.answer)).toMatch(/^550 5\.7\.1 It is too late/);
    // The owner can still release it, until the quarantine forgets it.
    expect(await all.held()).toEqual([`${OWNER} held`]);
    all.clock.at += 16 * DAY;
    expect(await all.held()).toEqual([]);
  });

  it('is good as long as `expire` says', async () => {
    await using all = await asked({ options: 'expire = "2d"' });
    all.clock.at += 2 * DAY + 3_600_001;
    expect(await all.send(all.answer)).toMatch(/too late/);
  });

  it('is no less good when the clock was put back', async () => {
    await using all = await asked();
    all.clock.at -= 400 * DAY;
    expect(await all.send(all.answer)).toBe('');
    await until('the message', () => all.came() === 1);
  });

  it('is told to come again while the store is away', async () => {
    await using all = await asked();
    const away = vi.spyOn(MemoryBackend.prototype, 'ask').mockRejectedValue(new StoreError('away'));
    onTestFinished(() => away.mockRestore());
    expect(await all.send(all.answer)).toMatch(/^451 4\.3\.0 /);
    away.mockRestore();
    expect(await all.send(all.answer)).toBe('');
    await until('the message', () => all.came() === 1);
  });

  it('that is spam itself, or comes with others, does no harm to them', async () => {
    await using all = await asked();
    expect(
      await all.send({ ...all.answer, sender: '', recipients: [all.address, 'dora@ours.example'] }),
    ).toBe('dora@ours.example');
    expect(await all.held()).toEqual([`${OWNER} held`]);
    expect(await all.send({ ...all.answer, recipients: [all.address, 'dora@ours.example'] })).toBe(
      'dora@ours.example',
    );
    await until('the message', () => all.came() === 1);
  });

  it('frees nothing that something else holds', async () => {
    await using all = await asked({
      modules:
        '[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\nmatch = { to = ["cid@ours.example"] }\n',
    });
    await all.send({ recipients: ['cid@ours.example'] });
    expect(await all.held()).toEqual([`${OWNER} held`, 'cid@ours.example held']);
    await all.send(all.answer);
    await until('the message', () => all.came() === 1);
    expect(await all.held()).toContain('cid@ours.example held');
  });

  it('goes to whom there is, for those who ask whether there is somebody', async () => {
    await using all = await asked({
      modules: '[[module]]\nuse = "recipients"\ncomplete = ["ours.example"]\nusers = ["ann@"]\n',
    });
    expect(await all.send(all.answer)).toBe('');
    expect(await all.found()).toContain('confirm-confirmed');
  });
});

describe('the question', () => {
  it('waits for a mail server that is away, and is not sent twice', async () => {
    let isAway = true;
    await using all = await site({ answer: () => (isAway ? '451 later' : undefined) });
    await all.send();
    const outbox = async (): Promise<readonly string[]> => {
      const values: string[] = [];
      for await (const [, value] of all.filter.store.part('confirm').scan('outbox/')) values.push(value);
      return values;
    };
    const log = () => all.filter.logger.lines.map(({ message }) => message);
    await until(
      'it to fail',
      async () =>
        log().includes('a sender could not be asked to confirm') && (await outbox())[0] === 'waiting',
    );
    isAway = false;
    const contacts = new Contacts(servicesOf(all.filter), 14 * DAY);
    await Promise.all([contacts.askAgain(), contacts.askAgain()]);
    expect(all.questions()).toHaveLength(1);
    expect(await outbox()).toEqual([]);
  });

  it('waits for no other one that is not taken yet', async () => {
    let isAway = true;
    await using all = await site({
      spf: '[[module]]\nuse = "spf"\nhelo_fail = "continue"\n',
      answer: (_, { recipients }) =>
        isAway || recipients[0]?.startsWith('stuck') === true ? '451 later' : undefined,
      zone: { 'far.example': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] } },
    });
    const senders = [...Array(5).keys()].flatMap((n) => [`stuck${n}@far.example`, `bob${n}@far.example`]);
    for (const sender of senders)
      await all.send({ sender, eml: LETTER.replace('bob@', sender.replace(/@.*/, '@')) });
    const outbox = all.filter.store.part('confirm');
    await until('all to wait', async () => {
      let waiting = 0;
      for await (const [, value] of outbox.scan('outbox/')) if (value === 'waiting') waiting++;
      return waiting === senders.length;
    });
    isAway = false;
    // More than are asked at a time.
    for (let n = 0; n < 60; n++) {
      await outbox.set(`outbox/2${n}`, 'waiting', { listed: true });
      await outbox.set(
        `pending/2${n}`,
        JSON.stringify({ sender: `stuck@far.example`, owners: [OWNER], subject: '', token: '' }),
      );
    }
    const contacts = new Contacts(servicesOf(all.filter), 14 * DAY);
    await contacts.askAgain();
    await contacts.askAgain();
    expect(
      all
        .questions()
        .map(({ to }) => to)
        .sort(),
    ).toEqual(senders.filter((sender) => sender.startsWith('bob')));
  });

  it('is given up where the mail server will not take it', async () => {
    await using all = await site({ answer: () => '550 no' });
    await all.send();
    await until('it to fail', async () => {
      const { done } = await all.filter.store.part('confirm').scan('outbox/')[Symbol.asyncIterator]().next();
      return (
        done === true && all.filter.logger.lines.some(({ message }) => message.includes('could not be asked'))
      );
    });
    expect(await all.held()).toEqual([`${OWNER} held`]);
  });

  it('quotes nothing that leads anywhere, and nothing that is not text', async () => {
    await using all = await site();
    const subject = `=?utf-8?q?Buy=0D=0ABcc:_x=00?= http://evil.example/x www.evil.example evil.example/y \u202egpj ${'long '.repeat(50)}`;
    await all.send({
      eml: LETTER.replace('dinner', subject).replace('<1@far.example>', '<1@far.example> (x'),
    });
    const [question] = await all.asked(1);
    expect(question?.text).not.toMatch(/evil|Bcc:\S|\u202e|\0/);
    expect(question?.text.split('\n').find((line) => line.startsWith('  Subject:'))?.length).toBeLessThan(80);
    expect(question?.header('In-Reply-To')).toBe('');
    expect(question?.header('Subject')).toBe('Please confirm your message');
  });

  it('is asked for no more than 20 strangers an hour', async () => {
    await using all = await site();
    for (let n = 0; n < 22; n++) await all.send({ sender: `bob${n}@far.example` });
    await all.asked(20);
    await until(
      'the others to be held back',
      () => all.filter.logger.lines.filter(({ message }) => message.includes('is not asked')).length === 2,
    );
    expect(all.questions()).toHaveLength(20);
    expect(await all.held()).toHaveLength(1);
    all.clock.at += 3_600_001;
    await all.send({ sender: 'bob21@far.example', eml: LETTER.replace('dinner', 'late') });
    expect(await all.asked(21)).toHaveLength(21);
  });

  it('needs room for the token before the @', async () => {
    const long = `${'u'.repeat(32)}@ours.example`;
    await using all = await site({ options: '' });
    await using other = await testFilter(`${SAYS}[[module]]\nuse = "confirm"\nrecipients = ["${long}"]`, {
      top: `[outgoing]\nsmtp = "127.0.0.1:${all.sink.port}"\n`,
    });
    expect((await other.send({ sender: STRANGER, recipients: [long] })).message.recipients).toEqual([]);
    await until('it to be held back', () =>
      other.logger.lines.some(({ message }) => message.includes('its sender is not asked')),
    );
    expect(all.questions()).toEqual([]);
  });

  it('is not asked without a mail server, while watching, or on trial', async () => {
    await using all = await site({ outgoing: false });
    expect(await all.send()).toBe('');
    expect(await all.held()).toEqual([`${OWNER} held`]);
    await using watching = await site({ options: 'mode = "observe"' });
    expect(await watching.send()).toBe(OWNER);
    expect(await watching.found()).toContain('confirm-unknown');
    expect([...all.questions(), ...watching.questions()]).toEqual([]);
  });

  it('of another who asks too does not wait for us: two who hold do not wait for each other', async () => {
    await using all = await site();
    await all.send();
    const [question] = await all.asked(1);
    // What we send is what we do not hold.
    const theirs = `From: <dan+confirm-x@far.example>\r\nAuto-Submitted: auto-replied\r\nSubject: ${question?.header('Subject')}\r\n\r\n`;
    expect(await all.send({ sender: '', eml: theirs })).toBe(OWNER);
    expect(await all.send({ sender: 'dan@far.example', eml: theirs })).toBe(OWNER);
  });
});

describe('options', () => {
  it.each([
    ['unproved', 'none', LETTER],
    ['automatic', 'pass', `List-Id: <x.example>\r\n${LETTER}`],
  ])('%s says what becomes of it', async (option, result, eml) => {
    await using all = await site({ spf: SAYS.replace('pass', result), options: `${option} = "reject"` });
    expect(await all.send({ eml })).toMatch(/^550 /);
  });

  it('without a way for mail to leave are no use, says milter check', async () => {
    const text = (more: string) =>
      `socket = "inet:0@127.0.0.1"\ndata = "/nowhere"\n[dns]\ntimeout = "50ms"\n${more}[[module]]\nuse = "confirm"\n`;
    const said = async (config: string) =>
      (await checkConfig(await parseConfig(config))).map(({ message }) => message).join();
    expect(await said(`${text('')}recipients = ["a@b.example"]`)).toContain(
      'sends mail, and needs smtp or sendmail',
    );
    expect(await said(text(''))).not.toContain('sends mail');
    expect(
      await said(`${text('[outgoing]\nsendmail = "/bin/true"\n')}recipients = ["a@b.example"]`),
    ).not.toContain('sends mail');
  });

  it('nobody has it who did not ask', async () => {
    await using filter = await testFilter(`${SAYS}[[module]]\nuse = "confirm"`);
    expect((await filter.send()).message.recipients).toHaveLength(1);
  });

  it.each([
    ['expire = "1h"', /1d at least/],
    ['expire = "soon"', /duration/],
    ['recipients = "ann"', /list of addresses/],
    ['unproved = "ask"', /must be an action/],
    ['sender = "x"', /no such key/],
  ])('refuses %s', async (option, message) => {
    expect(
      (await faultsOf(`[[module]]\nuse = "confirm"\n${option}`)).map((one) => one.message).join(),
    ).toMatch(message);
  });
});
