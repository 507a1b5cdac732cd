/** What people do with held mail, with a mail server that takes it, or does not. */
import { readdir, rename } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type HeldItem, OutgoingError, type Reviewer } from '../../../lib/filter/index.ts';
import { type TestFilter, testFilter } from '../../helpers/filter.ts';
import { type MailSink, mailSink, type SinkAnswer } from '../../helpers/mail-sink.ts';
import { until } from '../../helpers/wait.ts';

const HOLD = '[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\n';
const EML = 'From: Ann <a@example.org>\r\nSubject: x\r\n\r\n.dot\r\nhello\r\n';
const admin: Reviewer = { name: 'root', isAdmin: true };
const owned = (...owners: string[]): Reviewer => ({ name: owners[0] ?? '', isAdmin: false, owners });
const bob = owned('b@example.com');

interface Setting extends AsyncDisposable {
  readonly filter: TestFilter;
  readonly sink: MailSink;
  readonly clock: { at: number };
}

async function setting(modules = HOLD, answer?: SinkAnswer, top = ''): Promise<Setting> {
  const sink = await mailSink(answer);
  const clock = { at: Date.now() };
  const filter = await testFilter(modules, {
    top: `${top}[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\n`,
    now: () => clock.at,
  });
  return {
    filter,
    sink,
    clock,
    [Symbol.asyncDispose]: async () => {
      await filter[Symbol.asyncDispose]();
      await sink[Symbol.asyncDispose]();
    },
  };
}

async function itemFor({ quarantine }: TestFilter, owner = 'b@example.com'): Promise<HeldItem> {
  const { items } = await quarantine.held.page({ owners: [owner], which: 'all' });
  if (items[0] === undefined) throw new Error(`nothing is held for ${owner}`);
  return items[0];
}

