/** The DNS client against a name server on loopback that misbehaves in every way we know. */
import type { Socket } from 'node:net';
import { Packet } from 'dns2';
import { describe, expect, it } from 'vitest';
import { DnsClient } from '../../lib/dns/client.ts';
import type { Resolver, ResolverOptions } from '../../lib/dns/index.ts';
import { createResolver } from '../../lib/dns/index.ts';
import { parseResolvConf } from '../../lib/dns/resolv-conf.ts';
import { settingsFrom } from '../../lib/dns/resolver.ts';
import { SILENCE_MS } from '../../lib/dns/servers.ts';
import type { ServerQuery } from '../helpers/dns-server.ts';
import { closedPort, framed, replyTo, startDnsServer } from '../helpers/dns-server.ts';
import { until } from '../helpers/wait.ts';

const { TYPE } = Packet;
const GOOD = { answers: [{ address: '192.0.2.1' }] };
const OK = { status: 'ok', records: ['192.0.2.1'], ttl: 300 };

/** Where a server is silent: what is tested is that there is an end, not how long a real one may take. */
const SHORT = { timeout: 100 };

function client(servers: readonly string[], options: ResolverOptions = {}): Resolver {
  return createResolver({ servers, timeout: 5000, deadline: 20_000, ...options });
}

const answerWell = (query: ServerQuery): void => query.send(replyTo(query, GOOD));
const silent = (): void => {};
const noSystem = () => parseResolvConf('');

describe('records', () => {
  it.each([
    ['A', { address: '192.0.2.1' }, '192.0.2.1'],
    ['AAAA', { address: '2001:db8::1' }, '2001:db8::1'],
    ['MX', { priority: 10, exchange: 'mx.example' }, { preference: 10, exchange: 'mx.example' }],
    ['MX', { priority: 0, exchange: '' }, { preference: 0, exchange: '' }],
    ['NS', { ns: 'ns.example' }, 'ns.example'],
    ['PTR', { domain: 'Host.Test' }, 'Host.Test'],
    ['CNAME', { domain: 'target.example' }, 'target.example'],
  ] as const)('reads %s', async (type, data, expected) => {
    await using server = await startDnsServer({
      udp: (query) => query.send(replyTo(query, { answers: [data] })),
    });
    const answer = await client([server.spec]).resolve('name.example', type);
    expect(answer).toEqual({ status: 'ok', records: [expected], ttl: 300 });
  });

  it('gives the character-strings of TXT as bytes, whatever they are', async () => {
    const strings = [
      Buffer.from('v=spf1 '),
      Buffer.from([0xff, 0x00, 0xc3, 0xa9]),
      Buffer.alloc(0),
      Buffer.alloc(255, 'x'),
    ];
    await using server = await startDnsServer({
      // dns2 writes Buffers as they are, its types know only text.
      udp: (query) =>
        query.send(replyTo(query, { answers: [{ data: strings as unknown as string[] }, { data: [] }] })),
    });
    const answer = await client([server.spec]).resolve('name.example', 'TXT');
    expect(answer).toEqual({ status: 'ok', records: [strings, []], ttl: 300 });
  });

  it('tells a name that does not exist from one without such records, and how long either may be kept', async () => {
    const soa = {
      type: TYPE.SOA,
      primary: 'ns',
      admin: 'a',
      serial: 1,
      refresh: 1,
      retry: 1,
      expiration: 1,
      minimum: 60,
    };
    await using server = await startDnsServer({
      udp: (query) => {
        const rcode = query.name.startsWith('no') ? 3 : 0;
        query.send(replyTo(query, { header: { rcode }, authorities: [{ ...soa, ttl: 900 }] }));
      },
    });
    const resolver = client([server.spec]);
    expect(await resolver.resolve('no.example', 'A')).toEqual({ status: 'nxdomain', ttl: 60 });
    expect(await resolver.resolve('empty.example', 'A')).toEqual({ status: 'nodata', ttl: 60 });
  });

  it('asks a server on IPv6', async () => {
    await using server = await startDnsServer({ address: '::1', udp: answerWell });
    expect(await client([server.spec]).resolve('name.example', 'A')).toEqual(OK);
  });
});

