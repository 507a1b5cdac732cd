import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { checkConfig, parseConfig } from '../../../../lib/filter/index.ts';
import { options as srsOptions } from '../../../../lib/filter/modules/srs/options.ts';
import { createSrs } from '../../../../lib/srs/index.ts';
import { faultsOf, testFilter } from '../../../helpers/filter.ts';

const DAY = 86_400_000;
const NOW = 1_577_836_860_000;
const SECRET = 'the secret of these tests';

const folder = mkdtempSync(join(tmpdir(), 'milter-srs-'));
afterAll(() => rmSync(folder, { recursive: true }));

const theirs = createSrs({ secrets: [SECRET], now: () => NOW });
const REWRITTEN = theirs.forward('mouse@orig.example', 'srs.example.com');

/** A filter for `ours.example` whose SRS domain is `srs.example.com`. */
async function srsFilter(options = '', { now = NOW, more = '' } = {}) {
  return await testFilter(
    `[[module]]
use = "networks"
domains = ["ours.example"]
external_as_ours = "continue"
[[module]]
use = "srs"
domain = "srs.example.com"
secrets = "${SECRET}"
${options}
${more}`,
    { now: () => now, directory: folder },
  );
}

type Result = Awaited<ReturnType<Awaited<ReturnType<typeof srsFilter>>['send']>>;

/** Who gets it; or what was said to the first recipient. */
function gets({ recipients, message }: Result): readonly string[] | string {
  const { reply } = recipients[0] ?? {};
  return reply === undefined
    ? message.recipients
    : `${reply.code} ${reply.enhanced} ${reply.lines.join(' ')}`;
}

const HOME = ['<mouse@orig.example>'];
const BOUNCE = { sender: '', recipients: [REWRITTEN] };

