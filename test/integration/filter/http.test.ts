/** The HTTP server, asked over real sockets, also by those who mean no good. */
import { spawnSync } from 'node:child_process';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { type RequestOptions, request } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type HttpServer,
  type HttpSource,
  type HttpTimes,
  startHttp,
} from '../../../lib/filter/http/server.ts';
import { StoreError } from '../../../lib/filter/store/store.ts';
import { MetricsRegistry } from '../../../lib/filter/watch/metrics.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { keepingLogger, testFilter } from '../../helpers/filter.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

interface Started extends HttpServer {
  readonly port: number;
  get(path: string, options?: RequestOptions): Promise<Got>;
}

interface Got {
  readonly status: number | undefined;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

async function get(options: RequestOptions): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  request({ agent: false, ...options }, (response) => {
    text(response).then(
      (body) => resolve({ status: response.statusCode, headers: response.headers, body }),
      reject,
    );
  })
    .on('error', reject)
    .end();
  return await promise;
}

async function start(more: Partial<HttpSource> = {}, times?: HttpTimes): Promise<Started> {
  const port = await unusedPort();
  const source: HttpSource = {
    metrics: new MetricsRegistry(),
    store: { get: () => Promise.resolve(undefined) },
    log: keepingLogger(),
    isListening: () => true,
    ...more,
  };
  const server = await startHttp(source, { listen: { host: '127.0.0.1', port } }, times);
  if (server === undefined) throw new Error('it does not listen');
  onTestFinished(() => server.close());
  return { ...server, port, get: (path, options) => get({ host: '127.0.0.1', port, path, ...options }) };
}