describe('a release', () => {
  it('sends the message to its owner alone, as it came but for the mark, once, however many ask', async () => {
    await using all = await setting();
    const { filter, sink } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML, recipients: ['b@example.com', 'c@example.com'] });
    const { id } = await itemFor(filter);
    const results = await Promise.allSettled([1, 2, 3].map(() => review.release(bob, id)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(
      sink.mails.map((mail) => ({
        ...mail,
        message: mail.message.replace(/^X-Milter-Released: .*\r\n/, ''),
      })),
    ).toEqual([{ sender: 'a@example.org', recipients: ['b@example.com'], message: EML }]);
    expect(await itemFor(filter)).toMatchObject({
      state: 'released',
      by: 'b@example.com',
    });
    expect(await itemFor(filter, 'c@example.com')).toMatchObject({ state: 'held' });
    await expect(review.release(bob, id)).rejects.toMatchObject({ code: 'late' });
    expect(filter.logger.lines.map(({ message }) => message)).toContain('review: release');
  });

  it.each([
    ['at RCPT', 'rcpt', '451 not now'],
    ['at the end', 'end', '452 full'],
  ] as const)(
    'that is told to wait %s is tried again, later and later, until it is taken',
    async (_, where, reply) => {
      let refuse = true;
      await using all = await setting(HOLD, (stage) => (refuse && stage === where ? reply : undefined));
      const { filter, sink, clock } = all;
      const { review, releases } = filter.quarantine;
      await filter.send({ eml: EML });
      const { id } = await itemFor(filter);
      expect(await review.release(bob, id)).toMatchObject({
        outcome: 'waiting',
        fault: expect.stringContaining(reply),
      });
      expect(await itemFor(filter)).toMatchObject({ state: 'releasing', sending: { tries: 1 } });
      await releases.work();
      expect((await itemFor(filter)).sending?.tries).toBe(1);
      clock.at += 61_000;
      await releases.work();
      expect((await itemFor(filter)).sending?.tries).toBe(2);
      clock.at += 61_000;
      refuse = false;
      await releases.work();
      expect(sink.mails).toEqual([]);
      clock.at += 60_000;
      await releases.work();
      expect(sink.mails).toHaveLength(1);
      expect((await itemFor(filter)).state).toBe('released');
      expect(await readdir(join(filter.data, 'quarantine'))).toEqual([]);
    },
  );

  it('waits for a mail server that is away, and gives up after days', async () => {
    await using all = await setting();
    const { filter, sink, clock } = all;
    await filter.send({ eml: EML });
    await sink[Symbol.asyncDispose]();
    const { id } = await itemFor(filter);
    expect(await filter.quarantine.review.release(bob, id)).toMatchObject({ outcome: 'waiting' });
    clock.at += 6 * 86_400_000;
    await filter.quarantine.releases.work();
    expect(await itemFor(filter)).toMatchObject({
      state: 'held',
      fault: expect.any(String),
    });
  });

  it('that is refused for good leaves the message held, and says why', async () => {
    await using all = await setting(HOLD, (stage) =>
      stage === 'rcpt' ? '550 5.1.1 no such user' : undefined,
    );
    const { filter } = all;
    await filter.send({ eml: EML });
    const { id } = await itemFor(filter);
    expect(await filter.quarantine.review.release(bob, id)).toMatchObject({
      outcome: 'failed',
      fault: expect.stringContaining('no such user'),
    });
    expect(await itemFor(filter)).toMatchObject({
      state: 'held',
      fault: expect.stringContaining('no such user'),
    });
    expect((await filter.quarantine.held.read(await itemFor(filter))).toString()).toBe(EML);
  });

  it('whose fate is unknown is never sent again by itself, but by a person', async () => {
    let answers: (string | undefined)[] = ['hang up'];
    await using all = await setting(HOLD, (stage) => (stage === 'end' ? answers.shift() : undefined));
    const { filter, sink, clock } = all;
    const { review, releases } = filter.quarantine;
    await filter.send({ eml: EML });
    const { id } = await itemFor(filter);
    expect(await review.release(bob, id)).toMatchObject({ outcome: 'failed' });
    expect(await itemFor(filter)).toMatchObject({ state: 'held', doubtful: true });
    clock.at += 3_600_000;
    await releases.work();
    await expect(review.release(bob, id)).rejects.toThrow('may have been delivered');
    expect(sink.mails).toEqual([]);
    answers = [];
    expect(await review.release(bob, id, { again: true })).toMatchObject({ outcome: 'released' });
    expect(sink.mails).toHaveLength(1);
  });

  it('whose process died before the mail server had all of it goes on by itself; after that it is in doubt', async () => {
    await using all = await setting();
    const { filter, sink, clock } = all;
    const { review, releases } = filter.quarantine;
    await filter.send({ eml: EML });
    const { id } = await itemFor(filter);
    const never = new Promise<never>(() => {});
    void review.release(bob, id, { deliver: () => never });
    await until('it to begin', async () => (await itemFor(filter)).sending?.attempt !== undefined);
    await releases.work();
    await expect(review.delete(bob, id)).rejects.toMatchObject({ code: 'late' });
    expect(sink.mails).toEqual([]);
    clock.at += 4 * 60_000;
    await releases.work();
    expect(sink.mails).toHaveLength(1);

    await filter.send({ eml: EML.replace('hello', 'other') });
    const other = await itemFor(filter);
    void review.release(bob, other.id, {
      deliver: async (_mail, handing) => {
        await handing();
        await never;
      },
    });
    await until('it to be handed over', async () => (await itemFor(filter)).sending?.attempt?.handed);
    clock.at += 12 * 60_000;
    await releases.work();
    expect(await itemFor(filter)).toMatchObject({ id: other.id, state: 'held', doubtful: true });
    expect(sink.mails).toHaveLength(1);
  });

  it('that was overtaken sends nothing', async () => {
    await using all = await setting();
    const { filter, clock, sink } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML });
    const { id } = await itemFor(filter);
    const going = Promise.withResolvers<void>();
    let sent = 0;
    const slow = review.release(bob, id, {
      deliver: async (_mail, handing) => {
        await going.promise;
        await handing();
        sent++;
      },
    });
    await until('it to begin', async () => (await itemFor(filter)).sending?.attempt !== undefined);
    clock.at += 4 * 60_000;
    await filter.quarantine.releases.work();
    going.resolve();
    expect(await slow).toMatchObject({ outcome: 'released' });
    expect({ sent, mails: sink.mails.length }).toEqual({ sent: 0, mails: 1 });
  });

  it('is of the machine that has the file, whatever that is called by now', async () => {
    await using all = await setting();
    const { filter, sink, clock } = all;
    const { review, releases, held } = filter.quarantine;
    await filter.send({ eml: EML });
    const item = await itemFor(filter);
    expect(item.host).toBe(`mx.example.com (${hostname()})`);
    await held.items.change(item.id, (present) => present && { ...present, host: 'mx2.example.com' });
    const folder = join(filter.data, 'quarantine');
    await rename(folder, `${folder}.away`);
    await expect(review.read(bob, item.id)).rejects.toMatchObject({
      code: 'cannot',
      message: expect.stringContaining('on mx2.example.com'),
    });
    // Nothing is wrong: that machine sends it as soon as it sees it.
    expect(await review.release(bob, item.id)).toMatchObject({ outcome: 'waiting', fault: undefined });
    expect(await filter.quarantine.check()).toMatchObject({ held: 1, lost: [] });
    await releases.work();
    expect(sink.mails).toEqual([]);
    expect(await itemFor(filter)).toMatchObject({
      state: 'releasing',
      sending: { tries: 0, due: clock.at },
    });
    // Its disk is mounted here.
    await rename(`${folder}.away`, folder);
    await releases.work();
    expect(sink.mails).toHaveLength(1);
    expect(await itemFor(filter)).toMatchObject({ state: 'released' });
  });

  it('with an address that cannot be sent to is held again at once, and holds up no other', async () => {
    await using all = await setting();
    const { filter, sink } = all;
    const { review, releases } = filter.quarantine;
    await filter.send({ eml: EML, sender: '<"a>b"@example.org>' });
    const { id } = await itemFor(filter);
    await filter.send({ eml: EML, recipients: ['c@example.com'] });
    const other = await itemFor(filter, 'c@example.com');
    for (const one of [id, other.id]) await review.release(admin, one, { wait: false });
    await releases.work();
    expect(await itemFor(filter)).toMatchObject({
      state: 'held',
      fault: expect.stringContaining('Invalid sender'),
    });
    expect(await itemFor(filter, 'c@example.com')).toMatchObject({ state: 'released' });
    expect(sink.mails).toHaveLength(1);
  });

  it('into a file is not sent later by mail where that cannot be written now', async () => {
    await using all = await setting();
    const { filter, clock } = all;
    const { review, held } = filter.quarantine;
    await filter.send({ eml: EML });
    const { id } = await itemFor(filter);
    await held.items.change(id, (present) => present && { ...present, host: 'mx2.example.com' });
    await rename(join(filter.data, 'quarantine'), join(filter.data, 'away'));
    expect(await review.release(admin, id, { deliver: async () => {} })).toMatchObject({ outcome: 'failed' });
    expect(await itemFor(filter)).toMatchObject({ state: 'held' });
    await rename(join(filter.data, 'away'), join(filter.data, 'quarantine'));
    const away = async (): Promise<void> => Promise.reject(new OutgoingError('later', 'the disk is full'));
    expect(await review.release(admin, id, { deliver: away })).toMatchObject({
      outcome: 'failed',
      fault: 'the disk is full',
    });
    clock.at += 61_000;
    await filter.quarantine.releases.work();
    expect(all.sink.mails).toEqual([]);
  });

  it('passes the filter again, with its own mark for its own owner', async () => {
    await using all = await setting();
    const { filter, sink } = all;
    await filter.send({ eml: EML });
    await filter.quarantine.review.release(bob, (await itemFor(filter)).id);
    const back = await filter.send({ eml: sink.mails[0]?.message ?? '' });
    expect(back.verdict).toBe('continue');
    expect(back.message.toBytes().toString()).toBe(EML);
    const { verdict } = await filter.send({
      eml: sink.mails[0]?.message ?? '',
      recipients: ['c@example.com'],
    });
    expect(verdict).toBe('discard');
  });
});