describe('a bounce', () => {
  it('goes home', async () => {
    await using filter = await srsFilter();
    const result = await filter.send(BOUNCE);
    expect(gets(result)).toEqual(['<mouse@orig.example>']);
    expect(result.message.sender).toBe('<>');
  });

  it('of another hop goes to the forwarder before', async () => {
    await using filter = await srsFilter();
    const second = theirs.forward('SRS0=abcd=2W=orig.example=mouse@first.example', 'srs.example.com');
    const result = await filter.send({ sender: '', recipients: [second, 'b@ours.example'] });
    expect(gets(result)).toEqual(['<b@ours.example>', '<SRS0=abcd=2W=orig.example=mouse@first.example>']);
  });

  it('is recognised whatever became of its case', async () => {
    await using filter = await srsFilter();
    const result = await filter.send({ sender: '', recipients: [REWRITTEN.toLowerCase()] });
    expect(gets(result)).toEqual(['<mouse@orig.example>']);
  });

  it.each([
    ['forged', REWRITTEN.replace(/SRS0=..../, 'SRS0=AAAA'), 'the hash of this SRS address is not ours'],
    ['garbled', 'SRS0=x@srs.example.com', 'this SRS0 address is cut short or garbled'],
  ])('to a %s address gets 550 5.1.1', async (_, recipient, why) => {
    await using filter = await srsFilter();
    const result = await filter.send({ sender: '', recipients: [recipient] });
    expect(gets(result)).toContain(`550 5.1.1 No mail was sent from this address: ${why}`);
  });

  it.each([
    ['22 days later', NOW + 22 * DAY, 'signed 22 days ago; it is good for 21 days'],
    ['where the clock is wrong', NOW - 3 * DAY, 'signed 3 days ahead of this clock'],
  ])('is too late %s', async (_, now, why) => {
    await using filter = await srsFilter('', { now });
    const result = await filter.send(BOUNCE);
    expect(gets(result)).toMatch(/^550 5\.1\.1 This return address is good no longer: /);
    expect(gets(result)).toContain(why);
    expect((await filter.last())?.findings[0]?.name).toBe('srs-expired');
  });

  it('may come for as long as max_age says', async () => {
    await using filter = await srsFilter('max_age = "40d"', { now: NOW + 40 * DAY });
    expect(gets(await filter.send(BOUNCE))).toEqual(HOME);
  });

  it('with a short hash is taken where hash_length says so', async () => {
    const short = createSrs({ secrets: [SECRET], hashLength: 4, now: () => NOW }).forward(
      'mouse@orig.example',
      'srs.example.com',
    );
    await using strict = await srsFilter();
    expect(gets(await strict.send({ sender: '', recipients: [short] }))).toMatch(/^550 5\.1\.1/);
    await using loose = await srsFilter('hash_length = 4');
    expect(gets(await loose.send({ sender: '', recipients: [short] }))).toEqual(HOME);
  });

  it('that is none is found where that is asked for', async () => {
    await using lax = await srsFilter();
    expect(gets(await lax.send({ ...BOUNCE, sender: 'a@example.org' }))).toEqual(HOME);
    await using strict = await srsFilter('not_bounces = "reject"');
    expect(gets(await strict.send({ ...BOUNCE, sender: 'a@example.org' }))).toMatch(/^550 5\.7\.1/);
    expect(gets(await strict.send(BOUNCE))).toEqual(HOME);
  });

  it('is left to the MTA where that asks the socket map', async () => {
    await using filter = await srsFilter(`forward = "socketmap"\nsocketmap = "unix:${folder}/left.sock"`);
    expect(gets(await filter.send(BOUNCE))).toEqual([`<${REWRITTEN}>`]);
    const forged = REWRITTEN.replace(/SRS0=..../, 'SRS0=AAAA');
    expect(gets(await filter.send({ sender: '', recipients: [forged] }))).toMatch(/^550 5\.1\.1/);
  });

  it('of other domains, or to other users of ours, is none of our business', async () => {
    await using filter = await srsFilter();
    for (const recipient of [
      REWRITTEN.replace('srs.example.com', 'far.example'),
      'srs0@srs.example.com',
      'b@ours.example',
    ]) {
      expect(gets(await filter.send({ sender: '', recipients: [recipient] }))).toEqual([`<${recipient}>`]);
    }
  });

  it('is judged by whom it is for', async () => {
    const more =
      '[[module]]\nuse = "recipients"\nusers = ["ann@ours.example"]\ncomplete = ["ours.example", "srs.example.com"]';
    await using filter = await srsFilter('', { more });
    expect(gets(await filter.send(BOUNCE))).toEqual(HOME);
    const ours = (user: string) => theirs.forward(`${user}@ours.example`, 'srs.example.com');
    expect(gets(await filter.send({ sender: '', recipients: [ours('ann')] }))).toEqual([
      '<ann@ours.example>',
    ]);
    expect(gets(await filter.send({ sender: '', recipients: [ours('bob')] }))).toMatch(
      /^550 5\.1\.1 There is no /,
    );
    const forged = await filter.send({ sender: '', recipients: [REWRITTEN.replace('SRS0=', 'SRS0=x')] });
    expect(gets(forged)).toContain('550 5.1.1 No mail was sent from this address');
  });

  it('is only watched in observe mode', async () => {
    await using filter = await srsFilter(
      'mode = "observe"\nforward = "milter"\nforwarded = ["out@ours.example"]',
    );
    const forged = REWRITTEN.replace('SRS0=', 'SRS0=x');
    expect(gets(await filter.send({ sender: '', recipients: [forged] }))).toEqual([`<${forged}>`]);
    expect((await filter.last())?.findings[0]).toMatchObject({ name: 'srs-forged', observed: true });
    expect(gets(await filter.send(BOUNCE))).toEqual([`<${REWRITTEN}>`]);
    const { message } = await filter.send({ recipients: ['out@ours.example'] });
    expect(message.sender).toBe('<a@example.org>');
  });
});

