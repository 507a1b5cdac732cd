import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LineFault, PatternList, QueryName } from '../../../lib/nameserver/index.ts';

/** The name as it stands in a packet. */
function query(text: string): QueryName {
  const labels = text === '' ? [] : text.split('.');
  const bytes = labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  const name = new QueryName();
  expect(name.read(Buffer.from([...bytes, 0]), 0)).toBe(bytes.length + 1);
  return name;
}

function listOf(...lines: readonly string[]): PatternList {
  const list = new PatternList(() => Date.UTC(2026, 0, 1));
  for (const [i, line] of lines.entries()) list.add(line, i + 1);
  return list;
}

/** The numbers of the lines that match. */
function ask(list: PatternList, name: string): readonly number[] {
  return list.find(query(name)).lines.map(({ number }) => number);
}

function faultOf(line: string): string {
  try {
    listOf(line);
  } catch (error) {
    if (error instanceof LineFault) return error.message;
    throw error;
  }
  return 'none';
}

const LISTED: readonly [pattern: string, names: string, others: string][] = [
  ['evil.example', 'evil.example EVIL.Example', 'a.evil.example example xevil.example evil.example.x'],
  ['.evil.example', 'evil.example a.evil.example b.a.evil.example', 'xevil.example'],
  ['*.evil.example', 'a.evil.example b.a.evil.example', 'evil.example xevil.example'],
  ['Evil.Example.', 'evil.example', 'example'],
  ['ded###.com', 'ded304.com DED000.com', 'ded30.com ded3044.com dedabc.com a.ded304.com ded304.com.x'],
  ['.ded###.com', 'ded304.com a.ded304.com b.a.ded304.com', 'xded304.com'],
  ['*.ded###.com', 'a.ded304.com', 'ded304.com'],
  ['*-pills.*', 'best-pills.com a.best-pills.co.uk -pills.x', 'pills.com best-pills bestpills.com'],
  ['a?c.example', 'abc.example a-c.example', 'ac.example abbc.example'],
  ['ded[300-399].com', 'ded300.com ded399.com', 'ded299.com ded400.com ded3000.com ded0300.com dedx.com'],
  ['n[8-12].x', 'n8.x n9.x n10.x n12.x', 'n7.x n13.x n08.x n1.x'],
  ['n[008-012].x', 'n008.x n012.x', 'n8.x n08.x n013.x n0008.x'],
  ['n[0-100].x', 'n0.x n100.x', 'n101.x n00.x'],
  ['*[100-200]*.x', 'a150b.x 150.x 1-150.x', 'a99b.x a1500b.x'],
  ['v[3-5][0-1].x', 'v30.x v51.x', 'v60.x v32.x v3.x'],
  ['ded[0-9]+.com', 'ded1.com ded304.com', 'ded.com a.ded1.com ded1.comx'],
  ['/(?:.*\\.)?ded\\d{3}\\.(?:com|net)/', 'ded304.com a.ded304.net', 'ded30.com xded304.com'],
  ['/.*casino.*/', 'my-casino-x.example CASINO.example', 'casin.example'],
  ['(foo|bar)[a-c].example', 'fooa.example barc.example', 'food.example'],
  ['^start[ab]$', 'starta', 'start xstarta'],
  ['192.0.2.1', '1.2.0.192', '2.2.0.192 1.2.0.192.x 2.0.192'],
  ['192.0.2.0/24', '0.2.0.192 255.2.0.192', '1.3.0.192 256.2.0.192 01.2.0.192 x.2.0.192 1.1.2.0.192'],
  ['10.0.0.0/8', '1.2.3.10', '1.2.3.11'],
  ['10.16.0.0/12', '9.9.16.10 9.9.31.10', '9.9.15.10 9.9.32.10'],
  ['10.0.0.128/25', '128.0.0.10 255.0.0.10', '127.0.0.10'],
  ['128.0.0.0/1', '1.1.1.128 1.1.1.255', '1.1.1.127'],
  [
    '2001:db8::/33',
    `0${'.0'.repeat(22)}.0.8.b.d.0.1.0.0.2 0${'.0'.repeat(22)}.7.8.b.d.0.1.0.0.2`,
    `0${'.0'.repeat(22)}.8.8.b.d.0.1.0.0.2 0${'.0'.repeat(21)}.0.8.b.d.0.1.0.0.2 x${'.0'.repeat(22)}.0.8.b.d.0.1.0.0.2`,
  ],
  ['2001:DB8::1', `1${'.0'.repeat(23)}.8.b.d.0.1.0.0.2`, `2${'.0'.repeat(23)}.8.b.d.0.1.0.0.2`],
  ['::ffff:192.0.2.1', `1.0.2.0.0.0.0.c.f.f.f.f${'.0'.repeat(20)}`, '1.2.0.192'],
];

