/** The grammar: RFC 7208 sections 4.5, 4.6, 5, 6, 7.1 and 12. */

import { describe, expect, it } from 'vitest';
import { isSpfRecord, parseRecord } from '../../../lib/spf/index.ts';
import { withLocalPolicy } from '../../../lib/spf/record.ts';
import { fc } from '../../helpers/fuzz.ts';

const problemsOf = (terms: string): readonly string[] =>
  parseRecord(`v=spf1 ${terms}`).problems.map(({ term }) => term);

describe('a TXT record is an SPF record', () => {
  it.each(['v=spf1', 'v=spf1 ', 'v=spf1 -all', 'V=SPF1 -all'])('%j', (text) => {
    expect(isSpfRecord(text)).toBe(true);
  });
  it.each(['', 'v=spf', 'v=spf10', 'v=spf1-all', 'v=spf1\t-all', ' v=spf1 -all', 'spf2.0/pra'])(
    'not: %j',
    (text) => {
      expect(isSpfRecord(text)).toBe(false);
    },
  );
});

describe('terms that follow the grammar', () => {
  it.each([
    'all',
    '+ALL',
    '~all',
    '?all  -all ',
    'a',
    'A:example.com',
    'a/24',
    'a//64',
    'a/0//0',
    'a/32//128',
    'a:example.com/24//64',
    'mx',
    'mx:%{d}/24',
    'ptr',
    'ptr:example.com',
    'ip4:192.0.2.0',
    'ip4:192.0.2.0/24',
    'IP4:0.0.0.0/0',
    'ip6:2001:db8::',
    'ip6:::1',
    'ip6:::ffff:192.0.2.1/96',
    'ip6:2001:db8::/0',
    'ip6:1:2:3:4:5:6:7:8/128',
    'exists:%{i}._spf.%{d}',
    'exists:%{l1r-}.example.com',
    'include:_spf.example.com.',
    'include:a.example-1',
    'include:foo%{d}',
    'include:x.%{d2R+-.,/_=}',
    'include:a/b.example.com',
    'include:a%%b.example.com',
    'include:example.com%-',
    'redirect=_spf.example.com',
    'REDIRECT=%{d}',
    'exp=why.%{d}',
    'unknown=',
    'un-kn_o.wn=%{d}:/x=y',
    'ip4=192.0.2.1',
    'same=1 same=2',
    'x=%{c}%{R}%{t}',
  ])('%s', (terms) => {
    expect(problemsOf(terms)).toEqual([]);
  });
});

describe('terms that break the grammar', () => {
  it.each([
    'all:example.com',
    'all/8',
    'all.',
    'al',
    'a:',
    'a:example',
    'a:example.com:8080',
    'a:example.123',
    'a:example.-a',
    'a:example.a-',
    'a:example..',
    'a:192.0.2.1',
    'a/',
    'a/033',
    'a/33',
    'a/-1',
    'a//129',
    'a//064',
    'a///64',
    'a/24/64',
    'a:example.com/24/64',
    'mx:',
    'mx/x',
    'ptr:',
    'ptr/24',
    'ip4',
    'ip4:',
    'ip4/24',
    'ip4:192.0.2',
    'ip4:192.0.2.256',
    'ip4:192.0.02.1',
    'ip4:192.0.2.0/33',
    'ip4:192.0.2.0/',
    'ip4:192.0.2.0/08',
    'ip4:192.0.2.0//24',
    'ip4:2001:db8::1',
    'ip6',
    'ip6:192.0.2.1',
    'ip6:2001:db8::/129',
    'ip6:2001:db8::/',
    'ip6:2001:db8:::',
    'ip6:1:2:3:4:5:6:7',
    'ip6:1:2:3:4:5:6:7:8:9',
    'ip6:1::2::3',
    'ip6:fe80::1%eth0',
    'include',
    'include:',
    'include/24',
    'include:example.com/24',
    'exists',
    '+exists',
    '-exists',
    'exists:',
    '-redirect=example.com',
    'redirect:example.com',
    'redirect=',
    'exp=',
    'exp=example',
    'unknown',
    'unknown:x',
    '-unknown=x',
    'unknown=%',
    'unknown=%{',
    'unknown=%{x}',
    '1=x',
    'include:%{d',
    'include:%(d).example.com',
    'include:%{d0}.example.com',
    'include:%{d00}',
    'include:%{}.com',
    'include:%{d|}',
    'include:%{2d}',
    'include:%{c}',
    'include:%{R}',
    'include:%{t}',
    'include:%{d}com',
    'include:%x.com',
    'include:a%',
    '-\u00fcall',
    'x=\u00fc',
    'a:b\u00e9.example.com',
    'a\t-all',
    'a\r-all',
    '--all',
    '-',
    '=x',
    '-all,',
  ])('%j', (term) => {
    expect(problemsOf(term)).toEqual([term]);
  });

  it('include redirect and exp more than once, in any case', () => {
    expect(problemsOf('redirect=a.example redirect=b.example')).toEqual(['redirect=b.example']);
    expect(problemsOf('exp=a.example EXP=b.example')).toEqual(['EXP=b.example']);
  });
});

