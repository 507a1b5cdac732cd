/** What module `auth` says of mail from outside. */
import { describe, expect, it } from 'vitest';
import type { Resolver } from '../../../../lib/dns/index.ts';
import type { MemoryZone } from '../../../../lib/testing/index.ts';
import { ed25519, keepVerifier, resultsIn, rsa, signed } from '../../../helpers/auth.ts';
import { rsaKey } from '../../../helpers/dkim.ts';
import { faultsOf, testFilter } from '../../../helpers/filter.ts';

keepVerifier();

const NETWORKS = '[[module]]\nuse = "networks"\ninternal = ["10.0.0.0/8"]\ndomains = ["example.com"]\n';
const AUTH = '[[module]]\nuse = "auth"\n';
const MAIL = 'From: A <a@example.org>\r\nTo: b@example.com\r\nSubject: x\r\n\r\nhello\r\n';

const zone: MemoryZone = {
  'example.org': { TXT: ['v=spf1 ip4:192.0.2.99 -all'] },
  '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject'] },
  's._domainkey.example.org': { TXT: [rsa.record] },
  'ed._domainkey.example.org': { TXT: [ed25519.record] },
};

/** What becomes of a message, and what is said of it. */
async function judge(eml: string | Buffer, options = '', more: MemoryZone = {}) {
  await using filter = await testFilter(`${NETWORKS}${AUTH}${options}`, { zone: { ...zone, ...more } });
  const result = await filter.send({ eml });
  const found = (await filter.last())?.findings.map(({ name, action }) => `${name} ${action}`) ?? [];
  return { ...result, results: resultsIn(result), found };
}

