/**
 * "Always allow this sender": whose mail a recipient wants, whatever is found in it. An address alone proves nothing, so an entry
 * names who must vouch for it: it counts only for mail in which the address's own domain does, by DKIM or SPF.
 *
 * In the store: `OWNER/KIND:ADDRESS`, the owner as a hash.
 */
import { createHash } from 'node:crypto';
import { type Milter, parseAddress } from '../../index.ts';
import { aLabels } from '../config/domains.ts';
import { authFact, spfKnownFact } from '../facts.ts';
import { comparableAddress } from '../mail/comparable.ts';
import { readMailboxes } from '../mail/mailboxes.ts';
import type { Store } from '../store/store.ts';

/** Who a sender is, and what was proved of it. */
export interface Identity {
  /** `from`: the From header, vouched for by DKIM, or by SPF of the same domain. `sender`: the envelope sender, by SPF. */
  readonly kind: 'from' | 'sender';
  /** Without brackets, as addresses are compared. */
  readonly address: string;
}

/** A sender whose mail a recipient wants. */
export interface AllowedSender extends Identity {
  /** Whose entry it is. */
  readonly owner: string;
  /** Who wrote it. */
  readonly by: string;
  /** When, in milliseconds since 1970. */
  readonly at: number;
}

/** More entries of one owner are no choice any more. */
const MAX_ENTRIES = 1_000;
/** Longer addresses are none (RFC 5321 section 4.5.3.1). */
const MAX_ADDRESS = 320;

/** The entries of all owners. */
export class AllowedSenders {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Writes an entry.
   * @throws RangeError where the owner has too many
   */
  async add(entry: AllowedSender): Promise<void> {
    let count = 0;
    for await (const one of this.list(entry.owner)) if (!isSame(one, entry)) count++;
    if (count >= MAX_ENTRIES) throw new RangeError(`${entry.owner} allows ${count} senders already`);
    await this.#store.set(keyOf(entry.owner, entry), JSON.stringify(entry), { listed: true });
  }

  /** Takes one out. Resolves to whether there was one. */
  async remove(owner: string, identity: Identity): Promise<boolean> {
    const key = keyOf(owner, identity);
    const [before] = await this.#store.batch([
      { call: 'get', key },
      { call: 'delete', key },
    ]);
    return before !== undefined;
  }

  /** Those of an owner, or all. */
  async *list(owner?: string): AsyncGenerator<AllowedSender> {
    for await (const [, value] of this.#store.scan(owner === undefined ? '' : `${hash(owner)}/`)) {
      yield JSON.parse(value) as AllowedSender;
    }
  }

  /** Which of these owners allow one of the identities. */
  async allowing(owners: readonly string[], identities: readonly Identity[]): Promise<ReadonlySet<string>> {
    const asked = owners.flatMap((owner) => identities.map((identity) => ({ owner, identity })));
    const found = await this.#store.batch(
      asked.map(({ owner, identity }) => ({ call: 'get' as const, key: keyOf(owner, identity) })),
    );
    return new Set(asked.filter((_, index) => found[index] !== undefined).map(({ owner }) => owner));
  }
}

/** Who a message's sender is, as far as that is proved; what is proved better comes first. */
export function provedIdentities(milter: Milter): readonly Identity[] {
  const identities: Identity[] = [];
  const { message } = milter;
  const auth = authFact.get(milter);
  const { check } = spfKnownFact.get(milter);
  const passes =
    check?.result === 'pass' && check.identity === 'mailfrom' ? aLabels(check.domain) : undefined;
  const fields = message.headers.getAll('From');
  const [from, ...others] = fields.flatMap(({ value }) => readMailboxes(value));
  // Of several readers show whichever they like.
  if (fields.length === 1 && from !== undefined && others.length === 0) {
    const { domain } = parseAddress(from.address);
    const vouchers = [...(auth?.dkim ?? []), ...(passes === undefined ? [] : [passes])];
    if (domain !== '' && (auth?.aligned === true || vouchers.some((one) => vouchesFor(one, domain))))
      identities.push({ kind: 'from', address: comparableAddress(from.address) });
  }
  const sender = parseAddress(message.sender);
  if (passes !== undefined && aLabels(sender.domain) === passes)
    identities.push({ kind: 'sender', address: comparableAddress(sender.address) });
  return identities.filter(({ address }) => address.length <= MAX_ADDRESS);
}

/** Whether a domain speaks for another: it is that one, or above it. */
function vouchesFor(voucher: string, domain: string): boolean {
  const [one, other] = [aLabels(voucher), aLabels(domain)];
  return one === other || (one.includes('.') && other.endsWith(`.${one}`));
}

function isSame(one: Identity, other: Identity): boolean {
  return one.kind === other.kind && one.address === other.address;
}

function keyOf(owner: string, { kind, address }: Identity): string {
  return `${hash(owner)}/${kind}:${hash(address)}`;
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
