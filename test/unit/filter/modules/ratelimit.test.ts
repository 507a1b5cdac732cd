import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { faultsOf, type TestFilter, type TestMail, testFilter } from '../../../helpers/filter.ts';

const MINUTE = 60_000;

const ratelimit = (...limits: string[]): string =>
  `[[module]]\nuse = "ratelimit"\nlimits = [${limits.map((limit) => `{ per = "1m", ${limit} }`).join(', ')}]\n`;
const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;
const many = (count: number): string[] => Array.from({ length: count }, (_, i) => `r${i}@example.com`);

async function opened(config: string) {
  let now = Date.UTC(2026, 0, 1);
  const filter = await testFilter(config, { now: () => now });
  return {
    ...filter,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    /** How many of so many messages got through. */
    through: async (count: number, mail: TestMail = {}) => await through(filter, count, mail),
  };
}

async function through(filter: TestFilter, count: number, mail: TestMail = {}): Promise<number> {
  let good = 0;
  for (let i = 0; i < count; i++) if ((await filter.send(mail)).verdict === 'continue') good++;
  return good;
}

/** How many recipients of one message got through. */
async function accepted(filter: TestFilter, mail: TestMail): Promise<number> {
  return (await filter.send(mail)).recipients.filter(({ verdict }) => verdict === 'continue').length;
}

describe('a window', () => {
  it('slides', async () => {
    await using filter = await opened(ratelimit('key = "sender", messages = 3'));
    expect(await filter.through(2)).toBe(2);
    filter.pass(MINUTE / 2);
    expect(await filter.through(5)).toBe(1);
    filter.pass(MINUTE / 2 + 2_000);
    expect(await filter.through(5)).toBe(2);
    filter.pass(2 * MINUTE);
    expect(await filter.through(5)).toBe(3);
  });

  it('is exact, however many messages come at once to however many machines', async () => {
    await using directory = await temporaryDirectory();
    const store = `sqlite:${join(directory.path, 'milter.db')}`;
    const config = ratelimit('key = "client", messages = 10', 'key = "sender", recipients = 7');
    await using one = await testFilter(config, { store });
    await using other = await testFilter(config, { store });
    const sent = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        (i % 2 === 0 ? one : other).send({ sender: `s${i % 4}@example.org` }),
      ),
    );
    expect(sent.filter(({ verdict }) => verdict === 'continue')).toHaveLength(10);
    const more = await Promise.all(
      Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : other).send({ address: `192.0.2.${i}` })),
    );
    const fromOne = await Promise.all([
      one.send({ address: '198.51.100.1' }),
      other.send({ address: '198.51.100.2' }),
    ]);
    expect(more.filter(({ verdict }) => verdict === 'continue')).toHaveLength(7);
    expect(fromOne.map(({ verdict }) => verdict)).toEqual(['tempfail', 'tempfail']);
  });
});

