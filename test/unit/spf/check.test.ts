/** check_host(): RFC 7208 sections 2.6 and 4 to 6, one rule after the other. */
import { describe, expect, it } from 'vitest';
import type { Answer, RecordType } from '../../../lib/dns/index.ts';
import type { CheckOptions } from '../../../lib/spf/index.ts';
import { checkHost } from '../../../lib/spf/index.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';
import { check, checkRecord } from '../../helpers/spf.ts';

describe('the result tells everything', () => {
  it('of a pass', async () => {
    const zone = { 'mail.example.com': { A: ['192.0.2.1'] } };
    expect(await checkRecord('v=spf1 a:mail.example.com -all', zone)).toEqual({
      result: 'pass',
      explanation: '',
      mechanism: 'a:mail.example.com',
      record: 'v=spf1 a:mail.example.com -all',
      domain: 'example.com',
      identity: 'mailfrom',
      lookups: 1,
      voidLookups: 0,
      problem: undefined,
      meant: undefined,
    });
  });

  it.each([
    ['v=spf1 +all', 'pass', '+all'],
    ['v=spf1 -all', 'fail', '-all'],
    ['v=spf1 ~all', 'softfail', '~all'],
    ['v=spf1 ?all', 'neutral', '?all'],
    ['v=spf1 ip4:10.0.0.0/8', 'neutral', 'default'],
    ['v=spf1', 'neutral', 'default'],
  ] as const)('%s is %s by %s', async (record, result, mechanism) => {
    expect(await checkRecord(record)).toMatchObject({ result, mechanism, problem: undefined });
  });
});

describe('the identity (2.3, 2.4, 4.3)', () => {
  const zone = {
    'example.com': { TXT: ['v=spf1 -all exp=who.example.com'] },
    'who.example.com': { TXT: ['%{s} %{l} %{o}'] },
    'xn--bcher-kva.example': { TXT: ['v=spf1 +all'] },
  };
  it.each([
    ['user@example.com', 'mailfrom', 'user@example.com user example.com'],
    ['<user@example.com>', 'mailfrom', 'user@example.com user example.com'],
    ['<User@Example.Com.>', 'mailfrom', 'User@Example.Com User Example.Com'],
    ['@example.com', 'mailfrom', 'postmaster@example.com postmaster example.com'],
    ['example.com', 'mailfrom', 'postmaster@example.com postmaster example.com'],
    ['"a@b"@example.com', 'mailfrom', '"a@b"@example.com "a@b" example.com'],
    ['"a\\"@b"@example.com', 'mailfrom', '"a\\"@b"@example.com "a\\"@b" example.com'],
    ['a@b@example.com', 'mailfrom', 'a@b@example.com a@b example.com'],
    ['<@relay.example,@other.example:user@example.com>', 'mailfrom', 'user@example.com user example.com'],
    ['', 'helo', 'postmaster@example.com postmaster example.com'],
    ['<>', 'helo', 'postmaster@example.com postmaster example.com'],
  ] as const)('of %j is %s', async (sender, identity, explanation) => {
    expect(await check(zone, { sender, helo: 'example.com' })).toMatchObject({
      result: 'fail',
      identity,
      explanation,
    });
  });

  it.each(['<user@(x)example.com>', '<user @ example.com>', '<user@"example.com">', '<"user@example.com">'])(
    'is checked for the domain that MTAs find in %s',
    async (sender) => {
      const resolver = new MemoryResolver({ 'example.com': { TXT: ['v=spf1 -all'] } });
      expect(await check({}, { sender, resolver })).toMatchObject({ result: 'fail', domain: 'example.com' });
    },
  );

  it.each([
    ['an address literal', 'user@[192.0.2.1]'],
    ['an IPv6 literal', 'user@[IPv6:2001:db8::1]'],
    ['one label', 'user@localhost'],
    ['one label and a dot', 'user@localhost.'],
    ['an empty label', 'user@a..example.com'],
    ['an empty last label', 'user@example.com..'],
    ['a leading dot', 'user@.example.com'],
    ['a label of 64 bytes', `user@${'a'.repeat(64)}.example.com`],
    ['more than 253 bytes', `user@${'a.'.repeat(125)}example`],
    ['nothing after the @', 'user@'],
    ['missing, and all there is is quoted', '"a user"'],
    ['bytes that are no text', 'user@b\udcfcr.example'],
  ])('is not checked if its domain is %s', async (_, sender) => {
    const resolver = new MemoryResolver({});
    const result = await check({}, { sender, resolver });
    expect(result).toMatchObject({ result: 'none', mechanism: undefined, lookups: 0 });
    expect(result.problem).toBeTruthy();
    expect(resolver.queries).toEqual([]);
  });

  it.each(['', 'localhost', '[192.0.2.1]', undefined])(
    'is not checked if it is the HELO name %j',
    async (helo) => {
      expect(await check({}, { sender: '<>', helo })).toMatchObject({ result: 'none', identity: 'helo' });
    },
  );

  it('of an internationalised domain is its A-label', async () => {
    expect(await check(zone, { sender: 'user@b\u00fccher.example' })).toMatchObject({
      result: 'pass',
      domain: 'xn--bcher-kva.example',
    });
  });
});