async function dial(port: number, say: string): Promise<Socket> {
  const socket = createConnection(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write(say);
  await new Promise((resolve) => socket.once('connect', resolve));
  return socket;
}

describe('the HTTP server', () => {
  it('tells the metrics of a filter', async () => {
    await using filter = await testFilter('[[module]]\nuse = "helo"\n');
    const { get: ask } = await start({ metrics: filter.metrics, store: filter.store });
    await filter.send({ helo: '192.0.2.7' });
    const { status, headers, body } = await ask('/metrics?x=1');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/plain; version=0.0.4; charset=utf-8',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    });
    expect(body).toContain('milter_findings_total{finding="helo-address",observed="false"} 1\n');
  });

  it('is alive, and ready as long as the filter listens and the store answers', async () => {
    let listening = true;
    let store: () => Promise<undefined> = () => Promise.resolve(undefined);
    const { get: ask } = await start({ isListening: () => listening, store: { get: () => store() } });
    expect(await ask('/healthz')).toMatchObject({ status: 200, body: 'alive\n' });
    expect(await ask('/readyz')).toMatchObject({ status: 200, body: 'ready\n' });
    listening = false;
    expect(await ask('/readyz')).toMatchObject({ status: 503, body: 'the filter does not listen\n' });
    store = () => Promise.reject(new StoreError('the store is away'));
    expect(await ask('/readyz')).toMatchObject({
      status: 503,
      body: 'the filter does not listen\nthe store is away\n',
    });
    expect(await ask('/healthz')).toMatchObject({ status: 200 });
    listening = true;
    store = () => Promise.resolve(undefined);
    expect(await ask('/readyz')).toMatchObject({ status: 200 });
  });

  it('does not wait for a store that says nothing, and does not ask it once for each who asks', async () => {
    let asked = 0;
    const never = (): Promise<undefined> => {
      asked++;
      return new Promise(() => {});
    };
    const { get: ask } = await start({ store: { get: never } }, { request: 5_000, store: 200 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask('/readyz')));
    expect(new Set(answers.map(({ body }) => body))).toEqual(
      new Set(['the store does not answer within 200 ms\n']),
    );
    expect(asked).toBeLessThan(10);
  });

  it('has no other pages, and takes nothing', async () => {
    const { get: ask } = await start();
    for (const path of ['/', '/metrics/', '//metrics', '/..%2fmetrics', '/healthz%00', '*']) {
      expect(await ask(path), path).toMatchObject({ status: 404 });
    }
    expect(await ask('/metrics', { method: 'POST' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD' },
    });
    const head = await ask('/healthz', { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, body: '', headers: { 'content-length': '6' } });
  });

  it('refuses long headers, and does not read a body', async () => {
    const { get: ask, port } = await start();
    expect(await ask('/healthz', { headers: { x: 'y'.repeat(9_000) } })).toMatchObject({ status: 431 });
    const socket = await dial(
      port,
      'POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n',
    );
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 405 .*Connection: close/s);
    const garbage = await dial(port, '\0\0\0\r\n\r\n');
    expect(await text(garbage)).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('hangs up on those who send nothing, or forever', async () => {
    const { port } = await start({}, { request: 250, store: 250 });
    const [silent, slow] = [await dial(port, ''), await dial(port, 'GET /healthz HTTP/1.1\r\nX: ')];
    const dripping = setInterval(() => slow.write('y'), 20);
    onTestFinished(() => clearInterval(dripping));
    expect(await text(silent)).toMatch(/^(HTTP\/1\.1 408 |$)/);
    // What it goes on sending may have the connection reset before it has read the answer.
    expect(await text(slow).catch(({ code }: NodeJS.ErrnoException) => code)).toMatch(
      /^(HTTP\/1\.1 408 |ECONNRESET$|EPIPE$)/,
    );
  });

  it('has so many connections and no more', async () => {
    const { port, get: ask } = await start();
    const sockets = await Promise.all(Array.from({ length: 50 }, () => dial(port, 'GET')));
    const one = await dial(port, 'GET /healthz HTTP/1.0\r\n\r\n');
    // Closed, or reset.
    expect(await text(one).catch(() => '')).toBe('');
    for (const socket of sockets.slice(0, 5)) socket.destroy();
    await until('a place to be free', () =>
      ask('/healthz').then(
        () => true,
        () => false,
      ),
    );
  });

  it('ends at once when it is closed', async () => {
    const { port, close } = await start();
    const socket = await dial(port, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    await close();
    await text(socket);
    await expect(get({ host: '127.0.0.1', port, path: '/healthz' })).rejects.toThrow('ECONNREFUSED');
  });
});

describe('where it listens', () => {
  const source: HttpSource = {
    metrics: new MetricsRegistry(),
    store: { get: () => Promise.resolve(undefined) },
    log: keepingLogger(),
    isListening: () => true,
  };

  it('may be nowhere', async () => {
    expect(await startHttp(source, { listen: undefined })).toBeUndefined();
  });

  it('may be a unix socket, for the group, also where a server that crashed left one', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'http.sock');
    spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ]);
    expect(statSync(path).isSocket()).toBe(true);
    const server = await startHttp(source, { listen: { path } });
    onTestFinished(() => server?.close());
    expect(server?.address).toBe(`unix:${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect(await get({ socketPath: path, path: '/healthz' })).toMatchObject({ status: 200 });
    await expect(startHttp(source, { listen: { path } })).rejects.toThrow(
      `[http] listen unix:${path}: another program listens there; stop it first`,
    );
  });

  it('is left alone where it is a file', async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, 'file');
    writeFileSync(path, 'mine');
    chmodSync(path, 0o600);
    await expect(startHttp(source, { listen: { path } })).rejects.toThrow('a file that is no socket');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('is named when it cannot be', async () => {
    const first = await start();
    await expect(
      startHttp(source, { listen: { host: '127.0.0.1', port: first.port } }),
    ).rejects.toMatchObject({
      code: 'ERR_MILTER_ADDRESS_IN_USE',
      message: `[http] listen 127.0.0.1:${first.port}: another program listens there`,
    });
    await expect(startHttp(source, { listen: { host: '192.0.2.1', port: 80 } })).rejects.toMatchObject({
      code: 'ERR_MILTER_SOCKET',
      message: expect.stringContaining('[http] listen 192.0.2.1:80: ') as string,
    });
  });

  it('leaves nothing behind when it cannot be', async () => {
    const first = await start();
    const filter = await testFilter('[http]\nreview = true\n');
    onTestFinished(() => filter.close());
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const site = { current: () => filter, log: filter.logger, troubles: () => [] };
    const listen = { host: '127.0.0.1', port: first.port };
    await expect(startHttp({ ...source, site }, { listen })).rejects.toThrow('another program');
    expect(vi.getTimerCount()).toBe(0);
  });
});
