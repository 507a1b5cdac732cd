/** The name server on real sockets, asked by our own resolver, dig, and bytes; and rbldnsd beside it with the same list. */
import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createResolver, DnsList } from '../../lib/dns/index.ts';
import { NameServer, type NameServerOptions, PatternList } from '../../lib/nameserver/index.ts';
import { startServer } from '../helpers/mta.ts';
import { describeWith } from '../helpers/requirements.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const run = promisify(execFile);

const LINES = [
  'ded[0-9]+.com  127.0.0.2  registered in series: $',
  '.ded###.net  127.0.0.3',
  '192.0.2.0/24  127.0.0.4  see http://x/?ip=$',
  '!192.0.2.55',
  '2001:db8::/32',
  ...Array.from({ length: 16 }, (_, i) => `.long.example 127.0.${i}.7 ${'x'.repeat(900)}${i}`),
];

type Options = Omit<Partial<NameServerOptions>, 'zone'>;

function listOf(lines: readonly string[]): PatternList {
  const list = new PatternList();
  for (const [i, line] of lines.entries()) list.add(line, i + 1);
  return list;
}

async function serve(lines: readonly string[], options: Options = {}, name = 'bl.test') {
  const port = await unusedPort();
  const host = options.host ?? '127.0.0.1';
  const zone = {
    name,
    list: listOf(lines),
    ttl: 60,
    serial: 1,
    nameServers: ['ns.example.net'],
    mailbox: 'p@example.net',
  };
  return { server: await NameServer.listen({ host, port, zone, ...options }), port, zone };
}

function queryFor(name: string, id = 1): Buffer {
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label)]);
  return Buffer.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 1, 0, 1]);
}

function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The messages in what came over TCP. */
function messages(bytes: Buffer): Buffer[] {
  const all: Buffer[] = [];
  for (let at = 0; at + 2 <= bytes.length; ) {
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) break;
    all.push(bytes.subarray(at + 2, end));
    at = end;
  }
  return all;
}

let served: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  served = await serve(LINES);
});
afterAll(() => served.server.close());

describe('our own DNS', () => {
  const resolver = () => createResolver({ servers: [`127.0.0.1:${served.port}`], tries: 1, timeout: 5_000 });

  it('finds it a list as RFC 5782 has them', async () => {
    const list = new DnsList('bl.test');
    for (const kind of ['ipv4', 'ipv6', 'domain'] as const)
      expect(await list.test(kind, resolver())).toBeUndefined();
    expect(await list.ask('192.0.2.1', resolver())).toMatchObject({
      status: 'ok',
      records: ['127.0.0.4'],
      ttl: 60,
    });
    expect(await list.ask('192.0.2.55', resolver())).toMatchObject({ status: 'nxdomain', ttl: 60 });
    expect(await list.ask('2001:db8::25', resolver())).toMatchObject({
      status: 'ok',
      records: ['127.0.0.2'],
    });
    expect(await list.ask('ded304.com', resolver())).toMatchObject({ status: 'ok' });
    expect(await list.ask('www.ded304.net', resolver())).toMatchObject({ records: ['127.0.0.3'] });
    expect(await list.ask('good.example', resolver())).toMatchObject({ status: 'nxdomain' });
  });

  it('is told why, over TCP where it is too long', async () => {
    const answer = await resolver().resolve('long.example.bl.test', 'TXT');
    expect(answer.status === 'ok' && answer.records.map((strings) => Buffer.concat(strings).length)).toEqual(
      Array.from({ length: 16 }, (_, i) => 900 + String(i).length),
    );
  });

  it('is refused elsewhere', async () => {
    expect(await resolver().resolve('example.org', 'A')).toMatchObject({ status: 'refused' });
  });
});