describe('the arguments', () => {
  it.each([{ ip: undefined }, { ip: null as unknown as undefined }])(
    'without an address give none: %j',
    async (options) => {
      expect(await check({}, options)).toMatchObject({
        result: 'none',
        problem: expect.stringContaining('IP'),
      });
    },
  );

  it.each([
    ['2001:db8::1', 'ip6:2001:db8::1'],
    ['2001:DB8:0:0::1', 'ip6:2001:db8::1'],
    ['IPv6:2001:db8::1', 'ip6:2001:db8::1'],
    ['ipv6:2001:db8::1', 'ip6:2001:db8::1'],
    ['IPv6:::ffff:192.0.2.1', 'ip4:192.0.2.1'],
    ['::ffff:192.0.2.1', 'ip4:192.0.2.1'],
    ['IPv6:fe80::1%eth0', 'ip6:fe80::1'],
  ])('may have the address as %s', async (ip, mechanism) => {
    const zone = { 'why.example.com': { TXT: ['%{c}'] } };
    expect(await checkRecord(`v=spf1 ${mechanism} -all`, zone, { ip })).toMatchObject({ mechanism });
    expect(await checkRecord('v=spf1 -all exp=why.example.com', zone, { ip })).toMatchObject({
      explanation: expect.stringMatching(/^(2001:|fe80|192)/),
    });
  });

  it.each([
    [{ ip: '' }, 'ip'],
    [{ ip: 'IPv6:' }, 'ip'],
    [{ ip: 'IPv6:192.0.2.1' }, 'ip'],
    [{ ip: 'IPv6:IPv6:::1' }, 'ip'],
    [{ ip: '192.0.2' }, 'ip'],
    [{ ip: '192.0.2.1.1' }, 'ip'],
    [{ ip: '192.0.2.01' }, 'ip'],
    [{ ip: 'mail.example.com' }, 'ip'],
    [{ ip: '::1::' }, 'ip'],
    [{ ip: 1 as unknown as string }, 'ip'],
    [{ sender: undefined as unknown as string }, 'sender'],
    [{ helo: null as unknown as string }, 'helo'],
    [{ record: '-all' }, 'record'],
    [{ timeout: 0 }, 'timeout'],
    [{ timeout: Number.POSITIVE_INFINITY }, 'timeout'],
    [{ maxVoidLookups: -1 }, 'maxVoidLookups'],
    [{ localPolicy: 'ipv4:192.0.2.1' }, 'localPolicy'],
    [{ localPolicy: 'redirect=example.com' }, 'localPolicy'],
  ] satisfies [Partial<CheckOptions>, string][])(
    'that are wrong reject with a TypeError: %j',
    async (options, word) => {
      const outcome = check({}, options);
      await expect(outcome).rejects.toThrow(TypeError);
      await expect(outcome).rejects.toThrow(word);
    },
  );
});

