import { describe, expect, it } from 'vitest';
import { pairKey } from '../../../../lib/filter/index.ts';
import { faultsOf, type TestMail, testFilter } from '../../../helpers/filter.ts';

const DAY = 86_400_000;
const networks = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\n';
const known = (options = ''): string => `[[module]]\nuse = "known"\n${options}\n`;
const score = '[[module]]\nuse = "score"\n';
const spf = (result = 'pass'): string => `[[module]]\nuse = "./spf-says.ts"\nresult = "${result}"\n`;
const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;

/** From one of our users to somebody outside, and the answer. */
const letter: TestMail = { address: '127.0.0.1', sender: 'ann@example.com', recipients: ['bob@example.net'] };
const answer: TestMail = { sender: 'bob@example.net', recipients: ['ann@example.com'] };

async function opened(config = networks + spf() + known()) {
  let now = Date.UTC(2026, 0, 1);
  const filter = await testFilter(config, { now: () => now });
  return {
    ...filter,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    /** Whether the sender of a message is found to be known. */
    knows: async (mail: TestMail = {}): Promise<boolean> => {
      await filter.send({ ...answer, ...mail });
      return (await filter.last())?.findings.some(({ name }) => name === 'known-known') === true;
    },
  };
}

describe('a sender', () => {
  it('is known to whom wrote to him before', async () => {
    await using filter = await opened();
    expect(await filter.knows()).toBe(false);
    await filter.send(letter);
    expect(await filter.knows()).toBe(true);
    expect((await filter.last())?.findings).toMatchObject([{ name: 'known-known', action: 'score -3' }]);
    expect(await filter.knows({ recipients: ['other@example.com'] })).toBe(false);
    expect(await filter.knows({ sender: 'other@example.net' })).toBe(false);
  });

  it('is known by one of several recipients, once', async () => {
    await using filter = await opened(networks + spf() + known() + score);
    await filter.send({ ...letter, sender: 'ann@example.com' });
    await filter.send({ ...letter, sender: 'cid@example.com' });
    const recipients = ['x@example.com', 'ann@example.com', 'cid@example.com'];
    expect(await filter.knows({ recipients })).toBe(true);
    expect((await filter.last())?.points).toBe(-3);
  });

  it('is the same in any letter case, and with a signature of the day', async () => {
    await using filter = await opened();
    await filter.send({ ...letter, sender: 'prvs=0123456789=Ann@Example.com' });
    expect(await filter.knows({ sender: 'prvs=abcdef0123=BOB@example.net' })).toBe(true);
  });

  it.each([
    [61, '', false],
    [59, '', true],
    [2, 'remember = "1d"', false],
  ])('is remembered for some time: after %d days, %j', async (days, options, expected) => {
    await using filter = await opened(networks + spf() + known(options));
    await filter.send(letter);
    filter.pass(days * DAY);
    expect(await filter.knows()).toBe(expected);
  });

  it('is remembered from the last letter on', async () => {
    await using filter = await opened();
    await filter.send(letter);
    filter.pass(50 * DAY);
    await filter.send(letter);
    filter.pass(50 * DAY);
    expect(await filter.knows()).toBe(true);
  });

  it.each([
    [spf('pass'), true],
    [spf('none'), false],
    [spf('softfail'), false],
    ['', false],
    [`${spf('none')}[[module]]\nuse = "./auth-says.ts"\ndkim = ["example.net"]\n`, true],
    [`[[module]]\nuse = "./auth-says.ts"\ndkim = ["mail.example.net"]\n`, true],
    [`[[module]]\nuse = "./auth-says.ts"\ndkim = ["evil.example"]\n`, false],
  ])('must be the one by SPF or DKIM: %j', async (config, expected) => {
    for (const modules of [config + known(), known() + config]) {
      await using filter = await opened(networks + modules);
      await filter.send(letter);
      expect(await filter.knows()).toBe(expected);
    }
  });

  it('counts as the option says', async () => {
    await using filter = await opened(networks + spf() + known('known = "tag"'));
    await filter.send(letter);
    const { message } = await filter.send(answer);
    expect(message.headers).toContainEqual(expect.objectContaining({ value: 'known-known' }));
  });
});

