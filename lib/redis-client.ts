/** Connections to one Redis or Valkey, or to all servers of a cluster. The one place that knows the package `@redis/client`. */
import { createClient, createCluster, ErrorReply, RootNodesUnavailableError } from '@redis/client';
import type { RedisPlace, RedisServer } from './redis-url.ts';

/** A way to the data, as long as it lasts. */
export interface RedisLink {
  /**
   * Sends a command to the server that has this key. Fails at once where the connection is lost.
   * @throws ErrorReply if the server refuses it
   */
  send(key: string, command: readonly (string | Buffer)[]): Promise<unknown>;
  /** Resolves to why another one has to be made, when that is so. */
  readonly lost: Promise<unknown>;
  end(): void;
}

/** What a cluster tells, whose servers go and come while it lasts. */
export interface ClusterEvents {
  /** Maybe again and again, while one of them is away. */
  lost(error: unknown): void;
  found(): void;
}

/** A server that says nothing for so many milliseconds, though it is pinged, is left. */
const SILENCE = 10_000;
const PING_EVERY = 3_000;
/** Pauses between attempts to connect, in milliseconds. */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1_000;

/** Whether the server answered so: then it is there. */
export function isReply(error: unknown): error is Error {
  return error instanceof ErrorReply;
}

/** Why something failed, in words. */
export function reasonOf(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String(error);
}

/** Milliseconds until the next attempt to connect, after so many that failed. */
export function pauseAfter(failures: number): number {
  return Math.min(FIRST_PAUSE * 2 ** failures, LONGEST_PAUSE);
}

/**
 * Connects to one server.
 * @param within milliseconds
 */
export async function openServer(place: RedisPlace, server: RedisServer, within: number): Promise<RedisLink> {
  const { socket, ...options } = clientOptions(place, within);
  const client = createClient({ ...options, socket: { ...socket, ...server } });
  const { promise: lost, resolve } = Promise.withResolvers<unknown>();
  client.on('error', resolve);
  const end = (): void => {
    client.destroy();
    resolve(new Error('the connection was ended'));
  };
  await connectWithin(within, client, `${server.host}:${server.port}`);
  return { send: (_, command) => client.sendCommand(command), lost, end };
}

/**
 * Connects to all servers of the cluster that one of them belongs to. From then on they come back by themselves.
 * @param within milliseconds
 */
export async function openCluster(
  place: RedisPlace,
  server: RedisServer,
  within: number,
  events: ClusterEvents,
): Promise<RedisLink> {
  let isOpen = false;
  let cause: unknown;
  // Until all are there none is tried again: by then another may have taken its place.
  const again = (retries: number): number | false => isOpen && pauseAfter(retries);
  const failed = (error: unknown): void => {
    if (isOpen) events.lost(error);
    else cause ??= error;
  };
  const { socket, ...options } = clientOptions(place, within, again);
  const first = { ...options, socket: { ...socket, ...server } };
  const cluster = createCluster({ rootNodes: [first], defaults: { ...options, socket } });
  const { promise: lost, resolve } = Promise.withResolvers<unknown>();
  cluster.on('error', failed);
  cluster.on('node-error', failed);
  cluster.on('node-ready', () => isOpen && events.found());
  try {
    await connectWithin(within, cluster, `the cluster of ${server.host}:${server.port}`);
  } catch (error) {
    throw error instanceof RootNodesUnavailableError ? (cause ?? error) : error;
  }
  isOpen = true;
  return {
    send: (key, command) => cluster.sendCommand(key, false, [...command]),
    lost,
    end: () => {
      isOpen = false;
      cluster.destroy();
      resolve(undefined);
    },
  };
}

/**
 * Connects, or leaves nothing behind.
 * @param name as errors call it
 * @throws Error where it does not come about within so many milliseconds: something may take the connection, and then say nothing
 */
async function connectWithin(
  within: number,
  client: { connect(): Promise<unknown>; destroy(): void },
  name: string,
): Promise<void> {
  let late: Error | undefined;
  const timer = setTimeout(() => {
    late = new Error(`${name} does not answer within ${within / 1_000} s`);
    client.destroy();
  }, within);
  try {
    await client.connect();
    // A cluster that was ended meanwhile does not say so.
    if (late !== undefined) throw late;
  } catch (error) {
    client.destroy();
    throw late ?? error;
  } finally {
    clearTimeout(timer);
  }
}

function clientOptions(
  { tls, username, password, database }: RedisPlace,
  within: number,
  reconnectStrategy: false | ((retries: number) => number | false) = false,
) {
  return {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    database,
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
    pingInterval: PING_EVERY,
    socket: {
      ...(tls && { tls }),
      connectTimeout: within,
      socketTimeout: SILENCE,
      reconnectStrategy,
    },
  } as const;
}
