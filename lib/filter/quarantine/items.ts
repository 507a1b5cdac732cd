/**
 * The items of the quarantine in the store: each changes once and whole, together with what leads to it.
 *
 * `item/ID` is the item. `of/SHA256/ID` leads from a message to its items, `sending/ID` to those that are to be sent. Lists go by
 * `open/OWNER/TIME ID` and `over/OWNER/TIME ID`, the newest first, once for the owner and once for the owner's domain (hashes), and once
 * for all (`*`); the value is what a search looks into, the owner before all.
 */
import { createHash } from 'node:crypto';
import { aLabels } from '../config/domains.ts';
import type { Store, StoreCall } from '../store/store.ts';
import type { HeldItem, HeldPage, HeldQuery, HeldState } from './quarantine.ts';

/** How entries are kept: until they are forgotten with their files. */
const LISTED = { listed: true };
/** Of an item that is forgotten, in milliseconds: it is gone by then for all who look. */
const GONE = { ttl: 1 };
/** Two who change one item at once; more often than that something is wrong. */
const MAX_TRIES = 20;
const PAGE = 50;
const MAX_PAGE = 1_000;
/** Whoever owns more addresses is looked for among all. */
const MAX_OWNERS = 20;
/** Longer ones find nothing: no field of an item is. */
const MAX_SEARCHED = 200;
/** Times are kept as what is left to this, so that the newest comes first. */
const END_OF_TIME = 1e15;
const EVERYBODY = '*';

/** Those that wait for somebody. */
const OPEN_STATES: readonly HeldState[] = ['held', 'requested', 'releasing'];

/** Whether somebody still needs the message. */
export function isWanted({ state }: HeldItem): boolean {
  return OPEN_STATES.includes(state);
}

/** The items in their part of the store. Several processes may work in it at once. */
export class HeldItems {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  async get(id: string): Promise<HeldItem | undefined> {
    return parse(await this.#store.get(`item/${id}`));
  }

  /**
   * Changes an item, or makes it. Resolves to what it is then; undefined where nothing was to be done.
   * @param step gets the item as it is, and gives what it shall be; undefined: as it is. It may be called again
   */
  async change(
    id: string,
    step: (item: HeldItem | undefined) => HeldItem | undefined,
  ): Promise<HeldItem | undefined> {
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const present = await this.#store.get(`item/${id}`);
      const before = parse(present);
      const next = step(before);
      if (next === undefined) return undefined;
      const along = [...leadingTo(before).map(forget), ...leadingTo(next).map(lead)];
      if (await this.#store.compareAndSet(`item/${id}`, present, JSON.stringify(next), LISTED, along))
        return next;
    }
    throw new Error(`the quarantine's item ${id} changes all the time`);
  }

  /** Forgets an item that is still as it was. Resolves to whether it was. */
  async forget(item: HeldItem): Promise<boolean> {
    const key = `item/${item.id}`;
    const present = await this.#store.get(key);
    const before = parse(present);
    if (before === undefined || before.at !== item.at || before.state !== item.state) return false;
    return await this.#store.compareAndSet(key, present, '', GONE, leadingTo(before).map(forget));
  }

  /** Those whose id begins so. */
  async find(id: string): Promise<readonly HeldItem[]> {
    if (!/^[\da-f]{1,32}$/.test(id)) return [];
    const found: HeldItem[] = [];
    for await (const [, value] of this.#store.scan(`item/${id}`)) {
      const item = parse(value);
      if (item !== undefined) found.push(item);
    }
    return found;
  }

  /** All of them, in no order. */
  async *all(): AsyncGenerator<HeldItem> {
    for await (const [, value] of this.#store.scan('item/')) {
      const item = parse(value);
      if (item !== undefined) yield item;
    }
  }

  /** A page of those that fit, the newest first. */
  async page(query: HeldQuery): Promise<HeldPage> {
    const limit = Math.max(1, Math.min(MAX_PAGE, query.limit ?? PAGE));
    const ids: string[] = [];
    let last: string | undefined;
    for await (const [place, text] of this.#listed(query, limit + 1)) {
      if (query.owns?.(ownerIn(text)) === false) continue;
      if (ids.length === limit) {
        const items = await this.#items(ids);
        return { items, next: last };
      }
      ids.push(place.slice(-32));
      last = place;
    }
    return { items: await this.#items(ids), next: undefined };
  }

  /** How many wait, and the time of the oldest of them. */
  async count(): Promise<{ readonly open: number; readonly oldest: number | undefined }> {
    let open = 0;
    let last: string | undefined;
    // Larger pages than those of a plain scan.
    for await (const [key] of this.#store.scan(`open/${EVERYBODY}/`, { holding: '' })) {
      open++;
      last = key;
    }
    return { open, oldest: last === undefined ? undefined : END_OF_TIME - Number(last.slice(-47, -32)) };
  }

  /** Those that were held before a time. */
  async *olderThan(time: number): AsyncGenerator<HeldItem> {
    for (const list of ['open', 'over']) {
      const prefix = `${list}/${EVERYBODY}/`;
      for await (const [key] of this.#store.scan(prefix, { after: `${prefix}${timeKey(time)}` })) {
        const item = await this.get(key.slice(-32));
        if (item !== undefined) yield item;
      }
    }
  }

  /** Those that wait for the mail server. */
  async *sending(): AsyncGenerator<HeldItem> {
    for await (const [, id] of this.#store.scan('sending/')) {
      const item = await this.get(id);
      if (item !== undefined) yield item;
    }
  }

  /** Those of one message. */
  async *of(sha256: string): AsyncGenerator<HeldItem> {
    for await (const [, id] of this.#store.scan(`of/${sha256}/`)) {
      const item = await this.get(id);
      if (item !== undefined) yield item;
    }
  }

  /** Writes what leads to an item, where some of it is missing. Resolves to whether it was. */
  async list(item: HeldItem): Promise<boolean> {
    const leading = leadingTo(item);
    const there = await this.#store.batch(leading.map(({ key }) => ({ call: 'get' as const, key })));
    if (there.every((value) => value !== undefined)) return false;
    return (await this.change(item.id, (present) => present)) !== undefined;
  }

  async #items(ids: readonly string[]): Promise<readonly HeldItem[]> {
    const values = await this.#store.batch(ids.map((id) => ({ call: 'get' as const, key: `item/${id}` })));
    return values.flatMap((value) => parse(value) ?? []);
  }