describe('a line', () => {
  it.each(LISTED)('%s', (pattern, names, others) => {
    const list = listOf(pattern);
    for (const name of names.split(' ')) expect(ask(list, name), name).toEqual([1]);
    for (const name of others.split(' ')) expect(ask(list, name), name).toEqual([]);
  });

  it.each(LISTED)('!%s makes an exception of it', (pattern, names, others) => {
    const list = listOf('/.*/', `!${pattern}`);
    for (const name of names.split(' ')) {
      expect(ask(list, name), name).toEqual([]);
      expect(list.find(query(name)).exception?.number).toBe(2);
    }
    for (const name of others.split(' ')) expect(ask(list, name), name).toEqual([1]);
  });

  it.each(LISTED)('%s is found among many', (pattern, names, others) => {
    const list = new PatternList();
    for (let i = 0; i < 500; i++) {
      list.add(`many${i}.example`, 2);
      list.add(`.tree${i}.example`, 2);
      list.add(`glob${i}###.com`, 2);
      list.add(`re${i}[a-f]+x.com`, 2);
      list.add(`172.16.${i % 256}.0/24`, 2);
      if (i === 250) list.add(pattern, 1);
    }
    for (const name of names.split(' ')) expect(ask(list, name), name).toEqual([1]);
    for (const name of others.split(' ')) expect(ask(list, name), name).toEqual([]);
    expect(ask(list, 'many499.example')).toEqual([2]);
    expect(ask(list, 'a.tree0.example')).toEqual([2]);
    expect(ask(list, 'glob17123.com')).toEqual([2]);
    expect(ask(list, 're499ffx.com')).toEqual([2]);
  });

  it('may be one of several that match: all of them answer', () => {
    const list = listOf('ded304.com', 'ded###.com', 'ded[0-9]+.com', '.com', 'other.com');
    expect(ask(list, 'ded304.com').toSorted()).toEqual([1, 2, 3, 4]);
  });

  it('holds until its day', () => {
    const list = listOf(
      'a.example until=2026-01-01',
      'b.example until=2026-01-01T00:01Z',
      '!b.example until=2025-12-31',
    );
    expect(ask(list, 'a.example')).toEqual([]);
    expect(ask(list, 'b.example')).toEqual([2]);
  });

  it('has codes, a time and a text', () => {
    const [line] = listOf('a.example  127.0.0.2,127.0.1.4 ttl=2h  $ costs $$5, $').find(
      query('a.example'),
    ).lines;
    const { codes, ttl, text } = line?.answer ?? {};
    expect(codes?.map((code) => code.toString(16))).toEqual(['7f000002', '7f000104']);
    expect(ttl).toBe(7_200);
    expect(text?.map(String)).toEqual(['', ' costs $5, ', '']);
  });

  it('without a code has 127.0.0.2, and without a text none', () => {
    const [line] = listOf('a.example').find(query('a.example')).lines;
    expect(line?.answer).toMatchObject({ codes: [0x7f000002], ttl: undefined, text: undefined });
    const [other] = listOf('a.example just a text').find(query('a.example')).lines;
    expect(other?.answer.text?.map(String)).toEqual(['just a text']);
  });

  it.each([
    ['a..example', '"a..example" is no domain'],
    [`${'a'.repeat(64)}.example`, `"${'a'.repeat(64)}.example" is no domain`],
    ['!', 'has no pattern'],
    ['*', /no two letters|none/],
    ['bücher.example', '"bücher.example" is no ASCII: write domains in their form with xn--'],
    ['a,b.example', '"a,b.example" is no domain'],
    ['a*,b.example', '"a*,b.example" is no pattern'],
    ['a.example 128.0.0.1', 'has the code "128.0.0.1"; codes are addresses like 127.0.0.2'],
    ['a.example 127.0.0.2,x', 'has the code "x"; codes are addresses like 127.0.0.2'],
    ['a.example 127.0.0.1', 'has the code 127.0.0.1, which does not mean that something is listed'],
    [
      'a.example 127.255.255.254',
      'has the code 127.255.255.254, which does not mean that something is listed',
    ],
    ['a.example 127.0.0', 'has the code "127.0.0"; codes are addresses like 127.0.0.2'],
    ['a.example ttl=5', 'has ttl=5; it is written like ttl=300s, 5m, 6h or 1d, seven days at most'],
    ['a.example ttl=8d', 'has ttl=8d; it is written like ttl=300s, 5m, 6h or 1d, seven days at most'],
    ['a.example ttl=1s ttl=2s', 'has ttl= twice'],
    [
      'a.example until=tomorrow',
      'has until=tomorrow; it is written like until=2026-12-31 or until=2026-12-31T18:00Z',
    ],
    [
      'a.example until=2026-02-31x',
      'has until=2026-02-31x; it is written like until=2026-12-31 or until=2026-12-31T18:00Z',
    ],
    ['!a.example 127.0.0.2', '"!a.example" is an exception, and has no answer of its own'],
    ['a.example $ $ $ $ $', 'has more than 4 times "$" in its text'],
    [`a.example ${'x'.repeat(1_001)}`, 'has a text of more than 1000 bytes'],
    ['a.example bell\u0007', 'has control characters in its text'],
    ['ded[399-300].com', '"ded[399-300].com" has [399-300], which ends before it begins'],
    [
      'ded[01-100].com',
      '"ded[01-100].com" has [01-100]: with leading zeros both numbers need as many digits',
    ],
    ['ded1[10-20].com', '"ded1[10-20].com" has a digit beside a range of numbers: put it into the range'],
    ['ded[10-20]#.com', '"ded[10-20]#.com" has a digit beside a range of numbers: put it into the range'],
    [
      `d[0-${'9'.repeat(16)}].com`,
      `"d[0-${'9'.repeat(16)}].com" has [0-${'9'.repeat(16)}], whose numbers have more than 15 digits`,
    ],
    ['ded[.com', /^"ded\[.com" is a regular expression that cannot be used: /],
    ['/ded(/', /^"ded\(" is a regular expression that cannot be used: /],
    ['/(a)\\1/', /^"\(a\)\\\\1" is a regular expression that cannot be used: /],
    [`/${'a'.repeat(1_001)}/`, /is a regular expression of more than 1000 characters$/],
    ['192.0.2.0/33', '"192.0.2.0/33" needs a prefix from 1 to 32'],
    ['0.0.0.0/0', '"0.0.0.0/0" needs a prefix from 1 to 32'],
    ['192.0.2.1/24', '"192.0.2.1/24" has bits set beyond its first 24: write the network\'s first address'],
    ['192.0.2', '"192.0.2" is no network; networks are written like 192.0.2.0/24 or 2001:db8::/32'],
    [
      '192.0.2.[1-9]',
      '"192.0.2.[1-9]" is no network; networks are written like 192.0.2.0/24 or 2001:db8::/32',
    ],
    [
      '2001:db8::1/32',
      '"2001:db8::1/32" has bits set beyond its first 32: write the network\'s first address',
    ],
    ['2001:db8:/32', '"2001:db8:/32" is no network; networks are written like 192.0.2.0/24 or 2001:db8::/32'],
    ['foo/bar', '"foo/bar" is no network; networks are written like 192.0.2.0/24 or 2001:db8::/32'],
  ])('%s is refused, or not', (line, message) => {
    if (typeof message === 'string') expect(faultOf(line)).toBe(message);
    else expect(faultOf(line)).toMatch(message);
  });

  it('may be compared with each name, but not too many are', () => {
    const list = listOf(...Array.from({ length: 100 }, (_, i) => `*${String.fromCharCode(97 + (i % 26))}*`));
    expect(() => list.add('*x*', 101)).toThrow(/"\*x\*" has no two letters side by side/);
  });
});