describe('DKIM', () => {
  it('passes, and saves what SPF would fail', async () => {
    const { results, verdict, found } = await judge(await signed(MAIL), 'dmarc = "reject"');
    expect(verdict).toBe('continue');
    expect(results).toEqual([
      expect.stringMatching(
        /^mx\.example\.com; dkim=pass header\.d=example\.org header\.i=@example\.org header\.s=s header\.a=rsa-sha256 header\.b=\S+; spf=fail smtp\.mailfrom=a@example\.org; dmarc=pass \(p=reject\) header\.from=example\.org policy\.dmarc=reject; arc=none$/,
      ),
    ]);
    expect(found).toEqual([]);
  });

  it.each(['simple/simple', 'simple/relaxed', 'relaxed/simple', 'relaxed/relaxed'])(
    '%s',
    async (canonicalization) => {
      const folded = 'From: A\r\n\t<a@example.org> \r\nSubject:  x  y\r\n\r\n a  b \r\n\r\n\r\n';
      expect((await judge(await signed(folded, { canonicalization }))).results[0]).toContain('dkim=pass');
    },
  );

  it('with several signatures says what each is', async () => {
    const twice = await signed(await signed(MAIL), { selector: 'ed', key: ed25519 });
    const { results } = await judge(Buffer.from(twice.toString().replace('s=s;', 's=other;')));
    expect(results[0]).toMatch(
      /dkim=pass .*header.a=ed25519-sha256.*; dkim=neutral \(no key\) .*header.s=other/,
    );
  });

  it('of a changed body fails, as dkim_fail says', async () => {
    const changed = Buffer.concat([await signed(MAIL), Buffer.from('more\r\n')]);
    const { reply, found } = await judge(changed, 'dkim_fail = "reject"\ndmarc = "continue"');
    expect(found).toContain('auth-dkim-fail reject');
    expect(reply).toMatchObject({ code: 550, enhanced: '5.7.20' });
    expect(reply?.lines[0]).toMatch(
      /^The DKIM signature of example\.org does not hold: body hash did not verify\. Was the mail changed on its way\? \[ref/,
    );
  });

  it('fails not where another signature of the domain holds', async () => {
    const broken = Buffer.concat([await signed(MAIL), Buffer.from('more\r\n')]);
    const { found, verdict } = await judge(await signed(broken), 'dkim_fail = "reject"');
    expect([verdict, found]).toEqual(['continue', []]);
  });

  it('that has expired does not pass', async () => {
    const now = Date.now();
    const eml = await signed(MAIL, {
      signTime: new Date(now - 7_200_000),
      expires: new Date(now - 3_600_000),
    });
    expect((await judge(eml)).results[0]).toMatch(/dkim=neutral \(expired\).*dmarc=fail/);
  });

  it('goes by the clock of the filter', async () => {
    const eml = await signed(MAIL, { signTime: new Date(1_000_000_000), expires: new Date(2_000_000_000) });
    await using filter = await testFilter(AUTH, { zone, now: () => 1_500_000_000 });
    expect(resultsIn(await filter.send({ eml }))[0]).toContain('dkim=pass');
  });

  it('with l= and a longer body does not pass, nor DMARC by it', async () => {
    const eml = await signed(MAIL, { maxBodyLength: 7 });
    expect((await judge(eml)).results[0]).toContain('dkim=pass');
    const longer = Buffer.concat([eml, Buffer.from('buy this\r\n')]);
    const { results, found } = await judge(longer, 'dmarc = "quarantine"');
    expect(results).toEqual([]);
    expect(found).toContain('auth-dmarc quarantine');
    const tagged = await judge(longer);
    expect(tagged.results[0]).toMatch(
      /dkim=policy \(l= leaves 10 bytes of the body unsigned\) header\.d=example\.org .*dmarc=fail/,
    );
  });

  it('by a short key does not pass', async () => {
    const short = rsaKey(768);
    const { results } = await judge(await signed(MAIL, { selector: 'short', key: short }), '', {
      'short._domainkey.example.org': { TXT: [short.record] },
    });
    expect(results[0]).toMatch(/dkim=policy \(weak-key\).*dmarc=fail/);
  });

  it.each([
    ['servfail', 'dkim=temperror'],
    ['timeout', 'dkim=temperror'],
    ['nxdomain', 'dkim=neutral (no key)'],
  ] as const)('where the key is a %s', async (status, says) => {
    const { results } = await judge(await signed(MAIL), '', { 's._domainkey.example.org': status });
    expect(results[0]).toContain(says);
  });

  it.each(['v=DKIM1; p=', 'v=DKIM1; p=!!!', 'nonsense', `${'v=DKIM1; '.repeat(2_000)}p=AAAA`, ''])(
    'where the key is %j',
    async (record) => {
      const { results } = await judge(await signed(MAIL), '', {
        's._domainkey.example.org': { TXT: [record] },
      });
      expect(results[0]).toMatch(/dkim=neutral .*dmarc=fail/);
    },
  );

  it('looks at ten signatures, those of the author among them', async () => {
    const many = Array.from(
      { length: 40 },
      (_, i) => `DKIM-Signature: v=1; a=rsa-sha256; d=junk${i}.example; s=s; h=from; bh=AAAA; b=AAAA\r\n`,
    );
    const { results } = await judge(Buffer.concat([Buffer.from(many.join('')), await signed(MAIL)]));
    expect(results[0]?.match(/dkim=/g)).toHaveLength(10);
    expect(results[0]).toMatch(/dkim=pass .*dmarc=pass/);
  });

  it('says nothing good of a signature that a stranger writes into another field', async () => {
    const { results } = await judge(
      'DKIM-Signature: v=1; a=rsa-sha256; d=x"\\; dkim=pass header.d=example.org; s=s; h=from; bh=A; b=A\r\n' +
        MAIL,
    );
    expect(results[0]).not.toMatch(/(^|; )dkim=pass/);
  });
});

describe('DMARC', () => {
  const policies: readonly (readonly [record: string, verdict: string])[] = [
    ['v=DMARC1; p=reject', 'reject'],
    ['v=DMARC1; p=quarantine', 'quarantine'],
    ['v=DMARC1; p=none', 'continue'],
    ['v=DMARC1; p=reject; t=y', 'quarantine'],
    ['v=DMARC1; p=quarantine; t=y', 'continue'],
    ['v=DMARC1; p=reject; pct=0', 'reject'],
    ['v=DMARC1; p=reject; sp=none', 'reject'],
    ['v=DMARC1; p=nonsense; rua=mailto:a@example.org', 'continue'],
  ];
  it.each(policies)('"policy" does as %s asks', async (record, action) => {
    const { found } = await judge(MAIL, 'dmarc = "policy"', { '_dmarc.example.org': { TXT: [record] } });
    expect(found).toContain(`auth-dmarc ${action}`);
  });

  it('is told with a reply that a postmaster understands', async () => {
    const { reply } = await judge(MAIL, 'dmarc = "policy"');
    expect(reply).toMatchObject({ code: 550, enhanced: '5.7.26' });
    expect(reply?.lines[0]).toMatch(
      /^Nothing proves that this mail is of example\.org, whose DMARC record asks for proof: SPF says fail of example\.org, there is no DKIM signature\. Do you forward mail\? Then leave it as it is, or seal it \(ARC\) \[ref/,
    );
  });

  it('is tagged where the configuration does not say', async () => {
    const { message, results } = await judge(MAIL);
    expect(message.headers.find(({ name }) => name === 'X-Milter-Findings')?.value).toBe('auth-dmarc');
    expect(results[0]).toContain('dmarc=fail (p=reject) header.from=example.org policy.dmarc=reject');
  });

  it.each([['score 3'], ['continue'], ['discard']])('does as dmarc = %j says', async (action) => {
    expect((await judge(MAIL, `dmarc = "${action}"`)).found).toContain(`auth-dmarc ${action}`);
  });

  it('passes by SPF alone, of module spf or without it', async () => {
    const spf = { 'example.org': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] } };
    expect((await judge(MAIL, '', spf)).results[0]).toMatch(
      /spf=pass smtp\.mailfrom=a@example\.org; dmarc=pass/,
    );
    await using filter = await testFilter(`[[module]]\nuse = "spf"\n${AUTH}`, { zone: { ...zone, ...spf } });
    const { message } = await filter.send({ eml: MAIL });
    expect(message.headers.map(({ name }) => name).slice(0, 2)).toEqual([
      'Authentication-Results',
      'Received-SPF',
    ]);
    expect(resultsIn({ message })[0]).toContain('dmarc=pass');
  });

  it('says why where From is none, or several', async () => {
    expect((await judge('Subject: x\r\n\r\nhello\r\n')).results[0]).toContain(
      'dmarc=permerror (From names no domain)',
    );
    const two = `From: a@example.net\r\n${MAIL}`;
    const both = await judge(two, 'dmarc = "policy"');
    expect(both.reply).toMatchObject({ code: 550, enhanced: '5.7.26' });
    const list = await judge('From: a@example.net, b@example.org\r\n\r\nhello\r\n');
    expect(list.results[0]).toContain('dmarc=fail (From names several domains) header.from=example.org');
  });

  it.each([
    'a @ example . org',
    'a@example(x).org',
    'A <a@example. org>',
    '"A <a@example.org>',
    '<a@evil.example> <a@example.org>',
  ])('is not got around by a From that not everybody can read: %s', async (from) => {
    const { reply } = await judge(`From: ${from}\r\n\r\nhello\r\n`, 'dmarc = "policy"');
    expect(reply).toMatchObject({ code: 550, enhanced: '5.7.26' });
    expect(reply?.lines[0]).toContain('example.org');
  });

  it('of several From fields does not pass by the signature of one', async () => {
    const { results } = await judge(
      Buffer.concat([Buffer.from('From: a@evil.example\r\n'), await signed(MAIL)]),
    );
    expect(results[0]).not.toContain('dmarc=pass');
  });

  it('does not fail for good where DNS does not answer', async () => {
    const dead = await judge(MAIL, 'dmarc = "policy"', { '_dmarc.example.org': 'timeout' });
    expect(dead.found).toContain('auth-dmarc-temperror tempfail');
    expect(dead.reply).toMatchObject({ code: 451, enhanced: '4.4.3' });
    const key = await judge(await signed(MAIL), 'dmarc = "reject"', {
      's._domainkey.example.org': 'servfail',
    });
    expect(key.reply).toMatchObject({ code: 451 });
    const mild = await judge(MAIL, '', { '_dmarc.example.org': 'timeout' });
    expect(mild.verdict).toBe('continue');
    expect(mild.results[0]).toContain('dmarc=temperror');
    const spf = await judge(MAIL, 'dmarc = "reject"', { 'example.org': 'servfail' });
    expect(spf.reply).toMatchObject({ code: 451 });
  });

  it('has a deadline for DNS', async () => {
    const silent: Resolver = { resolve: () => new Promise(() => {}) };
    await using filter = await testFilter(`${AUTH}deadline = "100ms"`, { resolver: silent });
    expect((await filter.send({ eml: MAIL })).reply).toMatchObject({ code: 451, enhanced: '4.3.0' });
    await using careless = await testFilter(`${AUTH}deadline = "100ms"\non_error = "continue"`, {
      resolver: silent,
    });
    expect((await careless.send({ eml: MAIL })).verdict).toBe('continue');
  });

  // The examples of RFC 9989, and of its tree walk (sections 4.10 and appendix B).
  const walks: readonly (readonly [what: string, from: string, records: MemoryZone, says: string])[] = [
    [
      'the domain itself',
      'example.net',
      { '_dmarc.example.net': { TXT: ['v=DMARC1; p=reject'] } },
      'dmarc=fail (p=reject)',
    ],
    [
      'the organizational domain, with sp',
      'a.b.example.net',
      {
        '_dmarc.example.net': { TXT: ['v=DMARC1; p=reject; sp=quarantine'] },
        'a.b.example.net': { A: ['192.0.2.1'] },
      },
      'header.from=a.b.example.net policy.dmarc=quarantine',
    ],
    [
      'one that does not exist, with np',
      'no.example.net',
      { '_dmarc.example.net': { TXT: ['v=DMARC1; p=none; sp=none; np=reject'] } },
      'policy.dmarc=reject',
    ],
    [
      'a public suffix, with psd=y',
      'giant.bank.example',
      {
        '_dmarc.bank.example': { TXT: ['v=DMARC1; p=reject; psd=y'] },
        'giant.bank.example': { A: ['192.0.2.1'] },
      },
      'dmarc=fail (p=reject) header.from=giant.bank.example',
    ],
    [
      'one that ends the walk, with psd=n',
      'a.mail.example.net',
      {
        '_dmarc.mail.example.net': { TXT: ['v=DMARC1; p=quarantine; psd=n'] },
        '_dmarc.example.net': { TXT: ['v=DMARC1; p=reject'] },
      },
      'policy.dmarc=quarantine',
    ],
    [
      'more than eight labels, where names between are left out',
      'a.b.c.d.e.f.g.h.i.j.example.net',
      {
        '_dmarc.j.example.net': { TXT: ['v=DMARC1; p=reject'] },
        '_dmarc.b.c.d.e.f.g.h.i.j.example.net': { TXT: ['v=DMARC1; p=none'] },
      },
      'policy.dmarc=reject',
    ],
    [
      'two records, which are none',
      'example.net',
      { '_dmarc.example.net': { TXT: ['v=DMARC1; p=reject', 'v=DMARC1; p=none'] } },
      'dmarc=none',
    ],
    ['no record at all', 'example.net', {}, 'dmarc=none header.from=example.net'],
  ];
  it.each(walks)('finds the policy of %s', async (_, from, records, says) => {
    const { results } = await judge(`From: a@${from}\r\n\r\nhello\r\n`, '', records);
    expect(results[0]).toContain(says);
  });

  const alignments: readonly (readonly [
    signer: string,
    from: string,
    records: MemoryZone,
    result: string,
  ])[] = [
    ['example.org', 'sub.example.org', {}, 'pass'],
    ['sub.example.org', 'example.org', {}, 'pass'],
    [
      'sub.example.org',
      'example.org',
      { '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject; adkim=s'] } },
      'fail',
    ],
    ['one.example.org', 'two.example.org', {}, 'pass'],
    [
      'one.example.org',
      'two.example.org',
      { '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject; psd=y'] } },
      'fail',
    ],
    ['notexample.org', 'example.org', {}, 'fail'],
  ];
  it.each(alignments)('a signature of %s for %s', async (domain, from, records, result) => {
    const eml = await signed(MAIL.replace('a@example.org', `a@${from}`), { domain });
    const { results } = await judge(eml, '', {
      [`s._domainkey.${domain}`]: { TXT: [rsa.record] },
      ...records,
    });
    expect(results[0]).toContain(`dmarc=${result}`);
  });
});

