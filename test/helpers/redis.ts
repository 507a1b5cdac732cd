/** redis-server, a real one, on an unused port of loopback. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
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
  let child: ChildProcess | undefined;
  const stop = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (running !== undefined) await ended(running);
  };
  const start = async (): Promise<void> => {
    child = await startServer('redis-server', args, () => answers(port));
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

/** A master and its replica, and the sentinels that make the one the other when it fails. */
export interface SentinelledRedis extends AsyncDisposable {
  readonly url: Redis['url'];
  readonly servers: readonly [Redis, Redis];
  readonly sentinels: readonly { readonly port: number }[];
  /** Whom the sentinels name. */
  master(): Promise<Redis>;
  /** The other. */
  replica(): Promise<Redis>;
  /** Has the sentinels make the replica the master, though nothing failed. */
  failOver(): Promise<void>;
  /** Resolves when the sentinels know each other, and a replica follows the master. */
  settled(): Promise<void>;
}

/**
 * Starts them.
 * @param password of servers and sentinels
 */
export async function startSentinelledRedis(password = ''): Promise<SentinelledRedis> {
  const directory = await temporaryDirectory();
  const login = password === '' ? [] : ['--requirepass', password, '--masterauth', password];
  const auth = password === '' ? '' : `AUTH ${password}\r\n`;
  const first = await startRedis(login);
  const follow = ['--replicaof', `127.0.0.1 ${first.port}`, '--repl-diskless-sync-delay', '0'];
  const second = await startRedis([...login, ...follow]);
  const servers = [first, second] as const;
  const children: ChildProcess[] = [];
  const sentinels = await Promise.all(
    [1, 2, 3].map(async (number) => {
      const port = await unusedPort();
      const file = join(directory.path, `sentinel${number}.conf`);
      const lines = [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${directory.path}`,
        `sentinel monitor mail 127.0.0.1 ${first.port} 2`,
        'sentinel down-after-milliseconds mail 1500',
        'sentinel failover-timeout mail 6000',
        ...(password === '' ? [] : [`requirepass ${password}`, `sentinel auth-pass mail ${password}`]),
        ...(password === '' ? [] : [`sentinel sentinel-pass ${password}`]),
      ];
      await writeFile(file, `${lines.join('\n')}\n`);
      children.push(await startServer('redis-sentinel', [file], () => answers(port)));
      return { port };
    }),
  );
  const master = async (): Promise<Redis> => {
    const [sentinel] = sentinels;
    const said = await askRedis(sentinel?.port ?? 0, `${auth}SENTINEL GET-MASTER-ADDR-BY-NAME mail`);
    const found = servers.find(({ port }) => said.includes(`\r\n${port}\r\n`));
    if (found === undefined) throw new Error(`the sentinels name no server of ours: ${said}`);
    return found;
  };
  const settled = async (): Promise<void> => {
    await until('the sentinels to know each other', async () => {
      const said = await Promise.all(
        sentinels.map(({ port }) => askRedis(port, `${auth}INFO sentinel`).catch(() => '')),
      );
      return said.every((text) => /status=ok,.*slaves=1,sentinels=3/.test(text));
    });
    await until(
      'a replica to follow',
      async () =>
        (await (await master()).ask(`${auth}ROLE`)).includes('master\r\n') &&
        /connected_slaves:1\r\nslave0:.*state=online/.test(
          await (await master()).ask(`${auth}INFO replication`),
        ),
    );
  };
  await settled();
  const places = sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',');
  return {
    url: {
      kind: 'redis',
      url: `redis+sentinel://${password === '' ? '' : `:${password}@`}${places}/mail/0`,
    },
    servers,
    sentinels,
    master,
    async replica() {
      return (await master()) === first ? second : first;
    },
    async failOver() {
      const said = await askRedis(sentinels[0]?.port ?? 0, `${auth}SENTINEL FAILOVER mail`);
      if (!said.includes('+OK')) throw new Error(`no failover: ${said}`);
    },
    settled,
    async [Symbol.asyncDispose]() {
      for (const child of children) await ended(child);
      for (const server of servers) await server[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Servers that share the slots. */
export interface RedisCluster extends AsyncDisposable {
  /** That of the first. */
  readonly url: Redis['url'];
  readonly servers: readonly Redis[];
  /** The first and the last slot of a server, as commands take them. */
  slots(server: Redis): string;
}

/** Starts a cluster of so many servers, each with its share of the slots. */
export async function startCluster(size: number): Promise<RedisCluster> {
  const servers = await Promise.all(
    Array.from({ length: size }, async () => {
      const bus = String(await unusedPort());
      // On a busy machine a server may be silent for longer than the 15 s after which the others count it as gone.
      const settings = `--cluster-enabled yes --cluster-node-timeout 60000 --cluster-port ${bus}`;
      return { ...(await startRedis(settings.split(' '))), bus };
    }),
  );
  const [first] = servers;
  if (first === undefined) throw new Error('a cluster has a server');
  const share = Math.ceil(16_384 / size);
  const slots = (server: Redis): string => {
    const index = servers.findIndex(({ port }) => port === server.port);
    return `${index * share} ${Math.min(16_384, (index + 1) * share) - 1}`;
  };
  for (const server of servers) {
    await server.ask(`CLUSTER ADDSLOTSRANGE ${slots(server)}`);
    if (server !== first) await server.ask(`CLUSTER MEET 127.0.0.1 ${first.port} ${first.bus}`);
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
    slots,
    async [Symbol.asyncDispose]() {
      for (const server of servers) await server[Symbol.asyncDispose]();
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

async function answers(port: number): Promise<boolean> {
  const answer = await askRedis(port, 'PING').catch(() => '');
  return /PONG|NOAUTH/.test(answer);
}

async function askRedis(port: number, command: string): Promise<string> {
  const socket = createConnection(port, '127.0.0.1');
  // Sentinels have no QUIT.
  socket.end(`${command}\r\n`);
  return await text(socket);
}