describe('names', () => {
  it.each([
    ['an empty label', 'a..example'],
    ['a label of 64 bytes', `${'a'.repeat(64)}.example`],
    ['254 bytes', `${'a.'.repeat(126)}ab`],
    ['bytes beyond ASCII', 'bücher.example'],
    ['nothing', ''],
  ])('sends nothing for a name with %s', async (_, name) => {
    await using server = await startDnsServer({ udp: answerWell });
    expect(await client([server.spec]).resolve(name, 'A')).toMatchObject({ status: 'badname' });
    expect(server.asked).toEqual([]);
  });

  it('asks in lower case and without the final dot', async () => {
    await using server = await startDnsServer({ udp: answerWell });
    expect(await client([server.spec]).resolve('Name.EXAMPLE.', 'A')).toEqual(OK);
    expect(server.asked).toEqual(['name.example']);
  });
});

describe('aliases', () => {
  const alias = (name: string, domain: string, ttl = 300) => ({ name, type: TYPE.CNAME, domain, ttl });

  it('follows a chain within the reply, with the lowest TTL of it', async () => {
    await using server = await startDnsServer({
      udp: (query) =>
        query.send(
          replyTo(query, {
            answers: [
              { name: 'c.example', address: '192.0.2.1' },
              alias('a.example', 'B.example', 20),
              alias('b.example', 'c.example'),
            ],
          }),
        ),
    });
    expect(await client([server.spec]).resolve('a.example', 'A')).toEqual({ ...OK, ttl: 20 });
  });

  it('asks for the target where the reply ends in an alias', async () => {
    await using server = await startDnsServer({
      udp: (query) =>
        query.send(
          replyTo(
            query,
            query.name === 'a.example' ? { answers: [alias('a.example', 'b.example', 20)] } : GOOD,
          ),
        ),
    });
    expect(await client([server.spec]).resolve('a.example', 'A')).toEqual({ ...OK, ttl: 20 });
    expect(server.asked).toEqual(['a.example', 'b.example']);
  });

  it('gives the alias itself when asked for it', async () => {
    await using server = await startDnsServer({
      udp: (query) => query.send(replyTo(query, { answers: [alias('a.example', 'b.example')] })),
    });
    expect(await client([server.spec]).resolve('a.example', 'CNAME')).toMatchObject({
      records: ['b.example'],
    });
  });

  it('ends a circle', async () => {
    await using server = await startDnsServer({
      udp: (query) => {
        const other = query.name === 'a.example' ? 'b.example' : 'a.example';
        query.send(replyTo(query, { answers: [alias(query.name, other)] }));
      },
    });
    expect(await client([server.spec]).resolve('a.example', 'A')).toMatchObject({ status: 'servfail' });
  });

  it('ignores records of other names', async () => {
    await using server = await startDnsServer({
      udp: (query) =>
        query.send(replyTo(query, { answers: [{ name: 'other.example', address: '6.6.6.6' }] })),
    });
    expect(await client([server.spec]).resolve('name.example', 'A')).toEqual({ status: 'nodata' });
  });
});

describe('forgeries are not taken for the reply', () => {
  const FORGED = { answers: [{ address: '6.6.6.6' }] };
  it.each<[string, (query: ServerQuery) => void]>([
    [
      'another id',
      (query) => query.send(replyTo(query, { ...FORGED, header: { id: query.packet.header.id ^ 1 } })),
    ],
    [
      'another name',
      (query) => query.send(replyTo(query, { ...FORGED, question: { name: 'other.example' } })),
    ],
    ['another type', (query) => query.send(replyTo(query, { ...FORGED, question: { type: TYPE.AAAA } }))],
    ['no reply bit', (query) => query.send(replyTo(query, { ...FORGED, header: { qr: 0 } }))],
    ['another source', (query) => query.sendFromElsewhere(replyTo(query, FORGED))],
    ['hardly any bytes', (query) => query.send(Buffer.from([1, 2, 3]))],
  ])('%s', async (_, forge) => {
    await using server = await startDnsServer({
      udp: (query) => {
        forge(query);
        answerWell(query);
      },
    });
    expect(await client([server.spec]).resolve('name.example', 'A')).toEqual(OK);
    expect(server.asked).toHaveLength(1);
  });
});