describe('what others go by', () => {
  const spf = '[[module]]\nuse = "spf"\n';

  it('spf.dkim_saves waits for it', async () => {
    await using filter = await testFilter(`${spf}${AUTH}dmarc = "continue"`, { zone });
    expect((await filter.send({ eml: await signed(MAIL) })).verdict).toBe('continue');
    expect((await filter.send({ eml: MAIL })).reply).toMatchObject({ code: 550, enhanced: '5.7.23' });
  });

  it('counts a domain above or below where there is no DMARC record', async () => {
    const bare = {
      'example.net': { TXT: ['v=spf1 -all'] },
      's._domainkey.mail.example.net': { TXT: [rsa.record] },
    };
    await using filter = await testFilter(`${spf}${AUTH}`, { zone: bare });
    const eml = await signed(MAIL.replace('example.org', 'example.net'), { domain: 'mail.example.net' });
    expect((await filter.send({ eml, sender: 'a@example.net' })).verdict).toBe('continue');
  });

  it('mail of ours that comes back signed is no forgery', async () => {
    const networks = `${NETWORKS}from_as_ours = "reject"\n`;
    const ours = { ...zone, 's._domainkey.example.com': { TXT: [rsa.record] } };
    await using filter = await testFilter(`${networks}${AUTH}`, { zone: ours });
    const mail = MAIL.replace('example.org', 'example.com');
    expect((await filter.send({ eml: await signed(mail, { domain: 'example.com' }) })).verdict).toBe(
      'continue',
    );
    expect((await filter.send({ eml: mail })).verdict).toBe('reject');
  });
});