describe('rights', () => {
  it('show, release and delete one’s own messages alone', async () => {
    await using all = await setting();
    const { filter } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML, recipients: ['b@example.com', 'c@example.com'] });
    const { id } = await itemFor(filter, 'c@example.com');
    for (const attempt of [
      () => review.get(bob, id),
      () => review.read(bob, id),
      () => review.release(bob, id),
      () => review.delete(bob, id),
      () => review.request(bob, id),
      () => review.allow(bob, id),
    ]) {
      await expect(attempt()).rejects.toMatchObject({ code: 'gone', message: 'There is no such message' });
    }
    await expect(review.get(admin, '../x')).rejects.toMatchObject({ code: 'gone' });
    expect((await review.list(bob)).items.map(({ owner }) => owner)).toEqual(['b@example.com']);
    expect((await review.list(admin)).items).toHaveLength(2);
    const domain: Reviewer = { name: 'd', isAdmin: false, owns: (owner) => owner.startsWith('c@') };
    expect((await review.list(domain)).items.map(({ owner }) => owner)).toEqual(['c@example.com']);
    expect((await review.list({ name: 'nobody', isAdmin: false })).items).toEqual([]);
    expect((await itemFor(filter, 'c@example.com')).state).toBe('held');
  });

  it('leave what is dangerous to an administrator, whom its owner may ask', async () => {
    await using all = await setting('[[module]]\nuse = "./dangerous.ts"\n');
    const { filter } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML });
    const item = await itemFor(filter);
    expect(item.guarded).toBe(true);
    expect([review.mayRelease(bob, item), review.mayRelease(admin, item)]).toEqual([false, true]);
    await expect(review.release(bob, item.id)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(review.allow(bob, item.id)).rejects.toMatchObject({
      code: expect.stringMatching(/cannot|forbidden/),
    });
    await review.request(bob, item.id);
    expect(await itemFor(filter)).toMatchObject({ state: 'requested', by: 'b@example.com' });
    await review.withdraw(admin, item.id);
    await review.request(bob, item.id);
    expect(await review.release(admin, item.id)).toMatchObject({ outcome: 'released' });
  });
});