describe('the address (5)', () => {
  it.each([
    ['192.0.2.1', 'v=spf1 ip4:192.0.2.0/24 -all', 'pass'],
    ['192.0.2.1', 'v=spf1 ip4:192.0.2.0/32 -all', 'fail'],
    ['192.0.2.128', 'v=spf1 ip4:192.0.2.0/25 -all', 'fail'],
    ['255.255.255.255', 'v=spf1 ip4:128.0.0.0/1 -all', 'pass'],
    ['10.0.0.1', 'v=spf1 ip4:0.0.0.0/0 -all', 'pass'],
    ['::ffff:192.0.2.1', 'v=spf1 ip4:192.0.2.1 -all', 'pass'],
    ['::FFFF:C000:201', 'v=spf1 ip4:192.0.2.1 -all', 'pass'],
    ['192.0.2.1', 'v=spf1 ip6:::ffff:192.0.2.1 -all', 'fail'],
    ['::ffff:192.0.2.1', 'v=spf1 ip6:::/0 -all', 'fail'],
    ['2001:db8::1', 'v=spf1 ip4:0.0.0.0/0 -all', 'fail'],
    ['2001:db8::1', 'v=spf1 ip6:2001:db8::/32 -all', 'pass'],
    ['2001:db8::1', 'v=spf1 ip6:2001:db8:0:1::/63 -all', 'pass'],
    ['2001:db8::1', 'v=spf1 ip6:2001:db8:0:1::/64 -all', 'fail'],
    ['2001:db8::1', 'v=spf1 ip6:2001:db8::/127 -all', 'pass'],
    ['2001:db8::1', 'v=spf1 ip6:2001:db8:: -all', 'fail'],
    ['2001:db8::1', 'v=spf1 ip6:2001:db8::0.0.0.1 -all', 'pass'],
    ['fe80::1%eth0', 'v=spf1 ip6:fe80::/10 -all', 'pass'],
  ])('%s by %s is %s', async (ip, record, result) => {
    expect(await checkRecord(record, {}, { ip })).toMatchObject({ result, lookups: 0 });
  });
});

describe('the record (4.4, 4.5)', () => {
  it.each([
    ['nxdomain', 'none'],
    ['nodata', 'none'],
    ['servfail', 'temperror'],
    ['refused', 'temperror'],
    ['timeout', 'temperror'],
    ['malformed', 'temperror'],
    ['badname', 'none'],
  ] as const)('whose query is %s gives %s', async (status, result) => {
    expect(await check({ 'example.com': status })).toMatchObject({ result, lookups: 0, record: undefined });
  });

  it('is found among other TXT records, glued from its strings', async () => {
    const TXT = ['other', 'v=spf10 -all', ['v=sp', 'f1 ip4:192.', '0.2.1 -all'], Buffer.from([0xff]), []];
    expect(await check({ 'example.com': { TXT } })).toMatchObject({ result: 'pass' });
  });

  it('is no record if it does not begin like one', async () => {
    expect(await checkRecord('v=spf1-all')).toMatchObject({ result: 'none' });
  });

  it('must be the only one, even among equals', async () => {
    const zone = { 'example.com': { TXT: ['v=spf1 -all', 'V=SPF1 -all'] } };
    expect(await check(zone)).toMatchObject({
      result: 'permerror',
      problem: expect.stringContaining('2 SPF records'),
    });
  });

  it('must be ASCII', async () => {
    const zone = { 'example.com': { TXT: [Buffer.from('v=spf1 +all x=\xfc', 'latin1')] } };
    expect(await check(zone)).toMatchObject({ result: 'permerror' });
  });

  it('with a mistake after the match is still a permerror (4.6)', async () => {
    expect(await checkRecord('v=spf1 +all moo')).toMatchObject({
      result: 'permerror',
      mechanism: undefined,
      record: 'v=spf1 +all moo',
      problem: expect.stringContaining('example.com: "moo"'),
    });
  });

  it('is parted by any number of spaces, and by nothing else', async () => {
    expect(await checkRecord('v=spf1   ip4:192.0.2.1   -all  ')).toMatchObject({ result: 'pass' });
    expect(await checkRecord('v=spf1 ip4:192.0.2.1\t-all')).toMatchObject({ result: 'permerror' });
  });

  it('has its unknown modifiers ignored', async () => {
    expect(await checkRecord('v=spf1 foo=bar foo=%{d} ip4=192.0.2.1 -all')).toMatchObject({ result: 'fail' });
  });
});

