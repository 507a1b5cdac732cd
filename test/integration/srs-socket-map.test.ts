/** The socket map's server on real sockets: what an MTA may do, and what anybody else may. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SocketMapOptions, serveSocketMap } from '../../lib/srs/index.ts';
import { keepingLogger } from '../helpers/filter.ts';
import { connectMap } from '../helpers/socket-map.ts';
import { until } from '../helpers/wait.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'milter-map-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const LOOPBACK = { host: '127.0.0.1', port: 0 };

async function serveTest(options: Partial<SocketMapOptions> = {}) {
  const logger = keepingLogger();
  const server = await serveSocketMap({
    listen: LOOPBACK,
    logger,
    answer: (map, key) => {
      switch (map) {
        case 'echo':
          return { status: 'OK', value: key };
        case 'none':
          return { status: 'NOTFOUND' };
        case 'broken':
          throw new Error('broken');
        case 'hung':
          return new Promise(() => {});
        default:
          return { status: 'PERM', text: 'no such map' };
      }
    },
    ...options,
  });
  return { server, logger };
}

describe('answers', () => {
  it('many questions on one connection, in their order', async () => {
    await using server = (await serveTest()).server;
    using client = await connectMap(server.address);
    expect(await client.ask('echo', 'a b')).toBe('OK a b');
    client.write('6:echo 1,6:none x,6:echo 2,');
    expect([await client.next(), await client.next(), await client.next()]).toEqual([
      'OK 1',
      'NOTFOUND ',
      'OK 2',
    ]);
  });

  it('with a blank behind every word', async () => {
    await using server = (await serveTest()).server;
    using client = await connectMap(server.address);
    expect(await client.ask('echo', '')).toBe('OK ');
    expect(await client.ask('none', 'x')).toBe('NOTFOUND ');
    expect(await client.ask('other', 'x')).toBe('PERM no such map');
    client.write('5:hello,');
    expect(await client.next()).toBe('PERM a question is the name of a map, a blank, and a key');
    client.write('0:,');
    expect(await client.next()).toMatch(/^PERM /);
  });

  it('whatever the bytes, and however they come', async () => {
    await using server = (await serveTest()).server;
    using client = await connectMap(server.address);
    const key = Buffer.from([0, 10, 44, 58, 0x9b, 0xff, 0xc3, 0xa4]).toString('latin1');
    expect(await client.ask('echo', key)).toBe(`OK ${key}`);
    for (const octet of Buffer.from('6:echo x,')) client.write(Buffer.of(octet));
    expect(await client.next()).toBe('OK x');
  });

  it('up to 100 000 octets', async () => {
    await using server = (await serveTest()).server;
    using client = await connectMap(server.address);
    expect(await client.ask('echo', 'x'.repeat(99_995))).toHaveLength(99_998);
    await using other = (await serveTest({ answer: () => ({ status: 'OK', value: 'x'.repeat(99_998) }) }))
      .server;
    using asked = await connectMap(other.address);
    expect(await asked.ask('echo', 'x')).toBe('PERM the answer is too long');
  });

  it('that fail with TEMP, that hang with TIMEOUT, and goes on', async () => {
    const { server, logger } = await serveTest({ deadline: 50 });
    await using _ = server;
    using client = await connectMap(server.address);
    expect(await client.ask('broken', 'x')).toBe('TEMP internal error');
    expect(await client.ask('hung', 'x')).toBe('TIMEOUT no answer in time');
    expect(await client.ask('echo', 'x')).toBe('OK x');
    expect(logger.lines.map(({ message }) => message)).toEqual([
      'a question to the socket map could not be answered',
      'the socket map had no answer within 50 ms',
    ]);
  });

  it('that cannot be written with TEMP', async () => {
    await using server = (await serveTest({ answer: () => ({ status: 'OK', value: '\ud800' }) })).server;
    using client = await connectMap(server.address);
    expect(await client.ask('echo', 'x')).toBe('TEMP internal error');
  });
});

describe('ends a connection', () => {
  it.each(['get a@example.com\n', 'GET / HTTP/1.0\r\n\r\n', '4:OK x;', '100001:', '\x16\x03\x01'])(
    'that sends %j',
    async (garbage) => {
      await using server = (await serveTest()).server;
      using client = await connectMap(server.address);
      expect(await client.ask('echo', 'x')).toBe('OK x');
      client.write(garbage);
      expect(await client.next()).toMatch(/^PERM /);
      expect(await client.next()).toBeUndefined();
      await client.closed;
    },
  );

  it('whose question does not come to its end', async () => {
    await using server = (await serveTest({ deadline: 50 })).server;
    using client = await connectMap(server.address);
    client.write('9:echo');
    await client.closed;
  });

  it('whose question comes too slowly', async () => {
    await using server = (await serveTest({ deadline: 100 })).server;
    using client = await connectMap(server.address);
    client.write('90000:');
    const dribble = setInterval(() => client.write('x'), 10);
    await client.closed;
    clearInterval(dribble);
  });

  it('that is silent for long, or does not read its answers', async () => {
    await using server = (await serveTest({ idle: 50 })).server;
    using silent = await connectMap(server.address);
    await silent.closed;
  });

  it('beyond the most that there may be, and takes new ones when others have gone', async () => {
    const { server, logger } = await serveTest({ maxConnections: 2 });
    await using _ = server;
    using first = await connectMap(server.address);
    const second = await connectMap(server.address);
    expect([await first.ask('echo', '1'), await second.ask('echo', '2')]).toEqual(['OK 1', 'OK 2']);
    using third = await connectMap(server.address);
    await third.closed;
    using fourth = await connectMap(server.address);
    await fourth.closed;
    // Told once, however many come.
    expect(logger.lines.map(({ message }) => message)).toEqual(['more than 2 connections to the socket map']);
    second[Symbol.dispose]();
    await until('a place to be free', async () => {
      using later = await connectMap(server.address);
      return (await later.ask('echo', '4')) === 'OK 4';
    });
    expect(await first.ask('echo', '5')).toBe('OK 5');
  });

  it('when it closes, questions under way or not', async () => {
    const { server } = await serveTest();
    using client = await connectMap(server.address);
    client.write('6:hung x,');
    await server.close();
    await client.closed;
    await server.close();
    await expect(connectMap(server.address)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

it('reads no more of a client that does not take its answers', async () => {
  await using server = (await serveTest({ idle: 200 })).server;
  const { address } = server;
  const [, port] = /^inet:(\d+)@/.exec(address) ?? [];
  const { connect } = await import('node:net');
  const socket = connect(Number(port), '127.0.0.1');
  socket.pause();
  socket.on('error', () => {});
  const question = `100000:echo ${'x'.repeat(99_995)},`;
  // Far more than the buffers of both sides hold: the server stops reading, and then gives up.
  for (let n = 0; n < 200; n++) socket.write(question);
  await until('the server to give up', () => socket.destroyed || socket.closed);
});

describe('on a unix socket', () => {
  it('lets the group in, and leaves no file behind', async () => {
    const path = join(folder, 'one.sock');
    const { server } = await serveTest({ listen: { path } });
    expect(server.address).toBe(`unix:${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o660);
    using client = await connectMap(server.address);
    expect(await client.ask('echo', 'x')).toBe('OK x');
    await server.close();
    expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
    const { server: open } = await serveTest({ listen: { path, mode: 0o666 } });
    expect(statSync(path).mode & 0o777).toBe(0o666);
    await open.close();
  });

  it('takes the place of a server that crashed, and of nothing else', async () => {
    const path = join(folder, 'two.sock');
    const stale = createServer();
    await new Promise<void>((resolve) => stale.listen(path, resolve));
    await expect(serveTest({ listen: { path } })).rejects.toMatchObject({
      code: 'ERR_MILTER_ADDRESS_IN_USE',
    });
    // Node would remove the file: a process that is killed does not.
    const { linkSync, renameSync } = await import('node:fs');
    linkSync(path, `${path}.kept`);
    await new Promise((resolve) => stale.close(resolve));
    renameSync(`${path}.kept`, path);
    const { server } = await serveTest({ listen: { path } });
    await server.close();
    writeFileSync(path, 'a letter');
    await expect(serveTest({ listen: { path } })).rejects.toMatchObject({ code: 'ERR_MILTER_SOCKET' });
  });
});

it('says so where it cannot listen', async () => {
  const { server } = await serveTest();
  await using _ = server;
  const [, port] = /^inet:(\d+)@/.exec(server.address) ?? [];
  await expect(serveTest({ listen: { host: '127.0.0.1', port: Number(port) } })).rejects.toMatchObject({
    code: 'ERR_MILTER_ADDRESS_IN_USE',
    message: `socket map inet:${port}@127.0.0.1: another program listens there`,
  });
  await expect(serveTest({ listen: { path: '/nonexistent/x.sock' } })).rejects.toMatchObject({
    code: 'ERR_MILTER_SOCKET',
  });
  await expect(serveSocketMap({ listen: LOOPBACK } as never)).rejects.toThrow(TypeError);
});