describe('a limit', () => {
  it('answers 451 4.7.1, and says what was too much', async () => {
    await using filter = await opened(ratelimit('name = "lists", key = "sender", messages = 1'));
    await filter.send();
    const { recipients } = await filter.send();
    expect(recipients[0]?.reply).toMatchObject({ code: 451, enhanced: '4.7.1' });
    expect(recipients[0]?.reply?.lines[0]).toMatch(
      /^Too much mail: a@example\.org may have 1 messages in 1 min \(limit "lists"\); try again in \d+ (s|min) \[ref /,
    );
    expect((await filter.last())?.findings).toMatchObject([
      {
        name: 'ratelimit-exceeded',
        subject: 'a@example.org',
        note: 'lists: a@example.org, 1 messages per 1 min',
      },
    ]);
  });

  it.each([
    ['reject', 'reject'],
    ['score 3', 'continue'],
    ['discard', 'discard'],
  ])('may do something else: %s', async (action, verdict) => {
    await using filter = await opened(ratelimit(`key = "client", messages = 1, exceeded = "${action}"`));
    await filter.send();
    expect((await filter.send()).verdict).toBe(verdict);
  });

  it.each<[string, TestMail, TestMail, number]>([
    ['sender', {}, { sender: 'A@Example.Org' }, 0],
    ['sender', {}, { sender: 'other@example.org' }, 1],
    ['sender_domain', {}, { sender: 'other@example.org' }, 0],
    ['sender_domain', {}, { sender: 'a@sub.example.org' }, 1],
    ['recipient', {}, { sender: 'other@example.net', address: '203.0.113.1' }, 0],
    ['recipient', {}, { recipients: ['c@example.com'] }, 1],
    ['client', {}, { sender: 'other@example.net' }, 0],
    ['client', {}, { address: '192.0.2.8' }, 1],
    ['network', {}, { address: '192.0.2.8' }, 0],
    ['network', {}, { address: '192.0.3.7' }, 1],
    ['network', { address: '2001:db8::1' }, { address: '2001:db8::2' }, 0],
    [
      'user',
      { macros: { '{auth_authen}': 'ann' } },
      { macros: { '{auth_authen}': 'ANN' }, sender: 'x@example.org' },
      0,
    ],
    ['user', { macros: { '{auth_authen}': 'ann' } }, { macros: { '{auth_authen}': 'bob' } }, 1],
    ['user', {}, {}, 1],
    ['sender', { sender: '' }, { sender: '' }, 1],
    ['sender_domain', { sender: '' }, { sender: '' }, 1],
  ])('of a %s counts them apart: %j, %j', async (key, first, second, passed) => {
    await using filter = await opened(ratelimit(`key = "${key}", messages = 1`));
    expect(await filter.through(1, first)).toBe(1);
    expect(await filter.through(1, second)).toBe(passed);
  });

  it.each(['sender', 'client'])('of recipients counts each: %s', async (key) => {
    await using filter = await opened(ratelimit(`key = "${key}", recipients = 5`));
    expect(await accepted(filter, { recipients: many(3) })).toBe(3);
    expect(await accepted(filter, { recipients: many(3) })).toBe(2);
    filter.pass(2 * MINUTE);
    expect(await accepted(filter, { recipients: many(9) })).toBe(5);
  });

  it('of messages counts a message once, whoever gets it', async () => {
    await using filter = await opened(ratelimit('key = "sender", messages = 2'));
    expect(await accepted(filter, { recipients: many(5) })).toBe(5);
    expect(await filter.through(3)).toBe(1);
  });

  it.each(['sender', 'client', 'recipient'])('of bytes counts them at the end: %s', async (key) => {
    await using filter = await opened(ratelimit(`key = "${key}", size = "10kB"`));
    const eml = `Subject: x\r\n\r\n${'x'.repeat(4_000)}\r\n`;
    expect(await filter.through(3, { eml })).toBe(2);
    expect(await filter.through(1)).toBe(1);
    expect((await filter.send({ eml })).reply).toMatchObject({ code: 451 });
  });

  it.each([
    ['["external"]', {}, 1],
    ['["external"]', { macros: { '{auth_authen}': 'ann' } }, 3],
    ['["authenticated", "internal"]', {}, 3],
    ['["authenticated"]', { macros: { '{auth_authen}': 'ann' } }, 1],
  ])('is for some clients: %s, %j', async (when, mail, passed) => {
    await using filter = await opened(ratelimit(`key = "client", when = ${when}, messages = 1`));
    expect(await filter.through(3, mail)).toBe(passed);
  });

  it('acts although another module says accept', async () => {
    await using filter = await opened(probe('sender = "accept"') + ratelimit('key = "client", messages = 1'));
    expect(await filter.through(3)).toBe(1);
  });

  it('counts the client whom a relay names, at the end', async () => {
    const networks = '[[module]]\nuse = "networks"\nrelays = ["192.0.2.7"]\nrelayed = "tag"\n';
    await using filter = await opened(networks + ratelimit('key = "client", messages = 1'));
    const eml = (address: string): string =>
      `Received: from mail.example.net (mail.example.net [${address}])\n\tby relay.example.com (Postfix) with ESMTP id 1\n\tfor <b@example.com>; Thu, 1 Jan 2026 00:00:00 +0000\nSubject: x\n\nhello\n`;
    const tagged = async (address: string): Promise<boolean> =>
      (await filter.send({ eml: eml(address) })).message.headers.some(
        ({ name }) => name === 'X-Milter-Findings',
      );
    expect(await tagged('203.0.113.1')).toBe(false);
    expect(await tagged('203.0.113.2')).toBe(false);
    expect(await tagged('203.0.113.1')).toBe(true);
  });
});

describe('what exceeds', () => {
  it('does not count', async () => {
    await using filter = await opened(ratelimit('key = "client", messages = 2, recipients = 10'));
    expect(await filter.through(20)).toBe(2);
    filter.pass(MINUTE + 2_000);
    expect(await filter.through(20)).toBe(2);
  });

  it('one limit counts for the others all the same', async () => {
    await using filter = await opened(
      ratelimit(
        'name = "soft", key = "sender", messages = 1, exceeded = "score 1"',
        'name = "hard", key = "sender", messages = 3',
      ),
    );
    expect(await filter.through(9)).toBe(3);
  });
});

describe('what we refuse', () => {
  it.each([
    ['message = "reject"', 'sender'],
    ['message = "tempfail"', 'user'],
    ['sender = "reject"', 'sender_domain'],
    ['recipient = "reject"\nrecipients = ["b@example.com"]', 'recipient'],
    ['throws = "change"\nadd = "x"', 'sender'],
  ])('is given back: %s', async (options, key) => {
    const config = `${probe(`${options}\nmatch = { from = ["bad@example.org", "a@example.org"], not_to = ["good@example.com"] }`)}${ratelimit(`key = "${key}", messages = 2, recipients = 2, size = "1kB"`)}`;
    await using filter = await opened(config);
    const macros = { '{auth_authen}': 'ann' };
    expect(await filter.through(20, { macros })).toBe(0);
    const to = key === 'recipient' ? ['b@example.com'] : ['good@example.com'];
    const sender = key === 'recipient' ? 'other@example.org' : 'a@example.org';
    expect(await filter.through(3, { macros, sender, recipients: to })).toBe(2);
  });

  it('is not given back to clients: every MAIL counts', async () => {
    await using filter = await opened(
      probe('message = "reject"\nmatch = { from = ["a@example.org"] }') +
        ratelimit('key = "client", messages = 2'),
    );
    await filter.through(2);
    expect(await filter.through(1, { sender: 'good@example.org' })).toBe(0);
  });

  it('of the recipients counts neither, and the message only with those who are left', async () => {
    const greylist = '[[module]]\nuse = "greylist"\nmatch = { to = ["r0@example.com", "r1@example.com"] }\n';
    await using filter = await opened(greylist + ratelimit('key = "sender", messages = 1, recipients = 3'));
    expect(await accepted(filter, { recipients: many(2) })).toBe(0);
    expect(await accepted(filter, { recipients: many(6) })).toBe(3);
    expect(await filter.through(1, { recipients: ['x@example.com'] })).toBe(0);
  });

  it('but what is dropped counts', async () => {
    await using filter = await opened(
      probe('message = "discard"') + ratelimit('key = "sender", messages = 2'),
    );
    const all = [];
    for (let i = 0; i < 3; i++) all.push((await filter.send()).verdict);
    expect(all).toEqual(['discard', 'discard', 'tempfail']);
  });
});

describe('faults', () => {
  it('in observe mode only finds', async () => {
    await using filter = await opened(`${ratelimit('key = "client", messages = 1')}mode = "observe"\n`);
    expect(await filter.through(3)).toBe(3);
    expect((await filter.last())?.findings).toMatchObject([{ name: 'ratelimit-exceeded', observed: true }]);
  });

  it.each([
    ['key = "users", messages = 1', 'limits[0].key', /./],
    ['key = "user"', 'limits[0]', /limits nothing/],
    ['key = "user", messages = 0', 'limits[0].messages', /./],
    ['key = "user", messages = 1.5', 'limits[0].messages', /./],
    ['key = "user", size = "1 GB"', 'limits[0].size', /must be a size/],
    ['key = "user", messages = 1, when = ["outgoing"]', 'limits[0].when[0]', /./],
    ['key = "user", messages = 1, name = "a b"', 'limits[0].name', /must be letters/],
    ['key = "user", messages = 1, exceeded = "drop"', 'limits[0].exceeded', /must be an action/],
    ['key = "user", messages = 1, mesages = 1', 'limits[0].mesages', /did you mean "messages"/],
  ])('%s', async (limit, key, message) => {
    expect(await faultsOf(ratelimit(limit))).toEqual([
      expect.objectContaining({ key, message: expect.stringMatching(message) }),
    ]);
  });

  it('two limits of one name', async () => {
    const limit = 'key = "user", messages = 1';
    expect(await faultsOf(ratelimit(limit, limit))).toMatchObject([
      { key: 'limits[1]', message: expect.stringContaining('has the name "user" that another limit has') },
    ]);
  });

  it('per too short a time', async () => {
    const config = '[[module]]\nuse = "ratelimit"\nlimits = [{ key = "user", messages = 1, per = "10ms" }]\n';
    expect(await faultsOf(config)).toMatchObject([{ key: 'limits[0].per' }]);
  });
});
