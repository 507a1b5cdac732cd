/** What is peculiar to the store in Redis: servers that go away, say nothing, or refuse. */
import { execFile, spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../../lib/filter/store/open.ts';
import { type Store, StoreError } from '../../../lib/filter/store/store.ts';
import { makeCertificate } from '../../helpers/certificates.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { keepingLogger } from '../../helpers/filter.ts';
import { type Redis, startCluster, startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

async function open(url: string, now: () => number = Date.now) {
  const log = keepingLogger();
  const store = await openStore({ kind: 'redis', url }, { now, log });
  onTestFinished(() => store.close());
  return { store, log };
}

const fault = (asked: Promise<unknown>): Promise<unknown> =>
  asked.then(
    () => 'no fault',
    (error: unknown) => (error instanceof StoreError ? error.message : error),
  );

/** Asks until it is answered. */
async function comesBack(store: Store): Promise<void> {
  await until('the store to come back', () =>
    store.get('k').then(
      () => true,
      () => false,
    ),
  );
}

const places = (redis: Redis): string => `the store redis://127.0.0.1:${redis.port}`;

describeWith(['redis'], 'a store in Redis', () => {
  it('fails while the server is stopped, and goes on when it is back, with what was acknowledged', async () => {
    await using redis = await startRedis();
    const { store, log } = await open(redis.url.url);
    await store.set('k', 'v');
    for (let round = 1; round <= 2; round++) {
      await redis.stop();
      const said = await until('the loss to be seen', async () => {
        const message = await fault(store.increment('n', 1));
        return typeof message === 'string' && message.includes('ECONNREFUSED') && message;
      });
      expect(said).toBe(`${places(redis)} is away: connect ECONNREFUSED 127.0.0.1:${redis.port}`);
      await redis.start();
      await comesBack(store);
      expect(await store.get('k')).toBe('v');
      // The scripts are sent again, for the new server does not know them.
      expect(await store.increment('round', 1)).toBe(round);
    }
    expect(log.lines.map(({ level, message }) => `${level}: ${message}`)).toEqual(
      [1, 2].flatMap(() => [`error: ${places(redis)} is away`, `info: ${places(redis)} is back`]),
    );
  });

  it('opens without a server, and fails at once', async () => {
    const port = await unusedPort();
    const { store } = await open(`redis://127.0.0.1:${port}`);
    const message = `the store redis://127.0.0.1:${port} is away: connect ECONNREFUSED 127.0.0.1:${port}`;
    expect(await fault(store.get('k'))).toBe(message);
    expect(await fault(store.admit([{ key: 'k', add: 1, most: 1, per: 1 }]))).toBe(message);
  });

  it('does not wait again and again for a server that says nothing', async () => {
    await using redis = await startRedis();
    const { store } = await open(redis.url.url);
    await store.set('k', 'v');
    redis.signal('SIGSTOP');
    expect(await fault(store.get('k'))).toBe(`${places(redis)} is away: no answer within 2 s`);
    const others = await Promise.all(Array.from({ length: 1_000 }, () => fault(store.get('k'))));
    expect(new Set(others)).toEqual(
      new Set([`${places(redis)} is down, and is not asked for a while: no answer within 2 s`]),
    );
    redis.signal('SIGCONT');
    await comesBack(store);
    expect(await store.get('k')).toBe('v');
  });

  it('logs in, and says when that fails without saying the password', async () => {
    await using redis = await startRedis(['--requirepass', 'open sesame']);
    const place = `127.0.0.1:${redis.port}`;
    const { store } = await open(`redis://:open%20sesame@${place}`);
    await store.set('k', 'v');
    const wrong = await open(`redis://default:hush@${place}`);
    expect(await fault(wrong.store.get('k'))).toBe(
      `${places(redis)} refuses: WRONGPASS invalid username-password pair or user is disabled.`,
    );
    const none = await open(`redis://${place}`);
    expect(await fault(none.store.get('k'))).toMatch(/ refuses: NOAUTH /);
    expect(wrong.log.lines[0]).toMatchObject({ level: 'error', message: `${places(redis)} refuses` });
    const told = JSON.stringify([wrong.log.lines, none.log.lines], (_, value: unknown) =>
      value instanceof Error ? String(value) : value,
    );
    expect(told).not.toContain('hush');
  });

  it('keeps to its database, and to its prefix', async () => {
    await using redis = await startRedis();
    const { store } = await open(redis.url.url.replace(/0$/, '3'));
    await store.part('greylist').set('k', 'v', { listed: true });
    expect(await redis.ask('KEYS *')).toMatch(/^\*0/);
    const keys = await redis.ask('SELECT 3\r\nKEYS *');
    expect(keys.match(/milter:\S+/g)?.sort()).toEqual(['milter:{greylist}:e:k', 'milter:{greylist}:listed']);
  });

  it('is left clean: what has expired goes, from the index too', async () => {
    await using redis = await startRedis();
    const clock = { at: Date.now() };
    const { store } = await open(redis.url.url, () => clock.at);
    const part = store.part('p');
    for (let i = 0; i < 50; i++) await part.set(`old${i}`, 'v', { ttl: 1_000, listed: true });
    expect(await redis.ask('PTTL milter:{p}:e:old0')).toMatch(/^:6[01]\d{3}\r/);
    await part.admit([{ key: 'w', add: 1, most: 1, per: 1_000 }]);
    expect(await redis.ask('PTTL milter:{p}:w:w')).toMatch(/^:6[12]\d{3}\r/);
    clock.at += 1_000;
    for (let i = 0; i < 6; i++) await part.set('new', 'v', { listed: true });
    expect(await redis.ask('ZRANGE milter:{p}:listed 0 -1')).toMatch(/^\*1\r\n\$3\r\nnew/);
    expect(await redis.ask('EXISTS milter:{p}:ends')).toMatch(/^:0/);
  });

  it('says what the server refuses, and that is no reason to leave it alone', async () => {
    await using redis = await startRedis();
    const { store } = await open(redis.url.url);
    await store.set('k', 'v');
    await redis.ask('CONFIG SET maxmemory 1');
    expect(await fault(store.set('k', 'w'))).toMatch(/^the store redis:\S+ refuses: OOM command not allowed/);
    expect(await store.get('k')).toBe('v');
    await redis.ask('CONFIG SET maxmemory 0');
    await store.set('k', 'w');
  });

  it('answers what was asked before it is closed, and nothing later', async () => {
    await using redis = await startRedis();
    const { store } = await open(redis.url.url);
    const asked = Array.from({ length: 500 }, () => store.increment('n', 1));
    await store.close();
    expect(Math.max(...(await Promise.all(asked)))).toBe(500);
    expect(await fault(store.get('n'))).toBe('the store is closed');
  });

  it('outlives a server of a cluster that is stopped and started', async () => {
    await using cluster = await startCluster(2);
    const { store } = await open(cluster.url.url);
    const parts = Array.from({ length: 20 }, (_, i) => store.part(`part${i}`));
    await Promise.all(parts.map((part) => part.set('k', 'v')));
    const [, second] = cluster.servers;
    await second?.stop();
    await until('some parts to be away', async () => {
      const said = await Promise.all(parts.map((part) => fault(part.get('k'))));
      return said.some((message) => message !== 'no fault');
    });
    await second?.start();
    await until('all parts to be back', async () => {
      const values = await Promise.all(
        parts.map((part) =>
          part.increment('n', 1).then(
            () => part.get('k'),
            () => 'away',
          ),
        ),
      );
      return values.every((value) => value === 'v');
    });
  });

  it('is opened while a server of a cluster is away, and leaves no connection behind when that fails', async () => {
    await using cluster = await startCluster(2);
    const [first, second] = cluster.servers;
    if (first === undefined || second === undefined) throw new Error('a cluster of two has two servers');
    const early = await open(cluster.url.url);
    await early.store.set('k', 'v');
    const onlyAsking = async (): Promise<void> => {
      await until('all connections to be closed', async () =>
        (await first.ask('INFO clients')).includes('connected_clients:1\r'),
      );
    };

    second.signal('SIGSTOP');
    const halted = await open(cluster.url.url);
    expect(await fault(halted.store.get('k'))).toMatch(/ no answer within 2 s$/);
    await early.store.close();
    await halted.store.close();
    await onlyAsking();
    await second.stop();
    const late = await open(cluster.url.url);
    await until('the fault to be told', async () =>
      String(await fault(late.store.get('k'))).endsWith(
        ` is away: connect ECONNREFUSED 127.0.0.1:${second.port}`,
      ),
    );
    // It does not come back: another has its slots from now on.
    for (const how of ['DEL', 'ADD']) await first.ask(`CLUSTER ${how}SLOTSRANGE ${cluster.slots(second)}`);
    await comesBack(late.store);
    await Promise.all(Array.from({ length: 20 }, (_, i) => late.store.part(`part${i}`).set('k', 'v')));
    await late.store.close();
    await onlyAsking();
  });
});

describeWith(['redis', 'openssl'], 'a store in Redis over TLS', () => {
  it('is reached where its certificate is trusted, and else says why not', async () => {
    await using directory = await temporaryDirectory();
    const { certFile, keyFile } = await makeCertificate(directory.path, 'localhost');
    const port = await unusedPort();
    const files = ['--tls-cert-file', certFile, '--tls-key-file', keyFile, '--tls-ca-cert-file', certFile];
    await using redis = await startRedis([
      ...['--requirepass', 'sesame', '--tls-port', String(port), '--tls-auth-clients', 'no'],
      ...files,
    ]);
    const script = `
      const { openStore } = await import(${JSON.stringify(new URL('../../../lib/filter/store/open.ts', import.meta.url).href)});
      const log = { debug() {}, info() {}, warn() {}, error() {} };
      const url = { kind: 'redis', url: 'rediss://:sesame@localhost:${port}/0' };
      const store = await openStore(url, { now: Date.now, log });
      console.log(await store.set('k', 'v').then(() => store.get('k'), String));
      await store.close();`;
    const asked = async (env: NodeJS.ProcessEnv): Promise<string> => {
      const args = ['--input-type=module', '--eval', script];
      return (await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } })).stdout;
    };
    expect(await asked({ NODE_EXTRA_CA_CERTS: certFile })).toBe('v\n');
    expect(await redis.ask('AUTH sesame\r\nKEYS *')).toContain('milter:{/}:e:k');
    expect(await asked({})).toMatch(
      /^StoreError: the store rediss:\/\/localhost:\d+ is away: self-signed certificate.*\n$/,
    );
  });
});

