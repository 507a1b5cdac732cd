/** Module `bayes`: who is judged by which dictionary, who may teach it, and what it learns by itself. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { openBayes } from '../../../../lib/bayes/index.ts';
import { openConfig } from '../../../../lib/filter/index.ts';
import { fakeSession } from '../../../../lib/testing/index.ts';
import { faultsOf, type TestFilter, testFilter } from '../../../helpers/filter.ts';
import { forwarded, lesson as mail } from '../../../helpers/lessons.ts';
import { until } from '../../../helpers/wait.ts';

const folder = mkdtempSync(join(tmpdir(), 'bayes-module-'));
afterAll(() => rmSync(folder, { recursive: true }));

const NETWORKS = `[[module]]\nuse = "networks"\ninternal = ["10.0.0.0/8"]\ndomains = ["example.com"]\nexternal_as_ours = "continue"\nfrom_as_ours = "continue"\n`;
const bayes = (options = ''): string =>
  `${NETWORKS}[[module]]\nuse = "bayes"\nmin_trained = 2\nlearn = [{ spam = "spam@example.com", ham = "ham@example.com" }]\n${options}\n`;

const INSIDE = { address: '10.0.0.5', sender: 'ann@example.com' };

async function teach(filter: TestFilter, kind: 'spam' | 'ham', count: number, sender = 'ann@example.com') {
  const messages = Array.from({ length: count }, (_, n) => mail(kind, n));
  return await filter.send({
    ...INSIDE,
    sender,
    recipients: [`${kind}@example.com`],
    eml: forwarded(...messages),
  });
}

const names = async (filter: TestFilter) =>
  ((await filter.last())?.findings ?? []).map(({ name, action }) => `${name} ${action}`);
const fieldOf = (sent: Awaited<ReturnType<TestFilter['send']>>, name: string) =>
  sent.message.headers.filter((header) => header.name === name).map(({ value }) => value);

describe('what was learned', () => {
  it('says what new mail is', async () => {
    await using filter = await testFilter(bayes('spam = "reject"'));
    expect((await teach(filter, 'spam', 6)).verdict).toBe('discard');
    expect(await names(filter)).toEqual(['bayes-lesson discard']);
    await teach(filter, 'ham', 6);
    const spam = await filter.send({ eml: mail('spam', 9) });
    expect(spam.verdict).toBe('reject');
    expect(spam.reply?.lines[0]).toContain('looks like spam');
    const ham = await filter.send({ eml: mail('ham', 9) });
    expect(ham.verdict).toBe('continue');
    expect(fieldOf(ham, 'X-Bayes')[0]).toMatch(/^ham 0\.0\d{3}\r?\n\t\S+=0\.0\d/);
    const unsure = await filter.send({ eml: 'From: x@new.example\r\nSubject: hm\r\n\r\nxyzzy plugh\r\n' });
    expect(fieldOf(unsure, 'X-Bayes')[0]).toMatch(/^unsure 0\.[45]/);
    expect(fieldOf(unsure, 'X-Milter-Findings')[0]).toContain('bayes-unsure');
  });

  it('is too little at first', async () => {
    await using filter = await testFilter(bayes('min_trained = 50').replace('min_trained = 2\n', ''));
    await teach(filter, 'spam', 6);
    await teach(filter, 'ham', 6);
    const sent = await filter.send({ eml: mail('spam', 9) });
    expect(sent.verdict).toBe('continue');
    expect(fieldOf(sent, 'X-Bayes')).toEqual([]);
  });

  it.each([
    ['spam_from = 0.4\nham_to = 0.3', 'bayes-spam quarantine'],
    ['ham_to = 0.6', undefined],
    ['unsure = "score 2"', 'bayes-unsure score 2'],
  ])('acts as %s says', async (options, finding) => {
    await using filter = await testFilter(bayes(options));
    await teach(filter, 'spam', 6);
    await teach(filter, 'ham', 6);
    await filter.send({ eml: 'From: x@new.example\r\nSubject: hm\r\n\r\nxyzzy plugh\r\n' });
    expect(await names(filter)).toEqual(finding === undefined ? [] : [finding]);
  });

  it('is not asked of larger mail, nor for the exempt, nor of our own', async () => {
    await using filter = await testFilter(bayes('max_size = "2kB"\nexempt = ["free@example.com"]'));
    await teach(filter, 'spam', 6);
    await teach(filter, 'ham', 6);
    await filter.send({ eml: `${mail('spam', 9)}${'x\r\n'.repeat(1_000)}` });
    expect(await names(filter)).toEqual(['bayes-too-big continue']);
    await filter.send({ eml: mail('spam', 9), recipients: ['free@example.com'] });
    expect(await names(filter)).toEqual([]);
    await filter.send({ ...INSIDE, eml: mail('spam', 9) });
    expect(await names(filter)).toEqual([]);
    await filter.send({ eml: mail('spam', 9), recipients: ['free@example.com', 'ann@example.com'] });
    expect(await names(filter)).toEqual(['bayes-spam quarantine']);
  });

  it('takes out a header that only it may write', async () => {
    await using filter = await testFilter(bayes());
    const sent = await filter.send({ eml: `X-Bayes: ham 0.0000\r\n${mail('spam', 9)}` });
    expect(fieldOf(sent, 'X-Bayes')).toEqual([]);
  });
});

describe('dictionaries', () => {
  it('of each recipient judge for him alone', async () => {
    await using filter = await testFilter(bayes('users = "each"'));
    await teach(filter, 'spam', 6, 'ann@example.com');
    await teach(filter, 'ham', 6, 'Ann@example.com');
    const { verdict, message } = await filter.send({
      eml: mail('spam', 9),
      recipients: ['ann@example.com', 'bob@example.com'],
    });
    expect(verdict).toBe('continue');
    expect(message.recipients).toEqual(['<bob@example.com>']);
    expect(await names(filter)).toEqual(['bayes-spam quarantine']);
  });

  it('of a group are those of its members', async () => {
    writeFileSync(join(folder, 'groups'), 'sales: ann@example.com, carl@example.com\nstaff: .example.com\n');
    await using filter = await testFilter(bayes(`users = { groups = "file:${join(folder, 'groups')}" }`));
    await teach(filter, 'spam', 6, 'ann@example.com');
    await teach(filter, 'ham', 6, 'carl@example.com');
    await filter.send({ eml: mail('spam', 9), recipients: ['carl@example.com'] });
    expect(await names(filter)).toEqual(['bayes-spam quarantine']);
    await filter.send({ eml: mail('spam', 9), recipients: ['bob@example.com'] });
    expect(await names(filter)).toEqual([]);
  });

  it('of headers refuse what they look like', async () => {
    await using filter = await testFilter(bayes('headers_only = true\ntriage = "front door"'));
    await teach(filter, 'spam', 8);
    await teach(filter, 'ham', 8);
    const { verdict, reply } = await filter.send({
      eml: mail('spam', 9).replace(/\r\n\r\n.*/s, '\r\n\r\nhi\r\n'),
    });
    expect(verdict).toBe('reject');
    expect(reply).toMatchObject({ code: 550 });
    expect(reply?.lines[0]).toMatch(/^Your message looks spammy/);
    await using lax = await testFilter(bayes('headers_only = true\ntriage_from = 1'));
    await teach(lax, 'spam', 8);
    await teach(lax, 'ham', 8);
    expect((await lax.send({ eml: mail('spam', 9) })).verdict).toBe('continue');
  });
});

