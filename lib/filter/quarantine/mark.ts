/**
 * The header by which the filter knows its own mail again, so that it does not hold it: messages that were released, and what it
 * writes itself. It says which item it was, how long that holds, and a proof that nobody else can make. It is taken out on the way.
 */
import type { Store } from '../store/store.ts';
import { isSame, storedProof } from '../stored-key.ts';

/** Its name. */
export const RELEASED_HEADER = 'X-Milter-Released';

/** Milliseconds that a mail server may take to bring it back: as long as it keeps a message in its queue. */
const GOOD_FOR = 5 * 86_400_000;
const MARK = /^([\da-f]{32}|own) (\d{1,15}) ([\da-f]{64})$/;

/** Makes and reads such headers, and what else only this filter can make. */
export class FilterMarks {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /**
   * The header's value.
   * @param id of the item; `own` for what the filter writes itself
   * @param owner whom it is sent to
   */
  async make(id: string, owner: string): Promise<string> {
    const until = this.#now() + GOOD_FOR;
    return `${id} ${until} ${await this.proof([id, String(until), owner])}`;
  }

  /**
   * For which of these owners a header is good.
   * @param ownerOf of an item that is released
   */
  async read(
    value: string,
    owners: readonly string[],
    ownerOf: (id: string) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const [, id = '', until = '', given = ''] = MARK.exec(value.trim()) ?? [];
    if (id === '' || Number(until) < this.#now()) return undefined;
    const released = id === 'own' ? undefined : await ownerOf(id);
    for (const owner of id === 'own' ? owners : owners.filter((one) => one === released)) {
      if (isSame(given, await this.proof([id, until, owner]))) return owner;
    }
    return undefined;
  }

  /** What nobody else can make of these texts; none of them holds a line end. 64 hexadecimal digits. */
  async proof(texts: readonly string[]): Promise<string> {
    return (await storedProof(this.#store, texts)).toString('hex');
  }
}
