/** What `lintDomain` says about a record before it is published. */
import { describe, expect, it } from 'vitest';
import { lintDomain } from '../../../lib/spf/index.ts';
import type { MemoryZone } from '../../../lib/testing/resolver.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';

async function remarks(record: string, zone: MemoryZone = {}): Promise<string[]> {
  const { findings } = await lintDomain('example.com', new MemoryResolver(zone), record);
  return findings.map(({ severity, term, message }) => `${severity} ${term ?? '-'}: ${message}`);
}

const host = { 'host.example.com': { A: ['192.0.2.1'] } };

describe('a record', () => {
  it.each([
    'v=spf1 -all',
    'v=spf1 a:host.example.com ip4:192.0.2.0/24 ~all',
    'v=spf1 exists:%{i}.example.com -all',
  ])('is good: %s', async (record) => {
    expect(await remarks(record, host)).toEqual([]);
  });

  it.each([
    ['v=spf1 moo -all', 'error moo: "moo" is no mechanism'],
    ['v=spf1 ipv4:192.0.2.1 -all', 'error ipv4:192.0.2.1: "ipv4" is no mechanism'],
    ['v=spf1 ipv4:192.0.2.1 -all', 'did you mean "ip4:192.0.2.1"?'],
    ['v=spf1 ip4=192.0.2.1 -all', 'error ip4=192.0.2.1: is a modifier'],
    ['v=spf1 -all mx', 'warning mx: is never reached'],
    ['v=spf1 -all redirect=host.example.com', 'warning redirect=host.example.com: has no effect'],
    ['v=spf1 ip4:192.0.2.1', 'warning -: ends without "all"'],
    ['v=spf1 +all', 'warning +all: allows everybody'],
    ['v=spf1 ptr -all', 'warning ptr: is slow'],
    ['v=spf1 ip4:0.0.0.0/0 -all', 'warning ip4:0.0.0.0/0: is wider'],
    ['v=spf1 ip4:192.0.2.1/24 -all', 'warning ip4:192.0.2.1/24: has bits set'],
    ['v=spf1 ip6:2000::/3 -all', 'warning ip6:2000::/3: is wider'],
    ['v=spf1 ip4:192.0.2.1 IP4:192.0.2.1 -all', 'warning IP4:192.0.2.1: is there twice'],
    ['v=spf1 a:none.example.com -all', 'warning a:none.example.com: finds nothing at none.example.com'],
    ['v=spf1 include:none.example.com -all', 'error include:none.example.com: has no SPF record'],
    ['v=spf1 include:host.example.com -all', 'error include:host.example.com: has no SPF record'],
    ['v=spf1 redirect=example.com', 'error redirect=example.com: leads back'],
    [
      'v=spf1 -all exp=host.example.com',
      'warning exp=host.example.com: host.example.com must have exactly one',
    ],
    [`v=spf1 ${'ip4:192.0.2.111 '.repeat(30)}-all`, 'warning -: is 491 bytes long'],
    [`v=spf1 ${'a:host.example.com '.repeat(11)}-all`, 'error -: 11 terms ask DNS'],
    ['v=spf1 a:1.invalid a:2.invalid mx:3.invalid -all', 'error -: 3 lookups find nothing'],
  ])('%s', async (record, remark) => {
    const all = await remarks(record, host);
    expect(all.join('\n')).toContain(remark);
  });
});

it('counts the lookups of a client that nothing matches, through includes and redirects', async () => {
  const zone = {
    'example.com': {
      TXT: ['other', 'v=spf1 include:inc.example.com a:host.example.com redirect=to.example.com'],
    },
    'inc.example.com': { TXT: ['v=spf1 a:host.example.com exists:%{i}.example.com ip4:192.0.2.1 -all mx'] },
    'to.example.com': { TXT: ['v=spf1 ~all'] },
    ...host,
  };
  const { tree, lookups, voidLookups } = await lintDomain('example.com', new MemoryResolver(zone));
  expect([lookups, voidLookups]).toEqual([5, 0]);
  expect(tree.children.map(({ domain, lookups }) => [domain, lookups])).toEqual([
    ['inc.example.com', 2],
    ['to.example.com', 0],
  ]);
});

it('says that a domain has no record, or too many', async () => {
  const zone = { 'two.example.com': { TXT: ['v=spf1 -all', 'v=spf1 mx -all'] }, ...host };
  for (const [domain, message] of [
    ['none.example.com', 'nxdomain'],
    ['localhost', 'two labels'],
    ['two.example.com', '2 SPF records'],
  ] as const) {
    const { findings } = await lintDomain(domain, new MemoryResolver(zone));
    expect(findings[0]).toMatchObject({ severity: 'error', message: expect.stringContaining(message) });
  }
});

it('comes to an end whatever it is given to include', async () => {
  const includes = Array.from({ length: 20 }, (_, i) => `include:${i}.%.example.com`).join(' ');
  const resolver = {
    asked: 0,
    resolve(name: string) {
      this.asked++;
      const text = `v=spf1 ${includes.replaceAll('%', name.split('.').slice(0, 3).join('.'))} -all`;
      return { status: 'ok' as const, records: [[Buffer.from(text)]] as never[], ttl: 1 };
    },
  };
  const { findings } = await lintDomain('a.example.com', resolver);
  expect(resolver.asked).toBeLessThan(50);
  expect(findings.at(-1)?.message).toContain('terms ask DNS');
});