describe('teachers', () => {
  it('are our own users alone', async () => {
    await using filter = await testFilter(bayes());
    const { recipients } = await filter.send({
      recipients: ['ham@example.com', 'ann@example.com'],
      eml: forwarded(mail('spam', 1)),
    });
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'continue']);
    expect(recipients[0]?.reply?.lines[0]).toContain('our own users');
  });

  it.each([
    ['an exempt recipient', `[[module]]\nuse = "recipients"\nunfiltered = ["ham@example.com"]\n`],
    ['an entry of access', `[[module]]\nuse = "access"\nmap = "file:${join(folder, 'map')}"\n`],
  ])('are no outsiders by way of %s', async (_, modules) => {
    writeFileSync(join(folder, 'map'), 'Connect:192.0.2.7 OK\n');
    await using filter = await testFilter(`${bayes()}[[module]]\nuse = "./learner.ts"\n${modules}`);
    const { verdict } = await filter.send({
      recipients: ['ham@example.com'],
      eml: forwarded(mail('spam', 1)),
    });
    expect(verdict).toBe('continue');
    expect(await filter.store.part('learner').get('learned')).toBeUndefined();
  });

  it.each([
    ['nothing attached', mail('spam', 1), ['spam@example.com']],
    ['both addresses', forwarded(mail('spam', 1)), ['spam@example.com', 'ham@example.com']],
  ])('are told of %s', async (_, eml, recipients) => {
    await using filter = await testFilter(bayes());
    const { verdict, reply } = await filter.send({ ...INSIDE, recipients, eml });
    expect([verdict, reply?.code]).toEqual(['reject', 554]);
    expect(reply?.lines[0]).toContain('as an attachment');
  });

  it('may send nothing but the message', async () => {
    await using filter = await testFilter(bayes());
    const { verdict } = await filter.send({
      ...INSIDE,
      recipients: ['spam@example.com'],
      eml: `Subject: spam\r\nContent-Type: message/rfc822\r\n\r\n${mail('spam', 1)}`,
    });
    expect(verdict).toBe('discard');
  });

  it('are told of a message that is too large to be read', async () => {
    await using filter = await testFilter(bayes('traps = ["old@example.com"]\nauto = true'), {
      top: 'max_body = "2kB"',
    });
    const large = `${mail('spam', 1)}${'x\r\n'.repeat(1_000)}`;
    const { reply } = await filter.send({
      ...INSIDE,
      recipients: ['spam@example.com'],
      eml: forwarded(large),
    });
    expect(reply).toMatchObject({ code: 552, enhanced: '5.3.4' });
    await filter.send({ recipients: ['old@example.com', 'ann@example.com'], eml: large });
    expect(await names(filter)).toEqual([
      'bayes-trapped discard',
      'bayes-trap score 5',
      'bayes-too-big continue',
    ]);
  });

  it('teach the others who learn too, and are told to come again where one fails', async () => {
    const learner = (options = '') => `[[module]]\nuse = "./learner.ts"\n${options}\n`;
    await using filter = await testFilter(bayes() + learner());
    await teach(filter, 'spam', 1);
    expect(await filter.store.part('learner').get('learned')).toMatch(/^spam ann@example\.com From: spam0@/);
    await using failing = await testFilter(bayes() + learner('fails = true'));
    expect((await teach(failing, 'spam', 1)).reply?.code).toBe(451);
  });

  it('keep what they taught in a file of its own, which a trial asks and leaves as it is', async () => {
    await using filter = await testFilter(bayes(), { store: 'sqlite:milter.db' });
    await teach(filter, 'spam', 6);
    await teach(filter, 'ham', 6);
    const { config } = filter;
    expect(config.dictionaries).toBe(`sqlite:${join(filter.data, 'bayes.db')}`);
    const trial = await openConfig(config, { trial: true, resolver: filter.resolver, logger: filter.logger });
    const mta = fakeSession(trial.Filter);
    const { message } = await mta.sendMessage(mail('spam', 9), {
      sender: 'x@far.example',
      recipients: ['b@example.com'],
    });
    await mta.close();
    await trial.close();
    expect(message.recipients).toEqual([]);
    expect((await trial.history.find({}))[0]?.findings).toMatchObject([{ name: 'bayes-spam' }]);
    await using own = await openBayes({ url: config.dictionaries });
    expect(await own.statistics()).toMatchObject([{ user: undefined, spam: expect.any(Number) }]);
  });
});

