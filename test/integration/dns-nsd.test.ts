/** Both backends against nsd, a real name server, where Debian's package is installed. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Resolver } from '../../lib/dns/index.ts';
import { createResolver, DnsList } from '../../lib/dns/index.ts';
import { checkHost } from '../../lib/spf/index.ts';
import { type Nsd, startNsd } from '../helpers/nsd.ts';
import { describeWith } from '../helpers/requirements.ts';

const long = 'x'.repeat(255);
const ZONE = String.raw`$TTL 120
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
@ MX 10 mx
@ MX 20 mx2
@ TXT "v=spf1 mx " "-all"
ns A 127.0.0.1
mx A 192.0.2.25
mx AAAA 2001:db8::25
mx2 AAAA ::ffff:192.0.2.26
alias CNAME alias2
alias2 CNAME mx
dangling CNAME gone
outside CNAME elsewhere.test.
bytes TXT "\255\000\195\169"
empty TXT ""
*.wild A 192.0.2.8
ptr PTR mx
sender TXT "v=spf1 include:included.example -all exp=why.example"
included TXT "v=spf1 a:alias.example ?all"
2.0.0.127.bl A 127.0.0.2
99.2.0.192.bl A 127.0.0.3
99.2.0.192.bl TXT "open relay"
spam.test.bl A 127.0.0.4
why TXT "%{i} may not send for %{d}"
big TXT ${`"${long}" `.repeat(20)}
`;

describeWith(['nsd'], 'against nsd', () => {
  let nsd: Nsd;
  const backends: Partial<Record<'dns2' | 'node', Resolver>> = {};

  beforeAll(async () => {
    nsd = await startNsd('example', ZONE);
    for (const backend of ['dns2', 'node'] as const) {
      backends[backend] = createResolver({ backend, servers: [nsd.spec] });
    }
  });

  afterAll(() => nsd[Symbol.asyncDispose]());

  const cases = [
    ['example', 'MX', ['10 mx.example', '20 mx2.example']],
    ['example', 'NS', ['ns.example']],
    ['example', 'TXT', ['v=spf1 mx |-all']],
    ['mx.example', 'A', ['192.0.2.25']],
    ['mx.example', 'AAAA', ['2001:db8::25']],
    ['alias.example', 'A', ['192.0.2.25']],
    ['alias.example', 'CNAME', ['alias2.example']],
    ['any.wild.example', 'A', ['192.0.2.8']],
    ['ptr.example', 'PTR', ['mx.example']],
    ['empty.example', 'TXT', ['']],
    ['big.example', 'TXT', [new Array(20).fill(long).join('|')]],
    ['mx.example', 'TXT', 'nodata'],
    ['gone.example', 'A', 'nxdomain'],
    ['dangling.example', 'A', 'nxdomain'],
    ['elsewhere.test', 'A', 'refused'],
    ['a..example', 'A', 'badname'],
  ] as const;

  for (const backend of ['dns2', 'node'] as const) {
    it.each(cases)(`${backend}: %s %s`, async (name, type, expected) => {
      const answer = await backends[backend]?.resolve(name, type);
      const got = answer?.status === 'ok' ? answer.records.map(readable).sort() : answer?.status;
      expect(got).toEqual(expected);
    });
  }

  it('dns2 knows the TTL of records and of absences', async () => {
    expect(await backends.dns2?.resolve('example', 'TXT')).toMatchObject({ ttl: 120 });
    expect(await backends.dns2?.resolve('gone.example', 'A')).toEqual({ status: 'nxdomain', ttl: 60 });
  });

  it('dns2 gives every byte of a TXT record; node calls it malformed', async () => {
    const records = [[Buffer.from([0xff, 0, 0xc3, 0xa9])]];
    expect(await backends.dns2?.resolve('bytes.example', 'TXT')).toMatchObject({ status: 'ok', records });
    expect(await backends.node?.resolve('bytes.example', 'TXT')).toMatchObject({ status: 'malformed' });
  });

  it('dns2 asks for an alias beyond the zone, which this server refuses', async () => {
    expect(await backends.dns2?.resolve('outside.example', 'A')).toMatchObject({ status: 'refused' });
  });

  it.each(['dns2', 'node'] as const)('%s serves a whole SPF check', async (backend) => {
    const resolver = backends[backend];
    if (resolver === undefined) throw new Error('nsd is not running');
    const mail = { sender: 'user@sender.example', helo: 'x', resolver };
    expect(await checkHost({ ...mail, ip: '192.0.2.25' })).toMatchObject({ result: 'pass', lookups: 2 });
    expect(await checkHost({ ...mail, ip: '192.0.2.99' })).toMatchObject({
      result: 'fail',
      explanation: '192.0.2.99 may not send for sender.example',
    });
  });

  it('serves a list of addresses and domains', async () => {
    const { dns2: resolver } = backends;
    if (resolver === undefined) throw new Error('nsd is not running');
    const list = new DnsList('bl.example');
    expect(await list.test('ipv4', resolver)).toBeUndefined();
    expect(await list.test('domain', resolver)).toMatch(
      /test\.bl\.example must be listed, and is not \(nodata\)$/,
    );
    expect(await list.ask('192.0.2.99', resolver)).toEqual({
      status: 'ok',
      records: ['127.0.0.3'],
      ttl: 120,
    });
    expect(await list.ask('spam.test', resolver)).toMatchObject({ records: ['127.0.0.4'] });
    expect(await list.ask('2001:db8::1', resolver)).toMatchObject({ status: 'nxdomain' });
    expect(await resolver.resolve(list.name('192.0.2.99') ?? '', 'TXT')).toMatchObject({ status: 'ok' });
  });

  it('answers many queries at once', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `n${i}.wild.example`);
    const answers = await Promise.all(names.map((name) => backends.dns2?.resolve(name, 'A')));
    expect(new Set(answers.map((answer) => answer?.status))).toEqual(new Set(['ok']));
  });
});

function readable(record: unknown): string {
  if (typeof record === 'string') return record;
  if (Array.isArray(record)) return record.join('|');
  const { preference, exchange } = record as { preference: number; exchange: string };
  return `${preference} ${exchange}`;
}