describe('a (5.3) and exists (5.7)', () => {
  const zone = {
    'v4.test.example': { A: ['203.0.113.9', '192.0.2.99'] },
    'v6.test.example': { AAAA: ['2001:db8::99'] },
    'slow.test.example': 'timeout',
  } as const;
  it.each([
    ['a:v4.test.example/24', '192.0.2.1', 'pass'],
    ['a:v4.test.example', '192.0.2.1', 'fail'],
    ['a:v4.test.example/0', '10.0.0.1', 'pass'],
    ['a:v6.test.example/0', '10.0.0.1', 'fail'],
    ['a:v6.test.example//64', '2001:db8::1', 'pass'],
    ['a:v6.test.example/0', '2001:db8::1', 'fail'],
    ['a:V6.TEST.EXAMPLE./0//0', '2001::1', 'pass'],
    ['a:slow.test.example', '192.0.2.1', 'temperror'],
    ['exists:v4.test.example', '192.0.2.1', 'pass'],
    ['exists:v4.test.example', '2001:db8::1', 'pass'],
    ['exists:v6.test.example', '2001:db8::1', 'fail'],
    ['exists:slow.test.example', '192.0.2.1', 'temperror'],
    ['exists:x..test.example', '192.0.2.1', 'fail'],
  ])('%s for %s is %s', async (mechanism, ip, result) => {
    expect(await checkRecord(`v=spf1 ${mechanism} -all`, zone, { ip })).toMatchObject({ result });
  });
});

describe('mx (5.4)', () => {
  const mx = (...names: string[]) => names.map((exchange, i) => ({ preference: 10 * i, exchange }));
  const hosts = { 'mx1.example.com': { A: ['203.0.113.1'] }, 'mx2.example.com': { A: ['192.0.2.1'] } };
  const withMx = (MX: ReturnType<typeof mx>) => ({ ...hosts, 'm.example.com': { MX, A: ['192.0.2.1'] } });

  it('matches any exchanger', async () => {
    const zone = withMx(mx('mx1.example.com', 'mx2.example.com'));
    expect(await checkRecord('v=spf1 mx:m.example.com -all', zone)).toMatchObject({
      result: 'pass',
      lookups: 1,
    });
  });

  it('does not fall back to the address where there are none', async () => {
    expect(await checkRecord('v=spf1 mx:m.example.com -all', withMx([]))).toMatchObject({
      result: 'fail',
      voidLookups: 1,
    });
  });

  it('does not match a null MX', async () => {
    expect(await checkRecord('v=spf1 mx:m.example.com -all', withMx(mx('')))).toMatchObject({
      result: 'fail',
    });
  });

  it('is a permerror with more than 10 exchangers', async () => {
    const ten = Array.from({ length: 10 }, () => 'mx1.example.com');
    expect(await checkRecord('v=spf1 mx:m.example.com -all', withMx(mx(...ten)))).toMatchObject({
      result: 'fail',
    });
    const eleven = withMx(mx(...ten, 'mx2.example.com'));
    expect(await checkRecord('v=spf1 mx:m.example.com -all', eleven)).toMatchObject({ result: 'permerror' });
  });

  it('is a temperror if an exchanger cannot be asked', async () => {
    const zone = { ...withMx(mx('mx1.example.com')), 'mx1.example.com': 'servfail' } as const;
    expect(await checkRecord('v=spf1 mx:m.example.com -all', zone)).toMatchObject({ result: 'temperror' });
  });

  it('counts one lookup, and no void lookups for its exchangers', async () => {
    const zone = withMx(mx('a.invalid', 'b.invalid', 'c.invalid', 'mx1.example.com'));
    expect(await checkRecord('v=spf1 mx:m.example.com -all', zone)).toMatchObject({
      result: 'fail',
      lookups: 1,
      voidLookups: 0,
    });
  });
});

