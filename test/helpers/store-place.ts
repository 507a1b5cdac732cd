/** Where stores that several processes can share are kept in tests. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoreUrl } from '../../lib/filter/config/schema.ts';
import type { StoreSurroundings } from '../../lib/filter/store/open.ts';
import { temporaryDirectory } from './directory.ts';
import { keepingLogger } from './filter.ts';
import { type Redis, startCluster, startRedis } from './redis.ts';
import { isMissing } from './requirements.ts';

/** What a store needs, when nobody looks at it. */
export function surroundings(now: () => number = Date.now): StoreSurroundings {
  return { now, log: keepingLogger() };
}

/** Where a store is kept. */
export interface StorePlace extends AsyncDisposable {
  readonly url: StoreUrl;
  /** Has nothing be kept there any more; no store may be open on it. */
  clear(): Promise<void>;
}

/** A kind of store. */
export interface StoreKind {
  readonly name: string;
  /** Makes the place of an empty store. */
  place(): Promise<StorePlace>;
}

/** Those of this machine. */
export const sharedStores: readonly StoreKind[] = [
  {
    name: 'SQLite',
    place: async () => {
      const directory = await temporaryDirectory();
      const data = join(directory.path, 'data');
      return {
        url: { kind: 'sqlite', path: join(data, 'milter.db') },
        clear: () => rm(data, { recursive: true, force: true }),
        [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
      };
    },
  },
  ...(isMissing(['redis'], 'the store in Redis')
    ? []
    : [
        {
          name: 'Redis',
          place: async () => {
            const redis = await startRedis();
            return { ...redis, clear: () => clear([redis]) };
          },
        },
        {
          name: 'Redis Cluster',
          place: async () => {
            const cluster = await startCluster(2);
            return { ...cluster, clear: () => clear(cluster.servers) };
          },
        },
      ]),
];

async function clear(servers: readonly Redis[]): Promise<void> {
  for (const server of servers) await server.ask('FLUSHALL');
}
