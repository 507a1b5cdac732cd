import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { addressKind, serversOf } from '../../../../lib/filter/modules/callout/servers.ts';
import { MemoryResolver, type MemoryZone } from '../../../../lib/testing/index.ts';

const find = async (zone: MemoryZone, domain = 'far.example') =>
  await serversOf(domain, new MemoryResolver(zone), AbortSignal.timeout(20_000));

const mx = (...names: readonly string[]) => ({
  MX: names.map((exchange, i) => ({ preference: 100 - i, exchange })),
});

describe('the mail servers of a domain', () => {
  it('are those of its MX records, the least first, each once, with all of their addresses', async () => {
    const zone = {
      'far.example': mx('c.example', 'B.example', 'a.example', 'b.example'),
      'a.example': { A: ['203.0.113.1', '10.0.0.1'] },
      'b.example': { A: ['203.0.113.2'], AAAA: ['2606:4700::2'] },
      'c.example': { AAAA: ['2606:4700::3'] },
    };
    expect(await find(zone)).toEqual({
      status: 'found',
      servers: [
        { name: 'b.example', addresses: ['2606:4700::2', '203.0.113.2'] },
        { name: 'a.example', addresses: ['203.0.113.1'] },
        { name: 'c.example', addresses: ['2606:4700::3'] },
      ],
    });
  });

  it('are five with four addresses at most', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `m${i}.example`);
    const A = Array.from({ length: 20 }, (_, i) => `203.0.113.${i}`);
    const zone = { ...Object.fromEntries(names.map((name) => [name, { A }])), 'far.example': mx(...names) };
    const found = await find(zone);
    if (found.status !== 'found') throw new Error(found.why);
    expect(found.servers.map(({ addresses }) => addresses.length)).toEqual([4, 4, 4, 4, 4]);
  });

  it('are itself where it has none', async () => {
    expect(await find({ 'far.example': { AAAA: ['2606:4700::1'] } })).toEqual({
      status: 'found',
      servers: [{ name: 'far.example', addresses: ['2606:4700::1'] }],
    });
  });

  it.each<[string, MemoryZone]>([
    ['null-mx', { 'far.example': { MX: [{ preference: 0, exchange: '' }], A: ['203.0.113.1'] } }],
    ['no-mail', {}],
    ['no-mail', { 'far.example': { TXT: ['x'] } }],
    ['no-mail', { 'far.example': mx('a.example'), 'a.example': { A: ['192.168.0.1'] } }],
    ['no-mail', { 'far.example': mx('203.0.113.1', 'a b', 'x'.repeat(300)) }],
    ['unknown', { 'far.example': 'servfail' }],
    ['unknown', { 'far.example': mx('a.example'), 'a.example': 'timeout' }],
  ])('are none: %s %j', async (status, zone) => {
    expect((await find(zone)).status).toBe(status);
  });

  it.each(['', '[192.0.2.1]', 'a..b', 'a b.example', 'a\r\nb.example'])('are none of %j', async (domain) => {
    expect((await find({}, domain)).status).toBe('no-mail');
  });
});

describe('an address', () => {
  it.each(['203.0.113.1', '8.8.8.8', '172.32.0.1', '2606:4700::1', '2a00:1450:4001::1'])(
    '%s may be asked',
    (address) => expect(addressKind(address)).toBe('public'),
  );

  it.each([
    ...['0.0.0.0', '10.1.2.3', '100.64.0.1', '127.0.0.1', '169.254.169.254', '172.16.0.1', '192.168.1.1'],
    ...['198.18.0.1', '224.0.0.1', '255.255.255.255', '::', '::1', '::ffff:127.0.0.1', '::127.0.0.1'],
    ...[
      '64:ff9b::a00:1',
      'fe80::1',
      'fe80::1%eth0',
      'fd00::1',
      'fec0::1',
      'ff02::1',
      '2002:7f00:1::',
      '2001::1',
      'x',
      '',
    ],
  ])('%s may not', (address) => expect(addressKind(address)).toBe('private'));

  it('of this machine may not', () => {
    const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    expect(own.length).toBeGreaterThan(0);
    for (const { address } of own) expect(addressKind(address)).not.toBe('public');
  });
});
