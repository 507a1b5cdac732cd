/** Received-SPF (RFC 7208 section 9.1) and Authentication-Results (RFC 8601). */
import fc from 'fast-check';
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

  it('may say that there is no result', () => {
    expect(parseAuthenticationResults('mx.example.org; none')).toEqual({
      authservId: 'mx.example.org',
      results: [],
    });
  });

  it.each(['', ';', 'mx; spf', 'mx; spf=', 'mx; =pass', 'mx; spf=pass smtp.mailfrom', 'mx 1 x; none'])(
    'is not read: %j',
    (value) => {
      expect(parseAuthenticationResults(value)).toBeUndefined();
    },
  );
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
    }),
  );
});