describe('forward = "milter"', () => {
  const FORWARD =
    'forward = "milter"\nforwarded = ["out@ours.example", "list.example"]\nexclude = ["partner.example"]';
  const mail = { sender: 'mouse@orig.example', recipients: ['out@ours.example'] };

  it('rewrites the sender where a recipient is sent on, for all recipients', async () => {
    await using filter = await srsFilter(FORWARD);
    const senderTo = async (...recipients: string[]) =>
      (await filter.send({ ...mail, recipients })).message.sender;
    expect(await senderTo('out@ours.example')).toBe(`<${REWRITTEN}>`);
    expect(await senderTo('b@ours.example', 'x@list.example')).toBe(`<${REWRITTEN}>`);
    expect(await senderTo('b@ours.example')).toBe('<mouse@orig.example>');
  });

  it.each([
    '',
    'a@ours.example',
    'a@partner.example',
    'SRS0=abcd=2W=orig.example=mouse@srs.example.com',
    'root',
  ])('leaves the sender %j alone', async (sender) => {
    await using filter = await srsFilter(FORWARD);
    expect((await filter.send({ ...mail, sender })).message.sender).toBe(`<${sender}>`);
  });

  it('rewrites what another forwarder rewrote', async () => {
    await using filter = await srsFilter(FORWARD);
    const { message } = await filter.send({
      ...mail,
      sender: 'SRS0=abcd=2W=orig.example=mouse@first.example',
    });
    expect(message.sender).toMatch(
      /^<SRS1=.{8}=first\.example==abcd=2W=orig\.example=mouse@srs\.example\.com>$/,
    );
  });

  it('has separator and hash_length say how', async () => {
    await using filter = await srsFilter(`${FORWARD}\nseparator = "+"\nhash_length = 12`);
    expect((await filter.send(mail)).message.sender).toMatch(/^<SRS0\+.{12}=2W=orig\.example=mouse@/);
  });

  it('leaves and tells of a sender that would become too long', async () => {
    await using filter = await srsFilter(FORWARD);
    const result = await filter.send({
      ...mail,
      sender: `${'u'.repeat(60)}@${`${'d'.repeat(60)}.`.repeat(3)}example`,
    });
    expect(result.message.sender).toMatch(/^<uuu/);
    expect(filter.logger.lines.map(({ message }) => message)).toContainEqual(
      expect.stringContaining('a sender cannot be rewritten, and stays: the address would have'),
    );
  });

  it('does nothing for a recipient whose copy was taken out', async () => {
    const more = '[[module]]\nuse = "access"\nmap = "file:access"';
    writeFileSync(join(folder, 'access'), 'To:out@ours.example DISCARD\n');
    await using filter = await srsFilter(FORWARD, { more });
    const { message } = await filter.send({ ...mail, recipients: ['out@ours.example', 'b@ours.example'] });
    expect([message.sender, message.recipients]).toEqual(['<mouse@orig.example>', ['<b@ours.example>']]);
  });

  it.each(['never', 'socketmap'])('is not "%s"', async (forward) => {
    const socket = `socketmap = "unix:${folder}/${forward}.sock"`;
    await using filter = await srsFilter(FORWARD.replace('"milter"', `"${forward}"\n${socket}`));
    expect((await filter.send(mail)).message.sender).toBe('<mouse@orig.example>');
  });
});

describe('secrets', () => {
  it('may be rotated: the old ones verify, the new one signs', async () => {
    writeFileSync(join(folder, 'secrets'), `# newest first\na newer secret\n${SECRET}\n`);
    const rotated = 'secrets = "file:secrets"\nforward = "milter"\nforwarded = ["out@ours.example"]';
    await using filter = await testFilter(`[[module]]\nuse = "srs"\ndomain = "srs.example.com"\n${rotated}`, {
      now: () => NOW,
      directory: folder,
    });
    expect(gets(await filter.send(BOUNCE))).toEqual(HOME);
    const sender = async () =>
      (await filter.send({ sender: 'mouse@orig.example', recipients: ['out@ours.example'] })).message.sender;
    const by = (secret: string) =>
      `<${createSrs({ secrets: [secret], now: () => NOW }).forward('mouse@orig.example', 'srs.example.com')}>`;
    expect(await sender()).toBe(by('a newer secret'));
    // While it runs, too; and a bad version changes nothing.
    writeFileSync(join(folder, 'secrets'), 'the newest secret\na newer secret\n');
    await filter.config.files.refresh();
    expect(await sender()).toBe(by('the newest secret'));
    expect(gets(await filter.send(BOUNCE))).toMatch(/^550 5\.1\.1/);
    writeFileSync(join(folder, 'secrets'), 'short\n');
    await filter.config.files.refresh();
    expect(await sender()).toBe(by('the newest secret'));
  });
});

