/**
 * Who was asked to confirm, and who has: what is remembered of first contacts, and the mail that asks.
 *
 * In the store: `pending/ID` what is to be confirmed; `outbox/ID` what is still to be asked; `met/PAIR` who has confirmed to whom.
 */
import {
  acquaintRole,
  type HeldFrom,
  heldMailRole,
  OutgoingError,
  ownMailRole,
  pairKey,
  type Services,
} from '../../kit.ts';
import { type Held, questionMail } from './question.ts';
import { confirmingAddress, idOf, Tokens } from './tokens.ts';

/** What is to be confirmed. */
export interface Pending extends Held {
  /** Envelope sender, without brackets. */
  readonly sender: string;
  /** Who asked for it, without brackets; the first one's address confirms. */
  readonly owners: readonly string[];
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** No sender is asked again within so many milliseconds, whoever it writes to. */
const ONCE = 30 * DAY;
/** Questions an hour for one of ours, and for all. */
const MOST_FOR_ONE = 20;
const MOST = 200;
/** Milliseconds after the last message that a sender is remembered who has confirmed. */
const MET = 400 * DAY;
/** Milliseconds for which a question that the mail server does not take is tried again. */
const ASK_FOR = DAY;
/** So many questions are tried again at a time. */
const MAX_AT_ONCE = 50;
const WAITING = 'waiting';
const SENDING = 'sending';

/** The first contacts of a configuration. */
export class Contacts {
  readonly tokens: Tokens;
  readonly #services: Services;
  readonly #expire: number;
  /** Up to which of those that wait it came, where there are many: those behind have their turn next. */
  #askedAgain: string | undefined;

  constructor(services: Services, expire: number) {
    this.#services = services;
    this.#expire = expire;
    this.tokens = new Tokens(services.store, services.now);
  }

  /** Whether a sender has confirmed to an owner. */
  async hasMet(owner: string, sender: string): Promise<boolean> {
    return (await this.#services.store.get(`met/${pairKey(owner, sender)}`)) !== undefined;
  }

  /** Remembers that. */
  async meet(owner: string, sender: string): Promise<void> {
    await this.#services.store.set(`met/${pairKey(owner, sender)}`, '1', { ttl: MET });
  }

  /** Asks a sender to confirm, if that may be. */
  async ask(pending: Pending): Promise<void> {
    const { store, log, metrics } = this.#services;
    const { sender, owners } = pending;
    const [owner = ''] = owners;
    const isWritable = /^[\x21-\x7e]{3,254}$/.test(sender);
    const { id, token } = await this.tokens.make(owner, this.#expire);
    const address = confirmingAddress(owner, token);
    const limits = [
      { key: `asked/${pairKey('', sender)}`, add: 1, most: 1, per: ONCE },
      { key: `asking/${pairKey(owner, '')}`, add: 1, most: MOST_FOR_ONE, per: HOUR },
      { key: 'asking', add: 1, most: MOST, per: HOUR },
    ];
    if (address === undefined || !isWritable || !(await store.admit(limits)).admitted) {
      metrics.count('confirm_questions_total', { outcome: 'held back' });
      log.info({ owner, sender }, 'a first message is held, and its sender is not asked (again)');
      return;
    }
    await store.batch([
      {
        call: 'set',
        key: `pending/${id}`,
        value: JSON.stringify({ ...pending, token }),
        // Longer than its token is good, so that nobody who is late is taken for one who has confirmed.
        keep: { ttl: this.#expire + 2 * HOUR },
      },
      { call: 'set', key: `outbox/${id}`, value: WAITING, keep: { ttl: ASK_FOR, listed: true } },
    ]);
    await this.#send(id);
  }

  /** Asks those whom the mail server would not take mail for before. */
  async askAgain(): Promise<void> {
    const waiting: string[] = [];
    const from = this.#askedAgain === undefined ? {} : { after: this.#askedAgain };
    this.#askedAgain = undefined;
    for await (const [key, value] of this.#services.store.scan('outbox/', { about: MAX_AT_ONCE, ...from })) {
      if (value === WAITING) waiting.push(key.slice('outbox/'.length));
      if (waiting.length < MAX_AT_ONCE) continue;
      this.#askedAgain = key;
      break;
    }
    for (const id of waiting) if (!(await this.#send(id))) return;
  }

  /** What a token is about, for whoever has it and no address; undefined where it is not good, or nothing is left to be confirmed. */
  async find(token: string): Promise<(Pending & { readonly id: string }) | undefined> {
    const id = idOf(token);
    const pending = await this.pending(id);
    const read = pending && (await this.tokens.read(token, pending.owners[0] ?? ''));
    return pending === undefined || read === undefined || read.isExpired ? undefined : { ...pending, id };
  }

  /** What is to be confirmed; undefined where it has been, or it is too late. */
  async pending(id: string): Promise<Pending | undefined> {
    const value = await this.#services.store.get(`pending/${id}`);
    return value === undefined ? undefined : (JSON.parse(value) as Pending);
  }

  /** The sender has confirmed: what is held comes, and the sender is known from now on. May be done again: nothing comes twice. */
  async confirm(id: string, { sender, owners }: Pending, finding: string, how: string): Promise<void> {
    const { store, metrics, log } = this.#services;
    for (const owner of owners) {
      await this.meet(owner, sender);
      await this.#services.role(acquaintRole)?.(owner, sender);
      const which: HeldFrom = { owner, sender, finding, by: `${sender} by ${how}` };
      const released = await this.#services.role(heldMailRole)?.(which);
      log.info({ owner, sender, released, how }, 'a sender has confirmed');
    }
    // Last: who dies before is asked again by the mail server, or the person.
    await store.delete(`pending/${id}`);
    metrics.count('confirm_confirmed_total', { how });
  }

  /** Resolves to whether the mail server can be asked for more. Rather none than two. */
  async #send(id: string): Promise<boolean> {
    const { store, log, metrics, now } = this.#services;
    const key = `outbox/${id}`;
    const value = await store.get(`pending/${id}`);
    const send = this.#services.role(ownMailRole);
    if (value === undefined || send === undefined) {
      await store.delete(key);
      return true;
    }
    if (!(await store.compareAndSet(key, WAITING, SENDING, { ttl: ASK_FOR }))) return true;
    const pending = JSON.parse(value) as Pending & { readonly token: string };
    const [owner = ''] = pending.owners;
    const address = confirmingAddress(owner, pending.token) ?? '';
    try {
      await send.send(
        questionMail({
          ...pending,
          address,
          link: send.link(`confirm.${pending.token}`),
          until: now() + this.#expire,
        }),
      );
      metrics.count('confirm_questions_total', { outcome: 'sent' });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      log.warn({ owner, sender: pending.sender, error: message }, 'a sender could not be asked to confirm');
      if (error instanceof OutgoingError && error.outcome === 'later') {
        await store.set(key, WAITING, { ttl: ASK_FOR, listed: true });
        return !error.isAway;
      }
      metrics.count('confirm_questions_total', { outcome: 'failed' });
    }
    await store.delete(key);
    return true;
  }
}
