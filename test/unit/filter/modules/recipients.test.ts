import { describe, expect, it } from 'vitest';
import { createSrs } from '../../../../lib/srs/index.ts';
import { faultsOf, type TestMail, testFilter } from '../../../helpers/filter.ts';
import { smtpServer } from '../../../helpers/smtp-server.ts';
import { unusedPort } from '../../../helpers/wait.ts';

const recipients = (options = ''): string => `[[module]]\nuse = "recipients"\n${options}\n`;
const networks = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\ninternal_as_other = "continue"\n';
const inside = { address: '127.0.0.1' };

/** What each recipient was told: `continue`, or code and enhanced code. */
async function told(config: string, mail: TestMail): Promise<readonly string[]> {
  await using filter = await testFilter(config);
  return answers((await filter.send(mail)).recipients);
}

function answers(
  results: Awaited<ReturnType<Awaited<ReturnType<typeof testFilter>>['send']>>['recipients'],
): readonly string[] {
  return results.map(({ verdict, reply }) =>
    reply === undefined ? verdict : `${reply.code} ${reply.enhanced ?? '-'}`,
  );
}

describe('recipients', () => {
  it('of complete domains are those who are listed', async () => {
    const config = recipients('complete = ["example.com"]\nusers = ["b@example.com", "all-*@example.com"]');
    const to = [
      'b@example.com',
      'x@example.com',
      'all-of-us@example.com',
      'x@sub.example.com',
      'postmaster@example.com',
    ];
    expect(await told(config, { recipients: to })).toEqual([
      'continue',
      '550 5.1.1',
      'continue',
      'continue',
      'continue',
    ]);
  });

  it('are named in the reply', async () => {
    await using filter = await testFilter(recipients('complete = ["example.com"]'));
    const {
      recipients: [result],
    } = await filter.send({ recipients: ['x@example.com'] });
    expect(result?.reply?.lines[0]).toMatch(/^There is no x@example.com here \[ref /);
    expect((await filter.last())?.findings).toMatchObject([{ name: 'recipients-users', action: 'reject' }]);
  });

  it('elsewhere are not judged when our users write to them', async () => {
    const config = networks + recipients('complete = ["example.com"]');
    const to = ['x@example.net', 'x@example.com', 'MAILER-DAEMON@example.net'];
    expect(await told(config, { ...inside, recipients: to })).toEqual(['continue', '550 5.1.1', 'continue']);
  });

  it('of complete domains are judged whoever writes to them, and in any letter case', async () => {
    const config = recipients('complete = ["example.com"]\nusers = ["Joe@example.com"]');
    const mail = { recipients: ['jOE@example.com', 'x@example.com'], macros: { '{auth_authen}': 'ann' } };
    expect(await told(config, mail)).toEqual(['continue', '550 5.1.1']);
  });

  it.each([
    ['', ['continue', 'reject']],
    ['unfiltered = ["b@example.com"]', ['reject', 'continue']],
    ['unfiltered = []', ['reject', 'reject']],
  ])('who are unfiltered are exempt: %j', async (options, expected) => {
    const probe = '[[module]]\nuse = "./probe.ts"\nsender = "reject"\n';
    await using filter = await testFilter(probe + recipients(options));
    const sent = await filter.send({ recipients: ['abuse@example.com', 'b@example.com'] });
    expect(sent.recipients.map(({ verdict }) => verdict)).toEqual(expected);
  });

  it.each([
    ['', '550 5.1.1'],
    ['mailer_daemon = "tempfail"', '451 4.1.1'],
    ['mailer_daemon = "continue"', 'continue'],
  ])('who only send are no recipients: %j', async (options, answer) => {
    expect(await told(recipients(options), { recipients: ['Mailer-Daemon@example.com'] })).toEqual([answer]);
  });

  it('may be dropped, as mail to MAILER-DAEMON once was', async () => {
    await using filter = await testFilter(recipients('mailer_daemon = "discard"'));
    const { verdict } = await filter.send({ recipients: ['MAILER-DAEMON@example.com'] });
    expect(verdict).toBe('discard');
  });

  it('are limited', async () => {
    const to = ['a', 'b', 'c', 'd'].map((local) => `${local}@example.com`);
    expect(await told(recipients('limit = 2'), { recipients: to })).toEqual([
      'continue',
      'continue',
      '452 4.5.3',
      '452 4.5.3',
    ]);
    expect(await told(recipients(), { recipients: to })).toEqual(Array(4).fill('continue'));
  });

  it('that were refused do not count', async () => {
    const config = recipients('limit = 1\ncomplete = ["example.com"]\nusers = ["b@example.com"]');
    expect(await told(config, { recipients: ['x@example.com', 'b@example.com'] })).toEqual([
      '550 5.1.1',
      'continue',
    ]);
  });

  it.each([
    ['', ['continue', '452 4.5.3']],
    ['bounce_limit = 2', ['continue', 'continue']],
    ['bounce_limit = 0', ['continue', 'continue']],
  ])('of a bounce are few: %j', async (options, expected) => {
    const mail = { sender: '', recipients: ['b@example.com', 'c@example.com'] };
    expect(await told(recipients(options), mail)).toEqual(expected);
    expect(await told(recipients(options), { ...mail, sender: 'a@example.org' })).toEqual(
      Array(2).fill('continue'),
    );
  });
});

describe('the next mail server', () => {
  const unknown = (command: string): string | undefined =>
    command.startsWith('RCPT TO:<x') ? '550 5.1.1 100% unknown: %{x}' : undefined;

  it('says who exists, in its own words, once', async () => {
    await using server = await smtpServer(unknown);
    await using filter = await testFilter(recipients(`verify = "tcp:127.0.0.1:${server.port}"`));
    for (let i = 0; i < 2; i++) {
      const { recipients: results } = await filter.send({ recipients: ['b@example.com', 'x@example.com'] });
      expect(answers(results)).toEqual(['continue', '550 5.1.1']);
      expect(results[1]?.reply?.lines[0]).toMatch(/^100% unknown: %\{x\} \[ref /);
    }
    expect(server.commands.filter((command) => command.startsWith('RCPT'))).toHaveLength(2);
    expect(server.commands).toContain('EHLO mx.example.com');
    expect(server.commands).toContain('MAIL FROM:<>');
  });

  it('is asked again after a while', async () => {
    let now = 0;
    await using server = await smtpServer(unknown);
    await using filter = await testFilter(recipients(`verify = "tcp:127.0.0.1:${server.port}"`), {
      now: () => now,
    });
    const asked = () => server.commands.filter((command) => command.startsWith('RCPT')).length;
    const to = { recipients: ['b@example.com', 'x@example.com'] };
    await filter.send(to);
    now += 300_000;
    await filter.send(to);
    expect(asked()).toBe(3);
    now += 3_600_000;
    await filter.send(to);
    expect(asked()).toBe(5);
  });

  it.each([
    ['450 4.2.1 greylisted', '450 4.2.1'],
    ['421 4.3.2 shutting down', '450 4.3.2'],
    ['521 no mail here', '550 5.0.0'],
    ['552 5.2.2 full', '552 5.2.2'],
  ])('is believed: %j', async (reply, expected) => {
    await using server = await smtpServer((command) => (command.startsWith('RCPT') ? reply : undefined));
    const config = recipients(`verify = "tcp:127.0.0.1:${server.port}"`);
    expect(await told(config, {})).toEqual([expected]);
  });

  it('that cannot be asked delays mail, whatever on_error says', async () => {
    const config = recipients(`verify = "tcp:127.0.0.1:${await unusedPort()}"\non_error = "continue"`);
    expect(await told(config, { recipients: ['b@example.com', 'postmaster@example.com'] })).toEqual([
      '451 4.4.1',
      'continue',
    ]);
  });

  it('is not asked about what is not ours, nor about whom we know not to exist', async () => {
    await using server = await smtpServer();
    const config =
      networks + recipients(`verify = "tcp:127.0.0.1:${server.port}"\ncomplete = ["example.com"]`);
    await told(config, { ...inside, recipients: ['x@example.net', 'x@example.com'] });
    expect(server.commands).toEqual([]);
  });

  it('is asked about whom a return address was made of, if that is ours', async () => {
    await using server = await smtpServer();
    const secret = 'the secret of this test';
    const srs = createSrs({ secrets: [secret] });
    const config = `${networks}[[module]]\nuse = "srs"\ndomain = "srs.example.com"\nsecrets = "${secret}"\n${recipients(`verify = "tcp:127.0.0.1:${server.port}"`)}`;
    await using filter = await testFilter(config);
    for (const sender of ['ann@example.com', 'mouse@far.example'])
      await filter.send({ sender: '', recipients: [srs.forward(sender, 'srs.example.com')] });
    expect(server.commands.filter((command) => command.startsWith('RCPT'))).toEqual([
      'RCPT TO:<ann@example.com>',
    ]);
  });

  it('is asked so many questions at once', async () => {
    let now = 0;
    let most = 0;
    await using server = await smtpServer(async (command) => {
      if (!command.startsWith('RCPT')) return undefined;
      most = Math.max(most, ++now);
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
      now--;
      return undefined;
    });
    await using filter = await testFilter(
      recipients(`verify = "tcp:127.0.0.1:${server.port}"\nverify_concurrency = 1`),
    );
    const sent = await Promise.all(
      Array.from({ length: 8 }, (_, i) => filter.send({ recipients: [`u${i}@example.com`] })),
    );
    expect(sent.map(({ verdict }) => verdict)).toEqual(Array(8).fill('continue'));
    expect(most).toBe(1);
  });
});

describe('an alias', () => {
  const alias = (from = 'boss@example.org'): string =>
    recipients(
      `alias = [{ from = "${from}", to = "all@example.com", send = ["a@example.com", "b@example.com"] }]`,
    );
  const spf = (result: string): string => `[[module]]\nuse = "./spf-says.ts"\nresult = "${result}"\n`;
  const mail = { sender: 'boss@example.org', recipients: ['all@example.com', 'c@example.com'] };

  async function left(config: string, more: TestMail = {}): Promise<readonly string[]> {
    await using filter = await testFilter(config);
    const { message } = await filter.send({ ...mail, ...more });
    return message.recipients.toSorted();
  }

  const replaced = ['<a@example.com>', '<b@example.com>', '<c@example.com>'];
  const kept = ['<all@example.com>', '<c@example.com>'];

  it('is for our own people', async () => {
    expect(await left(networks + alias(), inside)).toEqual(replaced);
    expect(await left(alias(), { macros: { '{auth_authen}': 'boss' } })).toEqual(replaced);
  });

  it('is for senders whom SPF knows, and for no others', async () => {
    expect(await left(spf('pass') + alias())).toEqual(replaced);
    expect(await left(spf('softfail') + alias())).toEqual(kept);
    expect(await left(alias())).toEqual(kept);
  });

  it('is for that sender, or for all of a domain', async () => {
    expect(await left(networks + alias(), { ...inside, sender: 'other@example.org' })).toEqual(kept);
    expect(await left(networks + alias('example.org'), { ...inside, sender: 'other@example.org' })).toEqual(
      replaced,
    );
  });

  it('does not bring back what was taken out', async () => {
    const probe = '[[module]]\nuse = "./probe.ts"\nrecipient = "discard"\nrecipients = ["all@example.com"]\n';
    expect(await left(networks + probe + alias(), inside)).toEqual(['<c@example.com>']);
  });

  it('changes nothing in observe mode', async () => {
    expect(await left(`${networks + alias()}mode = "observe"\n`, inside)).toEqual(kept);
  });
});

describe('forwarded mail', () => {
  it.each([
    ['Fwd: funny', 'reject'],
    ['FW: funny', 'reject'],
    ['Re: Fwd: funny', 'reject'],
    ['[Fwd: funny]', 'reject'],
    ['=?utf-8?Q?Fwd=3A_funny?=', 'reject'],
    ['Forward: funny', 'continue'],
    ['about Fwd: lines', 'continue'],
  ])('with the subject %j: %s', async (subject, expected) => {
    await using filter = await testFilter(recipients('no_forwards = ["b@example.com"]'));
    const eml = `Subject: ${subject}\n\nhello\n`;
    expect((await filter.send({ eml })).verdict).toBe(expected);
    expect((await filter.send({ eml, recipients: ['c@example.com'] })).verdict).toBe('continue');
  });
});

describe('options that are wrong', () => {
  it.each([
    ['verify = "mail.internal"', 'verify', /must be an address such as/],
    ['verify_concurrency = 0', 'verify_concurrency', /./],
    ['limit = -1', 'limit', /./],
    ['bounce_limit = "1"', 'bounce_limit', /./],
    ['mailer_daemon = "drop"', 'mailer_daemon', /must be an action/],
    ['users = ["a b"]', 'users[0]', /is no address/],
    ['alias = [{ from = "a@b.example", to = "c@d.example", send = [] }]', 'alias[0].send', /./],
    [
      'alias = [{ from = "a b", to = "c@d.example", send = ["x@y.example"] }]',
      'alias[0].from',
      /is no address/,
    ],
    [
      'alias = [{ from = "a@b.example", to = "c@d.example", send = [""] }]',
      'alias[0].send[0]',
      /must be an address/,
    ],
  ])('%s', async (options, key, message) => {
    expect(await faultsOf(recipients(options))).toEqual([
      expect.objectContaining({ key, message: expect.stringMatching(message) }),
    ]);
  });
});
