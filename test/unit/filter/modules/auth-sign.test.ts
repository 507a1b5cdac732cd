/** What module `auth` signs and seals, and by which keys. */
import { generateKeyPairSync } from 'node:crypto';
import { chmod, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import auth from '../../../../lib/filter/modules/auth/index.ts';
import { KeyFile } from '../../../../lib/filter/modules/auth/keys.ts';
import { nextSet } from '../../../../lib/filter/modules/auth/sign.ts';
import { makeHeader } from '../../../../lib/headers.ts';
import { MemoryResolver, type MemoryZone, type MessageResult } from '../../../../lib/testing/index.ts';
import { ed25519, keepVerifier, resultsIn, rsa, signed } from '../../../helpers/auth.ts';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { rsaKey } from '../../../helpers/dkim.ts';
import { faultsOf, keepingLogger, type TestMail, testFilter } from '../../../helpers/filter.ts';

keepVerifier();

const MAIL =
  'From: A <a@example.com>\r\nTo: b@example.net\r\nSubject: x\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\n\r\nhello\r\n';
const NETWORKS = '[[module]]\nuse = "networks"\ninternal = ["10.0.0.0/8"]\ndomains = ["example.com"]\n';
const zone: MemoryZone = {
  'r._domainkey.example.com': { TXT: [rsa.record] },
  'e._domainkey.example.com': { TXT: [ed25519.record] },
  's._domainkey.example.org': { TXT: [rsa.record] },
  '_dmarc.example.com': { TXT: ['v=DMARC1; p=reject'] },
  '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject'] },
  'example.org': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] },
};
const INSIDE = { address: '10.0.0.1', sender: 'a@example.com' };

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
const file = (name: string): string => join(folder.path, name);

beforeAll(async () => {
  folder = await temporaryDirectory();
  await writeFile(file('r.pem'), rsa.pem, { mode: 0o640 });
  await writeFile(file('e.pem'), ed25519.pem, { mode: 0o640 });
});
afterAll(() => folder[Symbol.asyncDispose]());

/** A filter that signs for example.com by both keys. */
async function signing(options = '', before = '', after = '') {
  const sign =
    'sign = [{ domain = "example.com", selector = "r", key = "file:r.pem" }, { domain = "example.com", selector = "e", key = "file:e.pem" }]';
  return await testFilter(`${NETWORKS}${before}[[module]]\nuse = "auth"\n${sign}\n${options}\n${after}`, {
    zone,
    directory: folder.path,
  });
}

function fields({ message }: MessageResult, name: string): readonly string[] {
  return message.headers.filter((one) => one.name === name).map(({ value }) => value.replace(/\s+/g, ' '));
}

/** What a filter of others says of the message as it was delivered. */
async function verified({ message }: MessageResult): Promise<string> {
  await using filter = await testFilter('[[module]]\nuse = "auth"\n', { zone });
  return resultsIn(await filter.send({ eml: message.toBytes() }))[0] ?? '';
}

