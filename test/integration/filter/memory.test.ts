/** The modules that know recipients, remember senders, count, and read headers, on the real libmilter. */
import { describe, expect, it } from 'vitest';
import type { SendOptions } from '../../../lib/testing/index.ts';
import { testFilter } from '../../helpers/filter.ts';
import { startPostfix } from '../../helpers/postfix.ts';
import { startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { serving } from '../../helpers/server.ts';
import { until } from '../../helpers/wait.ts';

const MAIL = 'From: a@example.org\r\nMessage-ID: <1@example.org>\r\nSubject: x\r\n\r\nhello\r\n';
const networks = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\n';

const greylist = '[[module]]\nuse = "greylist"\n';

const stranger = {
  client: { hostname: 'mail.example.org', address: '192.0.2.7' },
  helo: 'mail.example.org',
  sender: 'a@example.org',
  recipients: ['b@example.com'],
} satisfies SendOptions;

/** A filter on the real libmilter, and a way to send mail through it. */
async function served(modules: string) {
  let now = Date.UTC(2026, 0, 1);
  const filter = await testFilter(modules, { now: () => now });
  const server = await serving(filter.Filter);
  return {
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    async send(mail: Partial<SendOptions> = {}, eml = MAIL) {
      const mta = await server.mta();
      try {
        return await mta.sendMessage(eml, { ...stranger, ...mail });
      } finally {
        await mta.close();
      }
    },
    /** The reply to the first recipient, or at the end. */
    async told(mail: Partial<SendOptions> = {}) {
      const { recipients, verdict, reply } = await this.send(mail);
      const said = recipients[0]?.reply ?? reply;
      return said === undefined ? verdict : `${said.code} ${said.enhanced}`;
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await filter.close();
    },
  };
}

describe('on the real libmilter', () => {
  it('recipients asks a Postfix who exists, and answers in its words', async () => {
    await using hop = await startPostfix({
      milters: [],
      main: ['virtual_mailbox_maps = inline:{ { known@test.invalid = all/ } }'],
    });
    await using filter = await served(
      `[[module]]\nuse = "recipients"\nverify = "tcp:127.0.0.1:${hop.port}"\n`,
    );
    const { recipients } = await filter.send({ recipients: ['known@test.invalid', 'nobody@test.invalid'] });
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['continue', 'reject']);
    expect(recipients[1]?.reply).toMatchObject({ code: 550, enhanced: '5.1.1' });
    expect(recipients[1]?.reply?.lines.join(' ')).toMatch(/unknown in virtual mailbox table/);
    await hop.settled();
  });

  it('recipients sends to others in an alias’s place', async () => {
    await using filter = await served(
      `${networks}[[module]]\nuse = "recipients"\nalias = [{ from = "example.com", to = "all@example.com", send = ["x@example.com", "y@example.com"] }]\n`,
    );
    const { message } = await filter.send({
      client: { hostname: 'localhost', address: '127.0.0.1' },
      sender: 'a@example.com',
      recipients: ['all@example.com', 'b@example.com'],
    });
    expect(message.recipients.toSorted()).toEqual(['<b@example.com>', '<x@example.com>', '<y@example.com>']);
  });

  it('greylist lets strangers wait, bounces at their end, and those who are known not at all', async () => {
    await using filter = await served(
      `${networks}[[module]]\nuse = "./spf-says.ts"\nresult = "pass"\n[[module]]\nuse = "known"\n[[module]]\nuse = "greylist"\nspare = ["known"]\n`,
    );
    expect(await filter.told()).toBe('451 4.7.1');
    const bounce = await filter.send({ sender: '' });
    expect(bounce.recipients[0]?.verdict).toBe('continue');
    expect(bounce.reply).toMatchObject({ code: 451 });
    filter.pass(360_000);
    expect(await filter.told()).toBe('continue');
    expect(await filter.told({ sender: 'c@example.org' })).toBe('451 4.7.1');
    await filter.send({
      client: { hostname: 'localhost', address: '127.0.0.1' },
      sender: 'b@example.com',
      recipients: ['c@example.org'],
    });
    expect(await filter.told({ sender: 'c@example.org' })).toBe('continue');
  });

  it('ratelimit counts, and gives back', async () => {
    await using filter = await served(
      '[[module]]\nuse = "./probe.ts"\nmessage = "reject"\nmatch = { to = ["bad@example.com"] }\n' +
        '[[module]]\nuse = "ratelimit"\nlimits = [{ key = "sender", messages = 2, size = "1kB", per = "1m" }]\n',
    );
    for (let i = 0; i < 3; i++)
      expect(await filter.told({ recipients: ['bad@example.com'] })).toBe('554 5.6.0');
    expect([await filter.told(), await filter.told(), await filter.told()]).toEqual([
      'continue',
      'continue',
      '451 4.7.1',
    ]);
  });

  it('headers finds and changes', async () => {
    await using filter = await served(
      `${networks}[[module]]\nuse = "headers"\nsubject_words = ["viagra"]\nwords_action = "reject"\n` +
        'remove = ["User-Agent"]\nreplace = [{ name = "Subject", find = "x" , with = "ü" }]\nadd = [{ name = "X-By", value = "%{hostname}" }]\n',
    );
    const refused = await filter.send({}, MAIL.replace(': x', ': =?utf-8?B?dmnCrWFncmE=?='));
    expect(refused.reply).toMatchObject({ code: 550, enhanced: '5.7.1' });
    const { message } = await filter.send(
      {
        client: { hostname: 'localhost', address: '127.0.0.1' },
        sender: 'a@example.com',
        recipients: ['b@example.net'],
      },
      `User-Agent: x\r\n${MAIL}`,
    );
    expect(message.headers.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'From: a@example.org',
      'Message-ID: <1@example.org>',
      'Subject: =?UTF-8?B?w7w=?=',
      'X-By: mx.example.com',
    ]);
  });
});

describeWith(['redis'], 'machines that share a Redis', () => {
  it('give no more than the limit, and one triple of what comes at once', async () => {
    await using redis = await startRedis();
    const config = `[[module]]\nuse = "ratelimit"\nlimits = [{ key = "client", messages = 7, per = "1h" }]\n${greylist}`;
    await using one = await testFilter(config, { store: redis.url.url });
    await using other = await testFilter(config, { store: redis.url.url });
    const sent = await Promise.all(
      Array.from({ length: 30 }, (_, i) =>
        (i % 2 === 0 ? one : other).send({ sender: `s${i % 3}@example.org` }),
      ),
    );
    const said = sent.map(({ recipients }) => recipients[0]?.reply?.lines[0]?.split(':')[0]);
    expect(said.filter((text) => text === 'We have not met')).toHaveLength(7);
    expect(said.filter((text) => text === 'Too much mail')).toHaveLength(23);
  });

  it('follow on_error while it is away, and go on when it is back', async () => {
    await using redis = await startRedis();
    const limit =
      '[[module]]\nuse = "ratelimit"\nlimits = [{ key = "client", messages = 1000, per = "1h" }]\n';
    await using waiting = await testFilter(greylist, { store: redis.url.url });
    await using counting = await testFilter(limit, { store: redis.url.url });
    const verdicts = async (): Promise<readonly unknown[]> =>
      await Promise.all(
        [waiting, counting].map(async (filter) => (await filter.send()).recipients[0]?.verdict),
      );
    expect(await verdicts()).toEqual(['tempfail', 'continue']);
    await redis.stop();
    expect(await verdicts()).toEqual(['continue', 'tempfail']);
    await redis.start();
    await until('the store to be asked again', async () => (await verdicts()).join() === 'tempfail,continue');
  });
});
