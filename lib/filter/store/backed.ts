/** The store as its users see it, over any backend. A part of it puts a prefix before every key. */
import type { Metrics } from '../watch/metrics.ts';
import type { Backend, Page, StoreAnswers, StoreRequest } from './request.ts';
import type { Admission, Keep, ScanOptions, Store, StoreCall, StoreResults, WindowLimit } from './store.ts';

/** How many keys a scan reads at once, and how many where it looks for some of them. */
const PAGE = 200;
const SEARCHED = 2_000;

/** A store over a backend. */
export class BackedStore implements Store {
  readonly #backend: Backend;
  readonly #metrics: Metrics;
  readonly #prefix: string;

  constructor(backend: Backend, metrics: Metrics, prefix = '') {
    this.#backend = backend;
    this.#metrics = metrics;
    this.#prefix = prefix;
  }

  get(key: string): Promise<string | undefined> {
    return this.#ask({ call: 'get', key: this.#prefix + key });
  }

  async set(key: string, value: string, keep: Keep = {}): Promise<void> {
    await this.#ask(this.#own({ call: 'set', key, value, keep }));
  }

  async increment(key: string, by: number, keep: Keep = {}): Promise<number> {
    return await this.#ask(this.#own({ call: 'increment', key, by, keep }));
  }

  async compareAndSet(
    key: string,
    expected: string | undefined,
    value: string,
    keep: Keep = {},
    along: readonly StoreCall[] = [],
  ): Promise<boolean> {
    const own = along.map((call) => this.#own(call));
    return await this.#ask(this.#own({ call: 'compareAndSet', key, expected, value, keep, along: own }));
  }

  async delete(key: string): Promise<void> {
    await this.#ask({ call: 'delete', key: this.#prefix + key });
  }

  async *scan(
    prefix: string,
    { after: start, holding, about = PAGE }: ScanOptions = {},
  ): AsyncIterable<readonly [string, string]> {
    const whole = this.#prefix + prefix;
    const most = holding === undefined ? Math.max(1, Math.min(PAGE, about)) : SEARCHED;
    for (
      let after: string | undefined = start === undefined ? '' : this.#prefix + start;
      after !== undefined;
    ) {
      const page: Page = await this.#ask({ call: 'page', prefix: whole, after, most, holding });
      for (const [key, value] of page.entries) yield [key.slice(this.#prefix.length), value];
      after = page.next;
    }
  }

  async batch<const Calls extends readonly StoreCall[]>(calls: Calls): Promise<StoreResults<Calls>> {
    if (calls.length === 0) return [] as unknown as StoreResults<Calls>;
    const results = await this.#ask({ call: 'batch', calls: calls.map((call) => this.#own(call)) });
    return results as unknown as StoreResults<Calls>;
  }

  async admit(limits: readonly WindowLimit[]): Promise<Admission> {
    return await this.#ask({ call: 'admit', limits: this.#ownLimits(limits) });
  }

  async giveBack(limits: readonly WindowLimit[]): Promise<void> {
    await this.#ask({ call: 'giveBack', limits: this.#ownLimits(limits) });
  }

  part(name: string): Store {
    return new BackedStore(this.#backend, this.#metrics, `${this.#prefix}${name}/`);
  }

  async close(): Promise<void> {
    if (this.#prefix === '') await this.#backend.close();
  }

  async #ask<R extends StoreRequest>(request: R): Promise<StoreAnswers[R['call']]> {
    const began = performance.now();
    try {
      return (await this.#backend.ask(request)) as StoreAnswers[R['call']];
    } catch (error) {
      this.#metrics.count('store_failures_total', { call: request.call });
      throw error;
    } finally {
      this.#metrics.observe('store_seconds', (performance.now() - began) / 1_000, { call: request.call });
    }
  }

  /** The same call on our own key, with its numbers checked: not every backend would refuse them. */
  #own<const Call extends { readonly key: string; readonly by?: number; readonly keep?: Keep | undefined }>(
    call: Call,
  ): Call {
    const { by = 0, keep: { ttl = 0 } = {} } = call;
    checkWhole(by);
    if (!Number.isFinite(ttl)) throw new RangeError(`a time to live is in milliseconds, not ${ttl}`);
    return { ...call, key: this.#prefix + call.key };
  }

  #ownLimits(limits: readonly WindowLimit[]): readonly WindowLimit[] {
    for (const { add } of limits) checkWhole(add);
    return limits.map((limit) => ({ ...limit, key: this.#prefix + limit.key }));
  }
}

function checkWhole(number: number): void {
  if (!Number.isSafeInteger(number)) throw new RangeError(`the store adds whole numbers, not ${number}`);
}