it('has addresses of its own, which need not be among the users', async () => {
  await using filter = await testFilter(
    `${bayes('traps = ["old@example.com"]')}[[module]]\nuse = "recipients"\ncomplete = ["example.com"]\nusers = ["ann@example.com"]\n`,
  );
  expect((await teach(filter, 'spam', 1)).verdict).toBe('discard');
  expect((await filter.send({ recipients: ['old@example.com'], eml: mail('spam', 2) })).verdict).toBe(
    'discard',
  );
  const inside = await filter.send({ ...INSIDE, recipients: ['old@example.com'], eml: mail('ham', 2) });
  expect(inside.recipients.map(({ reply }) => reply?.code)).toEqual([550]);
  const outside = await filter.send({ recipients: ['spam@example.com'], eml: mail('spam', 3) });
  expect(outside.recipients[0]?.reply?.lines[0]).toContain('our own users');
});

describe('traps', () => {
  it('teach spam, and are taken out', async () => {
    await using filter = await testFilter(
      bayes('spam = "tag"\ntraps = ["old@example.com"]\ntrap = "score 7"'),
    );
    await teach(filter, 'ham', 6);
    for (let n = 0; n < 6; n++) {
      const { message } = await filter.send({
        recipients: ['old@example.com', 'bob@example.com'],
        eml: mail('spam', n),
      });
      expect(message.recipients).toEqual(['<bob@example.com>']);
      expect(await names(filter)).toContain('bayes-trap score 7');
    }
    await until('what came to the trap to be learned', async () => {
      await filter.send({ eml: mail('spam', 9) });
      return (await names(filter)).includes('bayes-spam tag');
    });
  });

  it('are nothing to our own users', async () => {
    await using filter = await testFilter(bayes('traps = ["old@example.com"]'));
    const { message } = await filter.send({
      ...INSIDE,
      recipients: ['old@example.com'],
      eml: mail('ham', 1),
    });
    expect(message.recipients).toEqual(['<old@example.com>']);
  });
});

