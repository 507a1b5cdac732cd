/** Received-SPF (RFC 7208 section 9.1) and Authentication-Results (RFC 8601). */

import { describe, expect, it } from 'vitest';
import type { CheckResult } from '../../../lib/spf/index.ts';
import {
  authenticationResults,
  checkHost,
  parseAuthenticationResults,
  parseReceivedSpf,
  receivedSpf,
} from '../../../lib/spf/index.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';
import { fc } from '../../helpers/fuzz.ts';

const resolver = new MemoryResolver({
  'example.com': { TXT: ['v=spf1 ip4:192.0.2.1 ~all'] },
  'broken.example': { TXT: ['v=spf1 ip4:"(x) -all'] },
});
const mail = {
  ip: '192.0.2.1',
  sender: '<user@example.com>',
  helo: 'mail.example.com',
  receiver: 'mx.example.org',
} as const;

describe('Received-SPF', () => {
  it('is written with what RFC 7208 recommends', async () => {
    const value = receivedSpf(await checkHost({ ...mail, resolver }), mail);
    expect(value).toBe(
      'pass (mx.example.org: domain of example.com designates 192.0.2.1 as permitted sender) ' +
        'client-ip=192.0.2.1; envelope-from="user@example.com"; helo=mail.example.com; ' +
        'receiver=mx.example.org; identity=mailfrom; mechanism="ip4:192.0.2.1"',
    );
  });

  it('has no envelope-from for the HELO identity', async () => {
    const helo = { ...mail, ip: '2001:db8::1', sender: '<>', helo: 'example.com' };
    expect(receivedSpf(await checkHost({ ...helo, resolver }), helo)).toBe(
      'softfail (mx.example.org: HELO name example.com discourages use of 2001:db8::1 as sender) ' +
        'client-ip="2001:db8::1"; helo=example.com; receiver=mx.example.org; identity=helo; mechanism=~all',
    );
  });

  it('names the client without the tag of its address', async () => {
    const tagged = { ...mail, ip: 'IPv6:2001:DB8::1' };
    const check = await checkHost({ ...tagged, resolver });
    expect(receivedSpf(check, tagged)).toContain(
      'discourages use of 2001:db8::1 as sender) client-ip="2001:db8::1";',
    );
    expect(authenticationResults('mx.example.org', check, tagged)).toContain(
      'discourages use of 2001:db8::1 as',
    );
  });

  it('quotes what a hostile record says', async () => {
    const broken = { ...mail, sender: 'user@broken.example' };
    const check = await checkHost({ ...broken, resolver });
    const value = receivedSpf(check, broken);
    expect(value).toContain('problem="broken.example: \\"ip4:\\"(x)\\":');
    expect(parseReceivedSpf(value)?.values.get('problem')).toBe(check.problem);
  });

  it.each([
    ['pass', { result: 'pass', comment: '', values: {} }],
    [
      'Pass (a (nested\\) one) here) Receiver=mx.example',
      { comment: 'a (nested) one) here', values: { receiver: 'mx.example' } },
    ],
    [
      'fail client-ip=2001:db8::1; helo = "a\\"b" ;',
      { result: 'fail', values: { 'client-ip': '2001:db8::1', helo: 'a"b' } },
    ],
    ['softfail\r\n\t(x)\r\n\tx-a=1; x-a=2', { result: 'softfail', values: { 'x-a': '1' } }],
  ])('is read: %j', (value, { values, ...expected }) => {
    const read = parseReceivedSpf(value);
    expect(read).toMatchObject(expected);
    expect(Object.fromEntries(read?.values ?? [])).toEqual(values);
  });

  it.each([
    '',
    'passed',
    'pass client-ip',
    'pass helo=',
    'pass helo=a helo=b',
    'pass helo="a',
    'pass =a',
    'pass;',
  ])('is not read: %j', (value) => {
    expect(parseReceivedSpf(value)).toBeUndefined();
  });
});