it('nobody can foresee the id and the port of a question', async () => {
  const ids = new Set<number>();
  const ports = new Set<number>();
  await using server = await startDnsServer({
    udp: (query) => {
      ids.add(query.packet.header.id);
      ports.add(query.port);
      answerWell(query);
    },
  });
  const resolver = client([server.spec]);
  for (let i = 0; i < 32; i++) await resolver.resolve(`name${i}.example`, 'A');
  // A few may come twice by chance.
  expect(Math.min(ids.size, ports.size)).toBeGreaterThan(24);
  const steps = [...ids].map((id, i, all) => id - (all[i - 1] ?? 0));
  expect(new Set(steps).size).toBeGreaterThan(24);
});

describe('broken replies are malformed', () => {
  /** A header that announces `answers` records, the question, and then `rest`. */
  const crafted = (query: ServerQuery, answers: number, rest: readonly number[]): Buffer => {
    const bytes = Buffer.concat([replyTo(query), Buffer.from(rest)]);
    bytes.writeUInt16BE(answers, 6);
    return bytes;
  };
  it.each<[string, number, readonly number[]]>([
    ['65 535 announced answers', 65_535, []],
    ['a pointer loop', 1, [0xc0, 30, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4]],
    ['an address of five bytes', 1, [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4, 5]],
    ['a length beyond the end', 1, [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4]],
    ['a record cut short', 1, [0xc0, 12, 0, 1, 0]],
  ])('%s', async (_, answers, rest) => {
    await using server = await startDnsServer({ udp: (query) => query.send(crafted(query, answers, rest)) });
    expect(await client([server.spec]).resolve('name.example', 'A')).toMatchObject({ status: 'malformed' });
    expect(server.asked).toHaveLength(1);
  });
});