describe('ptr (5.5)', () => {
  const reverse = '1.2.0.192.in-addr.arpa';
  const good = { [reverse]: { PTR: ['Mail.Sub.Example.COM'] }, 'mail.sub.example.com': { A: ['192.0.2.1'] } };
  it.each([
    ['ptr', 'pass'],
    ['ptr:sub.example.com', 'pass'],
    ['ptr:mail.sub.example.com', 'pass'],
    ['ptr:ub.example.com', 'fail'],
    ['ptr:x.mail.sub.example.com', 'fail'],
    ['ptr:example.org', 'fail'],
  ])('%s is %s', async (mechanism, result) => {
    expect(await checkRecord(`v=spf1 ${mechanism} -all`, good)).toMatchObject({ result, lookups: 1 });
  });

  it('matches only names with the address of the client', async () => {
    const zone = { ...good, 'mail.sub.example.com': { A: ['192.0.2.2'] } };
    expect(await checkRecord('v=spf1 ptr -all', zone)).toMatchObject({ result: 'fail' });
  });

  it.each(['servfail', 'timeout', 'malformed'] as const)(
    'does not match when the query is %s',
    async (status) => {
      expect(await checkRecord('v=spf1 ptr -all', { [reverse]: status })).toMatchObject({ result: 'fail' });
      expect(await checkRecord('v=spf1 ptr -all', { ...good, 'mail.sub.example.com': status })).toMatchObject(
        {
          result: 'fail',
        },
      );
    },
  );

  it('passes over a name that cannot be asked', async () => {
    const zone = {
      [reverse]: { PTR: ['bad.example.com', 'mail.sub.example.com'] },
      'bad.example.com': 'servfail',
      'mail.sub.example.com': { A: ['192.0.2.1'] },
    } as const;
    expect(await checkRecord('v=spf1 ptr -all', zone)).toMatchObject({ result: 'pass' });
  });

  it('looks at ten names and ignores the rest', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `n${i}.example.com`);
    const zone = { ...good, [reverse]: { PTR: [...names, 'mail.sub.example.com'] } };
    expect(await checkRecord('v=spf1 ptr -all', zone)).toMatchObject({ result: 'fail' });
  });

  it('asks for the nibbles of an IPv6 client', async () => {
    const zone = {
      '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa': {
        PTR: ['mail.example.com'],
      },
      'mail.example.com': { AAAA: ['2001:0DB8:0::1'] },
    };
    expect(await checkRecord('v=spf1 ptr -all', zone, { ip: '2001:db8::1' })).toMatchObject({
      result: 'pass',
    });
  });
});

describe('include (5.2)', () => {
  it.each([
    ['v=spf1 +all', 'pass'],
    ['v=spf1 -all', 'softfail'],
    ['v=spf1 ~all', 'softfail'],
    ['v=spf1 ?all', 'softfail'],
    ['v=spf1 moo', 'permerror'],
    ['v=spf1 a:slow.example.com', 'temperror'],
    ['no record', 'permerror'],
  ])('of %s is %s', async (record, result) => {
    const zone = { 'inc.example.com': { TXT: [record] }, 'slow.example.com': 'timeout' } as const;
    expect(await checkRecord('v=spf1 include:inc.example.com ~all', zone)).toMatchObject({ result });
  });

  it.each([
    ['servfail', 'temperror'],
    ['timeout', 'temperror'],
    ['nxdomain', 'permerror'],
    ['nodata', 'permerror'],
  ] as const)('whose record is %s is %s', async (status, result) => {
    expect(
      await checkRecord('v=spf1 include:inc.example.com -all', { 'inc.example.com': status }),
    ).toMatchObject({
      result,
    });
  });

  it('takes its own qualifier, and names itself as the mechanism', async () => {
    const zone = { 'inc.example.com': { TXT: ['v=spf1 ip4:192.0.2.1 -all'] } };
    expect(await checkRecord('v=spf1 ?include:inc.example.com -all', zone)).toMatchObject({
      result: 'neutral',
      mechanism: '?include:inc.example.com',
    });
  });

  it('of the own domain is no mistake after a match', async () => {
    expect(await checkRecord('v=spf1 ip4:192.0.2.1 include:example.com -all')).toMatchObject({
      result: 'pass',
    });
    expect(await checkRecord('v=spf1 include:example.com -all')).toMatchObject({ result: 'permerror' });
  });

  it('expands %{d} to the included domain and %{o} to that of the sender', async () => {
    const zone = {
      'inc.example.org': { TXT: ['v=spf1 exists:%{o}.%{d} -all'] },
      'example.com.inc.example.org': { A: ['127.0.0.2'] },
    };
    expect(await checkRecord('v=spf1 include:inc.example.org -all', zone)).toMatchObject({ result: 'pass' });
  });
});