describe('Authentication-Results', () => {
  it('is written for either identity', async () => {
    const check = await checkHost({ ...mail, resolver });
    expect(authenticationResults('mx.example.org', check, mail)).toBe(
      'mx.example.org; spf=pass (domain of example.com designates 192.0.2.1 as permitted sender) ' +
        'smtp.mailfrom=user@example.com',
    );
    const helo = { ...mail, sender: '' };
    expect(authenticationResults('mx.example.org', await checkHost({ ...helo, resolver }), helo)).toMatch(
      /^mx\.example\.org; spf=none \(.*\) reason=".*" smtp\.helo=mail\.example\.com$/,
    );
  });

  it('is read with all methods', () => {
    const value =
      'mx.example.org 1; spf=Fail (no) smtp.mailfrom="a b"@example.com;\r\n dkim/1 = pass reason="good \\" one" header.d=example.com header.i=@example.com;';
    const read = parseAuthenticationResults(value.replace('"a b"@', 'ab@'));
    expect(read?.authservId).toBe('mx.example.org');
    expect(read?.results.map(({ method, result, reason }) => [method, result, reason])).toEqual([
      ['spf', 'fail', undefined],
      ['dkim', 'pass', 'good " one'],
    ]);
    expect(read?.results[1]?.properties).toEqual(
      new Map([
        ['header.d', 'example.com'],
        ['header.i', '@example.com'],
      ]),
    );
  });

  const results = (value: string) =>
    parseAuthenticationResults(value)?.results.map(({ properties, ...rest }) => ({
      ...rest,
      properties: Object.fromEntries(properties),
    }));

  it('is read with comments in every place', () => {
    const value = `foo.example.net (foobar) 1 (baz);
      dkim (Because I like it) / 1 (One yay) = (wait for it) fail
        policy (A dot can go here) . (like that) expired
        (this surprised me) = (as I wasn't expecting it) 1362471462`;
    expect(parseAuthenticationResults(value)?.authservId).toBe('foo.example.net');
    expect(results(value)).toEqual([
      { method: 'dkim', result: 'fail', reason: undefined, properties: { 'policy.expired': '1362471462' } },
    ]);
  });

  it.each([
    ['mailfrom=example.net', 'example.net'],
    ['mailfrom=@example.net', '@example.net'],
    ['mailfrom=<>', '<>'],
    ['mailfrom="a b"@example.net', '"a b"@example.net'],
    ['mailfrom="a\\"@b" (c) @ (d) example.net', '"a\\"@b"@example.net'],
    ['mailfrom=joe (c) . (d) blow@example.net', 'joe.blow@example.net'],
    ['mailfrom=joe. blow @ example.net', 'joe.blow@example.net'],
    ['mailfrom=joe."x y" . z@example.net', 'joe."x y".z@example.net'],
    ['mailfrom="joe@example.net"', 'joe@example.net'],
    ['mailfrom="\\"a b\\"@example.net"', '"a b"@example.net'],
    ['mailfrom = (c)\r\n\tjoe@example.net', 'joe@example.net'],
    ['mailfrom=""', ''],
    ['mailfrom=joe=bounce@example.net', 'joe=bounce@example.net'],
    ['mailfrom=example.net.', 'example.net.'],
  ])('takes smtp.%s', (property, mailfrom) => {
    for (const after of ['', ' (end)', ' smtp.helo=mx', ' smtp . helo = mx', '; dkim=none']) {
      expect(results(`mx; spf=pass smtp.${property}${after}`)?.[0]).toMatchObject({
        properties: { 'smtp.mailfrom': mailfrom, ...(after.includes('helo') && { 'smtp.helo': 'mx' }) },
      });
    }
  });

  it.each([
    [
      'mx; auth=pass (cram-md5) smtp.auth=sender@example.net',
      [['auth', 'pass', { 'smtp.auth': 'sender@example.net' }]],
    ],
    [
      'mx; dkim=pass header.i=@mail-router.example.net header.b="oINEO8hg/a+=="; dkim=fail header.b=LP/NK9=',
      [
        ['dkim', 'pass', { 'header.i': '@mail-router.example.net', 'header.b': 'oINEO8hg/a+==' }],
        ['dkim', 'fail', { 'header.b': 'LP/NK9=' }],
      ],
    ],
    ['mx; iprev=pass policy.iprev=192.0.2.200', [['iprev', 'pass', { 'policy.iprev': '192.0.2.200' }]]],
    ['mx; iprev=pass policy.iprev="2001:db8::1"', [['iprev', 'pass', { 'policy.iprev': '2001:db8::1' }]]],
    ['mx; iprev=pass policy.iprev=2001:db8::1', [['iprev', 'pass', { 'policy.iprev': '2001:db8::1' }]]],
    [
      'mx; dmarc=pass action=none header.from=a.example;',
      [['dmarc', 'pass', { action: 'none', 'header.from': 'a.example' }]],
    ],
    ['"m x" 1;x-own/27=Odd body.part=1', [['x-own', 'odd', { 'body.part': '1' }]]],
  ])('takes all kinds of methods and properties: %s', (value, expected) => {
    const read = results(value)?.map(({ method, result, properties }) => [method, result, properties]);
    expect(read).toEqual(expected);
  });

  it.each([
    'mx.example.org; none',
    'mx.example.org 1; none',
    'mx.example.org(c)1(c);(c)NONE(c)',
    '"mx.example.org";none',
  ])('may say that there is no result: %s', (value) => {
    expect(parseAuthenticationResults(value)).toEqual({ authservId: 'mx.example.org', results: [] });
  });

  it.each([
    '',
    ';',
    'mx; spf',
    'mx; spf=',
    'mx; =pass',
    'mx; spf=pass smtp.mailfrom',
    'mx; spf=pass smtp.mailfrom=',
    'mx; spf=pass smtp.=x',
    'mx; spf=pass .mailfrom=x',
    'mx; spf=pass smtp.mailfrom="x',
    'mx; spf=pass smtp.mailfrom="a"b',
    'mx; spf=pass smtp.mailfrom=joe. blow',
    'mx; spf/=pass',
    'mx; spf/x=pass',
    'mx; spf=pass (unfinished',
    'mx; spf=pass; none',
    'mx; none; spf=pass',
    'mx 1 x; none',
    'mx x; none',
    'mx 1x; none',
    `mx; spf=pass (${'x'.repeat(70_000)})`,
  ])('is not read: %j', (value) => {
    expect(parseAuthenticationResults(value)).toBeUndefined();
  });

  it('is read whatever stands between its parts', () => {
    const space = fc.constantFrom('', ' ', '\r\n\t', '(c)', ' (a (nested\\) one) = ; ") ', '()()');
    const keyword = fc
      .stringMatching(/^[a-z][a-z0-9-]{0,8}$/)
      .filter((word) => !['none', 'reason'].includes(word));
    const atom = fc.stringMatching(/^[a-z0-9!#$%&'*+/?^_`{|}~-]{1,8}$/);
    const quotedWord = fc
      .string({ unit: 'grapheme-ascii', maxLength: 8 })
      .map((text) => `"${text.replace(/["\\]/g, '\\$&')}"`);
    const local = fc.array(fc.oneof(atom, quotedWord), { minLength: 1, maxLength: 3 });
    const domain = fc.stringMatching(/^[a-z0-9]{1,5}(\.[a-z0-9]{1,5}){0,2}$/);
    const address = fc
      .tuple(local, space, space, domain)
      .map(
        ([words, a, b, name]) =>
          [`${words.join(`${a}.${b}`)}${a}@${b}${name}`, `${words.join('.')}@${name}`] as const,
      );
    const plain = fc.oneof(atom, domain, fc.constant('@a.example')).map((text) => [text, text] as const);
    const property = fc.tuple(keyword, keyword, fc.oneof(address, plain));
    const one = fc.tuple(keyword, keyword, fc.array(property, { maxLength: 3 }));
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 3 }), space, space, (list, a, b) => {
        const text = list.map(([method, result, properties]) => {
          const written = properties.map(
            ([type, name, [value]]) => ` ${a}${type}${b}.${a}${name}${b}=${a}${value}`,
          );
          return `;${a}${method}${b}/${a}1${b}=${a}${result}${written.join('')}${b}`;
        });
        expect(results(`mx ${a}1${b}${text.join('')}`)).toEqual(
          list.map(([method, result, properties]) => ({
            method,
            result,
            reason: undefined,
            properties: Object.fromEntries(
              properties.map(([type, name, [, value]]) => [`${type}.${name}`, value]),
            ),
          })),
        );
      }),
    );
  });

  it('never throws, whatever it is', () => {
    const piece = fc.constantFrom(
      'mx',
      ' ',
      ';',
      '=',
      '.',
      '@',
      '/',
      '"',
      '\\',
      '(',
      ')',
      'spf',
      'pass',
      'reason',
      'none',
      '1',
      '\n',
    );
    const text = fc.oneof(
      fc.array(piece).map((pieces) => pieces.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(text, (tail) => {
        for (const value of [tail, `mx; ${tail}`, `mx; spf=pass smtp.mailfrom=${tail}`]) {
          parseAuthenticationResults(value);
          parseReceivedSpf(value);
        }
      }),
    );
  });
});

