/**
 * The addresses that users give to their forwarders, `user+SECRET@fwd.example.org`: each for one forwarder. Most are in the store;
 * those of a user's own file are made of what stands in it.
 *
 * In the store: `alias/USER/SECRET`, and `use/USER/SECRET` for how often it was used.
 */
import { randomBytes } from 'node:crypto';
import { parseAddress } from '../../../index.ts';
import { aLabels, base32, isDomain, isSame, type Store, storedProof } from '../../kit.ts';
import type { OwnFiles } from './own-files.ts';

/** An address for one forwarder. */
export interface Alias {
  /** Without brackets. */
  readonly address: string;
  /** Whose it is, without brackets. */
  readonly to: string;
  /** As A-labels. */
  readonly forwarder: string;
  /** When it was made, in milliseconds since 1970; undefined: it is of the user's own file. */
  readonly made?: number | undefined;
}

/** How often an address was used. */
export interface Use {
  readonly count: number;
  /** In milliseconds since 1970. */
  readonly last: number;
}

/** The address cannot be given, and why: a sentence. */
export class AliasError extends Error {
  override readonly name: string = 'AliasError';
}

/** 80 bits. */
const SECRET_LENGTH = 16;
const FORM = /^(.+)\+([a-z2-7]{16})$/i;
/** RFC 5321 section 4.5.3.1.1. */
const MAX_LOCAL = 64;
/** What needs no quotes; a slash would part the keys of the store. */
const USER = /^[\w.!#$%&'*+=?^`{|}~-]+$/;
const MAX_ALIASES = 100;
/** Milliseconds after its last use that it is known how often an address was used. */
const USE_KEPT = 400 * 86_400_000;
/** Uses at the same moment, one of which may remain uncounted. */
const COUNT_TRIES = 5;

/** What they are made with. */
export interface AliasParts {
  readonly store: Store;
  readonly now: () => number;
  /** Of all these addresses. */
  readonly domain: string;
  /** Of users who are named without one. */
  readonly userDomain: string;
  readonly files: OwnFiles | undefined;
}

/** The addresses of a configuration. */
export class Aliases {
  readonly #parts: AliasParts;

  constructor(parts: AliasParts) {
    this.#parts = parts;
  }

  /** Whether an address is in the domain of these addresses, known or not. */
  isHere(recipient: string): boolean {
    return aLabels(parseAddress(recipient).domain) === this.#parts.domain;
  }

  /** The address that this recipient is; undefined where there is none. */
  async find(recipient: string): Promise<Alias | undefined> {
    const { local } = parseAddress(recipient);
    const [, user = '', secret = ''] = local.length > MAX_LOCAL ? [] : (FORM.exec(local.toLowerCase()) ?? []);
    if (!USER.test(user)) return undefined;
    const stored = await this.#parts.store.get(`alias/${user}/${secret}`);
    if (stored !== undefined) return JSON.parse(stored) as Alias;
    const address = `${user}+${secret}@${this.#parts.domain}`;
    return (await this.#ofFile(user)).find((one) => isSame(one.address, address));
  }

  /**
   * Makes one.
   * @param user an address, or the name of a user
   * @throws AliasError where it cannot be
   */
  async add(user: string, forwarder: string): Promise<Alias> {
    const { store, domain, now } = this.#parts;
    const { local, to } = this.#read(user);
    const by = aLabels(forwarder);
    if (!isDomain(by) || !by.includes('.'))
      throw new AliasError(`"${forwarder}" is no domain of a forwarder, such as alumni.example`);
    if ((await this.#stored(local)).length >= MAX_ALIASES)
      throw new AliasError(`${local} has ${MAX_ALIASES} addresses already: remove those that are not used`);
    const secret = base32(randomBytes(10), SECRET_LENGTH);
    const alias = { address: `${local}+${secret}@${domain}`, to, forwarder: by, made: now() };
    await store.set(`alias/${local}/${secret}`, JSON.stringify(alias), { listed: true });
    return alias;
  }

  /** Takes out a user's addresses for a forwarder. Resolves to those that there were. */
  async remove(user: string, forwarder: string): Promise<readonly Alias[]> {
    const by = aLabels(forwarder);
    const { local, to } = this.#read(user);
    const gone = (await this.#stored(local)).filter((one) => one.forwarder === by && one.to === to);
    for (const { address } of gone) {
      const [secret = ''] = address.slice(local.length + 1).split('@');
      await this.#parts.store.batch([
        { call: 'delete', key: `alias/${local}/${secret}` },
        { call: 'delete', key: `use/${local}/${secret}` },
      ]);
    }
    return gone;
  }

  /** Those of a user, or, but for those of files, all. */
  async list(user?: string): Promise<readonly Alias[]> {
    if (user === undefined) return await this.#stored();
    const { local, to } = this.#read(user);
    const all = [...(await this.#stored(local)), ...(await this.#ofFile(local))];
    return all.filter((one) => one.to === to);
  }

  /** How often one was used; undefined: never, or long ago. */
  async useOf({ address }: Alias): Promise<Use | undefined> {
    const value = await this.#parts.store.get(useKey(address));
    return value === undefined ? undefined : (JSON.parse(value) as Use);
  }

  /** Counts that one was used. */
  async used({ address }: Alias): Promise<void> {
    const { store, now } = this.#parts;
    const key = useKey(address);
    for (let tries = 0; tries < COUNT_TRIES; tries++) {
      const before = await store.get(key);
      const count = before === undefined ? 0 : (JSON.parse(before) as Use).count;
      const use: Use = { count: count + 1, last: now() };
      if (await store.compareAndSet(key, before, JSON.stringify(use), { ttl: USE_KEPT })) return;
    }
  }

  async #stored(local?: string): Promise<readonly Alias[]> {
    const aliases: Alias[] = [];
    const prefix = local === undefined ? 'alias/' : `alias/${local}/`;
    for await (const [, value] of this.#parts.store.scan(prefix)) aliases.push(JSON.parse(value) as Alias);
    return aliases;
  }

  async #ofFile(user: string): Promise<readonly Alias[]> {
    const { files, store, domain, userDomain } = this.#parts;
    const lines = (await files?.read(user)) ?? [];
    return await Promise.all(
      lines.map(async ({ forwarder, word }) => {
        const secret = base32(await storedProof(store, [user, forwarder, word]), SECRET_LENGTH);
        return { address: `${user}+${secret}@${domain}`, to: `${user}@${userDomain}`, forwarder };
      }),
    );
  }

  #read(user: string): { readonly local: string; readonly to: string } {
    const { local, domain } = parseAddress(user);
    const name = local.toLowerCase();
    const host = aLabels(domain === '' ? this.#parts.userDomain : domain);
    if (/[\s"<>()\\]|@$/.test(user) || !USER.test(name) || !isDomain(host))
      throw new AliasError(
        `"${user}" is no user: write ann or ann@example.com, without spaces, quotes or slashes`,
      );
    const most = MAX_LOCAL - SECRET_LENGTH - 1;
    if (name.length > most)
      throw new AliasError(
        `"${name}" has ${name.length} characters: with the secret, ${most} are the most before the @`,
      );
    return { local: name, to: `${local}@${host}` };
  }
}

function useKey(address: string): string {
  const { local } = parseAddress(address);
  const plus = local.lastIndexOf('+');
  return `use/${local.slice(0, plus)}/${local.slice(plus + 1)}`;
}
