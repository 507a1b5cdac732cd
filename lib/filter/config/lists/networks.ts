/** Network lists: clients by address, by confirmed name, by certificate. */
import { type Ip, parseIp } from '../../../ip.ts';
import { aLabels } from '../domains.ts';
import { DomainSet } from './domains.ts';
import type { Entries } from './files.ts';
import { badEntry, type ListKind, listKind, type Parts } from './list.ts';

/** What is known of a client. */
export interface ListedClient {
  readonly address?: string | undefined;
  /** Its forward-confirmed names; asked only if the list has names and nothing else decides. */
  readonly names?: () => readonly string[] | Promise<readonly string[]>;
  /** `{cert_subject}` of a certificate that the MTA verified, and of no other. */
  readonly certSubject?: string | undefined;
}

/** A list of clients. What its files hold may change between two questions. */
export interface NetworkList {
  /** Nothing is in it now. */
  readonly empty: boolean;
  /** Whether the client is in it: a promise only where its names must be asked. */
  has(client: ListedClient): boolean | Promise<boolean>;
  /** Whether an IP address is in it, by address alone. */
  hasAddress(address: string): boolean;
}

/** The entries of one list or file. Networks are looked up by prefix length, of which there are few. */
class NetworkSet implements Entries {
  readonly names = new DomainSet();
  readonly #networks: { readonly family: 4 | 6; readonly prefix: number; readonly keys: Set<string> }[] = [];
  readonly #certificates = new Set<string>();

  get empty(): boolean {
    return this.names.empty && this.#networks.length === 0 && this.#certificates.size === 0;
  }

  add(entry: string): void {
    if (entry.startsWith('cert:')) {
      if (!/^cert:.*[^\s=]$/.test(entry))
        throw badEntry(entry, 'names no certificate: write "cert:CN=relay.example.org"');
      this.#certificates.add(certificateKey(entry.slice(5)));
      return;
    }
    const [, text = '', digits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(entry) ?? [];
    const address = parseIp(text);
    if (address !== undefined) this.#addNetwork(entry, text, address, digits);
    else if (/^[\d.*?]*\d[\d.*?]*$/.test(entry)) {
      // As a name it would let in whoever calls his host 10.evil.example.
      throw badEntry(entry, 'is no network: write 192.0.2.1, or 192.0.2.0/24');
    } else if (/[/:]|(^|\.)\d+$/.test(entry)) throw badEntry(entry, 'is no network');
    else this.names.add(entry);
  }

  hasAddress(address: Ip): boolean {
    return this.#networks.some(
      ({ family, prefix, keys }) => family === address.family && keys.has(networkKey(address, prefix)),
    );
  }

  hasCertificate(subject: string): boolean {
    if (this.#certificates.size === 0) return false;
    return (
      this.#certificates.has(certificateKey(subject)) || this.#certificates.has(`CN=${commonName(subject)}`)
    );
  }

  #addNetwork(entry: string, text: string, address: Ip, digits: string | undefined): void {
    const most = address.family === 4 ? 32 : 128;
    // ::ffff:192.0.2.0/120 is 192.0.2.0/24.
    const shift = address.family === 4 && text.includes(':') ? 96 : 0;
    const prefix = digits === undefined ? most : Number(digits) - shift;
    if (prefix < 0 || prefix > most) throw badEntry(entry, `needs a prefix from ${shift} to ${most + shift}`);
    const key = networkKey(address, prefix);
    if (key !== networkKey(address, most)) {
      throw badEntry(entry, `has bits set beyond its first ${digits}: write the network's first address`);
    }
    const { family } = address;
    const alike = this.#networks.find((networks) => networks.family === family && networks.prefix === prefix);
    if (alike === undefined) this.#networks.push({ family, prefix, keys: new Set([key]) });
    else alike.keys.add(key);
  }
}

/** The first bits of an address, for comparison. */
function networkKey(address: Ip, prefix: number): string {
  const words = address.family === 4 ? [address.bits] : address.words;
  return words.map((word, i) => (word & mask(prefix - i * 32)) >>> 0).join();
}

/** A word with the first `bits` set. */
function mask(bits: number): number {
  // A shift by 32 would be one by 0.
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}

/** Common names are host names, without case; all else is compared as it is. */
function certificateKey(subject: string): string {
  const name = /^CN=([^/,]*)$/i.exec(subject)?.[1];
  return name === undefined ? subject : `CN=${name.toLowerCase()}`;
}

/**
 * The common name within a subject: Postfix's macro is just that, Sendmail's is the whole name, `/O=…/CN=…`. One with
 * several is not to be trusted for any.
 */
function commonName(subject: string): string {
  if (!subject.startsWith('/')) return subject.toLowerCase();
  const [only, another] = [...subject.matchAll(/\/CN=([^/]*)/gi)];
  return another === undefined ? (only?.[1] ?? '').toLowerCase() : '';
}

class Networks implements NetworkList {
  readonly #parts: Parts<NetworkSet>;

  constructor(parts: Parts<NetworkSet>) {
    this.#parts = parts;
  }

  get empty(): boolean {
    return this.#parts.every(({ entries }) => entries.empty);
  }

  has(client: ListedClient): boolean | Promise<boolean> {
    const { address, certSubject, names } = client;
    if (address !== undefined && this.hasAddress(address)) return true;
    if (certSubject && this.#parts.some(({ entries }) => entries.hasCertificate(certSubject))) return true;
    if (names === undefined || this.#parts.every(({ entries }) => entries.names.empty)) return false;
    const found = names();
    return found instanceof Promise ? found.then((list) => this.#hasName(list)) : this.#hasName(found);
  }

  hasAddress(text: string): boolean {
    const address = parseIp(text);
    return address !== undefined && this.#parts.some(({ entries }) => entries.hasAddress(address));
  }

  #hasName(names: readonly string[]): boolean {
    const domains = names.map(aLabels);
    return this.#parts.some(({ entries }) => domains.some((domain) => entries.names.has(domain)));
  }
}

/** A list of clients. Where the key is not given it is `otherwise`. */
export function networks(otherwise: readonly string[] = []): ListKind<NetworkList> {
  return listKind(
    'a list of networks, such as ["192.0.2.0/24", "2001:db8::/32", "*.mail.example.com", "file:PATH"]',
    NetworkSet,
    () => new NetworkSet(),
    (parts) => new Networks(parts),
    'Networks: "192.0.2.1", "192.0.2.0/24", "2001:db8::/32", "*.mail.example.com" (forward-confirmed PTR name), ' +
      '"cert:CN=relay.example.org" (a verified client certificate), "file:PATH" (one entry a line)',
    otherwise,
  );
}
