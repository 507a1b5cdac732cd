/** Address lists. */
import { parseAddress } from '../../../index.ts';
import { show } from '../../../options.ts';
import { aLabels, isDomain } from '../domains.ts';
import type { Kind } from '../kind.ts';
import { type Ours, reading } from '../reading.ts';
import { z } from '../zod.ts';
import { DomainSet } from './domains.ts';
import type { Entries } from './files.ts';
import { isGlob, matchesGlob } from './glob.ts';
import { badEntry, type ListKind, listKind, type Parts } from './list.ts';

/** A list of addresses and domains. What its files hold may change between two questions. */
export interface AddressList {
  /** Nothing is in it now. */
  readonly empty: boolean;
  /** Whether an address is in it, with angle brackets or without; `<>` is the null sender. */
  has(address: string): boolean;
  /** Whether a whole domain is in it, by its name, a domain above or a glob. Also for host names. */
  hasDomain(domain: string): boolean;
}

/** One entry. */
export interface AddressEntry extends AddressList {
  /** As it was written, in lower case. */
  readonly text: string;
}

/** An address as lists compare it. */
interface Mailbox {
  /** Without unneeded quotes; empty for the null sender. */
  readonly local: string;
  /** A-labels; empty where there is none. */
  readonly domain: string;
}

/** No address that a mail server takes is longer (RFC 5321 section 4.5.3.1), by far. */
export const MAX_ADDRESS = 2_000;

let last: { readonly text: string; readonly mailbox: Mailbox } | undefined;

/** Takes an address apart, brackets and all. */
export function mailboxOf(text: string): Mailbox {
  // One address is asked of many lists in turn.
  if (last?.text === text) return last.mailbox;
  const { local, domain } = parseAddress(text);
  const mailbox = { local, domain: aLabels(domain) };
  last = { text, mailbox };
  return mailbox;
}

/** `"a b"` and `a\ b` are the same mailbox as `a b` (RFC 5321 section 4.1.2). */
function unquoted(local: string): string {
  const inner = local.length > 1 && local.startsWith('"') && local.endsWith('"') ? local.slice(1, -1) : local;
  return inner.includes('\\') ? inner.replace(/\\(.)/gs, '$1') : inner;
}

/** A local part as our own domains compare it. */
function folded(local: string): string {
  return local.normalize('NFC').toLowerCase().normalize('NFC');
}

interface AddressGlob {
  readonly local: string;
  readonly domains: DomainSet | undefined;
}

/** The entries of one list or file. */
export class AddressSet implements Entries {
  readonly domains = new DomainSet();
  #nullSender = false;
  /** `local@domain`, and `local@` for that local part anywhere: as written, and folded. */
  readonly #exact = new Set<string>();
  readonly #folded = new Set<string>();
  readonly #globs: AddressGlob[] = [];

  get empty(): boolean {
    return !this.#nullSender && this.#exact.size === 0 && this.#globs.length === 0 && this.domains.empty;
  }

  add(entry: string): void {
    if (entry === '<>') {
      this.#nullSender = true;
      return;
    }
    const at = entry.lastIndexOf('@');
    if (/[\s<>,;\p{Cc}]/u.test(entry) && !entry.startsWith('"')) {
      throw badEntry(entry, 'is no address: write user@example.com alone');
    }
    const local = unquoted(entry.slice(0, Math.max(at, 0)));
    const domain = entry.slice(at + 1);
    if (at === 0) throw badEntry(entry, `has nothing before the @: write "${domain}" for the domain`);
    if (at < 0 || (local === '*' && domain !== '')) this.domains.add(domain);
    else if (isGlob(local) || isGlob(domain)) this.#addGlob(local, domain);
    else this.#addMailbox(entry, local, domain);
  }

  has({ local, domain }: Mailbox, ours: Ours): boolean {
    if (local === '') return this.#nullSender && domain === '';
    if (domain !== '' && this.domains.has(domain)) return true;
    if (this.#exact.has(`${local}@${domain}`) || this.#exact.has(`${local}@`)) return true;
    if (this.#folded.size + this.#globs.length === 0) return false;
    // An address without a domain is one of this machine.
    const isOurs = domain === '' || ours.has(domain);
    const fold = folded(local);
    if (isOurs && (this.#folded.has(`${fold}@${domain}`) || this.#folded.has(`${fold}@`))) return true;
    return this.#globs.some(
      (glob) =>
        (isOurs ? matchesGlob(folded(glob.local), fold) : matchesGlob(glob.local, local)) &&
        (glob.domains?.has(domain) ?? true),
    );
  }

  #addMailbox(entry: string, local: string, domain: string): void {
    const name = aLabels(domain);
    if (name !== '' && !isDomain(name) && !/^\[[0-9a-f.:]+(ipv6:[0-9a-f.:]+)?\]$/.test(name)) {
      throw badEntry(entry, `is no address: ${show(domain)} is no domain`);
    }
    this.#exact.add(`${local}@${name}`);
    this.#folded.add(`${folded(local)}@${name}`);
  }

  #addGlob(local: string, domain: string): void {
    const domains = domain === '' ? undefined : new DomainSet();
    domains?.add(domain);
    this.#globs.push({ local, domains });
  }
}

class Addresses implements AddressList {
  readonly #parts: Parts<AddressSet>;
  readonly #ours: Ours;

  constructor(parts: Parts<AddressSet>, ours: Ours) {
    this.#parts = parts;
    this.#ours = ours;
  }

  get empty(): boolean {
    return this.#parts.every(({ entries }) => entries.empty);
  }

  has(address: string): boolean {
    if (address.length > MAX_ADDRESS) return false;
    const mailbox = mailboxOf(address);
    return this.#parts.some(({ entries }) => entries.has(mailbox, this.#ours));
  }

  hasDomain(domain: string): boolean {
    if (domain.length > MAX_ADDRESS) return false;
    const name = aLabels(domain);
    return this.#parts.some(({ entries }) => entries.domains.has(name));
  }
}

/** A list of addresses and domains. Where the key is not given it is `otherwise`. */
export function addresses(otherwise: readonly string[] = []): ListKind<AddressList> {
  return listKind(
    'a list of addresses, such as ["user@example.com", "example.com", "file:PATH"]',
    AddressSet,
    () => new AddressSet(),
    (parts) => new Addresses(parts, reading().ours),
    'Addresses: "user@example.com", "example.com" (just that domain), ".example.com" (it and all below), "user@" ' +
      '(anywhere), "*@*.example.net" (glob), "<>" (the null sender), "file:PATH" (one entry a line)',
    otherwise,
  );
}

/** One entry of an address list, where there can be only one. */
export function addressEntry(): Kind<AddressEntry, string> {
  const list = addresses().unwrap();
  return z.string().transform((text, context) => {
    const { data, error } = list.safeParse([text]);
    if (data !== undefined) return Object.assign(data, { text: text.toLowerCase() });
    for (const { message } of error.issues) context.issues.push({ code: 'custom', message, input: text });
    return z.NEVER;
  });
}