it('reads every mechanism for what it is', () => {
  const { directives } = parseRecord('v=spf1 a/24//64 -ip4:10.0.0.0/8 ?ip6:2001:db8::/32 ~all');
  expect(directives).toEqual([
    { kind: 'a', result: 'pass', text: 'a/24//64', spec: undefined, prefix4: 24, prefix6: 64 },
    { kind: 'ip4', result: 'fail', text: '-ip4:10.0.0.0/8', network: 0x0a000000, prefix: 8 },
    {
      kind: 'ip6',
      result: 'neutral',
      text: '?ip6:2001:db8::/32',
      network: [0x20010db8, 0, 0, 0],
      prefix: 32,
    },
    { kind: 'all', result: 'softfail', text: '~all' },
  ]);
});

it('reads any text without throwing, and reports each wrong term once', () => {
  const term = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.stringMatching(/^[-+?~]?(a|mx|ip4|ip6|include|exists|ptr|exp|redirect|x)[:=/][a-z0-9%{}.:/-]{0,20}$/),
  );
  fc.assert(
    fc.property(fc.array(term, { maxLength: 6 }), (terms) => {
      const text = `v=spf1 ${terms.join(' ')}`;
      const { problems, directives } = parseRecord(text);
      const count = text.split(' ').filter((part) => part !== '').length;
      expect(problems.length + directives.length).toBeLessThanOrEqual(2 * count);
    }),
  );
});

it.each([
  `a:.${'a'.repeat(1_000_000)}-`,
  `a:example.com${'/24'.repeat(300_000)}`,
  `moo${','.repeat(1_000_000)}x`,
  `exists:${'%{s}'.repeat(250_000)}%`,
  `ip6:${'1:'.repeat(500_000)}`,
  `${'x'.repeat(1_000_000)}`,
  `x=${'%'.repeat(999_999)}`,
])('a megabyte of malice takes no longer than reading it (%#)', (term) => {
  expect(problemsOf(term)).toEqual([term]);
});

describe('local policy goes before the refusals at the end', () => {
  it.each([
    ['v=spf1 mx -all', 'mx ptr -all'],
    ['v=spf1 mx ~all', 'mx ptr ~all'],
    ['v=spf1 mx', 'mx ptr'],
    ['v=spf1 -a mx -a -all', '-a mx ptr -a -all'],
    ['v=spf1 mx redirect=a.example', 'mx ptr'],
    ['v=spf1 -all', '-all'],
    ['v=spf1', ''],
  ])('%s', (text, expected) => {
    const { directives } = withLocalPolicy(parseRecord(text), parseRecord('v=spf1 ptr'));
    expect(directives.map((directive) => directive.text).join(' ')).toBe(expected);
  });
});