it('no sender, HELO name or record can forge either field, or make a line longer than mail may have', () => {
  const short = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme-ascii' }));
  const long = fc.tuple(short, fc.integer({ min: 1, max: 500 })).map(([part, count]) => part.repeat(count));
  const text = fc.oneof(short, long);
  fc.assert(
    fc.property(text, text, text, fc.constantFrom('mailfrom', 'helo'), (local, helo, term, identity) => {
      const check: CheckResult = {
        result: 'permerror',
        explanation: '',
        mechanism: term,
        record: undefined,
        domain: helo,
        identity,
        lookups: 0,
        voidLookups: 0,
        problem: term,
      };
      const from = { ...mail, sender: `x${local}@example.com`, helo: `h${helo}` };
      for (const value of [receivedSpf(check, from), authenticationResults('mx.example.org', check, from)]) {
        expect(value).toMatch(/^[\x20-\x7e]+(\n [\x20-\x7e]+)*$/);
        for (const line of `Authentication-Results: ${value}`.split('\n')) {
          expect(line.length).toBeLessThanOrEqual(998);
        }
      }
      const received = parseReceivedSpf(receivedSpf(check, from));
      expect(received?.result).toBe('permerror');
      expect(received?.values.get('client-ip')).toBe('192.0.2.1');
      expect(received?.values.get('identity')).toBe(identity);
      const results = parseAuthenticationResults(
        authenticationResults('mx.example.org', check, from),
      )?.results;
      expect(results?.map(({ method, result }) => `${method}=${result}`)).toEqual(['spf=permerror']);
      expect(results?.[0]?.properties.size).toBe(1);
      const property = identity === 'mailfrom' ? 'smtp.mailfrom' : 'smtp.helo';
      const told = identity === 'mailfrom' ? from.sender : from.helo;
      const printable = told.slice(0, 320).replace(/[^\x20-\x7e]/gu, '?');
      expect(results?.[0]?.properties.get(property)).toBe(printable);
    }),
  );
});