describe('training', () => {
  it('is told to all who learn, apart from release, and is known of the message', async () => {
    await using all = await setting(
      `${HOLD}[[module]]\nuse = "./learner.ts"\nname = "one"\n[[module]]\nuse = "./learner.ts"\nname = "two"\nfails = true\n`,
    );
    const { filter } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML });
    const { id } = await itemFor(filter);
    expect(review.canTrain).toBe(true);
    expect(await review.train(bob, id, 'ham')).toEqual({
      learned: ['one'],
      failed: [{ name: 'two', fault: 'as asked' }],
    });
    expect(await itemFor(filter)).toMatchObject({ state: 'held', learned: 'ham' });
    expect(await filter.store.get('one/learned')).toBe(`ham b@example.com ${EML}`);
  });

  it('says where nobody learns', async () => {
    await using all = await setting();
    await all.filter.send({ eml: EML });
    const { review } = all.filter.quarantine;
    expect(review.canTrain).toBe(false);
    await expect(review.train(bob, (await itemFor(all.filter)).id, 'spam')).rejects.toMatchObject({
      code: 'cannot',
    });
  });
});

describe('always allowing a sender', () => {
  const proved = (says: string, more = ''): string => `${says}${HOLD}${more}`;
  const spf = '[[module]]\nuse = "./spf-says.ts"\nresult = "pass"\n';
  const dkim = '[[module]]\nuse = "./auth-says.ts"\ndkim = ["example.org"]\n';

  it.each([
    ['DKIM', dkim, 'from'],
    ['SPF', spf, 'from'],
  ])('lets mail through to that owner alone, as long as %s proves it', async (_, says, kind) => {
    await using all = await setting(proved(says));
    const { filter } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML, recipients: ['b@example.com', 'c@example.com'] });
    const { id } = await itemFor(filter);
    expect(await review.allow(bob, id)).toMatchObject({
      kind,
      address: 'a@example.org',
      owner: 'b@example.com',
    });
    const again = { eml: EML.replace('hello', 'again'), recipients: ['b@example.com', 'c@example.com'] };
    const { verdict, message } = await filter.send(again);
    expect({ verdict, left: message.recipients }).toEqual({ verdict: 'continue', left: ['<b@example.com>'] });
    expect((await filter.send({ eml: EML.replace('a@', 'z@') })).verdict).toBe('discard');
    expect(await review.allowed(bob)).toHaveLength(1);
    expect(await review.allowed(owned('c@example.com'))).toEqual([]);
    await expect(
      review.disallow(owned('c@example.com'), {
        owner: 'b@example.com',
        kind: 'from',
        address: 'a@example.org',
      }),
    ).rejects.toMatchObject({ code: 'gone' });
    expect(
      await review.disallow(bob, { owner: 'b@example.com', kind: 'from', address: 'a@example.org' }),
    ).toBe(true);
    expect((await filter.send({ eml: EML.replace('hello', 'third') })).verdict).toBe('discard');
  });

  it('goes by the envelope where SPF proves only that', async () => {
    await using all = await setting(proved(spf));
    const { filter } = all;
    const eml = EML.replace('a@example.org', 'news@other.test');
    await filter.send({ eml });
    const { id } = await itemFor(filter);
    expect(await filter.quarantine.review.allow(bob, id)).toMatchObject({
      kind: 'sender',
      address: 'a@example.org',
    });
    expect((await filter.send({ eml: eml.replace('hello', 'again') })).verdict).toBe('continue');
    expect((await filter.send({ eml: eml.replace('hello', 'third'), sender: 'z@example.org' })).verdict).toBe(
      'discard',
    );
  });

  it.each([
    ['nothing', ''],
    [
      'another domain’s signature',
      '[[module]]\nuse = "./auth-says.ts"\ndkim = ["evil.test", "org", "sub.example.org"]\n',
    ],
    ['an SPF result that is no pass', '[[module]]\nuse = "./spf-says.ts"\nresult = "softfail"\n'],
    ['SPF of another domain', '[[module]]\nuse = "./spf-says.ts"\nresult = "pass"\ndomain = "evil.test"\n'],
  ])('is refused, and an entry does not count, where %s proves the sender', async (_, says) => {
    await using all = await setting(proved(says));
    const { filter } = all;
    const { review, allowed } = filter.quarantine;
    await filter.send({ eml: EML });
    await expect(review.allow(bob, (await itemFor(filter)).id)).rejects.toMatchObject({ code: 'cannot' });
    for (const kind of ['from', 'sender'] as const)
      await allowed.add({ owner: 'b@example.com', kind, address: 'a@example.org', by: 'test', at: 0 });
    expect((await filter.send({ eml: EML.replace('hello', 'again') })).verdict).toBe('discard');
  });

  it('counts for no message with two Froms, and never lets through what is unsparing', async () => {
    await using all = await setting(proved(dkim));
    const { filter } = all;
    await filter.quarantine.allowed.add({
      owner: 'b@example.com',
      kind: 'from',
      address: 'a@example.org',
      by: 'test',
      at: 0,
    });
    expect((await filter.send({ eml: EML })).verdict).toBe('continue');
    expect((await filter.send({ eml: `From: evil@evil.test\r\n${EML}` })).verdict).toBe('discard');
    expect(
      (await filter.send({ eml: EML.replace('<a@example.org>', '<a@example.org>, <e@evil.test>') })).verdict,
    ).toBe('discard');
    await using other = await setting(`${dkim}[[module]]\nuse = "./dangerous.ts"\n`);
    await other.filter.quarantine.allowed.add({
      owner: 'b@example.com',
      kind: 'from',
      address: 'a@example.org',
      by: 'test',
      at: 0,
    });
    expect((await other.filter.send({ eml: EML })).verdict).toBe('discard');
  });
});

