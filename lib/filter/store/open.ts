/** The store that the configuration names. Each kind's code is loaded only when it is used. */
import type { StoreUrl } from '../config/schema.ts';
import { BackedStore } from './backed.ts';
import type { Backend } from './request.ts';
import type { Store } from './store.ts';

/** Opens it: nothing is asked of it, or made, before it is used. */
export async function openStore(url: StoreUrl, now: () => number): Promise<Store> {
  return new BackedStore(await openBackend(url, now));
}

async function openBackend(url: StoreUrl, now: () => number): Promise<Backend> {
  switch (url.kind) {
    case 'sqlite':
      return new (await import('./sqlite.ts')).SqliteBackend(url.path, now);
    case 'memory':
      return new (await import('./memory.ts')).MemoryBackend(now);
    case 'redis':
      throw new Error('there is no Redis yet');
  }
}
