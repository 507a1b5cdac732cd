/** IP addresses, against Node's own reading of them. */
import { BlockList, isIP } from 'node:net';
import { describe, expect, it } from 'vitest';
import {
  dottedAddress,
  networkOf,
  parseIp,
  parseIp4,
  parseIp6,
  reverseName,
  sameNetwork4,
  sameNetwork6,
} from '../../lib/ip.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const anyAddress = fc.oneof(fc.ipV4(), fc.ipV6());

describe('an address', () => {
  it('is read if and only if Node knows it', () => {
    const almost = fc.stringMatching(/^[0-9a-f:.%]{0,20}$/);
    fc.assert(
      fc.property(fc.oneof(anyAddress, almost), (text) => {
        // Node takes nothing for a zone: "::1%".
        fc.pre(!text.includes('%'));
        expect(parseIp(text) !== undefined).toBe(isIP(text) !== 0);
      }),
      runs(2000),
    );
  });

  it('in IPv6 may carry a tag', () => {
    fc.assert(
      fc.property(fc.ipV6(), fc.constantFrom('IPv6:', 'ipv6:', 'IPV6:'), (text, tag) => {
        expect(parseIp(`${tag}${text}`)).toEqual(parseIp(text));
      }),
    );
    expect(parseIp('IPv6:192.0.2.1')).toBeUndefined();
    expect(parseIp('IPv4:192.0.2.1')).toBeUndefined();
  });

  it.each([
    ['192.0.2.1', '192.0.2.1', '1.2.0.192.in-addr.arpa'],
    ['::ffff:192.0.2.1', '192.0.2.1', '1.2.0.192.in-addr.arpa'],
    ['::ffff:c000:201', '192.0.2.1', '1.2.0.192.in-addr.arpa'],
    [
      '2001:db8::cb01',
      '2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.C.B.0.1',
      '1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
    ],
  ])('%s is %s in a macro, and %s in reverse', (text, dotted, reverse) => {
    const address = parseIp(text);
    if (address === undefined) throw new Error('no address');
    expect(dottedAddress(address)).toBe(dotted);
    expect(reverseName(address)).toBe(reverse);
  });
});

describe('a network', () => {
  it('of IPv4 holds what Node says that it holds', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }), (a, b, prefix) => {
        const list = new BlockList();
        list.addSubnet(a, prefix, 'ipv4');
        expect(sameNetwork4(parseIp4(a) ?? 0, parseIp4(b) ?? 0, prefix)).toBe(list.check(b, 'ipv4'));
      }),
    );
  });

  it('of IPv6 holds the addresses that begin with the same bits', () => {
    const words = fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat());
    fc.assert(
      fc.property(words, fc.integer({ min: 0, max: 127 }), (a, bit) => {
        const b = a.map((word, i) => (i === bit >> 5 ? word ^ (1 << (31 - (bit & 31))) : word));
        const other = parseIp6(b.map((word) => hex(word)).join(':')) ?? [0, 0, 0, 0];
        const same = parseIp6(a.map((word) => hex(word)).join(':')) ?? [0, 0, 0, 0];
        expect(sameNetwork6(same, other, bit)).toBe(true);
        expect(sameNetwork6(same, other, bit + 1)).toBe(false);
      }),
    );
  });
});

function hex(word: number): string {
  return `${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
}

describe('the network of an address', () => {
  const network = (text: string, prefix4: number, prefix6: number): string | undefined => {
    const address = parseIp(text);
    return address && networkOf(address, prefix4, prefix6);
  };

  it.each([
    ['192.0.2.199', 24, '192.0.2.0/24'],
    ['255.255.255.255', 32, '255.255.255.255/32'],
    ['203.0.113.255', 30, '203.0.113.252/30'],
    ['192.0.2.1', 0, '0.0.0.0/0'],
    ['::ffff:192.0.2.7', 8, '192.0.0.0/8'],
    ['2001:db8:1:2:3:4:5:6', 64, '2001:db8:1:2:0:0:0:0/64'],
    ['2001:db8:1:2:3:4:5:6', 128, '2001:db8:1:2:3:4:5:6/128'],
    ['ffff:ffff:ffff:ffff::', 33, 'ffff:ffff:8000:0:0:0:0:0/33'],
    ['2001:db8::', 0, '0:0:0:0:0:0:0:0/0'],
  ])('%s to %d bits: %s', (text, prefix, expected) => {
    expect(network(text, prefix, prefix)).toBe(expected);
  });

  it('has the address in it', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 1, max: 32 }), (text, prefix) => {
        const [base = '', bits] = network(text, prefix, 64)?.split('/') ?? [];
        const list = new BlockList();
        list.addSubnet(base, Number(bits));
        expect(list.check(text)).toBe(true);
      }),
    );
  });
});
