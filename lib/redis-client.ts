/**
 * A connection to Redis, Redis Cluster or Valkey, which comes back by itself. The one place that knows the package
 * `@redis/client`.
 */
import { createHash } from 'node:crypto';
import { createClient, createCluster, ErrorReply, RedisClient } from '@redis/client';

/** What a connection tells. */
export interface RedisEvents {
  /** Maybe again and again, while it is away. */
  lost(error: unknown): void;
  found(): void;
}

/** Milliseconds for a connection to come about. */
const CONNECT_TIME = 2_000;
/** A server that says nothing for so long, though it is pinged, is left. */
const SILENCE = 10_000;
const PING_EVERY = 3_000;
/** Pauses between attempts to connect, in milliseconds. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1_000;

/** A connection. A server that is part of a cluster leads to all of them. */
export class RedisConnection {
  /** Resolves when the first attempt has come to something, well or not. */
  readonly tried: Promise<void>;
  readonly #options: ClientOptions;
  readonly #events: RedisEvents;
  readonly #single: ReturnType<typeof makeClient>;
  /** Undefined while it is not known whether there is one. */
  #cluster: ReturnType<typeof makeCluster> | 'none' | undefined;
  #closed = false;

  /** @throws TypeError for a URL that cannot be */
  constructor(url: string, events: RedisEvents) {
    this.#events = events;
    this.#options = clientOptions(url);
    this.#single = makeClient(this.#options);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.tried = promise;
    this.#single.on('error', (error) => {
      if (!this.#closed && typeof this.#cluster !== 'object') events.lost(error);
      resolve();
    });
    this.#single.on('ready', () => void this.#ready().then(resolve));
    // It rejects only when it is closed before it succeeds.
    this.#single.connect().catch(() => resolve());
  }

  /**
   * Sends a command to the server that has this key. Fails at once where the connection is lost.
   * @throws ErrorReply if the server refuses it
   */
  async send(key: string, command: readonly (string | Buffer)[]): Promise<unknown> {
    if (typeof this.#cluster === 'object') {
      return await this.#cluster.sendCommand(key, false, [...command]);
    }
    if (this.#cluster === undefined) throw new Error('not connected');
    return await this.#single.sendCommand(command);
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
    if (this.#single.isOpen) this.#single.destroy();
    if (typeof this.#cluster === 'object') this.#cluster.destroy();
  }

  /** At the first connection it is found out what is there. */
  async #ready(): Promise<void> {
    try {
      this.#cluster ??= await this.#findCluster();
      this.#events.found();
    } catch (error) {
      if (this.#closed) return;
      this.#events.lost(error);
      setTimeout(() => {
        if (this.#single.isReady) void this.#ready();
      }, LONGEST_PAUSE).unref();
    }
  }

  async #findCluster(): Promise<ReturnType<typeof makeCluster> | 'none'> {
    const info = String(await this.#single.sendCommand(['INFO', 'cluster']));
    if (!info.includes('cluster_enabled:1')) return 'none';
    const cluster = makeCluster(this.#options);
    const lost = (error: unknown): void => {
      if (!this.#closed) this.#events.lost(error);
    };
    cluster.on('error', lost);
    cluster.on('node-error', lost);
    cluster.on('node-ready', () => this.#events.found());
    await cluster.connect();
    this.#single.destroy();
    return cluster;
  }
}

const hashes = new Map<string, string>();

function hashOf(script: string): string {
  const hash = hashes.get(script) ?? createHash('sha1').update(script).digest('hex');
  hashes.set(script, hash);
  return hash;
}

/** Whether the server answered so: then it is there. */
export function isReply(error: unknown): error is Error {
  return error instanceof ErrorReply;
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

function clientOptions(url: string) {
  const { socket, ...login } = RedisClient.parseURL(url);
  return {
    ...login,
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    pingInterval: PING_EVERY,
    socket: {
      ...socket,
      connectTimeout: CONNECT_TIME,
      socketTimeout: SILENCE,
      reconnectStrategy: (retries: number) => Math.min(FIRST_PAUSE * 2 ** retries, LONGEST_PAUSE),
    },
  } as const;
}

type ClientOptions = ReturnType<typeof clientOptions>;

function makeClient(options: ClientOptions) {
  return createClient(options);
}

/** What holds for all its servers is said apart from where the first is. */
function makeCluster(options: ClientOptions) {
  const { host: _, port: __, ...socket } = { host: undefined, port: undefined, ...options.socket };
  return createCluster({ rootNodes: [options], defaults: { ...options, socket } });
}
