import { describe, expect, it } from 'vitest';
import {
  cached,
  confirmedNames,
  isDynamicName,
  pointers,
  type ResolveOptions,
} from '../../../lib/dns/index.ts';
import { MemoryResolver, type MemoryZone } from '../../../lib/testing/index.ts';

const PTR4 = '1.2.0.192.in-addr.arpa';
const PTR6 = `${'1.0.0.0.'.repeat(1)}${'0.'.repeat(20)}8.b.d.0.1.0.0.2.ip6.arpa`;

const names = (zone: MemoryZone, address = '192.0.2.1') => confirmedNames(address, new MemoryResolver(zone));

describe('confirmedNames', () => {
  it('gives the names that have the address in their turn, with the lowest TTL', async () => {
    const zone: MemoryZone = {
      [PTR4]: { PTR: ['Mail.Example.com.', 'forged.example', 'two.example', 'mail.example.COM'] },
      'mail.example.com': { A: ['192.0.2.1'] },
      'forged.example': { A: ['192.0.2.99'], AAAA: ['::ffff:192.0.2.1'] },
      'two.example': { A: ['203.0.113.1', '192.0.2.1'] },
    };
    expect(await names(zone)).toEqual({
      status: 'ok',
      records: ['mail.example.com', 'two.example'],
      ttl: 300,
    });
    expect(await names(zone, '::ffff:192.0.2.1')).toMatchObject({ status: 'ok' });
    const resolver = new MemoryResolver(zone, { ttl: 7 });
    expect(await confirmedNames('192.0.2.1', cached(resolver))).toMatchObject({ ttl: 7 });
  });

  it('compares IPv6 addresses by their value', async () => {
    const zone = {
      [PTR6]: { PTR: ['mail.example'] },
      'mail.example': { AAAA: ['2001:0DB8:0::0:1'], A: ['1.1.1.1'] },
    };
    for (const address of ['2001:db8::1', 'IPv6:2001:db8::1', '2001:DB8:0:0:0:0:0:1']) {
      expect(await names(zone, address)).toMatchObject({ status: 'ok', records: ['mail.example'] });
    }
  });

  it.each<[string, MemoryZone, string]>([
    ['no name', {}, 'nxdomain'],
    ['no PTR record', { [PTR4]: { A: ['192.0.2.1'] } }, 'nodata'],
    ['no answer', { [PTR4]: 'timeout' }, 'timeout'],
    ['a name without an address', { [PTR4]: { PTR: ['a.example'] } }, 'nodata'],
    [
      'a name with another address',
      { [PTR4]: { PTR: ['a.example'] }, 'a.example': { A: ['10.0.0.1'] } },
      'nodata',
    ],
    ['a name that cannot be asked', { [PTR4]: { PTR: ['a..example', '', '\u0007'] } }, 'nodata'],
    [
      'a name whose address cannot be asked',
      { [PTR4]: { PTR: ['a.example'] }, 'a.example': 'servfail' },
      'servfail',
    ],
  ])('says of %s what it is', async (_, zone, status) => {
    expect(await names(zone)).toMatchObject({ status });
  });

  it('has a name although another could not be asked', async () => {
    const zone: MemoryZone = {
      [PTR4]: { PTR: ['down.example', 'a.example'] },
      'down.example': 'timeout',
      'a.example': { A: ['192.0.2.1'] },
    };
    expect(await names(zone)).toMatchObject({ status: 'ok', records: ['a.example'] });
  });

  it('asks for ten names at most, all at once', async () => {
    const many = Array.from({ length: 40 }, (_, i) => `n${i}.example`);
    const table = new MemoryResolver({ [PTR4]: { PTR: many } });
    let waiting = 0;
    let most = 0;
    const resolver = {
      async resolve(name: string, type: 'PTR' | 'A', options?: ResolveOptions) {
        expect(options?.signal).toBe(signal);
        most = Math.max(most, ++waiting);
        await new Promise((resolve) => setImmediate(resolve));
        waiting--;
        return table.resolve(name, type);
      },
    };
    const { signal } = new AbortController();
    expect(await confirmedNames('192.0.2.1', resolver as never, { signal })).toMatchObject({
      status: 'nodata',
    });
    expect([table.queries.length, most]).toEqual([11, 10]);
  });

  it.each(['', 'mail.example.com', '192.0.2', '[192.0.2.1]'])('refuses %j', async (address) => {
    await expect(names({}, address)).rejects.toMatchObject({
      name: 'TypeError',
      code: 'ERR_MILTER_ARGUMENT',
    });
  });
});

describe('isDynamicName', () => {
  it.each([
    ['adsl-69-208-201-177.dsl.milwwi.ameritech.example', '69.208.201.177'],
    ['c-71-63-151-151.hsd1.mn.comcast.example', '71.63.151.151'],
    ['p50863492.dip0.t-ipconnect.example', '80.134.52.146'],
    ['wiley-268-8196.roadrunner.nf.example', '205.251.174.46'],
    ['cbl-sd-02-79.aster.com.example', '200.88.2.79'],
    ['1.2.0.192.rev.example.net', '192.0.2.1'],
    ['192.0.2.1.example.net', '192.0.2.1'],
    ['host-001.002.000.192.example.net', '192.0.2.1'],
    ['069208201177.user.example', '69.208.201.177'],
    ['h177201208.user.example', '69.208.201.177'],
    ['abts-north-dynamic-7.airtel.in', '122.161.0.1'],
    ['ppp12.example.net', '192.0.2.200'],
    ['pool-12.example.net', '192.0.2.200'],
    ['', '192.0.2.1'],
    ['.', '192.0.2.1'],
    ['[192.0.2.1]', '192.0.2.1'],
    ['2001:db8::1.rev.example', '2001:db8::1'],
  ])('knows %s of %s', (name, address) => {
    expect(isDynamicName(name, address)).toBe(true);
    expect(isDynamicName(`${name.toUpperCase()}`, address)).toBe(true);
  });

  it.each([
    ['post3.fabulousdealz.com', '69.60.99.112'],
    ['cncln.online.ln.cn', '202.96.69.1'],
    ['mail.example.com', '192.0.2.1'],
    ['mx1.example.com', '192.0.2.1'],
    ['mail2.adsl-provider.example', '192.0.2.1'],
    ['smtp3.pool.example.net', '192.0.2.1'],
    ['o12.cable.com', '192.0.2.1'],
    ['host11.example.com', '1.1.0.1'],
    ['a100.example.com', '1.0.0.1'],
    ['host2001.example', '2001:db8::1'],
    ['adsl-12.example.net', '2001:db8::1'],
  ])('sees nothing in %s of %s', (name, address) => {
    expect(isDynamicName(name, address)).toBe(false);
  });

  it('takes no name for such a one, and refuses what is no address', () => {
    expect(isDynamicName(undefined, '192.0.2.1')).toBe(true);
    expect(() => isDynamicName('mail.example.com', 'x')).toThrow(TypeError);
  });
});

describe('pointers', () => {
  it('gives what an address is called, confirmed or not', async () => {
    const resolver = new MemoryResolver({ '1.2.0.192.in-addr.arpa': { PTR: ['localhost', '.'] } });
    expect(await pointers('192.0.2.1', resolver)).toMatchObject({ status: 'ok', records: ['localhost', ''] });
    expect(await pointers('192.0.2.2', resolver)).toMatchObject({ status: 'nxdomain' });
    await expect(pointers('192.0.2', resolver)).rejects.toThrow('pointers: "192.0.2" is no IP address');
  });
});