describe('servers', () => {
  it('asks again when a packet is lost', async () => {
    let lost = 0;
    await using server = await startDnsServer({
      udp: (query) => (lost++ === 0 ? undefined : answerWell(query)),
    });
    expect(await client([server.spec], { ...SHORT, tries: 6 }).resolve('name.example', 'A')).toEqual(OK);
    expect(server.asked.length).toBeGreaterThan(1);
  });

  it('gives up on a silent server, which holds up nobody else', async () => {
    await using mute = await startDnsServer({
      udp: (query) => (query.name === 'mute.example' ? undefined : answerWell(query)),
    });
    const resolver = client([mute.spec], SHORT);
    const order: string[] = [];
    const ask = async (name: string): Promise<unknown> => {
      const answer = await resolver.resolve(name, 'A');
      order.push(name);
      return answer;
    };
    const [first, second] = await Promise.all([ask('mute.example'), ask('loud.example')]);
    expect(first).toMatchObject({ status: 'timeout' });
    expect(second).toEqual(OK);
    expect(order).toEqual(['loud.example', 'mute.example']);
  });

  it('is asked last for half a minute, and then tried again by one question', async () => {
    await using first = await startDnsServer({ udp: (query) => (dead ? silent() : answerWell(query)) });
    await using second = await startDnsServer({ udp: answerWell });
    let now = 0;
    let dead = true;
    const servers = [first.spec, second.spec];
    const resolver = new DnsClient(settingsFrom({ servers, timeout: 1000 }, noSystem), () => now);
    const ask = () => resolver.resolve('name.example', 'A');
    for (let i = 0; i < 3; i++) expect(await ask()).toEqual(OK);
    expect([first.asked.length, second.asked.length]).toEqual([1, 3]);
    now = SILENCE_MS;
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([OK, OK, OK]);
    expect([first.asked.length, second.asked.length]).toEqual([2, 6]);
    dead = false;
    now = 2 * SILENCE_MS;
    for (let i = 0; i < 3; i++) expect(await ask()).toEqual(OK);
    expect([first.asked.length, second.asked.length]).toEqual([5, 6]);
  });

  it('is not one that was given no time, or whose question was stopped', async () => {
    await using first = await startDnsServer({ udp: silent });
    await using second = await startDnsServer({ udp: silent });
    const servers = [first.spec, second.spec];
    const resolver = client(servers, { deadline: 100 });
    const stopped = new AbortController();
    const question = resolver.resolve('name.example', 'A', { signal: stopped.signal });
    await until('the question', () => first.asked.length === 1);
    stopped.abort();
    expect(await question).toMatchObject({ status: 'timeout' });
    for (let i = 0; i < 2; i++)
      expect(await resolver.resolve('name.example', 'A')).toMatchObject({ status: 'timeout' });
    expect(first.asked).toHaveLength(3);
  });

  it('is not one that refuses or fails, which is asked first again', async () => {
    await using first = await startDnsServer({
      udp: (query) => query.send(replyTo(query, { header: { rcode: 5 } })),
    });
    await using second = await startDnsServer({ udp: answerWell });
    const resolver = client([first.spec, second.spec]);
    for (let i = 0; i < 2; i++) expect(await resolver.resolve('name.example', 'A')).toEqual(OK);
    expect([first.asked.length, second.asked.length]).toEqual([2, 2]);
  });

  it('takes turns with the others where that is wanted', async () => {
    await using first = await startDnsServer({ udp: answerWell });
    await using second = await startDnsServer({ udp: answerWell });
    const resolver = client([first.spec, second.spec], { rotate: true });
    for (let i = 0; i < 4; i++) expect(await resolver.resolve('name.example', 'A')).toEqual(OK);
    expect([first.asked.length, second.asked.length]).toEqual([2, 2]);
  });

  it('keeps to its deadline, however many servers are silent', async () => {
    await using mute = await startDnsServer({ udp: silent });
    const resolver = client(new Array(20).fill(mute.spec), { timeout: 60, deadline: 150 });
    expect(await resolver.resolve('name.example', 'A')).toMatchObject({ status: 'timeout' });
    expect(mute.asked.length).toBeLessThan(6);
  });

  it.each<[string, (query: ServerQuery) => void]>([
    ['is silent', silent],
    ['fails', (query) => query.send(replyTo(query, { header: { rcode: 2 } }))],
    ['refuses', (query) => query.send(replyTo(query, { header: { rcode: 5 } }))],
  ])('asks the second when the first %s', async (_, udp) => {
    await using first = await startDnsServer({ udp });
    await using second = await startDnsServer({ udp: answerWell });
    expect(
      await client([first.spec, second.spec], { ...SHORT, tries: 6 }).resolve('name.example', 'A'),
    ).toEqual(OK);
    expect(first.asked).not.toEqual([]);
  });

  it('asks the second when nobody listens at the first', async () => {
    await using second = await startDnsServer({ udp: answerWell });
    expect(await client([await closedPort(), second.spec]).resolve('name.example', 'A')).toEqual(OK);
  });

  it('does not ask the second when the first answers, even that there is nothing', async () => {
    await using first = await startDnsServer({
      udp: (query) => query.send(replyTo(query, { header: { rcode: 3 } })),
    });
    await using second = await startDnsServer({ udp: answerWell });
    expect(await client([first.spec, second.spec]).resolve('name.example', 'A')).toEqual({
      status: 'nxdomain',
    });
    expect(second.asked).toEqual([]);
  });

  it.each([
    [2, 'servfail'],
    [5, 'refused'],
    [9, 'servfail'],
  ] as const)('reports rcode %i as %s, asking once', async (rcode, status) => {
    await using server = await startDnsServer({
      udp: (query) => query.send(replyTo(query, { header: { rcode } })),
    });
    expect(await client([server.spec]).resolve('name.example', 'A')).toMatchObject({ status });
    expect(server.asked).toHaveLength(1);
  });

  it('stops when the signal fires', async () => {
    const control = new AbortController();
    await using server = await startDnsServer({ udp: () => control.abort() });
    const resolver = client([server.spec]);
    const answer = await resolver.resolve('name.example', 'A', { signal: control.signal });
    expect(answer).toMatchObject({ status: 'timeout' });
    expect(await resolver.resolve('name.example', 'A', { signal: control.signal })).toMatchObject({
      status: 'timeout',
    });
    expect(server.asked).toHaveLength(1);
  });
});