describe('bounds', () => {
  it('a header section that is too large is not verified, and DMARC fails', async () => {
    const eml = Buffer.concat([
      Buffer.from(`X-Long: ${'x'.repeat(900)}\r\n`.repeat(700)),
      await signed(MAIL),
    ]);
    const { results } = await judge(eml);
    expect(results[0]).toMatch(/dkim=neutral \(the header section is too large\).*dmarc=fail/);
  });

  it('so it is of too many fields', async () => {
    const eml = Buffer.concat([Buffer.from('x:\r\n'.repeat(2_100)), await signed(MAIL)]);
    expect((await judge(eml)).results[0]).toContain('dkim=neutral (the header section is too large)');
  });

  it('so is one with an endless From, of which what can be seen is judged', async () => {
    const eml = await signed(
      `From: a@example.org, ${'b@example.org,'.repeat(4_000)}c@example.org\r\n\r\nhello\r\n`,
    );
    expect((await judge(eml)).results[0]).toMatch(/dkim=neutral .*dmarc=fail .*header\.from=example\.org/);
  });

  it('a body beyond max_body is not verified, and DMARC does not fail for it', async () => {
    const eml = await signed(`${MAIL}${'x'.repeat(3_000)}\r\n`);
    await using filter = await testFilter(`${AUTH}dmarc = "reject"`, { zone, top: 'max_body = "2kB"' });
    const result = await filter.send({ eml });
    expect(result.verdict).toBe('continue');
    expect(resultsIn(result)[0]).toMatch(
      /dkim=neutral \(the body is larger than max_body\).*dmarc=permerror/,
    );
  });
});

describe('bad options', () => {
  it.each([
    ['dmarc = "polcy"', 'dmarc'],
    ['arc_sealers = ["a b"]', 'arc_sealers[0]'],
    ['authserv_id = "a b"', 'authserv_id'],
    ['seal = true', 'seal'],
    ['sign = [{ domain = "example.org", selector = "a b", key = "file:k" }]', 'sign[0].selector'],
    ['sign = [{ domain = "", selector = "a", key = "file:k" }]', 'sign[0].domain'],
    ['sign = [{ domain = "example.org", selector = "a" }]', 'sign[0].key'],
    ['sign = [{ domain = "example.org", selector = "a", key = "file:no-such-file" }]', 'sign[0].key'],
    ['when = ["external"]\nresult = true', 'result'],
  ])('%s', async (options, key) => {
    expect((await faultsOf(`${AUTH}${options}\n`)).map((fault) => fault.key)).toContain(key);
  });

  it('may stand once', async () => {
    expect((await faultsOf(`${AUTH}${AUTH}name = "two"\n`))[0]?.message).toContain('once');
  });
});