describe('a link', () => {
  it('is good for one item, one action and its owner, until the item is over', async () => {
    await using all = await setting(HOLD, undefined, '');
    const { filter, clock } = all;
    const { review } = filter.quarantine;
    await filter.send({ eml: EML });
    const item = await itemFor(filter);
    const link = await review.makeLink(item, 'release');
    const read = await review.readLink(link);
    expect(read).toMatchObject({
      action: 'release',
      item: { id: item.id },
      who: { owners: ['b@example.com'], isAdmin: false },
    });
    for (const wrong of [
      link.replace('release', 'delete'),
      link.replace(/.$/, (end) => (end === '0' ? '1' : '0')),
      `${link}0`,
      '',
      'x',
    ])
      expect(await review.readLink(wrong)).toBeUndefined();
    if (read === undefined) throw new Error('it is good');
    await review.release(read.who, item.id);
    expect(await review.readLink(link)).toMatchObject({ item: { state: 'released' } });
    await expect(review.release(read.who, item.id)).rejects.toMatchObject({ code: 'late' });
    // Held anew, it is another item for links.
    clock.at += 1_000;
    await filter.send({ eml: EML });
    expect((await itemFor(filter)).state).toBe('held');
    expect(await review.readLink(link)).toBeUndefined();
    const fresh = await review.makeLink(await itemFor(filter), 'delete');
    clock.at += 31 * 86_400_000;
    expect(await review.readLink(fresh)).toBeUndefined();
  });
});