describe('signing', () => {
  it('by each key, whoever is inside or has logged in', async () => {
    await using filter = await signing();
    const both: readonly TestMail[] = [
      INSIDE,
      { macros: { '{auth_authen}': 'ann' }, sender: 'a@example.com' },
    ];
    for (const mail of both) {
      const result = await filter.send({ eml: MAIL, ...mail });
      expect(fields(result, 'DKIM-Signature').map((value) => /a=\S+; .*s=\w/.exec(value)?.[0])).toEqual([
        expect.stringContaining('a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=r'),
        expect.stringContaining('a=ed25519-sha256; c=relaxed/relaxed; d=example.com; s=e'),
      ]);
      expect(await verified(result)).toMatch(/dkim=pass .*dkim=pass .*dmarc=pass/);
    }
  });

  it('never for outsiders, whatever From says', async () => {
    await using filter = await signing('', '', '');
    expect(fields(await filter.send({ eml: MAIL }), 'DKIM-Signature')).toEqual([]);
    const relays = NETWORKS.replace('domains', 'relays = ["192.0.2.0/24"]\ndomains');
    await using relayed = await testFilter(
      `${relays}[[module]]\nuse = "auth"\nsign = [{ domain = "example.com", selector = "r", key = "file:r.pem" }]`,
      { zone, directory: folder.path },
    );
    const eml = `Received: from x (x [10.0.0.9]) by mx.example.com; Thu, 26 Nov 2026 10:00:00 +0000\r\n${MAIL}`;
    expect(fields(await relayed.send({ eml }), 'DKIM-Signature')).toEqual([]);
  });

  it.each([
    ['another domain', MAIL.replace('a@example.com', 'a@example.org')],
    ['a domain below', MAIL.replace('a@example.com', 'a@sub.example.com')],
    ['a domain that ends so', MAIL.replace('a@example.com', 'a@notexample.com')],
    ['two From fields', `From: b@example.com\r\n${MAIL}`],
    ['no From', MAIL.replace(/^From.*\r\n/, '')],
    ['a display name', MAIL.replace('A <a@example.com>', '"a@example.com" <a@example.org>')],
    ['what was released from quarantine', `X-Milter-Released: x\r\n${MAIL}`],
  ])('not for %s', async (_, eml) => {
    await using filter = await signing();
    expect(fields(await filter.send({ eml, ...INSIDE }), 'DKIM-Signature')).toEqual([]);
  });

  it('by the domain in other letters', async () => {
    await using filter = await signing();
    const result = await filter.send({ eml: MAIL.replace('example.com', 'EXAMPLE.com'), ...INSIDE });
    expect(fields(result, 'DKIM-Signature')).toHaveLength(2);
  });

  it('oversigns, but for what an MTA may yet add', async () => {
    await using filter = await signing();
    const result = await filter.send({ eml: MAIL, ...INSIDE });
    const [, list = ''] = /h=([^;]*)/.exec(fields(result, 'DKIM-Signature')[0] ?? '') ?? [];
    const named = list.replace(/\s/g, '').split(':');
    const count = (name: string): number => named.filter((one) => one === name).length;
    expect(
      ['From', 'Subject', 'Date', 'To', 'Cc', 'Reply-To', 'MIME-Version', 'Content-Type'].map(count),
    ).toEqual([2, 2, 2, 2, 1, 1, 1, 1]);
    expect(count('Message-ID')).toBe(0);
    for (const more of ['From', 'Subject', 'To', 'Cc', 'Reply-To', 'Content-Type', 'Date']) {
      const forged = Buffer.concat([Buffer.from(`${more}: x@example.com\r\n`), result.message.toBytes()]);
      await using other = await testFilter('[[module]]\nuse = "auth"\n', { zone });
      expect(resultsIn(await other.send({ eml: forged }))[0]).not.toContain('dkim=pass');
    }
    await using other = await testFilter('[[module]]\nuse = "auth"\n', { zone });
    const added = Buffer.concat([
      Buffer.from('Message-ID: <1@x>\r\nX-More: x\r\n'),
      result.message.toBytes(),
    ]);
    expect(resultsIn(await other.send({ eml: added }))[0]).toContain('dkim=pass');
  });

  it('covers what other modules make of the message, wherever they stand', async () => {
    const html =
      '[[module]]\nuse = "headers"\nremove = ["User-Agent"]\nadd = [{ name = "Reply-To", value = "c@example.com" }]\nsubject_words = ["x"]\nwords_action = "tag"\nmark = "[TAGGED] "\n';
    const disclaimer = '[[module]]\nuse = "disclaimer"\ntext = "Sent by us."\n';
    await using filter = await signing('', html, disclaimer);
    const result = await filter.send({
      eml: `User-Agent: y\r\n${MAIL}`,
      recipients: ['b@example.net'],
      ...INSIDE,
    });
    expect(result.message.body.toString()).toContain('Sent by us.');
    expect(fields(result, 'Subject')).toEqual(['[TAGGED] x']);
    expect(fields(result, 'Reply-To')).toEqual(['c@example.com']);
    expect(await verified(result)).toMatch(/dkim=pass .*dkim=pass .*dmarc=pass/);
  });

  it('not in observe mode', async () => {
    await using filter = await signing('mode = "observe"');
    expect(fields(await filter.send({ eml: MAIL, ...INSIDE }), 'DKIM-Signature')).toEqual([]);
  });

  it('of a body beyond max_body is left, and said so', async () => {
    await using filter = await testFilter(
      `${NETWORKS}[[module]]\nuse = "auth"\nsign = [{ domain = "example.com", selector = "r", key = "file:r.pem" }]`,
      { zone, directory: folder.path, top: 'max_body = "2kB"' },
    );
    const result = await filter.send({ eml: `${MAIL}${'x'.repeat(3_000)}`, ...INSIDE });
    expect(fields(result, 'DKIM-Signature')).toEqual([]);
    expect(filter.logger.lines.map(({ message }) => message)).toContain(
      'not signed: the body is larger than max_body',
    );
  });

  it('of a large body lets other work go on', async () => {
    await using filter = await signing();
    const body = 'a line  of some words \r\n'.repeat(300_000);
    const result = await filter.send({ eml: `${MAIL}${body}`, ...INSIDE });
    expect(await verified(result)).toContain('dkim=pass');
  });
});

