import { describe, expect, it } from 'vitest';
import { createResolver, queryName } from '../../../lib/dns/index.ts';
import { encodeQuery } from '../../../lib/dns/packet.ts';
import { parseServer, type Server, ServerOrder, SILENCE_MS } from '../../../lib/dns/servers.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';
import { fc } from '../../helpers/fuzz.ts';

describe('queryName', () => {
  it.each([
    ['Example.COM.', 'example.com'],
    ['_spf.example.com', '_spf.example.com'],
    ['with space.example', 'with space.example'],
    [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
    [`${'a.'.repeat(126)}a`, `${'a.'.repeat(126)}a`],
    ['example', 'example'],
  ])('takes %s', (name, asked) => {
    expect(queryName(name)).toBe(asked);
  });

  it.each([
    '',
    '.',
    '..',
    '.a',
    'a..b',
    'a..',
    `${'a'.repeat(64)}.b`,
    `${'a.'.repeat(126)}ab`,
    'b\u00fccher.example',
    'a\nb',
  ])('refuses %j', (name) => {
    expect(queryName(name)).toBeUndefined();
  });
});

describe('name servers', () => {
  it.each([
    ['192.0.2.1', { address: '192.0.2.1', family: 4, port: 53 }],
    ['192.0.2.1:5353', { address: '192.0.2.1', family: 4, port: 5353 }],
    ['2001:db8::1', { address: '2001:db8::1', family: 6, port: 53 }],
    ['[2001:db8::1]', { address: '2001:db8::1', family: 6, port: 53 }],
    ['[::1]:5353', { address: '::1', family: 6, port: 5353 }],
    ['fe80::1%eth0', { address: 'fe80::1%eth0', family: 6, port: 53 }],
  ])('reads %s', (text, server) => {
    expect(parseServer(text)).toEqual(server);
  });

  it.each(['localhost', '192.0.2.1:0', '192.0.2.1:99999', '192.0.2', '[::1', ''])('refuses %j', (text) => {
    expect(() => createResolver({ servers: [text] })).toThrow(TypeError);
  });

  it('are asked last for a while after they were silent', () => {
    const [a, b, c] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(parseServer) as [Server, Server, Server];
    let now = 0;
    const order = new ServerOrder(() => now);
    const next = () => order.next([a, b, c], false);
    expect(next()).toEqual([a, b, c]);
    order.silent(a);
    expect(next()).toEqual([b, c, a]);
    now = SILENCE_MS / 2;
    order.silent(b);
    expect(next()).toEqual([c, a, b]);
    order.heard(b);
    expect(next()).toEqual([b, c, a]);
    now = SILENCE_MS;
    expect(next()).toEqual([a, b, c]);
    // One question tries it again. Those that come meanwhile do not wait for that.
    order.asking(a);
    expect(next()).toEqual([b, c, a]);
    order.heard(a);
    expect(next()).toEqual([a, b, c]);
    order.asking(a);
    expect(next()).toEqual([a, b, c]);
  });

  it('take turns where that is wanted, silent ones last', () => {
    const servers = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(parseServer);
    const order = new ServerOrder(() => 0);
    const next = () => order.next(servers, true).map((server) => servers.indexOf(server));
    expect([next(), next(), next(), next()]).toEqual([
      [0, 1, 2],
      [1, 2, 0],
      [2, 0, 1],
      [0, 1, 2],
    ]);
    order.silent(servers[2] as Server);
    expect([next(), next()]).toEqual([
      [1, 0, 2],
      [0, 1, 2],
    ]);
  });
});

describe('createResolver', () => {
  it.each([
    { timeout: 0 },
    { timeout: Number.POSITIVE_INFINITY },
    { tries: -1 },
    { deadline: Number.NaN },
    { servers: [] },
    { backend: 'bind' as 'node' },
  ])('refuses %j', (options) => {
    expect(() => createResolver(options)).toThrow(TypeError);
  });
});

describe('a reply', () => {
  it('of any bytes is read, foreign or malformed, and never throws', () => {
    const query = encodeQuery('name.example', 'TXT', true);
    const header = Buffer.from(query.bytes);
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(0, 10);
    const start = header.subarray(0, 12 + 14 + 4);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(0xffff), fc.boolean(), (tail, count, ours) => {
        const bytes = ours ? Buffer.concat([start, tail]) : Buffer.from(tail);
        if (ours) bytes.writeUInt16BE(count, 6);
        const reply = query.read(bytes);
        if (typeof reply === 'string') return;
        for (const record of reply.answers) expect(record.ttl).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});

it('a reply in which every name leads through a chain of pointers is malformed', () => {
  const query = encodeQuery('name.example', 'A', false);
  const hops = 8000;
  // One record whose data are a root name and pointers, each to the one before, and many named by the last of them.
  const chain = Buffer.alloc(12 + 1 + 2 * hops);
  const record = Buffer.from([0xc0, 12, 0, 10, 0, 1, 0, 0, 0, 0, 0, 0]);
  record.copy(chain);
  chain.writeUInt16BE(1 + 2 * hops, 10);
  let last = query.bytes.length + 12;
  for (let at = 13; at < chain.length; at += 2) {
    chain.writeUInt16BE(0xc000 | last, at);
    last = query.bytes.length + at;
  }
  record.writeUInt16BE(0xc000 | last);
  const reply = Buffer.concat([query.bytes, chain, ...new Array<Buffer>(4000).fill(record)]);
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(4001, 6);
  expect(query.read(reply)).toBe('malformed');
});

describe('MemoryResolver', () => {
  const resolver = new MemoryResolver({
    'a.example': {
      A: ['192.0.2.1'],
      TXT: ['one', ['t', 'wo'], Buffer.from([0xff])],
      MX: 'servfail',
      PTR: [],
    },
    'alias.example': { CNAME: 'A.Example.' },
    'circle.example': { CNAME: 'circle.example' },
    'gone.example': 'timeout',
  });

  it('answers at once, names without case and final dot', () => {
    expect(resolver.resolve('A.example.', 'A')).toEqual({ status: 'ok', records: ['192.0.2.1'], ttl: 300 });
  });

  it('gives TXT as character-strings', () => {
    const answer = resolver.resolve('a.example', 'TXT');
    const expected = [[Buffer.from('one')], [Buffer.from('t'), Buffer.from('wo')], [Buffer.from([0xff])]];
    expect(answer).toMatchObject({ records: expected });
  });

  it.each([
    ['a.example', 'MX', 'servfail'],
    ['a.example', 'AAAA', 'nodata'],
    ['a.example', 'PTR', 'nodata'],
    ['b.example', 'A', 'nxdomain'],
    ['gone.example', 'A', 'timeout'],
    ['a..example', 'A', 'badname'],
    ['alias.example', 'A', 'ok'],
    ['alias.example', 'CNAME', 'ok'],
    ['circle.example', 'A', 'servfail'],
  ] as const)('%s %s is %s', (name, type, status) => {
    expect(resolver.resolve(name, type)).toMatchObject({ status });
  });

  it('refuses what can only be a slip', () => {
    expect(() => new MemoryResolver({ 'a..b': 'timeout' })).toThrow(TypeError);
    expect(() => new MemoryResolver({ 'a.b': 'tiemout' as 'timeout' })).toThrow(TypeError);
    expect(() => new MemoryResolver({ 'a.b': { SPF: ['x'] } as object })).toThrow(TypeError);
  });
});
