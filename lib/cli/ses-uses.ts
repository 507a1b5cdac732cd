/** How often signatures of senders were used, for the name server: the filter counts it in its store, which is only read here. */
import { isDeepStrictEqual } from 'node:util';
import {
  type Config,
  FilterConfigError,
  isSesUsed,
  openStore,
  type Store,
  StoreError,
} from '../filter/index.ts';
import type { Logger } from '../index.ts';
import type { SesReport } from '../srs/index.ts';

/** The store of the configuration that is in force. */
export class SesUses {
  readonly #log: Logger;
  #url: Config['settings']['store']['url'] | undefined;
  #store: Store | undefined;
  #isAway = false;

  constructor(log: Logger) {
    this.#log = log;
  }

  /**
   * Goes over to the store of a configuration; nothing is asked of it yet, see {@link reach}. None is opened where no signatures are checked, nor
   * for `memory:`, which is another one in each process.
   * @throws FilterConfigError where the package for Redis is not installed; then all stays
   */
  async open({ file, text, settings: { dns_server, store } }: Config): Promise<void> {
    const url = dns_server.ses && store.url.kind !== 'memory' ? store.url : undefined;
    if (isDeepStrictEqual(url, this.#url)) return;
    const before = this.#store;
    try {
      this.#store = url && (await openStore(url, { now: Date.now, log: this.#log }));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      const place = text.position(['store', 'url']);
      throw new FilterConfigError([{ file, ...place, key: 'store.url', message: error.message }]);
    }
    this.#url = url;
    await before?.close();
  }

  /**
   * Whether a signature is used up; false without a store.
   * @throws StoreError where the store is away
   */
  readonly isUsed = async (report: SesReport): Promise<boolean> =>
    this.#store !== undefined && (await this.#watched(isSesUsed(this.#store, report)));

  /** Has the first question find the store at hand, and tells at once where it is away. Never rejects. */
  async reach(): Promise<void> {
    if (this.#store !== undefined) await this.#watched(this.#store.get('ses')).catch(() => {});
  }

  async #watched<T>(answer: Promise<T>): Promise<T> {
    try {
      const result = await answer;
      if (this.#isAway) this.#log.info({}, 'the store answers again');
      this.#isAway = false;
      return result;
    } catch (error) {
      // Once, not with each question.
      if (!this.#isAway)
        this.#log.error(
          { error: error instanceof Error ? error.message : String(error) },
          'nobody knows which signatures are used up: questions for those of ours get SERVFAIL',
        );
      this.#isAway = true;
      throw error;
    }
  }

  /** Closes the store. */
  async close(): Promise<void> {
    await this.#store?.close();
  }
}
