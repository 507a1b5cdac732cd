/** The store in Redis, which several machines share. */

import { Breaker, BreakerError } from '../../breaker.ts';
import type { Logger } from '../../index.ts';
import { isReply } from '../../redis-client.ts';
import { inTime, LateError, RedisConnection, redisFault } from '../../redis-connection.ts';
import { redisName } from '../../redis-url.ts';
import { ADMIT, CALLS, GIVE_BACK, GRACE } from './redis-scripts.ts';
import type { Backend, Page, StoreAnswer, StoreRequest } from './request.ts';
import { type StoreCall, StoreError, type WindowLimit } from './store.ts';
import { admission, sliceStart, type Window } from './window.ts';

/** What a Redis store needs. */
export interface RedisOptions {
  /** One that `parseRedisUrl` takes; user and password may be in it. */
  readonly url: string;
  readonly now: () => number;
  readonly log: Logger;
}

/** Milliseconds in which a request is answered, else the server is taken for down. */
const DEADLINE = 2_000;
/** Milliseconds until such a server is asked again. */
const PAUSE = 2_000;

/** Where a key is: all keys of a part are on one server of a cluster, by the braces. */
interface Place {
  readonly base: string;
  readonly name: string;
}

type Call = StoreCall | Extract<StoreRequest, { readonly call: 'compareAndSet' }>;

/** A server, or a cluster. The connection is made with the first question, and comes back by itself. */
export class RedisBackend implements Backend {
  readonly #options: RedisOptions;
  /** How messages call it: without user and password. */
  readonly #name: string;
  readonly #breaker: Breaker;
  readonly #asked = new Set<Promise<unknown>>();
  #connection: RedisConnection | undefined;
  /** Why it is away; undefined while it is not. */
  #lost: unknown;
  #isFollowed = true;
  #closed = false;

  constructor(options: RedisOptions) {
    this.#options = options;
    this.#name = `the store ${redisName(options.url)}`;
    this.#breaker = new Breaker({
      name: this.#name,
      pause: PAUSE,
      isDown: (error) => error instanceof LateError,
    });
  }

  async ask(request: StoreRequest): Promise<StoreAnswer> {
    if (this.#closed) throw new StoreError('the store is closed');
    const answer = this.#ask(request);
    this.#asked.add(answer);
    try {
      return await answer;
    } catch (error) {
      throw this.#describe(error);
    } finally {
      this.#asked.delete(answer);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#asked);
    this.#connection?.close();
  }

  async #ask(request: StoreRequest): Promise<StoreAnswer> {
    this.#connection ??= new RedisConnection(this.#options.url, {
      lost: (error) => {
        if (this.#lost === undefined) {
          const how = isReply(error) ? 'refuses' : 'is away';
          this.#options.log.error({ error }, `${this.#name} ${how}`);
        }
        this.#lost = error;
      },
      found: () => {
        if (this.#lost !== undefined) this.#options.log.info({}, `${this.#name} is back`);
        this.#lost = undefined;
      },
      followed: (isFollowed) => {
        if (isFollowed === this.#isFollowed) return;
        this.#isFollowed = isFollowed;
        if (isFollowed) this.#options.log.info({}, `${this.#name} has a replica again`);
        else
          this.#options.log.warn(
            {},
            `${this.#name} has no replica: if it is lost now, what it knows is lost`,
          );
      },
    });
    const connection = this.#connection;
    return await this.#breaker.run(() =>
      inTime(
        connection.tried.then(() => perform(connection, request, this.#options.now())),
        DEADLINE,
      ),
    );
  }

  #describe(error: unknown): StoreError {
    if (error instanceof BreakerError) return new StoreError(error.message, { cause: error.cause });
    const { message, cause } = redisFault(this.#name, error, this.#lost);
    return new StoreError(message, { cause });
  }
}

async function perform(
  connection: RedisConnection,
  request: StoreRequest,
  now: number,
): Promise<StoreAnswer> {
  switch (request.call) {
    case 'get': {
      const key = entryKey(placeOf(request.key));
      return liveValue(await connection.send(key, ['GET', key]), now);
    }
    case 'batch':
      return await runCalls(connection, request.calls, now);
    case 'compareAndSet': {
      const [set] = await runCalls(connection, [request, ...(request.along ?? [])], now);
      return set === '1';
    }
    case 'page':
      return await readPage(connection, request, now);
    case 'admit':
      return await admit(connection, request.limits, now);
    case 'giveBack':
      await runOnWindows(connection, GIVE_BACK, request.limits, now);
      return undefined;
    default: {
      const [result] = await runCalls(connection, [request], now);
      return result;
    }
  }
}