describe('nobody becomes known', () => {
  it.each([
    ['Auto-Submitted: auto-replied', false],
    ['Auto-Submitted: auto-generated (vacation)', false],
    ['Auto-Submitted: no', true],
    ['Precedence: bulk', false],
    ['Precedence: LIST', false],
    ['List-Id: <x.example.com>', false],
    ['Content-Type: multipart/report; boundary=x', false],
    ['X-Autoreply: yes', false],
    ['Subject: hello', true],
  ])('by what a program writes: %s', async (header, expected) => {
    await using filter = await opened();
    await filter.send({ ...letter, eml: `${header}\n\nhello\n` });
    expect(await filter.knows()).toBe(expected);
  });

  it.each<[string, TestMail]>([
    ['bounces', { ...letter, sender: '' }],
    ['mail from outside', { ...letter, address: '192.0.2.7', sender: 'ann@example.org' }],
    [
      'what goes to more people than anybody knows',
      {
        ...letter,
        recipients: ['bob@example.net', ...Array.from({ length: 100 }, (_, i) => `r${i}@example.net`)],
      },
    ],
  ])('by %s', async (_, mail) => {
    await using filter = await opened();
    await filter.send(mail);
    expect(
      await filter.knows({ recipients: [mail.sender === '' ? 'ann@example.com' : (mail.sender ?? '')] }),
    ).toBe(false);
  });

  it.each(['reject', 'discard'])('by what does not go out: %s', async (action) => {
    const config =
      networks + spf() + known() + probe(`message = "${action}"\nmatch = { from = ["ann@example.com"] }`);
    await using filter = await opened(config);
    await filter.send(letter);
    expect(await filter.knows()).toBe(false);
  });

  it('of our own people', async () => {
    await using filter = await opened();
    await filter.send({ ...letter, recipients: ['cid@example.com'] });
    const kept = async (other: string): Promise<string | undefined> =>
      await filter.store.get(`known/${pairKey('<ann@example.com>', other)}`);
    expect(await kept('<cid@example.com>')).toBeUndefined();
    await filter.send(letter);
    expect(await kept('<bob@example.net>')).toBe('1');
  });
});

describe('greylist', () => {
  it.each([
    [spf('pass'), '["known"]', 'continue'],
    [spf('softfail'), '["known"]', 'tempfail'],
    [spf('pass'), '["score <= -1"]', 'continue'],
    [spf('pass'), '[]', 'tempfail'],
  ])('spares those who are known: %j, %s', async (config, spare, expected) => {
    const greylist = `[[module]]\nuse = "greylist"\nspare = ${spare}\n`;
    await using filter = await opened(networks + greylist + known() + config);
    await filter.send(letter);
    expect((await filter.send(answer)).recipients[0]?.verdict).toBe(expected);
    expect((await filter.send({ ...answer, recipients: ['x@example.com'] })).recipients[0]?.verdict).toBe(
      'tempfail',
    );
  });

  it('does not hear of those whom an observed module knows', async () => {
    const greylist = '[[module]]\nuse = "greylist"\nspare = ["known"]\n';
    await using filter = await opened(`${networks + greylist + known('mode = "observe"')}${spf()}`);
    await filter.send(letter);
    expect((await filter.send(answer)).recipients[0]?.verdict).toBe('tempfail');
  });
});

describe('options that are wrong', () => {
  it.each([
    ['remember = "60"', 'remember', /must be a duration/],
    ['known = "-3"', 'known', /must be an action/],
    ['knwon = "score -3"', 'knwon', /did you mean "known"/],
  ])('%s', async (options, key, message) => {
    expect(await faultsOf(known(options))).toEqual([
      expect.objectContaining({ key, message: expect.stringMatching(message) }),
    ]);
  });
});
