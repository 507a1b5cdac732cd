/** A module's part of the store: every key gets a prefix. */
import type { Admission, Keep, Store, StoreCall, StoreResults, WindowLimit } from './store.ts';

/** A store within a store. Closing it closes nothing. */
export class PartOfStore implements Store {
  readonly #whole: Store;
  readonly #prefix: string;

  constructor(whole: Store, name: string) {
    this.#whole = whole;
    this.#prefix = `${name}/`;
  }

  get(key: string): Promise<string | undefined> {
    return this.#whole.get(this.#prefix + key);
  }

  set(key: string, value: string, keep?: Keep): Promise<void> {
    return this.#whole.set(this.#prefix + key, value, keep);
  }

  increment(key: string, by: number, keep?: Keep): Promise<number> {
    return this.#whole.increment(this.#prefix + key, by, keep);
  }

  compareAndSet(key: string, expected: string | undefined, value: string, keep?: Keep): Promise<boolean> {
    return this.#whole.compareAndSet(this.#prefix + key, expected, value, keep);
  }

  delete(key: string): Promise<void> {
    return this.#whole.delete(this.#prefix + key);
  }

  async *scan(prefix: string): AsyncIterable<readonly [string, string]> {
    for await (const [key, value] of this.#whole.scan(this.#prefix + prefix)) {
      yield [key.slice(this.#prefix.length), value];
    }
  }

  batch<const Calls extends readonly StoreCall[]>(calls: Calls): Promise<StoreResults<Calls>> {
    const prefixed = calls.map((call) => ({ ...call, key: this.#prefix + call.key }));
    return this.#whole.batch(prefixed) as Promise<unknown> as Promise<StoreResults<Calls>>;
  }

  admit(limits: readonly WindowLimit[]): Promise<Admission> {
    return this.#whole.admit(this.#own(limits));
  }

  giveBack(limits: readonly WindowLimit[]): Promise<void> {
    return this.#whole.giveBack(this.#own(limits));
  }

  part(name: string): Store {
    return new PartOfStore(this, name);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #own(limits: readonly WindowLimit[]): readonly WindowLimit[] {
    return limits.map((limit) => ({ ...limit, key: this.#prefix + limit.key }));
  }
}
