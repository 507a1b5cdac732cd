/** The store in a Redis with sentinels: a master fails, another takes its place, and nothing that was acknowledged is lost. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../../lib/filter/store/open.ts';
import type { Store } from '../../../lib/filter/store/store.ts';
import { redisName } from '../../../lib/redis-url.ts';
import { keepingLogger } from '../../helpers/filter.ts';
import { type SentinelledRedis, startSentinelledRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

async function open(url: string) {
  const log = keepingLogger();
  const store = await openStore({ kind: 'redis', url }, { now: Date.now, log });
  onTestFinished(() => store.close());
  return { store, log, said: () => log.lines.map(({ level, message }) => `${level}: ${message}`) };
}

/** Opens one that can be reached. */
async function reach(url: string) {
  const opened = await open(url);
  await until('the store', () =>
    opened.store.get('k').then(
      () => true,
      () => false,
    ),
  );
  opened.log.lines.length = 0;
  return opened;
}

/** What it says when it is asked, sooner or later. */
async function untilSaid(store: Store, what: RegExp): Promise<void> {
  let said = '';
  await until(`it to say ${what}`, async () => {
    said = await store.get('k').then(() => 'no fault', String);
    return what.test(said);
  }).catch(() => expect(said).toMatch(what));
}

/** Counts up as quickly as it is answered; gives what was acknowledged, and what was tried. */
function counting(store: Store, key: string) {
  const counted = { acknowledged: 0, tried: 0, stop: false };
  const one = async (): Promise<void> => {
    while (!counted.stop) {
      counted.tried++;
      await store.increment(key, 1).then(
        () => counted.acknowledged++,
        () => new Promise((resolve) => setTimeout(resolve, 1)),
      );
    }
  };
  const done = Promise.all(Array.from({ length: 20 }, one));
  return {
    counted,
    end: async (): Promise<void> => {
      counted.stop = true;
      await done;
    },
  };
}

describeWith(['redis', 'sentinel'], 'a store in a Redis with sentinels', () => {
  let redis: SentinelledRedis;
  let name: string;
  beforeAll(async () => {
    redis = await startSentinelledRedis('sesame');
    name = `the store ${redisName(redis.url.url)}`;
  }, 60_000);
  afterAll(() => redis?.[Symbol.asyncDispose]());

  const becomesMaster = (port: number): Promise<boolean> =>
    until('the failover', async () => (await redis.master()).port === port);

  it('says what is wrong in one line', async () => {
    const { url } = redis.url;
    const unknown = await open(url.replace('/mail/', '/nail/'));
    await untilSaid(
      unknown.store,
      /^StoreError: the store redis\+sentinel:\S+\/nail is away: no sentinel knows the master "nail": ERR No such master with that name$/,
    );
    const wrong = await open(url.replace('sesame', 'hush'));
    await untilSaid(
      wrong.store,
      /^StoreError: the store redis\S+ is away: no sentinel knows the master "mail": WRONGPASS [^\n]*$/,
    );
    const port = await unusedPort();
    const none = await open(`redis+sentinel://127.0.0.1:${port}/mail`);
    await untilSaid(
      none.store,
      /^StoreError: the store redis\+sentinel:\S+\/mail is away: no sentinel knows the master "mail": connect ECONNREFUSED 127\.0\.0\.1:\d+$/,
    );
  });

  it('is content with one sentinel that is left, and keeps to its database', async () => {
    const dead = await unusedPort();
    const last = redis.sentinels.at(-1)?.port;
    const { store } = await reach(`redis+sentinel://:sesame@127.0.0.1:${dead},127.0.0.1:${last}/mail/2`);
    await store.set('k', 'v');
    expect(await (await redis.master()).ask('AUTH sesame\r\nSELECT 2\r\nGET milter:{/}:e:k')).toContain('v');
  });

  it('goes on, and says so, while the replica does not answer', async () => {
    const { store, said } = await reach(redis.url.url);
    await store.set('k', 'v');
    const replica = await redis.replica();
    replica.signal('SIGSTOP');
    await store.set('k', 'w');
    expect(await store.get('k')).toBe('w');
    expect(said()).toContain(`warn: ${name} has no replica: if it is lost now, what it knows is lost`);
    replica.signal('SIGCONT');
    await until('the replica to be seen', () => said().at(-1) === `info: ${name} has a replica again`);
    await redis.settled();
  });

  it('goes over to another master while the old one lives, and has lost nothing', async () => {
    const { store } = await reach(redis.url.url);
    const replica = await redis.replica();
    const { counted, end } = counting(store, 'n');
    await until('some writes', () => counted.acknowledged > 200);
    await redis.failOver();
    await becomesMaster(replica.port);
    const before = counted.acknowledged;
    await until('more writes', () => counted.acknowledged > before + 200);
    await end();
    const kept = Number(await store.get('n'));
    expect(kept).toBeGreaterThanOrEqual(counted.acknowledged);
    expect(await replica.ask('AUTH sesame\r\nGET milter:{/}:e:n')).toContain(`:${kept}\r\n`);
    await redis.settled();
  });

  it('goes on with the replica when the master is killed, and has lost nothing', async () => {
    const { store, said } = await reach(redis.url.url);
    const [master, replica] = [await redis.master(), await redis.replica()];
    const { counted, end } = counting(store, 'm');
    await until('some writes', () => counted.acknowledged > 200);
    await master.stop();
    await becomesMaster(replica.port);
    const before = counted.acknowledged;
    await until('more writes', () => counted.acknowledged > before + 200);
    await end();
    const kept = Number(await store.get('m'));
    expect(kept).toBeGreaterThanOrEqual(counted.acknowledged);
    expect(kept).toBeLessThanOrEqual(counted.tried);
    await master.start();
    await until('the replica to be seen', () => said().at(-1) === `info: ${name} has a replica again`);
    expect(said()).toEqual([
      `error: ${name} is away`,
      `warn: ${name} has no replica: if it is lost now, what it knows is lost`,
      `info: ${name} is back`,
      `info: ${name} has a replica again`,
    ]);
    expect(JSON.stringify(said())).not.toContain('sesame');
  }, 60_000);
});