describe('lists', () => {
  it('come in pages, the newest first, and are searched without case', async () => {
    await using all = await setting();
    const { filter, clock } = all;
    const { review } = filter.quarantine;
    for (let n = 0; n < 7; n++) {
      clock.at += 1_000;
      const eml = `From: "Ärger ${n}" <f${n}@example.org>\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_${n}?=\n\nx\n`;
      await filter.send({ eml, recipients: ['b@example.com', ...(n % 2 === 0 ? ['c@example.com'] : [])] });
    }
    const pages = [];
    let after: string | undefined;
    do {
      const page = await review.list(bob, { limit: 3, ...(after === undefined ? {} : { after }) });
      pages.push(page.items.map(({ subject }) => subject));
      after = page.next;
    } while (after !== undefined);
    expect(pages).toEqual([
      ['Grüße 6', 'Grüße 5', 'Grüße 4'],
      ['Grüße 3', 'Grüße 2', 'Grüße 1'],
      ['Grüße 0'],
    ]);
    const both = owned('b@example.com', 'c@example.com');
    expect((await review.list(both)).items.map(({ subject }) => subject.slice(-1)).join('')).toBe(
      '66544322100',
    );
    for (const [text, count] of [
      ['GRÜSSE', 0],
      ['GRÜßE 3', 1],
      ['ärger 2', 1],
      ['F4@EXAMPLE', 1],
      ['probe-message', 7],
      ['a@example.org', 7],
      ['b@exam', 7],
      ['%', 0],
    ] as const)
      expect({ text, count: (await review.list(bob, { text })).items.length }).toEqual({ text, count });
    const [newest] = (await review.list(bob)).items;
    await review.delete(bob, newest?.id ?? '');
    expect((await review.list(bob)).items).toHaveLength(6);
    expect((await review.list(bob, { which: 'over' })).items).toMatchObject([{ state: 'deleted' }]);
    expect((await review.list(bob, { which: 'all' })).items).toHaveLength(7);
  });
});
