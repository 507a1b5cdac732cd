/**
 * Entries that are kept in the store: what `milter access` writes, and a running filter reads within seconds.
 */
import { BadValue, type Store } from '../../kit.ts';
import { readEntry, readKey } from './entry.ts';
import { AccessMap } from './map.ts';

const PREFIX = 'entry/';
/** Changes with every write, so that a filter need not read all to see that nothing has. */
const VERSION = 'version';
/** More would not be what a person writes by hand. */
const MAX_ENTRIES = 100_000;

/** The entries of an access map in the store. */
export class StoredAccess {
  readonly #store: Store;

  /** @param store the module's own part: that of the configuration's store by its name, `access` */
  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Writes an entry, `From:spam.example REJECT`, in place of one about the same.
   * @param keep how long it holds, in milliseconds. @default for ever
   * @throws BadValue for what is none
   */
  async add(line: string, keep?: number): Promise<void> {
    const entry = readEntry(line);
    if (entry === undefined)
      throw new BadValue('is of no use to the filter: only Sendmail itself asks for it');
    const kept = { listed: true, ...(keep === undefined ? {} : { ttl: keep }) };
    await this.#store.batch([
      { call: 'set', key: PREFIX + entry.key, value: entry.text, keep: kept },
      { call: 'increment', key: VERSION, by: 1 },
    ]);
  }

  /**
   * Takes the entry of that key out, `From:spam.example`. Resolves to whether there was one.
   * @throws BadValue for what is no key
   */
  async remove(written: string): Promise<boolean> {
    const key = readKey(written);
    if (key === undefined) return false;
    const [before] = await this.#store.batch([
      { call: 'get', key: PREFIX + key },
      { call: 'delete', key: PREFIX + key },
      { call: 'increment', key: VERSION, by: 1 },
    ]);
    return before !== undefined;
  }

  /** All entries as they were written, in the order of their keys. */
  async *list(): AsyncIterable<string> {
    for await (const [, text] of this.#store.scan(PREFIX)) yield text;
  }

  /** Tells versions apart. */
  async version(): Promise<string> {
    return (await this.#store.get(VERSION)) ?? '';
  }

  /** All entries, to be looked up. Those that cannot be read are told to `failed`. */
  async read(failed: (text: string, error: BadValue) => void): Promise<AccessMap> {
    const map = new AccessMap();
    let count = 0;
    for await (const text of this.list()) {
      if (++count > MAX_ENTRIES) throw new Error(`the store has more than ${MAX_ENTRIES} entries`);
      try {
        map.add(text);
      } catch (error) {
        if (!(error instanceof BadValue)) throw error;
        failed(text, error);
      }
    }
    return map;
  }
}
