/** Random policies, judged by us and by mailauth in its strict mode: two readings of RFC 7208 must agree. */

import { spf as mailauth } from 'mailauth/lib/spf/index.js';
import { expect, it } from 'vitest';
import { checkHost } from '../../lib/spf/index.ts';
import type { MemoryRecords } from '../../lib/testing/resolver.ts';
import { MemoryResolver } from '../../lib/testing/resolver.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const hosts = ['a.example.com', 'b.example.com', 'deep.a.example.com', 'c.example.org', 'none.example.net'];
const ip4 = fc.nat(7).map((last) => `192.0.2.${last}`);
const ip6 = fc.integer({ min: 1, max: 7 }).map((last) => `2001:db8::${last}`);
const domain = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...hosts) },
  fc.constantFrom(
    '%{d}',
    '%{o}',
    '%{D2}',
    '%{p}',
    '%{h}',
    '%{s}',
    '%{dr}.example.com',
    '%{ir}.%{v}.example.com',
  ),
  fc.constantFrom(
    '%{l1r-}.example.com',
    'x.%{d1r}.example.com',
    'a.example.com.',
    'a..example.com',
    'example',
  ),
);
const cidr = fc.constantFrom('', '', '', '/24', '//64', '/29//125', '/0', '//0', '/33', '/08');
const mechanism = fc.oneof(
  fc.tuple(fc.constantFrom('a', 'mx'), cidr).map(([name, length]) => name + length),
  fc.tuple(fc.constantFrom('a:', 'mx:'), domain, cidr).map((parts) => parts.join('')),
  fc.tuple(fc.constantFrom('include:', 'exists:', 'ptr:'), domain).map((parts) => parts.join('')),
  fc.tuple(ip4, fc.constantFrom('', '/30', '/24', '/0')).map(([net, length]) => `ip4:${net}${length}`),
  fc.tuple(ip6, fc.constantFrom('', '/126', '/64', '/0')).map(([net, length]) => `ip6:${net}${length}`),
  fc.constantFrom('ptr', 'all', 'moo', 'ip6:::ffff:192.0.2.1'),
);
const term = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(fc.constantFrom('', '', '-', '~', '?'), mechanism).map((parts) => parts.join('')),
  },
  fc.tuple(fc.constantFrom('redirect=', 'exp=', 'x='), domain).map((parts) => parts.join('')),
);
const record = fc
  .tuple(fc.array(term, { minLength: 1, maxLength: 4 }), fc.constantFrom('', ' -all', ' ~all'))
  .map(([terms, all]) => `v=spf1 ${terms.join(' ')}${all}`);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: [] as never });
const name = fc.record({
  TXT: maybe(record.map((text) => [text])),
  A: maybe(ip4.map((ip) => [ip])),
  AAAA: maybe(ip6.map((ip) => [ip])),
  MX: maybe(
    fc
      .tuple(fc.constantFrom(...hosts), fc.constantFrom(...hosts))
      .map((names) => names.map((exchange) => ({ preference: 1, exchange }))),
  ),
});
const zone = fc.record({
  'example.com': fc.tuple(name, record).map(([entry, text]) => ({ ...entry, TXT: [text] })),
  ...Object.fromEntries(hosts.slice(0, -1).map((host) => [host, name])),
  '1.2.0.192.in-addr.arpa': fc.record({
    PTR: maybe(fc.array(fc.constantFrom(...hosts), { minLength: 1, maxLength: 2 })),
  }),
}) as fc.Arbitrary<Record<string, MemoryRecords>>;

it('agrees with mailauth on random policies', async () => {
  const ip = fc.oneof(fc.constant('192.0.2.1'), ip4, ip6);
  const sender = fc.constantFrom(
    'user@example.com',
    'a-b@example.com',
    '@example.com',
    '',
    'USER@Example.COM',
  );
  const helo = fc.constantFrom('example.com', 'a.example.com', 'mail.example.org');
  await fc.assert(
    fc.asyncProperty(zone, ip, sender, helo, async (records, client, from, hello) => {
      const resolver = new MemoryResolver(records);
      const ours = await checkHost({ ip: client, sender: from, helo: hello, resolver });
      // mailauth counts two equal queries as one void lookup. RFC 7208 counts lookups.
      fc.pre(ours.voidLookups < 3);
      const { status } = await mailauth({
        ip: client,
        sender: from,
        helo: hello,
        mta: 'receiver.example',
        strict: true,
        resolver: nodeResolver(resolver) as never, // Its types promise all of node:dns.
      });
      expect(status.result, ours.problem).toBe(ours.result);
    }),
    runs(1000),
  );
});

/** In the form of `dns.promises.resolve`. */
function nodeResolver(resolver: MemoryResolver) {
  return async (asked: string, type: 'A' | 'AAAA' | 'MX' | 'PTR' | 'TXT'): Promise<unknown[]> => {
    const answer = resolver.resolve(asked, type);
    if (answer.status !== 'ok') {
      const codes = { nxdomain: 'ENOTFOUND', nodata: 'ENODATA', badname: 'EBADNAME' } as Record<
        string,
        string
      >;
      throw Object.assign(new Error(answer.status), { code: codes[answer.status] ?? 'ESERVFAIL' });
    }
    return answer.records.map((data) => {
      if (typeof data === 'string') return data;
      if ('exchange' in data) return { exchange: data.exchange, priority: data.preference };
      return data.map(String);
    });
  };
}
