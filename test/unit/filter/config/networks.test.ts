import { describe, expect, it } from 'vitest';
import { networks } from '../../../../lib/filter/config/lists/networks.ts';
import { quickest } from '../../../helpers/quickest.ts';

function faultOf(entry: string): string | undefined {
  return networks().safeParse([entry]).error?.issues[0]?.message;
}

describe('a network list', () => {
  it.each<[string, string[], string[]]>([
    ['192.0.2.1', ['192.0.2.1', '::ffff:192.0.2.1', '::ffff:c000:201'], ['192.0.2.2', '::192.0.2.1']],
    ['192.0.2.0/24', ['192.0.2.0', '192.0.2.255', '::ffff:192.0.2.9'], ['192.0.3.0', '192.0.1.255']],
    ['128.0.0.0/1', ['255.255.255.255', '128.0.0.0'], ['127.255.255.255']],
    ['0.0.0.0/0', ['192.0.2.1', '255.255.255.255'], ['::1', '2001:db8::1']],
    ['::/0', ['::1', 'ffff::'], ['192.0.2.1', '::ffff:192.0.2.1']],
    ['2001:db8::/32', ['2001:db8::1', '2001:DB8:ffff::', '2001:db8::%eth0'], ['2001:db9::', '192.0.2.1']],
    ['2001:db8:0:1::/64', ['2001:db8:0:1:ffff::'], ['2001:db8:0:2::']],
    ['2001:db8::8/125', ['2001:db8::f'], ['2001:db8::10']],
    ['::1', ['::1', '0:0:0:0:0:0:0:1'], ['::2']],
    ['::ffff:192.0.2.0/120', ['192.0.2.77'], ['192.0.3.1']],
  ])('with %s', (entry, inside, outside) => {
    const one = networks().parse([entry]);
    expect(inside.filter((address) => !one.hasAddress(address))).toEqual([]);
    expect(outside.filter((address) => one.hasAddress(address))).toEqual([]);
    expect([inside[0], outside[0]].map((address) => one.has({ address }))).toEqual([true, false]);
  });

  it('has nothing that is no address', () => {
    const all = networks().parse(['0.0.0.0/0', '::/0']);
    for (const text of ['', 'unknown', '1.2.3', '1.2.3.4.5', '/run/socket', '::1::'])
      expect(all.hasAddress(text)).toBe(false);
  });

  it('asks for names only where it has names, and nothing else decides', async () => {
    let asked = 0;
    const client = {
      address: '192.0.2.1',
      names: () => {
        asked++;
        return Promise.resolve(['other.example', 'A.Mail.example.com.']);
      },
    };
    expect(networks().parse(['192.0.2.1', '*.mail.example.com']).has(client)).toBe(true);
    expect(networks().parse(['192.0.2.2']).has(client)).toBe(false);
    expect(asked).toBe(0);
    expect(await networks().parse(['192.0.2.2', '*.mail.example.com']).has(client)).toBe(true);
    expect(await networks().parse(['mail.example.com']).has(client)).toBe(false);
    expect(await networks().parse(['.example']).has(client)).toBe(true);
    expect(asked).toBe(3);
    expect(networks().parse(['*.example.com']).has({ address: '192.0.2.1' })).toBe(false);
    expect(
      networks()
        .parse(['*.example.com'])
        .has({ names: () => ['a.example.com'] }),
    ).toBe(true);
  });

  it.each([
    // Postfix tells the common name alone, Sendmail the whole subject.
    ['cert:CN=relay.example.org', 'relay.example.org', true],
    ['cert:CN=relay.example.org', 'Relay.Example.ORG', true],
    ['cert:CN=relay.example.org', 'CN=relay.example.org', true],
    ['cert:CN=relay.example.org', '/C=DE/O=Example/CN=relay.example.org', true],
    ['cert:CN=relay.example.org', '/C=DE/CN=relay.example.org/emailAddress=a@b', true],
    ['cert:/C=DE/O=Example/CN=relay.example.org', '/C=DE/O=Example/CN=relay.example.org', true],
    ['cert:/C=DE/O=Example/CN=relay.example.org', '/C=FR/O=Example/CN=relay.example.org', false],
    ['cert:/C=DE/O=Example/CN=relay.example.org', 'relay.example.org', false],
    // Two common names: one may have been smuggled into another field.
    ['cert:CN=relay.example.org', '/O=x/CN=relay.example.org/CN=evil.example', false],
    ['cert:CN=relay.example.org', '/CN=evil.example/CN=relay.example.org', false],
    ['cert:CN=relay.example.org', '/CN=relay.example.org.evil.example', false],
    ['cert:CN=relay.example.org', 'xrelay.example.org', false],
    ['cert:CN=relay.example.org', '', false],
  ])('%s and the subject %s: %s', (entry, certSubject, expected) => {
    expect(networks().parse([entry]).has({ address: '192.0.2.1', certSubject })).toBe(expected);
  });

  it.each([
    ['192.0.2.1/24', '"192.0.2.1/24" has bits set beyond its first 24: write the network\'s first address'],
    ['2001:db8::1/32', /has bits set beyond its first 32/],
    ['192.0.2.0/33', '"192.0.2.0/33" needs a prefix from 0 to 32'],
    ['2001:db8::/129', /needs a prefix from 0 to 128/],
    ['::ffff:192.0.2.0/24', /needs a prefix from 96 to 128/],
    ['192.0.2', '"192.0.2" is no network'],
    ['192.0.2.256', /is no network/],
    ['192.0.2.0/x', /is no network/],
    ['192.0.2.0/24/24', /is no network/],
    ['1::2::3', /is no network/],
    ['192.0.2.1-192.0.2.9', /is no network/],
    // As globs of names these would let in hosts that others name so.
    ['10.*', /is no network: write/],
    ['192.168.*.*', /is no network: write/],
    ['192.168.?.1', /is no network: write/],
    ['mail example', /is no domain/],
    ['user@example.com', /is no domain/],
    ['cert:', /names no certificate/],
    ['cert:CN=', /names no certificate/],
    ['', /is empty: an empty list is \[\]/],
  ])('refuses %j', (entry, message) => expect(faultOf(entry)).toMatch(message));

  it('is as fast with a hundred thousand networks as with ten', async () => {
    const time = async (count: number): Promise<number> => {
      const many = networks().parse(
        Array.from({ length: count }, (_, i) =>
          i % 2 === 0
            ? `10.${i >> 8}.${i & 255}.0/24`.replace(
                /^10\.(\d+)/,
                (_all, n) => `${10 + (Number(n) >> 8)}.${Number(n) & 255}`,
              )
            : `2001:db8:${i.toString(16)}::/48`,
        ),
      );
      return await quickest(4, () => {
        for (let i = 0; i < 20_000; i++) many.hasAddress(`198.51.${i >> 8}.${i & 255}`);
      });
    };
    expect(await time(60_000)).toBeLessThan((await time(10)) * 10);
  });
});
