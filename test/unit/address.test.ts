import { describe, expect, it } from 'vitest';
import { inBrackets, knownSender } from '../../lib/address.ts';
import { parseAddress } from '../../lib/index.ts';
import { growth } from '../fixtures/mime/cost.ts';
import { fc } from '../helpers/fuzz.ts';

describe('parseAddress', () => {
  it.each([
    ['<boss@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['boss@example.com', 'boss', 'example.com', 'boss@example.com'],
    [' <Boss@Example.COM.> ', 'Boss', 'example.com', 'Boss@example.com'],
    ['<>', '', '', ''],
    ['', '', '', ''],
    ['<postmaster>', 'postmaster', '', 'postmaster'],
    ['"a b"', 'a b', '', '"a b"'],
    ['<"a b"@example.com>', 'a b', 'example.com', '"a b"@example.com'],
    ['<"boss"@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<"b\\oss"@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<"a\\"b\\\\"@example.com>', 'a"b\\', 'example.com', '"a\\"b\\\\"@example.com'],
    ['<"a@b"@example.com>', 'a@b', 'example.com', '"a@b"@example.com'],
    ['<"a@b">', 'a', 'b', 'a@b'],
    ['<"a.b@@Example.com">', 'a.b@', 'example.com', '"a.b@"@example.com'],
    ['<a@b@example.com>', 'a@b', 'example.com', '"a@b"@example.com'],
    ['<"a>b"@example.com>', 'a>b', 'example.com', '"a>b"@example.com'],
    ['<""@example.com>', '', 'example.com', '@example.com'],
    ['<@one.test,@two.test:boss@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['@one.test:boss@example.com', 'boss', 'example.com', 'boss@example.com'],
    ['<@example.com>', '', 'example.com', '@example.com'],
    ['<boss%Example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<"boss%example.com">', 'boss', 'example.com', 'boss@example.com'],
    ['<@one.test:boss%example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<a%b%example.com>', 'a%b', 'example.com', 'a%b@example.com'],
    ['<example.com!boss>', 'boss', 'example.com', 'boss@example.com'],
    ['<example.com!a!b%c>', 'a!b%c', 'example.com', 'a!b%c@example.com'],
    ['<a%b!c@example.com>', 'a%b!c', 'example.com', 'a%b!c@example.com'],
    ['<%example.com>', '%example.com', '', '%example.com'],
    ['<boss%>', 'boss%', '', 'boss%'],
    ['<!boss>', '!boss', '', '!boss'],
    ['<boss!>', 'boss!', '', 'boss!'],
    ['<boss@[192.0.2.1]>', 'boss', '[192.0.2.1]', 'boss@[192.0.2.1]'],
    ['<boss@[IPv6:2001:DB8::1]>', 'boss', '[ipv6:2001:db8::1]', 'boss@[ipv6:2001:db8::1]'],
    ['<jürgen@Bücher.example>', 'jürgen', 'bücher.example', 'jürgen@bücher.example'],
    ['Boss <boss@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<boss+tag@example.com>', 'boss+tag', 'example.com', 'boss+tag@example.com'],
    ['<"bo".ss@example.com>', 'bo.ss', 'example.com', 'bo.ss@example.com'],
    ['<"bo"."s s"@example.com>', 'bo.s s', 'example.com', '"bo.s s"@example.com'],
    ['<bo\\ss@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<bo\\@ss@example.com>', 'bo@ss', 'example.com', '"bo@ss"@example.com'],
    ['<boss(a (nested\\) ) comment)@example.com>', 'boss', 'example.com', 'boss@example.com'],
    ['<boss(")@example.com(")>', 'boss', 'example.com', 'boss@example.com'],
    ['<"boss(x)"@example.com>', 'boss(x)', 'example.com', '"boss(x)"@example.com'],
    ['<boss(@example.com>', 'boss(', 'example.com', '"boss("@example.com'],
    ['<boss @ (x) Example.com >', 'boss', 'example.com', 'boss@example.com'],
    ['<bo \t ss\u00a0 @example.com>', 'bo ss\u00a0', 'example.com', '"bo ss\u00a0"@example.com'],
    ['<bo(x)ss@example.com>', 'bo ss', 'example.com', '"bo ss"@example.com'],
    ['<boss@"Example.com">', 'boss', 'example.com', 'boss@example.com'],
    ['<<boss@example.com>>', 'boss', 'example.com', 'boss@example.com'],
    ['<.boss.@example.com>', '.boss.', 'example.com', '".boss."@example.com'],
    ['<\udcff@example.com>', '\udcff', 'example.com', '\udcff@example.com'],
  ])('takes %j apart', (text, local, domain, address) => {
    expect(parseAddress(text)).toEqual({ local, domain, address });
  });

  it('gives an address that means the same when it is taken apart again', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const first = parseAddress(text);
        fc.pre(!first.domain.endsWith('.') && !/[<>\s"\\()@]/.test(first.domain));
        expect(parseAddress(`<${first.address}>`)).toEqual(first);
      }),
    );
  });

  it.each(['(', ')', '()', '"', '"x', '\\', '\\"', '<', '>', '<>', ' ', '@', '(")'])(
    'takes time in proportion to the length of a text full of %j',
    (piece) => {
      const makeWork = (size: number) => () => void parseAddress(`<a${piece.repeat(size)}b>`);
      expect(growth(makeWork, 5000)).toBeLessThan(30);
    },
  );

  it('refuses what is no text', () => {
    expect(() => parseAddress(undefined as unknown as string)).toThrow(TypeError);
  });
});

describe('knownSender', () => {
  it.each([
    '<>',
    '< >',
    '<"">',
    '<()>',
    '<(x) "">',
    '<<>>',
    '<@one.test:>',
    '<@one.test:"">',
    '<Mailer-Daemon>',
  ])('has %j for the null sender', (path) => expect(knownSender(path)).toBe('<>'));

  it.each([
    '<boss@example.com>',
    '<"boss"@example.com>',
    '<boss>',
    '<@example.com>',
    '<""@example.com>',
    '<MAILER-DAEMON@example.com>',
    '<.>',
    '<">',
  ])('leaves %j as it is', (path) => expect(knownSender(path)).toBe(path));
});

describe('inBrackets', () => {
  it.each([
    ['', '<>'],
    ['<>', '<>'],
    ['boss@example.com', '<boss@example.com>'],
    ['<boss@example.com>', '<boss@example.com>'],
    ['<"a>b"@example.com>', '<"a>b"@example.com>'],
    ['"a>b"@example.com', '<"a>b"@example.com>'],
    ['Boss <boss@example.com>', '<boss@example.com>'],
    ['<boss@example.com', '<<boss@example.com>'],
  ])('writes %j as %j', (text, written) => {
    expect(inBrackets(text)).toBe(written);
  });
});
