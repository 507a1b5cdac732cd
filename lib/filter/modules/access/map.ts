/** All entries of a map, and how one is found: the longest that fits. */
import { isIP } from 'node:net';
import { parseAddress } from '../../../index.ts';
import { aLabels, BadValue, type Entries, type ListFile } from '../../kit.ts';
import { type AccessEntry, groupsOf, readEntry } from './entry.ts';

/** The entries of one file, or of the store. */
export class AccessMap implements Entries {
  readonly wholeLines = true;
  readonly #entries = new Map<string, AccessEntry>();

  /** @throws BadValue for what is no entry, or one about the same as another */
  add(line: string): void {
    const entry = readEntry(line);
    if (entry === undefined) return;
    const before = this.#entries.get(entry.key);
    if (before !== undefined && before.text !== entry.text)
      throw new BadValue(`says of "${entry.key}" something else than before`);
    this.#entries.set(entry.key, entry);
  }

  get(key: string): AccessEntry | undefined {
    return this.#entries.get(key);
  }

  /** The tags that occur. */
  tags(): ReadonlySet<string> {
    return new Set([...this.#entries.keys()].map((key) => key.slice(0, key.indexOf(':'))));
  }
}

/** The maps that are asked, the first one first. */
export type Maps = readonly (Pick<ListFile<AccessMap>, 'entries'> | undefined)[];

/**
 * The entry of the longest key that fits.
 * @param tags all of them are asked of one key before the next shorter one; the empty one is that of entries without a tag
 */
export function find(maps: Maps, tags: readonly string[], keys: readonly string[]): AccessEntry | undefined {
  for (const key of keys) {
    for (const tag of tags) {
      for (const map of maps) {
        const entry = map?.entries.get(`${tag}:${key}`);
        if (entry !== undefined) return entry.value.word === 'skip' ? undefined : entry;
      }
    }
  }
  return undefined;
}

/** Labels of a domain and octets of an address that are looked at; whoever has more is looked at by the last. */
const MAX_STEPS = 40;
/** No address or name that a mail server takes is longer, by far. */
const MAX_SUBJECT = 1_000;

/** What a subject may be found by, the longest first: an address, a domain, an IP address, with or without brackets. */
export function keysOf(subject: string): readonly string[] {
  if (subject === '<>') return [subject];
  const bare = /^<(.*)>$/s.exec(subject)?.[1] ?? subject;
  if (bare === '') return [];
  if (isIP(bare) !== 0) return ipKeys(bare);
  const isAddress = bare !== subject || bare.includes('@');
  const { local, domain } = isAddress ? parseAddress(subject) : { local: '', domain: '' };
  // Nobody gets by for being long: the end of a domain is what says whose it is.
  if (domain === '') return domainKeys(aLabels(bare.slice(-MAX_SUBJECT)));
  return addressKeys(local.toLowerCase(), aLabels(domain.slice(-MAX_SUBJECT)));
}

function addressKeys(local: string, domain: string): readonly string[] {
  const own = local.length > MAX_SUBJECT ? [] : [`${local}@${domain}`, `${local}@`];
  return [...own, ...domainKeys(domain)];
}

/** `example.com` means it and all below, `.example.com` only those below. */
function domainKeys(domain: string): readonly string[] {
  const labels = domain.split('.').slice(-MAX_STEPS);
  return [
    domain,
    ...labels.slice(1).flatMap((_, i) => {
      const parent = labels.slice(i + 1).join('.');
      return [`.${parent}`, parent];
    }),
  ];
}

function ipKeys(address: string): readonly string[] {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  const isV6 = mapped === undefined && address.includes(':');
  const parts = isV6 ? groupsOf(address) : (mapped ?? address).split('.');
  return parts.map((_, i) => parts.slice(0, parts.length - i).join(isV6 ? ':' : '.'));
}