describe('keys', () => {
  const sign = (name: string): string =>
    `[[module]]\nuse = "auth"\nsign = [{ domain = "example.com", selector = "r", key = "file:${name}" }]\n`;

  it.each([
    ['no-such-file', undefined, 'ENOENT'],
    ['nonsense.pem', 'nonsense', 'it is no private key in PEM'],
    ['short.pem', rsaKey(768).pem, 'it has 768 bits; from 1024 to 4096 are needed, best 2048'],
    [
      'ec.pem',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
      'it is a key of type ec; RSA or Ed25519 is needed',
    ],
    [
      'public.pem',
      generateKeyPairSync('rsa', { modulusLength: 1_024 }).publicKey.export({ type: 'spki', format: 'pem' }),
      'it is the public key; the private one is needed',
    ],
    [
      'locked.pem',
      rsa.privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }),
      'it has a passphrase; take it off',
    ],
  ])('%s is refused in one line', async (name, content, message) => {
    if (content !== undefined) await writeFile(file(name), content);
    const [fault, ...more] = await faultsOf(sign(file(name)));
    expect([fault?.key, more]).toEqual(['sign[0].key', []]);
    expect(fault?.message).toContain(message);
    expect(fault?.line).toBeGreaterThan(0);
  });

  it('are read anew when they change; a bad one leaves the old one', async () => {
    const path = file('changing.pem');
    await writeFile(path, rsa.pem);
    const key = new KeyFile(path);
    const log = keepingLogger();
    const change = async (content: string, at: number): Promise<void> => {
      await writeFile(path, content);
      await utimes(path, at, at);
    };
    await key.refresh(log);
    expect([key.algorithm, log.lines]).toEqual(['rsa-sha256', []]);
    await change(ed25519.pem, 1_000);
    await key.refresh(log);
    expect(key.algorithm).toBe('ed25519-sha256');
    await change('broken', 2_000);
    await key.refresh(log);
    await key.refresh(log);
    await rm(path);
    await key.refresh(log);
    await key.refresh(log);
    expect(key.algorithm).toBe('ed25519-sha256');
    expect(log.lines.map(({ level, message }) => [level, message])).toEqual([
      ['info', 'a signing key was read anew'],
      ['error', 'a signing key cannot be used, and the old one stays: it is no private key in PEM'],
      ['error', expect.stringContaining('ENOENT')],
    ]);
    await change(rsa.pem, 3_000);
    await key.refresh(log);
    expect(key.algorithm).toBe('rsa-sha256');
  });

  it('are compared with what is published, and warned of where others can read them', async () => {
    const check = async (name: string, records: MemoryZone): Promise<readonly string[]> => {
      const option = { domain: 'example.com', selector: 'r', key: new KeyFile(file(name)) };
      const options = { ...auth.options.parse({}), sign: [option] };
      return (await auth.check?.(options, new MemoryResolver(records))) ?? [];
    };
    expect(await check('r.pem', zone)).toEqual([]);
    expect(await check('e.pem', { 'r._domainkey.example.com': { TXT: [ed25519.record] } })).toEqual([]);
    expect(await check('r.pem', {})).toEqual([
      `no key is published at r._domainkey.example.com; publish: ${rsa.record}`,
    ]);
    expect(await check('r.pem', { 'r._domainkey.example.com': 'timeout' })).toEqual([
      'DNS does not say whether the key is published at r._domainkey.example.com',
    ]);
    expect(await check('e.pem', zone)).toEqual([
      expect.stringContaining(`another key than ${file('e.pem')} is published`),
    ]);
    await writeFile(file('open.pem'), rsaKey(1_024).pem);
    await chmod(file('open.pem'), 0o644);
    const found = await check('open.pem', {});
    expect(found[0]).toBe(`${file('open.pem')} can be read by everybody on this machine: chmod 640`);
    expect(found[1]).toBe(`${file('open.pem')} has 1024 bits only: make one of 2048`);
  });

  it('of one selector twice are refused', async () => {
    const one = `{ domain = "example.com", selector = "r", key = "file:${file('r.pem')}" }`;
    expect((await faultsOf(`[[module]]\nuse = "auth"\nsign = [${one}, ${one}]`))[0]?.message).toContain(
      'twice',
    );
  });
});