describeWith(['dig'], 'dig', () => {
  const dig = async (...args: string[]): Promise<string> =>
    (await run('dig', ['@127.0.0.1', '-p', String(served.port), '+norec', '+tries=1', '+time=5', ...args]))
      .stdout;

  it('sees an authoritative server with EDNS', async () => {
    const text = await dig('DeD304.cOm.bl.test', 'TXT');
    expect(text).toMatch(/status: NOERROR/);
    expect(text).toMatch(/flags: qr aa; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1/);
    expect(text).toMatch(/EDNS: version: 0, flags:; udp: 1232/);
    expect(text).toMatch(/^DeD304\.cOm\.bl\.test\.\s+60\s+IN\s+TXT\s+"registered in series: ded304\.com"$/m);
    expect(text).not.toMatch(/WARNING|Warning|malformed|extra bytes/i);
  });

  it.each([
    [
      ['good.example.bl.test'],
      /status: NXDOMAIN[\s\S]*bl\.test\.\s+60\s+IN\s+SOA\s+ns\.example\.net\. p\.example\.net\. 1 /,
    ],
    [['bl.test', 'SOA'], /status: NOERROR[\s\S]*ns\.example\.net\. p\.example\.net\. 1 3600 600 604800 60$/m],
    [['bl.test', 'NS'], /bl\.test\.\s+60\s+IN\s+NS\s+ns\.example\.net\./],
    [['ded1.com.bl.test', 'ANY'], /HINFO\s+"RFC8482" ""/],
    [['ded1.com.bl.test', 'MX'], /status: NOERROR[\s\S]*AUTHORITY: 1/],
    [['+tcp', 'ded1.com.bl.test'], /127\.0\.0\.2[\s\S]*\(TCP\)/],
    [['+ignore', 'long.example.bl.test', 'TXT'], /flags: qr aa tc; QUERY: 1, ANSWER: 0/],
    [['long.example.bl.test', 'TXT'], /Truncated, retrying in TCP mode[\s\S]*ANSWER: 16/],
    [['+edns=1', '+noednsneg', 'ded1.com.bl.test'], /status: BADVERS/],
    [['+dnssec', 'ded1.com.bl.test'], /EDNS: version: 0, flags: do; udp: 1232/],
    [['+opcode=STATUS', 'ded1.com.bl.test'], /status: NOTIMP/],
    [['example.org'], /status: REFUSED/],
    [['-c', 'CH', 'version.bind', 'TXT'], /status: REFUSED/],
    [['+tcp', 'bl.test', 'AXFR'], /Transfer failed/],
    [['+cdflag', '+rec', 'ded1.com.bl.test'], /flags: qr aa rd cd; /],
  ])('is answered: %j', async (args, expected) => expect(await dig(...args)).toMatch(expected));
});

describeWith(['rbldnsd', 'dig'], 'rbldnsd with the same list', () => {
  const zones = {
    'ip.test': {
      ours: [
        '127.0.0.2 127.0.0.2 Listed, see http://bl.test/?ip=$',
        '192.0.2.0/24 127.0.0.2 Listed, see http://bl.test/?ip=$',
        '198.51.100.7 127.0.0.3 open relay',
        '10.32.0.0/11 127.0.0.5',
        '!192.0.2.55',
      ],
      theirs:
        ':127.0.0.2:Listed, see http://bl.test/?ip=$\n127.0.0.2\n192.0.2.0/24\n198.51.100.7 :127.0.0.3:open relay\n10.32.0.0/11 :127.0.0.5:\n!192.0.2.55\n',
      kind: 'ip4set',
      names: [
        '2.0.0.127',
        '1.0.0.127',
        '1.2.0.192',
        '255.2.0.192',
        '55.2.0.192',
        '7.100.51.198',
        '8.100.51.198',
        '1.1.32.10',
        '1.1.63.10',
        '1.1.64.10',
        '1.1.31.10',
        'x.2.0.192',
        '256.2.0.192',
        '1.3.0.192',
      ],
    },
    'names.test': {
      ours: [
        'test 127.0.0.2 bad domain',
        '.ded304.com 127.0.0.2 bad domain',
        '*.wild.example 127.0.0.2 bad domain',
        'evil.example 127.0.0.4 evil',
        '!good.ded304.com',
      ],
      theirs:
        ':127.0.0.2:bad domain\ntest\n.ded304.com\n*.wild.example\nevil.example :127.0.0.4:evil\n!good.ded304.com\n',
      kind: 'dnset',
      names: [
        'test',
        'invalid',
        'ded304.com',
        'a.b.ded304.com',
        'xded304.com',
        'good.ded304.com',
        'wild.example',
        'a.wild.example',
        'EVIL.example',
        'a.evil.example',
        'other.example',
      ],
    },
  };

  it.each(Object.entries(zones))('answers the same in %s', async (zone, { ours, theirs, kind, names }) => {
    const directory = await mkdtemp(join(tmpdir(), 'rbldnsd-'));
    const head = `$SOA 60 ns.example.net. p.example.net. 1 3600 600 604800 60\n$NS 60 ns.example.net.\n$TTL 60\n`;
    await writeFile(join(directory, 'zone'), head + theirs);
    const port = await unusedPort();
    const reply = async (at: number, ...args: string[]): Promise<string> => {
      const { stdout } = await run('dig', [
        '@127.0.0.1',
        '-p',
        String(at),
        '+norec',
        '+noedns',
        '+tries=1',
        '+time=5',
        ...args,
      ]);
      const status = /status: (\w+)/.exec(stdout)?.[1];
      const flags = /flags: ([^;]*)/.exec(stdout)?.[1];
      // rbldnsd adds the NS records to what it knows, and for names that are below others puts those into the text.
      const isOf = (line: string): boolean => args.includes('NS') || !/\sIN\s+NS\s/.test(line);
      const records = stdout.split('\n').filter((line) => line !== '' && !line.startsWith(';') && isOf(line));
      return [
        status,
        flags,
        ...[...new Set(records.map((line) => line.replace(/\s+/g, ' ')))].toSorted(),
      ].join('\n');
    };
    const isReady = async () =>
      await reply(port, zone, 'SOA').then(
        (text) => text.includes('ns.example.net'),
        () => false,
      );
    await chmod(directory, 0o755);
    const uid = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
    const rbldnsd = await startServer(
      'rbldnsd',
      ['-n', ...uid, '-b', `127.0.0.1/${port}`, '-w', directory, `${zone}:${kind}:zone`],
      isReady,
    );
    const own = await serve(ours, {}, zone);
    try {
      for (const name of [...names, '']) {
        for (const type of ['A', 'TXT', 'AAAA', ...(name === '' ? ['SOA', 'NS'] : [])]) {
          const query = [name === '' ? zone : `${name}.${zone}`, type];
          expect(await reply(own.port, ...query), query.join(' ')).toBe(await reply(port, ...query));
        }
      }
    } finally {
      rbldnsd.kill();
      await own.server.close();
      await rm(directory, { recursive: true });
    }
  });
});

