/** redis-server, a real one, on an unused port of loopback. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { StoreUrl } from '../../lib/filter/config/schema.ts';
import { temporaryDirectory } from './directory.ts';
import { startServer } from './mta.ts';
import { until, unusedPort } from './wait.ts';

/** A server that can be stopped, and started again with what it had written. */
export interface Redis extends AsyncDisposable {
  readonly url: Extract<StoreUrl, { kind: 'redis' }>;
  readonly port: number;
  /** Ends it at once. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** Halts it, so that it takes connections and does not answer; `SIGCONT` has it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
  /** What it answers to a command. */
  ask(command: string): Promise<string>;
}

/** Starts one. It answers when this resolves. */
export async function startRedis(more: readonly string[] = [], login = ''): Promise<Redis> {
  const directory = await temporaryDirectory();
  const port = await unusedPort();
  const settings = `--port ${port} --bind 127.0.0.1 --dir ${directory.path} --save  --appendonly yes --appendfsync always`;
  const args = [...settings.split(' '), '--unixsocket', join(directory.path, 'redis.sock'), ...more];
  const ask = (command: string): Promise<string> => askRedis(port, command);
  const isReady = (): Promise<boolean> =>
    ask('PING').then(
      (answer) => /PONG|NOAUTH/.test(answer),
      () => false,
    );
  let child: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    if (child === undefined) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    child = undefined;
    await exit;
  };
  const start = async (): Promise<void> => {
    child = await startServer('redis-server', args, isReady);
  };
  await start();
  return {
    url: { kind: 'redis', url: `redis://${login}127.0.0.1:${port}/0` },
    port,
    stop,
    start,
    ask,
    signal: (signal) => child?.kill(signal),
    async [Symbol.asyncDispose]() {
      await stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Starts a cluster of so many servers, each with its share of the slots; the URL is that of the first. */
export async function startCluster(
  size: number,
): Promise<AsyncDisposable & { readonly url: Redis['url']; readonly servers: readonly Redis[] }> {
  const servers = await Promise.all(
    // On a busy machine a server may be silent for longer than the 15 s after which the others count it as gone.
    Array.from({ length: size }, () =>
      startRedis(['--cluster-enabled', 'yes', '--cluster-node-timeout', '60000']),
    ),
  );
  const [first] = servers;
  if (first === undefined) throw new Error('a cluster has a server');
  const share = Math.ceil(16_384 / size);
  for (const [index, server] of servers.entries()) {
    await server.ask(`CLUSTER ADDSLOTSRANGE ${index * share} ${Math.min(16_384, (index + 1) * share) - 1}`);
    if (server !== first) await server.ask(`CLUSTER MEET 127.0.0.1 ${first.port}`);
  }
  for (const server of servers) {
    await until('the cluster to come together', async () => {
      const info = await server.ask('CLUSTER INFO');
      return info.includes('cluster_state:ok') && info.includes(`cluster_size:${size}`);
    });
  }
  return {
    url: first.url,
    servers,
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
}

async function askRedis(port: number, command: string): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  socket.write(`${command}\r\nQUIT\r\n`);
  return await text(socket);
}