describe('a list', () => {
  it('may be as the documentation shows it', () => {
    const text = readFileSync(join(import.meta.dirname, '../../../docs/name-server.md'), 'utf8');
    const [, block = ''] = /\n( {4}# pattern [\s\S]*?)\n\n/.exec(text) ?? [];
    const lines = block.split('\n').map((line) => line.trim());
    const list = listOf(...lines.filter((line) => !line.startsWith('#')));
    for (const name of ['ded304.com', 'a.roll017.net', 'a.prize7.top', '9.2.0.192'])
      expect(ask(list, name), name).not.toEqual([]);
    for (const name of ['good-pills.example', '55.2.0.192']) expect(ask(list, name), name).toEqual([]);
  });

  it('has the test entries of RFC 5782, whatever else it says', () => {
    for (const list of [listOf(), listOf('!/.*/'), listOf('/.*/', '.test', '0.0.0.0/1')]) {
      for (const name of ['2.0.0.127', 'test', `2.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`])
        expect(list.find(query(name)).lines, name).not.toEqual([]);
      for (const name of ['1.0.0.127', 'invalid', `1.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`])
        expect(list.find(query(name)).lines, name).toEqual([]);
    }
  });

  it('knows the names between its zone and what is listed (RFC 8020)', () => {
    const list = listOf('a.b.example', '.c.co.uk', '192.0.2.0/25', '10.0.0.0/8', 'ded###.co.net', '!x.only');
    for (const name of [
      'b.example',
      'example',
      'co.uk',
      'uk',
      '192',
      '0.192',
      '2.0.192',
      '10',
      '1.10',
      '2.1.10',
      'co.net',
      'net',
    ])
      expect(list.find(query(name)), name).toMatchObject({ lines: [], isParent: true });
    for (const name of ['x.example', '3.0.192', '256.10', 'x.10', 'only', 'com'])
      expect(list.find(query(name)), name).toMatchObject({ lines: [], isParent: false });
  });

  it('does not take odd names for others', () => {
    const list = listOf('ded###.com', '/.*/', 'evil.example');
    const name = new QueryName();
    name.read(Buffer.from('\x0aded304.com\0', 'latin1'), 0);
    expect(list.find(name).lines).toEqual([]);
    name.read(Buffer.from('\x0cevil.example\0', 'latin1'), 0);
    expect(list.find(name).lines).toEqual([]);
    name.read(Buffer.from('\x04a\xffb \x03com\0', 'latin1'), 0);
    expect(list.find(name).lines).toEqual([]);
  });
});