/** All that is written goes through one script. */
async function runCalls(
  connection: RedisConnection,
  calls: readonly Call[],
  now: number,
): Promise<readonly (string | number | undefined)[]> {
  const places = calls.map(({ key }) => placeOf(key));
  const base = places[0]?.base ?? '';
  const keys = [`${base}listed`, `${base}ends`, ...places.map(entryKey)];
  const values = [
    String(now),
    String(Buffer.byteLength(`${base}e:`)),
    ...calls.flatMap((call) => callArguments(call, now)),
  ];
  const results = (await connection.run(CALLS, keys, values)) as readonly (string | null)[];
  return results.map((result, index) => {
    if (result === null) return undefined;
    return calls[index]?.call === 'increment' ? Number(result) : result;
  });
}

function callArguments(call: Call, now: number): readonly string[] {
  if (call.call === 'get' || call.call === 'delete') return [call.call, '', '', '', '', ''];
  const { ttl, listed } = call.keep ?? {};
  const ends = ttl === undefined ? '' : String(now + ttl);
  const redisTtl = ttl === undefined ? '' : timeToLive(ttl);
  const how = [ends, redisTtl, listed === true ? '1' : ''];
  switch (call.call) {
    case 'set':
      return ['set', call.value, ...how, ''];
    case 'increment':
      return ['increment', String(call.by), ...how, ''];
    case 'compareAndSet':
      return ['cas', call.value, ...how, call.expected === undefined ? '' : `=${call.expected}`];
  }
}

async function admit(connection: RedisConnection, limits: readonly WindowLimit[], now: number) {
  const refused = await runOnWindows(connection, ADMIT, limits, now);
  const index = Number(refused[0] ?? 0) - 1;
  if (index < 0) return { admitted: true } as const;
  const numbers = refused.slice(1).map(Number);
  const window: Window = numbers.flatMap((time, i) => (i % 2 === 0 ? [[time, numbers[i + 1] ?? 0]] : []));
  const windows = limits.map((_, i) => (i === index ? window : []));
  return admission(limits, windows, now);
}

async function runOnWindows(
  connection: RedisConnection,
  script: string,
  limits: readonly WindowLimit[],
  now: number,
): Promise<readonly string[]> {
  if (limits.length === 0) return [];
  const keys = limits.map(({ key }) => placeOf(key)).map(({ base, name }) => `${base}w:${name}`);
  const values = limits.flatMap(({ add, most, per }) =>
    [now, sliceStart(now, per), now - per, add, most, timeToLive(2 * per)].map(String),
  );
  return (await connection.run(script, keys, values)) as readonly string[];
}

async function readPage(
  connection: RedisConnection,
  { prefix, after, most, holding = '' }: Extract<StoreRequest, { readonly call: 'page' }>,
  now: number,
): Promise<Page> {
  const { base, name } = placeOf(prefix);
  const from = after === '' ? `[${name}` : `(${placeOf(after).name}`;
  // 0xff is behind every byte of UTF-8.
  const to = Buffer.concat([Buffer.from(`(${name}`), Buffer.of(0xff)]);
  const listed = `${base}listed`;
  const range = ['ZRANGEBYLEX', listed, from, to, 'LIMIT', '0', String(most)];
  const names = (await connection.send(listed, range)) as readonly string[];
  const last = names.at(-1);
  if (last === undefined) return { entries: [], next: undefined };
  const keys = names.map((one) => entryKey({ base, name: one }));
  const kept = (await connection.send(listed, ['MGET', ...keys])) as readonly unknown[];
  const start = prefix.slice(0, prefix.length - name.length);
  const entries = names.flatMap((one, index): Page['entries'] => {
    const value = liveValue(kept[index], now);
    return value?.includes(holding) === true ? [[start + one, value]] : [];
  });
  return { entries, next: names.length < most ? undefined : start + last };
}

/** Keys outside a part have one of their own, `/`, which is no name of a part. */
function placeOf(key: string): Place {
  const slash = key.indexOf('/');
  return { base: `milter:{${slash < 0 ? '/' : key.slice(0, slash)}}:`, name: key.slice(slash + 1) };
}

function entryKey({ base, name }: Place): string {
  return `${base}e:${name}`;
}

function timeToLive(ttl: number): string {
  return String(Math.max(0, Math.ceil(ttl)) + GRACE);
}

/** Of an entry as it is kept: `ENDS:VALUE`. */
function liveValue(kept: unknown, now: number): string | undefined {
  if (typeof kept !== 'string') return undefined;
  const colon = kept.indexOf(':');
  const ends = kept.slice(0, colon);
  return ends !== '' && Number(ends) <= now ? undefined : kept.slice(colon + 1);
}
