/**
 * The header by which the filter knows a message again that was released, so that it is not held once more: which item it
 * was, how long that holds, and a proof that nobody else can make. It is taken out on the way.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Store } from '../store/store.ts';

/** Its name. */
export const RELEASED_HEADER = 'X-Milter-Released';

/** Milliseconds that a mail server may take to bring it back: as long as it keeps a message in its queue. */
const GOOD_FOR = 5 * 86_400_000;
const KEY = 'key';
const MARK = /^([\da-f]{32}) (\d{1,15}) ([\da-f]{64})$/;

/** Makes and reads such headers. */
export class ReleaseMarks {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** The header's value for an item of this owner. */
  async make(id: string, owner: string): Promise<string> {
    const until = this.#now() + GOOD_FOR;
    return `${id} ${until} ${proof(await this.#key(), id, until, owner)}`;
  }

  /** The owner of the item that a header names, if the header is good. */
  async read(
    value: string,
    ownerOf: (id: string) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const [, id = '', digits = '', given = ''] = MARK.exec(value.trim()) ?? [];
    const until = Number(digits);
    if (id === '' || until < this.#now()) return undefined;
    const owner = await ownerOf(id);
    if (owner === undefined) return undefined;
    const right = proof(await this.#key(), id, until, owner);
    return timingSafeEqual(Buffer.from(given), Buffer.from(right)) ? owner : undefined;
  }

  /** Made once, by whoever needs it first. */
  async #key(): Promise<string> {
    const known = await this.#store.get(KEY);
    if (known !== undefined) return known;
    const made = randomBytes(32).toString('hex');
    if (await this.#store.compareAndSet(KEY, undefined, made)) return made;
    return (await this.#store.get(KEY)) ?? made;
  }
}

function proof(key: string, id: string, until: number, owner: string): string {
  return createHmac('sha256', key).update(`${id}\n${until}\n${owner}`).digest('hex');
}