describe('redirect (6.1)', () => {
  const zone = {
    'to.example.org': { TXT: ['v=spf1 ip4:192.0.2.1 -all exp=why.%{d}'] },
    'why.to.example.org': { TXT: ['ask %{d} about %{o}'] },
    'why.example.com': { TXT: ['not this'] },
    'slow.example.org': 'timeout',
  } as const;

  it('takes the result of the other record', async () => {
    expect(await checkRecord('v=spf1 redirect=to.example.org', zone)).toMatchObject({
      result: 'pass',
      mechanism: 'ip4:192.0.2.1',
      domain: 'example.com',
      record: 'v=spf1 redirect=to.example.org',
      lookups: 1,
    });
  });

  it('takes its explanation too, and not that of the first', async () => {
    const record = 'v=spf1 redirect=to.example.org exp=why.example.com';
    expect(await checkRecord(record, zone, { ip: '10.0.0.1' })).toMatchObject({
      result: 'fail',
      explanation: 'ask to.example.org about example.com',
    });
  });

  it('is followed only when no mechanism matched, wherever it stands', async () => {
    expect(await checkRecord('v=spf1 redirect=to.example.org ~all', zone)).toMatchObject({
      result: 'softfail',
    });
    expect(await checkRecord('v=spf1 redirect=none.example.org ?all', zone)).toMatchObject({
      result: 'neutral',
    });
  });

  it('to a domain without a record is a permerror', async () => {
    expect(await checkRecord('v=spf1 redirect=none.example.org', zone)).toMatchObject({
      result: 'permerror',
    });
    expect(await checkRecord('v=spf1 redirect=slow.example.org', zone)).toMatchObject({
      result: 'temperror',
    });
  });

  it('works within an include', async () => {
    const outer = { 'inc.example.com': { TXT: ['v=spf1 redirect=to.example.org'] }, ...zone };
    expect(await checkRecord('v=spf1 include:inc.example.com -all', outer)).toMatchObject({
      result: 'pass',
      lookups: 2,
    });
  });
});

describe('limits (4.6.4)', () => {
  const included = {
    'inc.example.com': { TXT: ['v=spf1 a a a a a a a a ?all'] },
    'x.example.com': { A: ['10.0.0.1'] },
  };
  const host = { A: ['10.0.0.1'], MX: [{ preference: 0, exchange: 'example.com' }] };
  const zone = { ...included, 'inc.example.com': { ...included['inc.example.com'], ...host } };

  it('allow ten terms that ask DNS, all records together', async () => {
    expect(
      await checkRecord('v=spf1 include:inc.example.com a:x.example.com ip4:192.0.2.1 -all', zone),
    ).toMatchObject({
      result: 'pass',
      lookups: 10,
    });
    const record = 'v=spf1 include:inc.example.com a:x.example.com a:x.example.com ip4:192.0.2.1 -all';
    expect(await checkRecord(record, zone)).toMatchObject({ result: 'permerror', lookups: 11 });
  });

  it('count redirect, and not exp or the terms behind the match', async () => {
    const nine = new Array(9).fill('a:x.example.com').join(' ');
    const to = {
      'to.example.com': { TXT: ['v=spf1 -all exp=why.example.com'] },
      'why.example.com': { TXT: ['why'] },
    };
    expect(await checkRecord(`v=spf1 ${nine} redirect=to.example.com`, { ...zone, ...to })).toMatchObject({
      result: 'fail',
      explanation: 'why',
      lookups: 10,
    });
    expect(await checkRecord(`v=spf1 a:x.example.com ip4:192.0.2.1 ${nine} a mx -all`, zone)).toMatchObject({
      result: 'pass',
      lookups: 1,
    });
  });

  it('end a loop', async () => {
    expect(await checkRecord('v=spf1 redirect=example.com')).toMatchObject({
      result: 'permerror',
      lookups: 11,
    });
  });

  it('allow two void lookups, of names that do not exist or have no such record', async () => {
    const record = (n: number): string =>
      `v=spf1 ${'a:none.example.com exists:inc.example.org mx:none.example.com'.split(' ').slice(0, n).join(' ')} ?all`;
    expect(await checkRecord(record(2), zone)).toMatchObject({ result: 'neutral', voidLookups: 2 });
    expect(await checkRecord(record(3), zone)).toMatchObject({ result: 'permerror', voidLookups: 3 });
    expect(await checkRecord(record(3), zone, { maxVoidLookups: 3 })).toMatchObject({ result: 'neutral' });
  });
});

