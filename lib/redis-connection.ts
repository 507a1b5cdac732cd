/** A connection to Redis, Redis Cluster, Redis with sentinels, or Valkey, that comes back by itself. */
import { createHash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { isReply, openCluster, openServer, pauseAfter, type RedisLink, reasonOf } from './redis-client.ts';
import { type FollowerEvents, openMaster, Sentinels } from './redis-sentinel.ts';
import { parseRedisUrl, type RedisPlace } from './redis-url.ts';

/** What a connection tells. */
export interface RedisEvents extends FollowerEvents {
  /** Maybe again and again, while it is away. */
  lost(error: unknown): void;
  found(): void;
}

/** Milliseconds for a connection to come about. */
const CONNECT_TIME = 2_000;

/** A connection. A server that is part of a cluster leads to all of them. */
export class RedisConnection {
  /** Resolves when the first attempt has come to something, well or not. */
  readonly tried: Promise<void>;
  readonly #place: RedisPlace;
  /** Asked only where the URL names a master. */
  readonly #sentinels: Sentinels;
  readonly #events: RedisEvents;
  #link: RedisLink | undefined;
  #closed = false;

  /** @throws TypeError for a URL that cannot be */
  constructor(url: string, events: RedisEvents) {
    this.#place = parseRedisUrl(url);
    this.#sentinels = new Sentinels(this.#place);
    this.#events = {
      lost: (error) => void (this.#closed || events.lost(error)),
      found: () => void (this.#closed || events.found()),
      followed: (isFollowed) => void (this.#closed || events.followed(isFollowed)),
    };
    const { promise, resolve } = Promise.withResolvers<void>();
    this.tried = promise;
    void this.#stayConnected(resolve);
  }

  /**
   * Sends a command to the server that has this key. Fails at once where the connection is lost: of what was under way then, nobody
   * knows whether it was done. With sentinels, what this acknowledges outlives a failover.
   * @throws ErrorReply if the server refuses it
   */
  async send(key: string, command: readonly (string | Buffer)[]): Promise<unknown> {
    if (this.#link === undefined) throw new Error('not connected');
    return await this.#link.send(key, command);
  }

  /**
   * Runs a script that the server may know already, where the first of the keys is.
   * @throws ErrorReply if the server refuses it, or the script fails
   */
  async run(script: string, keys: readonly string[], values: readonly (string | Buffer)[]): Promise<unknown> {
    const [first = ''] = keys;
    const rest = [String(keys.length), ...keys, ...values];
    try {
      return await this.send(first, ['EVALSHA', hashOf(script), ...rest]);
    } catch (error) {
      if (!isReply(error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return await this.send(first, ['EVAL', script, ...rest]);
    }
  }

  /** Ends it; what was sent should have been answered by then. */
  close(): void {
    this.#closed = true;
    this.#link?.end();
  }

  async #stayConnected(tried: () => void): Promise<void> {
    for (let failures = 0; !this.#closed; failures++) {
      let link: RedisLink | undefined;
      try {
        link = await this.#connect();
        if (this.#closed) return;
        this.#link = link;
        this.#events.found();
        failures = 0;
        tried();
        this.#events.lost(await link.lost);
      } catch (error) {
        this.#events.lost(error);
      } finally {
        this.#link = undefined;
        link?.end();
        tried();
      }
      await pause(pauseAfter(failures), undefined, { ref: false });
    }
  }

  async #connect(): Promise<RedisLink> {
    const place = this.#place;
    const [server] = place.servers;
    if (server === undefined || place.master !== undefined) {
      return await openMaster(this.#sentinels, CONNECT_TIME, this.#events);
    }
    const link = await openServer(place, server, CONNECT_TIME);
    try {
      if (!String(await link.send('', ['INFO', 'cluster'])).includes('cluster_enabled:1')) return link;
      const cluster = await openCluster(place, server, CONNECT_TIME, this.#events);
      link.end();
      return cluster;
    } catch (error) {
      link.end();
      throw error;
    }
  }
}

const hashes = new Map<string, string>();

function hashOf(script: string): string {
  const hash = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, hash);
  return hash;
}

/**
 * What a question came to that failed with `error`, for those who know the server by `name`. Why the connection was lost, where it
 * is, says more than that it is.
 */
export function redisFault(name: string, error: unknown, lost: unknown): Error {
  const cause = isReply(error) ? error : (lost ?? error);
  return new Error(`${name} ${isReply(cause) ? 'refuses' : 'is away'}: ${reasonOf(cause)}`, { cause });
}

/** A server did not answer in time. */
export class LateError extends Error {}

/** What a server answers, unless that takes so many milliseconds. @throws LateError */
export async function inTime<T>(answer: Promise<T>, most: number): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new LateError(`no answer within ${most / 1_000} s`)), most);
  try {
    return await Promise.race([answer, promise]);
  } finally {
    clearTimeout(timer);
  }
}
