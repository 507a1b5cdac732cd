/** Where stores that several processes can share are kept in tests. */
import { join } from 'node:path';
import type { StoreUrl } from '../../lib/filter/config/schema.ts';
import type { StoreSurroundings } from '../../lib/filter/store/open.ts';
import { temporaryDirectory } from './directory.ts';
import { keepingLogger } from './filter.ts';
import { startCluster, startRedis } from './redis.ts';
import { isMissing } from './requirements.ts';

/** What a store needs, when nobody looks at it. */
export function surroundings(now: () => number = Date.now): StoreSurroundings {
  return { now, log: keepingLogger() };
}

/** A kind of store. */
export interface StoreKind {
  readonly name: string;
  /** Makes the place of an empty store. */
  place(): Promise<{ readonly url: StoreUrl } & AsyncDisposable>;
}

/** Those of this machine. */
export const sharedStores: readonly StoreKind[] = [
  {
    name: 'SQLite',
    place: async () => {
      const directory = await temporaryDirectory();
      return {
        url: { kind: 'sqlite', path: join(directory.path, 'data/milter.db') },
        [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
      };
    },
  },
  ...(isMissing(['redis'], 'the store in Redis')
    ? []
    : [
        { name: 'Redis', place: () => startRedis() },
        { name: 'Redis Cluster', place: () => startCluster(2) },
      ]),
];
