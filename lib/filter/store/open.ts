/** The store that the configuration names. Each kind's code is loaded only when it is used. */
import type { Logger } from '../../index.ts';
import type { StoreUrl } from '../config/schema.ts';
import { type Metrics, MetricsRegistry } from '../watch/metrics.ts';
import { BackedStore } from './backed.ts';
import type { Backend } from './request.ts';
import { type Store, StoreError } from './store.ts';

/** What a store needs of its surroundings. */
export interface StoreSurroundings {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: Logger;
  /** @default none */
  readonly metrics?: Metrics;
}

/**
 * Opens it: nothing is asked of it, or made, before it is used.
 * @throws StoreError where the package for Redis is not installed
 */
export async function openStore(url: StoreUrl, surroundings: StoreSurroundings): Promise<Store> {
  return new BackedStore(await openBackend(url, surroundings), surroundings.metrics ?? new MetricsRegistry());
}

async function openBackend(url: StoreUrl, { now, log }: StoreSurroundings): Promise<Backend> {
  switch (url.kind) {
    case 'sqlite':
      return new (await import('./sqlite.ts')).SqliteBackend(url.path, now);
    case 'memory':
      return new (await import('./memory.ts')).MemoryBackend(now);
    case 'redis': {
      const { RedisBackend } = await loadRedis();
      return new RedisBackend({ url: url.url, now, log });
    }
  }
}

async function loadRedis(): Promise<typeof import('./redis.ts')> {
  try {
    return await import('./redis.ts');
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new StoreError('a store in Redis needs @redis/client: npm install @redis/client', { cause: error });
  }
}