it('says what to install where the client is missing', () => {
  // As if it were not there.
  const script = `
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve: (name, context, next) => {
        if (name !== '@redis/client') return next(name, context);
        throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
      },
    });
    const { openFilter } = await import(${JSON.stringify(new URL('../../../lib/filter/index.ts', import.meta.url).href)});
    const open = (url) => openFilter('socket = "inet:8894@127.0.0.1"\\n[store]\\nurl = "' + url + '"').catch(String);
    console.log(await open('redis://127.0.0.1'));
    console.log(typeof (await open('memory:')));
    process.exit(0);`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  expect(stdout).toBe(
    'StoreError: a store in Redis needs @redis/client: npm install @redis/client\nobject\n',
  );
});

it('only a store in Redis loads the client', () => {
  const lib = join(import.meta.dirname, '../../../lib');
  const users = globSync('**/*.ts', { cwd: lib }).filter((file) =>
    /^import (?!type).*from '(@redis\/client|.*\/redis-(client|connection|sentinel)\.ts|.*\/redis\.ts)'/m.test(
      readFileSync(join(lib, file), 'utf8'),
    ),
  );
  expect(users.sort()).toEqual([
    'bayes/store/redis.ts',
    'filter/store/redis.ts',
    'redis-client.ts',
    'redis-connection.ts',
    'redis-sentinel.ts',
  ]);
});
