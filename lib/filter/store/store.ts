/**
 * What the filter remembers: keys and values that expire, the same over SQLite, Redis and memory. One suite runs on all.
 *
 * An acknowledged write survives the process. Several processes and machines may share one store: what must be exact
 * under concurrency is one call. Keys and values are text. The keys of one batch, and of one admission, belong to one part of
 * the store: Redis Cluster keeps those together.
 */

/** How a value is kept. */
export interface Keep {
  /** Milliseconds until it vanishes by itself. @default for ever */
  readonly ttl?: number;
  /** Whether {@link Store.scan} finds it, which costs an index: not for what strangers can make millions of. @default false */
  readonly listed?: boolean;
}

/** One sliding window of a rate limit. */
export interface WindowLimit {
  /** Whose window it is. */
  readonly key: string;
  /** What is to be added; 0 only looks. */
  readonly add: number;
  /** The most that may be in the window. */
  readonly most: number;
  /** The window's length in milliseconds. */
  readonly per: number;
}

/** What came of {@link Store.admit}. */
export type Admission =
  | { readonly admitted: true }
  /** `index` of the first limit that would be exceeded; nothing was added to any. `wait`: milliseconds until it fits. */
  | { readonly admitted: false; readonly index: number; readonly wait: number };

/** Which of the keys with a prefix {@link Store.scan} gives. */
export interface ScanOptions {
  /** Those behind this key. @default from the first on */
  readonly after?: string;
  /** Those whose values hold this text: what does not is not sent here. @default all */
  readonly holding?: string;
  /** About how many are wanted. @default all */
  readonly about?: number;
}

/** One call of a {@link Store.batch}. */
export type StoreCall =
  | { readonly call: 'get'; readonly key: string }
  | { readonly call: 'set'; readonly key: string; readonly value: string; readonly keep?: Keep }
  | { readonly call: 'increment'; readonly key: string; readonly by: number; readonly keep?: Keep }
  | { readonly call: 'delete'; readonly key: string };

/** What each call of a batch comes back with. */
export type StoreResult<Call extends StoreCall> = Call extends { readonly call: 'get' }
  ? string | undefined
  : Call extends { readonly call: 'increment' }
    ? number
    : undefined;

/** Results of a batch, in the order of its calls. */
export type StoreResults<Calls extends readonly StoreCall[]> = {
  readonly [Index in keyof Calls]: StoreResult<Calls[Index]>;
};

/** What the filter remembers. Every method rejects with {@link StoreError} where the store is away. */
export interface Store {
  /** The value, undefined where there is none or it has expired. */
  get(key: string): Promise<string | undefined>;
  /** Keeps the value, in place of an earlier one and of how that was kept. */
  set(key: string, value: string, keep?: Keep): Promise<void>;
  /**
   * Adds a whole number to one, from 0 where there is none; resolves to the sum. `keep` is for a key that is new: of one
   * that is there, the time to live runs on.
   */
  increment(key: string, by: number, keep?: Keep): Promise<number>;
  /**
   * Sets the value if it is still `expected` (undefined: if there is none). Resolves to whether it was.
   * @param along done together with it: all or none
   */
  compareAndSet(
    key: string,
    expected: string | undefined,
    value: string,
    keep?: Keep,
    along?: readonly StoreCall[],
  ): Promise<boolean>;
  /** Forgets the value; nothing where there is none. */
  delete(key: string): Promise<void>;
  /** All keys that begin so and were written as `listed`, with their values, in the order of their UTF-8, read in pages. */
  scan(prefix: string, options?: ScanOptions): AsyncIterable<readonly [key: string, value: string]>;
  /** Several calls in one round trip, all or none. */
  batch<const Calls extends readonly StoreCall[]>(calls: Calls): Promise<StoreResults<Calls>>;
  /** Adds to sliding windows, unless one of them would then hold more than its most: then to none. Exact. */
  admit(limits: readonly WindowLimit[]): Promise<Admission>;
  /** Takes out again what {@link admit} added. */
  giveBack(limits: readonly WindowLimit[]): Promise<void>;
  /** The part of the store whose keys begin with `name` and a slash, which its user does not see. */
  part(name: string): Store;
  /** Waits for what was called before, and closes the store; that of a part closes nothing. */
  close(): Promise<void>;
}

/** The store is away, full, or cannot be written. `cause` says why. */
export class StoreError extends Error {
  override readonly name: string = 'StoreError';
}