describe('TCP', () => {
  /** Everything that comes, until the server closes. */
  async function exchange(
    port: number,
    write: (socket: ReturnType<typeof connect>) => void,
  ): Promise<Buffer> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    socket.on('error', () => {});
    await once(socket, 'connect');
    write(socket);
    // Not events.once, which an error that the server's reset makes would reject.
    await new Promise<void>((resolve) => {
      socket.on('end', () => resolve(socket.end() && undefined));
      socket.on('close', () => resolve());
    });
    return Buffer.concat(chunks);
  }

  it('takes many questions at once, and answers those before the end', async () => {
    const questions = Array.from({ length: 500 }, (_, i) => framed(queryFor(`ded${i}.com.bl.test`, i)));
    const replies = messages(await exchange(served.port, (socket) => socket.end(Buffer.concat(questions))));
    expect(replies.map((reply) => reply.readUInt16BE())).toEqual(questions.map((_, i) => i));
  });

  it('takes a question in pieces', async () => {
    const bytes = framed(queryFor('ded1.com.bl.test', 77));
    const replies = messages(
      await exchange(served.port, (socket) => {
        for (const byte of bytes) socket.write(Buffer.from([byte]));
        socket.end();
      }),
    );
    expect(replies.map((reply) => reply.readUInt16BE())).toEqual([77]);
  });

  it.each([
    ['too short', Buffer.from([0, 11])],
    ['too long', Buffer.from([0xff, 0xff])],
  ])('ends with a message that is %s', async (_, bytes) => {
    expect(await exchange(served.port, (socket) => void socket.write(bytes))).toHaveLength(0);
  });

  it('ends with a client that asks nothing, or for ever the same byte', async () => {
    const { server, port } = await serve(LINES, { idle: 100 });
    expect(await exchange(port, () => {})).toHaveLength(0);
    let drip: NodeJS.Timeout | undefined;
    await exchange(port, (socket) => {
      drip = setInterval(() => socket.write(Buffer.from([0])), 20);
    });
    clearInterval(drip);
    await server.close();
  });

  it('is for so many clients at once', async () => {
    const { server, port } = await serve(LINES, { connections: 2 });
    const first = connect(port, '127.0.0.1');
    const second = connect(port, '127.0.0.1');
    await Promise.all([once(first, 'connect'), once(second, 'connect')]);
    // It is the server that counts, when it has taken them.
    for (const socket of [first, second]) {
      socket.write(framed(queryFor('ded1.com.bl.test')));
      await once(socket, 'data');
    }
    expect(await exchange(port, () => {})).toHaveLength(0);
    first.destroy();
    await until('a place to be free', async () => {
      const bytes = await exchange(port, (socket) => socket.end(framed(queryFor('ded1.com.bl.test'))));
      return bytes.length > 0;
    });
    second.destroy();
    await server.close();
  });

  it('does not read on while a client reads nothing', async () => {
    const { server, port } = await serve(LINES, { idle: 500 });
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.pause();
    await once(socket, 'connect');
    const block = Buffer.concat(
      Array.from({ length: 200 }, () => {
        const query = queryFor('long.example.bl.test');
        query[query.length - 3] = 16;
        return framed(query);
      }),
    );
    // Replies of 15 kB each: soon neither side can write.
    const before = process.memoryUsage.rss();
    const writing = setInterval(() => socket.write(block), 20);
    await new Promise((resolve) => socket.on('close', resolve));
    clearInterval(writing);
    expect(socket.bytesRead).toBeLessThan(50_000_000);
    expect(process.memoryUsage.rss() - before).toBeLessThan(200_000_000);
    await server.close();
  });
});