describe('milter check', () => {
  async function warnings(text: string): Promise<readonly string[]> {
    const config = await parseConfig(
      `socket = "inet:8894@127.0.0.1"\ndata = "${folder}"\n[[module]]\nuse = "srs"\n${text}`,
      {
        directory: folder,
      },
    );
    return (await checkConfig(config))
      .filter(({ isFault, message }) => !isFault && !message.includes('/var/lib'))
      .map(({ message }) => message);
  }
  const fine = `domain = "srs.example.com"\nsecrets = "${SECRET}"`;

  it.each([
    [`${fine}\nhash_length = 4`, 'hash_length = 4 is unsafe'],
    ['', 'without domain and secrets it does nothing'],
    ['domain = "srs.example.com"\nsecrets = "8 letter"', '1 of the secrets have less than 16 characters'],
    [`${fine}\nforward = "milter"`, 'rewrites nothing while forwarded is empty'],
    [`${fine}\nforwarded = ["a@b.example"]`, 'forwarded is of use with forward = "milter" only'],
  ])('warns of %j', async (text, warning) => {
    expect((await warnings(text)).join()).toContain(warning);
    expect((await warnings(fine)).join()).not.toContain(warning);
    // And who runs it sees it in the log.
    await using filter = await testFilter(`[[module]]\nuse = "srs"\n${text}`);
    expect(filter.logger.lines.map(({ message }) => message).join()).toContain(warning);
  });

  it('warns of secrets that others may read', async () => {
    writeFileSync(join(folder, 'open'), `${SECRET}\n`, { mode: 0o644 });
    const text = 'domain = "srs.example.com"\nsecrets = "file:open"';
    expect((await warnings(text)).join()).toContain(`others may read ${folder}/open: chmod 600`);
    chmodSync(join(folder, 'open'), 0o600);
    expect((await warnings(text)).join()).not.toContain('others may read');
  });
});

describe('socketmap', () => {
  it.each([
    ['unix:/run/map.sock', { path: '/run/map.sock' }],
    ['inet:8896@127.0.0.1', { host: '127.0.0.1', port: 8896 }],
    ['inet:127.0.0.1:8896', { host: '127.0.0.1', port: 8896 }],
    ['inet6:8896@[::1]', { host: '::1', port: 8896 }],
    ['inet6:8896@::1', { host: '::1', port: 8896 }],
    ['inet:[::1]:8896', { host: '::1', port: 8896 }],
    ['inet:8896@localhost', { host: 'localhost', port: 8896 }],
    ['', undefined],
  ])('may be %j', (text, listen) => {
    expect(srsOptions.parse({ socketmap: text }).socketmap).toEqual(listen);
  });
});

describe('refuses', () => {
  it.each([
    ['domain = "srs.example.com"', 'secrets', 'is missing; make a file with'],
    [`secrets = "${SECRET}"\nforward = "milter"`, 'domain', 'rewrites senders to it'],
    [`domain = "a.example"\nsecrets = "${SECRET}"\nforward = "socketmap"`, 'socketmap', 'is missing'],
    ['secrets = "short"', 'secrets', 'a secret of 5 characters can be guessed'],
    ['max_age = "5h"', 'max_age', 'must be from 1d to 1022d'],
    ['max_age = "36h"', 'max_age', 'must be whole days'],
    ['hash_length = 3', 'hash_length', ''],
    ['separator = "_"', 'separator', ''],
    ['forward = "always"', 'forward', ''],
    ['socketmap = "/run/x.sock"', 'socketmap', 'must be an address such as "unix:'],
    ['socketmap = "unix:map.sock"', 'socketmap', 'must be an address such as'],
    ['socketmap = "inet:8896"', 'socketmap', 'must be an address such as'],
    ['socketmap = "inet:70000@127.0.0.1"', 'socketmap', 'must be an address such as'],
    ['socketmap = "inet:0@127.0.0.1"', 'socketmap', 'must be an address such as'],
    ['domian = "a.example"', '', 'domain'],
  ])('%s', async (options, key, message) => {
    const [fault] = await faultsOf(`[[module]]\nuse = "srs"\n${options}`);
    expect(fault?.message).toContain(message);
    if (key !== '') expect(fault?.key).toBe(key);
  });
});