  /** Places in lists and their texts, the newest first. */
  #listed(
    { owners, owns, text = '', which = 'open', after }: HeldQuery,
    about: number,
  ): AsyncGenerator<readonly [place: string, text: string]> {
    const lists = which === 'all' ? ['open', 'over'] : [which];
    const scopes =
      owners === undefined || owners.length > MAX_OWNERS
        ? [EVERYBODY]
        : [...new Set(owners.map((owner) => scopeOf(owner)))];
    const few = scopes[0] === EVERYBODY && owners !== undefined ? new Set(owners) : undefined;
    // Who is to be asked of each is given many at a time.
    const isSearch = text !== '' || owns !== undefined || few !== undefined;
    const holding = isSearch ? { holding: searched(text).slice(0, MAX_SEARCHED) } : {};
    const scans = lists.flatMap((list) =>
      scopes.map((scope) => {
        const prefix = `${list}/${scope}/`;
        const from = after === undefined ? {} : { after: prefix + after };
        return places(this.#store.scan(prefix, { ...holding, ...from, about }), prefix.length, few);
      }),
    );
    return inOrder(scans);
  }
}

async function* places(
  entries: AsyncIterable<readonly [string, string]>,
  skip: number,
  owners: ReadonlySet<string> | undefined,
): AsyncGenerator<readonly [string, string]> {
  for await (const [key, text] of entries) {
    const owner = ownerIn(text);
    if (owners === undefined || owners.has(owner) || owners.has(domainOf(owner)))
      yield [key.slice(skip), text];
  }
}

/** Several lists that are in order as one that is; what is in two of them comes once. */
async function* inOrder(
  lists: readonly AsyncGenerator<readonly [string, string]>[],
): AsyncGenerator<readonly [string, string]> {
  const heads = await Promise.all(
    lists.map(async (list) => ({ list, head: (await list.next()).value ?? undefined })),
  );
  for (let last = ''; ; ) {
    const [first] = heads
      .filter(({ head }) => head !== undefined)
      .sort((a, b) => ((a.head?.[0] ?? '') < (b.head?.[0] ?? '') ? -1 : 1));
    if (first?.head === undefined) return;
    if (first.head[0] !== last) yield first.head;
    [last] = first.head;
    first.head = (await first.list.next()).value ?? undefined;
  }
}

/** What stands in the store besides the item itself. */
function leadingTo(item: HeldItem | undefined): readonly { readonly key: string; readonly value: string }[] {
  if (item === undefined) return [];
  const { id, at, owner, sha256, state } = item;
  const list = isWanted(item) ? 'open' : 'over';
  const value = textOf(item);
  const domain = domainOf(owner);
  const scopes = [EVERYBODY, scopeOf(owner), ...(domain === '' ? [] : [scopeOf(domain)])];
  return [
    { key: `of/${sha256}/${id}`, value: id },
    ...scopes.map((scope) => ({ key: `${list}/${scope}/${timeKey(at)}${id}`, value })),
    ...(state === 'releasing' ? [{ key: `sending/${id}`, value: id }] : []),
  ];
}

function forget({ key }: { readonly key: string }): StoreCall {
  return { call: 'delete', key };
}

function lead({ key, value }: { readonly key: string; readonly value: string }): StoreCall {
  return { call: 'set', key, value, keep: LISTED };
}

/** What a search looks into. */
function textOf({ owner, from, subject, sender, findings }: HeldItem): string {
  return [owner, ...[sender, from, subject, findings.map(({ name }) => name).join(' ')].map(searched)].join(
    '\n',
  );
}

function ownerIn(text: string): string {
  return text.slice(0, text.indexOf('\n'));
}

/** `@example.com`. */
export function domainOf(owner: string): string {
  const at = owner.lastIndexOf('@');
  return at < 0 ? '' : `@${aLabels(owner.slice(at + 1))}`;
}

function searched(text: string): string {
  return text.normalize('NFC').toLowerCase().replaceAll('\n', ' ');
}

function timeKey(time: number): string {
  return String(END_OF_TIME - Math.floor(time)).padStart(15, '0');
}

/** Keys are to be short, and of a bounded length. */
function scopeOf(owner: string): string {
  return createHash('sha256').update(owner).digest('hex').slice(0, 24);
}

function parse(value: string | undefined): HeldItem | undefined {
  if (value === undefined || value === '') return undefined;
  try {
    return JSON.parse(value) as HeldItem;
  } catch {
    return undefined;
  }
}