describe('UDP', () => {
  async function client(): Promise<{ socket: Socket; replies: Buffer[] }> {
    const socket = createSocket('udp4');
    const replies: Buffer[] = [];
    socket.on('message', (bytes) => replies.push(bytes));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return { socket, replies };
  }

  it('from other networks is limited, and every second reply beyond is a truncated one', async () => {
    // Linux lets 127.0.0.0/8 be anybody's; that it is this machine is known by the address alone, so it is asked over
    // its own first address, if it has one.
    const { networkInterfaces } = await import('node:os');
    const address = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === 'IPv4' && !one.internal)?.address;
    if (address === undefined) return console.warn('skipped: this machine has no address but loopback');
    const { server, port } = await serve(LINES, { host: '0.0.0.0', rate: 10 });
    const socket = createSocket('udp4');
    const replies: Buffer[] = [];
    socket.on('message', (bytes) => replies.push(bytes));
    socket.bind(0, address);
    await once(socket, 'listening');
    for (let i = 0; i < 40; i++) socket.send(queryFor('ded1.com.bl.test', i), port, address);
    await until('the last reply', () => replies.length >= 25);
    const isTruncated = (reply: Buffer): boolean => ((reply[2] ?? 0) & 2) !== 0;
    expect(replies.filter(isTruncated).length).toBeGreaterThanOrEqual(14);
    expect(replies.filter((reply) => !isTruncated(reply)).length).toBeLessThan(20);
    socket.close();
    await server.close();
  });

  it('is answered on IPv6 as well', async () => {
    const { server, port } = await serve(LINES, { host: '::1' });
    expect(server.address).toBe(`[::1]:${port}`);
    const resolver = createResolver({ servers: [`[::1]:${port}`] });
    expect(await resolver.resolve('ded1.com.bl.test', 'A')).toMatchObject({ status: 'ok' });
    await server.close();
  });

  it('is answered from a new version of the zone at once', async () => {
    const { server, port, zone } = await serve(LINES);
    const resolver = createResolver({ servers: [`127.0.0.1:${port}`] });
    expect(await resolver.resolve('new.example.bl.test', 'A')).toMatchObject({ status: 'nxdomain' });
    server.zone = { ...zone, list: listOf(['new.example']), serial: 2 };
    expect(await resolver.resolve('new.example.bl.test', 'A')).toMatchObject({ status: 'ok' });
    expect(await resolver.resolve('ded1.com.bl.test', 'A')).toMatchObject({ status: 'nxdomain' });
    await server.close();
  });

  it('comes through a flood of garbage', async () => {
    const { socket, replies } = await client();
    for (let i = 0; i < 5_000; i++) {
      const bytes = Buffer.alloc(i % 600, i);
      if (bytes.length > 2) bytes[2] = i & 0xff;
      socket.send(bytes, served.port, '127.0.0.1');
      if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await until('an answer', () => {
      socket.send(queryFor('ded1.com.bl.test', 4242), served.port, '127.0.0.1');
      return replies.some((reply) => reply.readUInt16BE() === 4242);
    });
    expect(replies.every((reply) => ((reply[2] ?? 0) & 0x80) !== 0)).toBe(true);
    socket.close();
  });

  it('whose port is taken says so', async () => {
    await expect(serve(LINES, { port: served.port })).rejects.toThrow(
      `somebody else listens at 127.0.0.1:${served.port} already`,
    );
  });
});