describe('auto', () => {
  const auto = (on: boolean): string =>
    `${bayes(`auto = ${on}`)}[[module]]\nuse = "./scorer.ts"\n[[module]]\nuse = "score"\nreject_from = 8\n`;

  it.each([true, false])('= %s: what others are sure of is learned, or not', async (on) => {
    await using filter = await testFilter(auto(on));
    for (let n = 0; n < 6; n++) {
      await filter.send({ eml: `X-Points: 12\r\n${mail('spam', n)}` });
      await filter.send({ ...INSIDE, recipients: ['far@far.example'], eml: mail('ham', n) });
    }
    const isJudged = async (): Promise<boolean> => {
      await filter.send({ eml: mail('spam', 9) });
      return (await names(filter)).includes('bayes-spam quarantine');
    };
    if (on) await until('it to be learned', isJudged);
    else expect(await isJudged()).toBe(false);
  });
});

it('learns nothing while it only watches', async () => {
  await using filter = await testFilter(bayes('mode = "observe"'));
  await teach(filter, 'spam', 6);
  await teach(filter, 'ham', 6);
  await filter.send({ eml: mail('spam', 9) });
  expect((await names(filter)).filter((name) => name.startsWith('bayes-spam'))).toEqual([]);
});

it.each([
  ['users = "all"', 'must be one of "shared" "each"'],
  ['spam_from = 2', 'must be at most 1'],
  ['traps = ["@x"]', 'has nothing before the @'],
])('%s is refused', async (options, words) => {
  expect((await faultsOf(bayes(options))).map(({ message }) => message).join()).toContain(words);
});

it('one address for both kinds is refused', async () => {
  const one = `[[module]]\nuse = "bayes"\nlearn = [{ spam = "x@example.com", ham = "X@example.com" }]\n`;
  expect(await faultsOf(one)).toMatchObject([{ message: 'needs two addresses, one for each kind' }]);
});
