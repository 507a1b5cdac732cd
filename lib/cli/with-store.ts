/** The store of a configuration, for commands that run beside the filter. */
import { MilterError } from '../errors.ts';
import { type Config, makeLogger, openStore, type Store, StoreError } from '../filter/index.ts';
import { Privileges } from './privileges.ts';

/**
 * Works with the store, as the user that the filter is: what root made there the filter could not use.
 * @throws MilterError where it is memory, or away
 */
export async function withStore<T>(config: Config, work: (store: Store) => Promise<T>): Promise<T> {
  refuseMemory(config);
  const { settings } = config;
  return await new Privileges(settings.user).meanwhile(async () => {
    const log = makeLogger({ level: 'error', format: 'text' });
    const store = await openStore(settings.store.url, { now: Date.now, log });
    try {
      return await work(store);
    } catch (error) {
      throw error instanceof StoreError ? fault(error.message) : error;
    } finally {
      await store.close();
    }
  });
}

/**
 * For commands that work beside the filter.
 * @throws MilterError where the store is memory
 */
export function refuseMemory({ file, settings }: Config): void {
  if (settings.store.url.kind !== 'memory') return;
  throw fault(`${file}: store.url is "memory:", which nobody but the running filter can look into`);
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_UNSUPPORTED', message);
}