describe('sealing', () => {
  const outside = MAIL.replace('a@example.com', 'a@example.org');
  const away = ['b@example.net'];

  it('what comes from outside and goes on to others', async () => {
    await using filter = await signing('seal = true');
    const result = await filter.send({ eml: outside, recipients: away });
    expect(result.message.headers.slice(0, 4).map(({ name }) => name)).toEqual([
      'ARC-Seal',
      'ARC-Message-Signature',
      'ARC-Authentication-Results',
      'Authentication-Results',
    ]);
    expect(fields(result, 'ARC-Seal')[0]).toMatch(
      /^i=1; a=rsa-sha256; t=\d+; cv=none; d=example\.com; s=r; b=/,
    );
    expect(fields(result, 'ARC-Authentication-Results')[0]).toBe(`i=1; ${resultsIn(result)[0]}`);
    const again = await filter.send({ eml: result.message.toBytes(), recipients: away });
    expect(resultsIn(again)[0]).toContain('arc=pass');
    expect(fields(again, 'ARC-Seal')[0]).toMatch(/^i=2; .* cv=pass;/);
    expect(await verified(again)).toContain('arc=pass');
  });

  it('not what stays here, nor where seal is off', async () => {
    await using filter = await signing('seal = true');
    expect(fields(await filter.send({ eml: outside, recipients: ['b@example.com'] }), 'ARC-Seal')).toEqual(
      [],
    );
    await using off = await signing();
    expect(fields(await off.send({ eml: outside, recipients: away }), 'ARC-Seal')).toEqual([]);
  });

  it('what a list of ours sends on, with what was found when it came', async () => {
    await using filter = await signing('seal = true');
    const came = `Authentication-Results: mx.example.com; dkim=pass header.d=example.org; dmarc=pass header.from=example.org\r\n${outside}`;
    const result = await filter.send({ eml: came, recipients: away, ...INSIDE });
    expect(fields(result, 'ARC-Authentication-Results')).toEqual([
      'i=1; mx.example.com; dkim=pass header.d=example.org; dmarc=pass header.from=example.org',
    ]);
    await using friend = await testFilter(
      '[[module]]\nuse = "auth"\ndmarc = "policy"\narc_sealers = ["example.com"]',
      { zone },
    );
    const sent = await friend.send({
      eml: result.message.toBytes(),
      address: '192.0.2.99',
      sender: 'list@example.com',
    });
    expect(sent.verdict).toBe('continue');
    expect(resultsIn(sent)[0]).toMatch(/dmarc=fail .*arc=pass/);
    expect((await friend.last())?.findings).toMatchObject([{ name: 'auth-dmarc', action: 'continue' }]);
    await using stranger = await testFilter('[[module]]\nuse = "auth"\ndmarc = "policy"', { zone });
    const refused = await stranger.send({ eml: result.message.toBytes(), address: '192.0.2.99' });
    expect(refused.verdict).toBe('reject');
  });

  it('a chain that was broken on its way is called failed, once', async () => {
    await using filter = await signing('seal = true');
    const first = await filter.send({ eml: outside, recipients: away });
    const changed = Buffer.concat([first.message.toBytes(), Buffer.from('more\r\n')]);
    const second = await filter.send({ eml: changed, recipients: away });
    expect(resultsIn(second)[0]).toContain('arc=fail');
    expect(fields(second, 'ARC-Seal')[0]).toMatch(/^i=2; .* cv=fail;/);
    const third = await filter.send({ eml: second.message.toBytes(), recipients: away });
    expect(fields(third, 'ARC-Seal')).toHaveLength(2);
  });

  it('not a chain of which DNS does not tell', async () => {
    await using filter = await signing('seal = true');
    const first = await filter.send({ eml: outside, recipients: away });
    await using blind = await testFilter(
      '[[module]]\nuse = "auth"\nseal = true\nsign = [{ domain = "example.com", selector = "r", key = "file:r.pem" }]',
      { zone: { ...zone, 'r._domainkey.example.com': 'servfail' }, directory: folder.path },
    );
    const second = await blind.send({ eml: first.message.toBytes(), recipients: away });
    expect(fields(second, 'ARC-Seal')).toHaveLength(1);
  });

  const sets = (count: number, cv = 'pass') =>
    Array.from({ length: count }, (_, i) => [
      makeHeader('ARC-Seal', Buffer.from(` a=x; i=${i + 1}; cv=${cv}; b=`)),
      makeHeader('ARC-Message-Signature', Buffer.from(` i=${i + 1}; a=x`)),
      makeHeader('ARC-Authentication-Results', Buffer.from(` i=${i + 1}; x; none`)),
    ]).flat();

  it.each([
    ['none', [], 'none', { instance: 1, cv: 'none' }],
    ['one', sets(1), 'pass', { instance: 2, cv: 'pass' }],
    ['49', sets(49), 'pass', { instance: 50, cv: 'pass' }],
    ['50', sets(50), 'pass', undefined],
    ['one that failed', sets(3, 'fail'), 'fail', undefined],
    ['a broken one', sets(3), 'fail', { instance: 4, cv: 'fail' }],
    ['one with a gap', sets(3).slice(3), 'fail', { instance: 4, cv: 'fail' }],
    ['one without a number', [makeHeader('ARC-Seal', Buffer.from(' i=x; cv=pass'))], 'fail', undefined],
    [
      'one with a number that is none',
      [makeHeader('ARC-Seal', Buffer.from(' i=100; cv=pass'))],
      'fail',
      undefined,
    ],
  ] as const)('above a chain of %s', (_, chain, result, next) => {
    expect(nextSet(chain, result)).toEqual(next);
  });
});

it('verification is of the message as it came', async () => {
  const html = '[[module]]\nuse = "headers"\nreplace = [{ name = "Subject", find = "x", with = "y" }]\n';
  await using filter = await testFilter(`${html}[[module]]\nuse = "auth"\n`, { zone });
  const eml = await signed(MAIL.replace('a@example.com', 'a@example.org'));
  const result = await filter.send({ eml });
  expect(resultsIn(result)[0]).toContain('dkim=pass');
});