describe('EDNS', () => {
  it('announces 1232 bytes', async () => {
    await using server = await startDnsServer({
      udp: (query) => {
        const [opt] = query.packet.additionals;
        query.send(replyTo(query, opt?.class === 1232 ? GOOD : {}));
      },
    });
    expect(await client([server.spec]).resolve('name.example', 'A')).toEqual(OK);
  });

  it.each([1, 4])('is left out for a server that answers rcode %i to it, from then on', async (rcode) => {
    await using server = await startDnsServer({
      udp: (query) => {
        // Such a server may not even repeat the question.
        if (query.packet.additionals.length === 0) return answerWell(query);
        const reply = replyTo(query, { header: { rcode } }).subarray(0, 12);
        reply.writeUInt16BE(0, 4);
        query.send(reply);
      },
    });
    const resolver = client([server.spec]);
    expect(await resolver.resolve('name.example', 'A')).toEqual(OK);
    expect(await resolver.resolve('name.example', 'A')).toEqual(OK);
    expect(server.asked).toHaveLength(3);
  });
});

describe('truncated replies', () => {
  const truncate = (query: ServerQuery): void => query.send(replyTo(query, { header: { tc: 1 } }));
  /** Answers the query that comes over TCP, in pieces of `size` bytes. */
  const answerTcp =
    (size: number, change: (reply: Buffer) => Buffer = framed) =>
    (socket: Socket): void => {
      socket.once('data', (bytes: Buffer) => {
        const packet = Packet.parse(bytes.subarray(2));
        const query = {
          packet,
          name: 'name.example',
          type: TYPE.A,
          port: 0,
          send: silent,
          sendFromElsewhere: silent,
        };
        const reply = change(replyTo(query, GOOD));
        for (let at = 0; at < reply.length; at += size) socket.write(reply.subarray(at, at + size));
      });
    };

  it.each([1, 7, 10_000])(
    'are asked for again over TCP, also when that comes in pieces of %i bytes',
    async (size) => {
      await using server = await startDnsServer({ udp: truncate, tcp: answerTcp(size) });
      expect(await client([server.spec]).resolve('name.example', 'A')).toEqual(OK);
    },
  );

  it('end when TCP stays silent', async () => {
    await using server = await startDnsServer({ udp: truncate, tcp: () => {} });
    const resolver = client([server.spec], { ...SHORT, tries: 1 });
    expect(await resolver.resolve('name.example', 'A')).toMatchObject({ status: 'timeout' });
  });

  const anotherId = (reply: Buffer): Buffer => {
    reply.writeUInt16BE(reply.readUInt16BE() ^ 1);
    return framed(reply);
  };
  it.each<[string, (socket: Socket) => void]>([
    ['closes at once', (socket) => socket.end()],
    [
      'closes within the reply',
      (socket) => socket.once('data', () => socket.end(Buffer.from([0, 40, 1, 2, 3]))),
    ],
    ['resets the connection', (socket) => socket.once('data', () => socket.resetAndDestroy())],
    ['answers another query', answerTcp(10_000, anotherId)],
    ['sends garbage', answerTcp(10_000, () => Buffer.from([0, 3, 1, 2, 3]))],
  ])('are malformed when TCP %s', async (_, tcp) => {
    await using server = await startDnsServer({ udp: truncate, tcp });
    expect(await client([server.spec]).resolve('name.example', 'A')).toMatchObject({ status: 'malformed' });
  });

  it('end when nobody listens on TCP, and the next server is asked', async () => {
    await using first = await startDnsServer({ udp: truncate });
    await using second = await startDnsServer({ udp: answerWell });
    expect(await client([first.spec, second.spec]).resolve('name.example', 'A')).toEqual(OK);
  });
});