describe('the explanation (6.2)', () => {
  const explained = (TXT: unknown, options: Partial<CheckOptions> = {}) =>
    checkRecord('v=spf1 -all exp=why.example.com', { 'why.example.com': { TXT } as object }, options);

  it('is the text of the record that exp names, glued from its strings', async () => {
    expect(await explained([['See http://', 'example.com/%{S}']])).toMatchObject({
      explanation: 'See http://example.com/user%40example.com',
    });
  });

  it.each([
    ['two records', ['a', 'b']],
    ['no record', []],
    ['a server failure', 'servfail'],
    ['a timeout', 'timeout'],
    ['bytes beyond ASCII', [Buffer.from([0x61, 0xe9])]],
    ['a line feed', ['a\nb']],
    ['a wrong macro', ['%{x}']],
    ['a lone percent sign', ['100% sure']],
  ])('is the default with %s', async (_, TXT) => {
    expect(await explained(TXT, { defaultExplanation: 'go away' })).toMatchObject({
      result: 'fail',
      explanation: 'go away',
    });
    expect(await explained(TXT)).toMatchObject({ explanation: '' });
  });

  it('is the default without exp, and taken literally', async () => {
    expect(await checkRecord('v=spf1 -all', {}, { defaultExplanation: '100% %{s}\r\n' })).toMatchObject({
      explanation: '100% %{s}??',
    });
  });

  it('is for a fail only', async () => {
    expect(await checkRecord('v=spf1 ~all', {}, { defaultExplanation: 'x' })).toMatchObject({
      explanation: '',
    });
  });

  it('of an included record is not used', async () => {
    const zone = {
      'inc.example.com': { TXT: ['v=spf1 -all exp=why.example.com'] },
      'why.example.com': { TXT: ['wrong'] },
    };
    expect(await checkRecord('v=spf1 include:inc.example.com -all', zone)).toMatchObject({ explanation: '' });
  });

  it('is printable ASCII on one line whatever the sender is called, and of bounded length', async () => {
    const sender = '"\r\nx\u00e9\udcff"@example.com';
    expect((await explained(['<%{l}>'], { sender })).explanation).toBe('<"??x??">');
    const long = await explained([Buffer.from('%{l}'.repeat(60))], {
      sender: `${'x'.repeat(1000)}@example.com`,
    });
    expect(long.explanation).toHaveLength(2000);
  });

  it('does not count its lookups', async () => {
    expect(await checkRecord('v=spf1 -all exp=none.example.com')).toMatchObject({
      lookups: 0,
      voidLookups: 0,
    });
  });
});

describe('time', () => {
  /** Answers what is in the zone a little later, and never what is not. */
  const waiting = (memory: MemoryResolver) => ({
    resolve: <T extends RecordType>(name: string, type: T): Promise<Answer<T>> => {
      const answer = memory.resolve(name, type);
      return answer.status === 'nxdomain' ? new Promise(() => {}) : Promise.resolve(answer);
    },
  });
  const zone = { 'example.com': { TXT: ['v=spf1 a -all exp=never.example.org'], A: ['192.0.2.7'] } };

  it('is waited for', async () => {
    const resolver = waiting(new MemoryResolver(zone));
    expect(await check({}, { resolver, ip: '192.0.2.7' })).toMatchObject({ result: 'pass' });
  });

  it('that is over is a temperror, even with a resolver that never answers', async () => {
    const resolver = waiting(new MemoryResolver({}));
    expect(await check({}, { resolver, timeout: 20 })).toMatchObject({
      result: 'temperror',
      problem: 'no result within 20 ms',
    });
  });

  it('that is over when only the explanation is missing leaves the result', async () => {
    const resolver = waiting(new MemoryResolver(zone));
    const options = { resolver, timeout: 20, defaultExplanation: 'no time' };
    expect(await check({}, options)).toMatchObject({ result: 'fail', explanation: 'no time' });
  });

  it('ends with the signal', async () => {
    const control = new AbortController();
    const resolver = waiting(new MemoryResolver({}));
    const pending = check({}, { resolver, signal: control.signal });
    control.abort();
    expect(await pending).toMatchObject({ result: 'temperror' });
    expect(await check(zone, { signal: control.signal })).toMatchObject({ result: 'temperror' });
  });

  it('makes a resolver stop that listens', async () => {
    let seen: AbortSignal | undefined;
    const outcome = await checkHost({
      ip: '192.0.2.1',
      sender: 'user@example.com',
      helo: 'x',
      timeout: 20,
      resolver: {
        resolve: (_name, _type, options) => {
          seen = options?.signal;
          return new Promise((resolve) =>
            seen?.addEventListener('abort', () => resolve({ status: 'timeout' })),
          );
        },
      },
    });
    expect(outcome.result).toBe('temperror');
    expect(seen?.aborted).toBe(true);
  });
});
