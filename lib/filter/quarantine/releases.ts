/**
 * Releases: a message goes to its owner by the mail server of `[outgoing]`, which is asked again until it takes it.
 *
 * Nothing is delivered twice, whoever dies and when: before the mail server gets the end of a message, the item says so. Who finds
 * it so later cannot know whether it was delivered: it is then held again, `doubtful`, and only a person sends it once more.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from '../../index.ts';
import { type Handing, OutgoingError, type OutgoingMail } from '../outgoing/mail.ts';
import { StoreError } from '../store/store.ts';
import type { Metrics } from '../watch/metrics.ts';
import type { HeldMail } from './held-mail.ts';
import { RELEASED_HEADER } from './mark.ts';
import type { HeldItem } from './quarantine.ts';

/** Sends a message, as `send` of outgoing.ts does. */
export type Deliver = (mail: OutgoingMail, handing: Handing) => Promise<void>;

/** What releases work with. */
export interface ReleasesParts {
  readonly held: HeldMail;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  readonly deliver: Deliver;
}

/** What came of a release. */
export type Released =
  | { readonly outcome: 'released'; readonly item: HeldItem }
  /** It did not take it yet, and is asked again. `fault`: what it said, where it was asked. `isAway`: so it is for all others too. */
  | {
      readonly outcome: 'waiting';
      readonly item: HeldItem;
      readonly fault: string | undefined;
      readonly isAway?: boolean;
    }
  /** It does not take it; or nobody knows whether it did: then the item is `doubtful`. It is held. */
  | { readonly outcome: 'failed'; readonly item: HeldItem; readonly fault: string };

/** Milliseconds after which somebody who was at it has died of it: before the message was handed over, and from then on. */
const LEASE = 3 * 60_000;
const HANDED_LEASE = 11 * 60_000;
/** Milliseconds until the mail server is asked again: twice as long each time, up to an hour. */
const FIRST_PAUSE = 60_000;
const LONGEST_PAUSE = 3_600_000;
/** Milliseconds after which it is not asked any more. */
const GIVE_UP = 5 * 86_400_000;
const MAX_FAULT = 500;
/** How often, and how many milliseconds apart, it is tried to record that a message was taken. */
const RECORD_TRIES = 60;
const RECORD_PAUSE = 1_000;

/** Who has begun to send something that another has taken over. */
class Overtaken extends Error {
  override readonly message = 'it took too long, and somebody else is at it';
}

/** The releases of a quarantine. Several processes may work on them at once. */
export class Releases {
  readonly #parts: ReleasesParts;
  #working: Promise<void> | undefined;
  /** Somebody has asked since it last began to look. */
  #isWanted = false;
  #stopped = false;

  constructor(parts: ReleasesParts) {
    this.#parts = parts;
  }

  /**
   * Has an item sent: from then on it is sent until the mail server takes it. Undefined where it does not wait for that: somebody
   * else was first, or it may have been delivered already.
   * @param again even if it may have been delivered already
   */
  async begin(item: HeldItem, by: string, { again = false } = {}): Promise<HeldItem | undefined> {
    await this.#recover(item);
    const { now, held } = this.#parts;
    return await held.items.change(item.id, (present) => {
      const waits = present?.state === 'held' || present?.state === 'requested';
      if (!waits || held.isOver(present) || (present.doubtful === true && !again)) return undefined;
      return {
        ...present,
        state: 'releasing',
        by,
        changed: now(),
        fault: undefined,
        doubtful: undefined,
        sending: { since: now(), tries: 0, due: now() },
      };
    });
  }

  /**
   * Sends an item that is to be sent, if it is its time and nobody else is at it.
   * @param deliver in place of the mail server, which then is not asked later either
   */
  async attempt(item: HeldItem, deliver?: Deliver): Promise<Released> {
    const { held, now } = this.#parts;
    await this.#recover(item);
    // Another machine's to send; who wants it elsewhere than in the mail is told.
    if (deliver === undefined && !(await held.isHere(item))) return await this.#standing(item);
    const id = randomUUID();
    const taken = await held.items.change(item.id, (present) =>
      present?.state === 'releasing' && present.sending !== undefined && present.sending.attempt === undefined
        ? {
            ...present,
            sending: {
              ...present.sending,
              tries: present.sending.tries + 1,
              attempt: { id, until: now() + LEASE, handed: false },
            },
          }
        : undefined,
    );
    if (taken === undefined) return await this.#standing(item);
    const handing: Handing = async () => {
      const until = now() + HANDED_LEASE;
      const handed = await this.#mine(taken, id, (present) => ({
        ...present,
        sending: present.sending && { ...present.sending, attempt: { id, until, handed: true } },
      }));
      if (handed === undefined) throw new Overtaken();
    };
    try {
      if (!(await held.isHere(taken))) throw new OutgoingError('later', `its message is on ${taken.host}`);
      const mark = Buffer.from(`${RELEASED_HEADER}: ${await held.marks.make(taken.id, taken.owner)}\r\n`);
      const message = Buffer.concat([mark, await held.read(taken)]);
      await (deliver ?? this.#parts.deliver)(
        { sender: taken.sender, recipient: taken.recipient, message },
        handing,
      );
    } catch (error) {
      return await this.#failed(taken, id, error, deliver === undefined);
    }
    const released = await this.#record(taken, id);
    await held.letGo(taken.sha256);
    this.#parts.metrics.count('quarantine_released_total');
    return released === undefined ? await this.#standing(taken) : { outcome: 'released', item: released };
  }

  /** What is delivered must be known, even if the store is away for a moment. */
  async #record(item: HeldItem, id: string): Promise<HeldItem | undefined> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#mine(item, id, (present) => ({
          ...present,
          state: 'released',
          changed: this.#parts.now(),
          sending: undefined,
          fault: undefined,
        }));
      } catch (error) {
        if (tries === RECORD_TRIES || !(error instanceof StoreError)) throw error;
        await setTimeout(RECORD_PAUSE);
      }
    }
  }

  /** Sends what is due. Calls that come while it is under way have it look once more, for what was begun since. */
  work(): Promise<void> {
    this.#isWanted = true;
    this.#working ??= this.#workWhileWanted().finally(() => {
      this.#working = undefined;
    });
    return this.#working;
  }

  async #workWhileWanted(): Promise<void> {
    while (this.#isWanted) {
      this.#isWanted = false;
      await this.#work();
    }
  }

  /** Begins nothing more, and waits for what is under way. */
  async close(): Promise<void> {
    this.#stopped = true;
    await this.#working;
  }

  async #work(): Promise<void> {
    const { held, now, log, metrics } = this.#parts;
    let waiting = 0;
    let isAway = false;
    for await (const item of held.items.sending()) {
      if (this.#stopped) return;
      waiting++;
      const recovered = await this.#recover(item);
      const { sending } = recovered ?? item;
      const isDue = sending !== undefined && sending.attempt === undefined && sending.due <= now();
      if (!isDue || isAway || !(await held.isHere(item))) continue;
      const released = await this.attempt(item);
      if (released.outcome === 'released') waiting--;
      else if (released.outcome === 'waiting' && released.fault !== undefined) {
        isAway = released.isAway === true;
        log.warn({ item: item.id, fault: released.fault }, 'a released message is not taken yet');
      }
    }
    metrics.gauge('quarantine_releasing', waiting);
  }

  /** What a release came to that is in other hands. */
  async #standing(item: HeldItem): Promise<Released> {
    const present = (await this.#parts.held.items.get(item.id)) ?? item;
    if (present.state === 'released') return { outcome: 'released', item: present };
    if (present.state === 'releasing') return { outcome: 'waiting', item: present, fault: present.fault };
    return { outcome: 'failed', item: present, fault: present.fault ?? `it is ${present.state}` };
  }

  async #failed(item: HeldItem, id: string, error: unknown, isAskedAgain: boolean): Promise<Released> {
    const { now, log, metrics } = this.#parts;
    if (error instanceof Overtaken) return await this.#standing(item);
    const fault = (error instanceof Error ? error.message : String(error)).slice(0, MAX_FAULT);
    const came =
      error instanceof OutgoingError ? error.outcome : error instanceof StoreError ? 'later' : 'never';
    const outcome = came === 'later' && !isAskedAgain ? 'never' : came;
    const failed = await this.#mine(item, id, (present) => afterFailure(present, outcome, fault, now()));
    if (failed === undefined) return await this.#standing(item);
    if (failed.state === 'releasing') {
      const isAway = error instanceof OutgoingError ? error.isAway : true;
      return { outcome: 'waiting', item: failed, fault, isAway };
    }
    metrics.count('quarantine_release_failures_total');
    log.error(
      { item: item.id, owner: item.owner, doubtful: failed.doubtful, fault },
      'a message could not be released, and is held',
    );
    return { outcome: 'failed', item: failed, fault };
  }

  /** An attempt whose process has died counts as what it surely was. */
  async #recover(item: HeldItem): Promise<HeldItem | undefined> {
    const { held, now, log } = this.#parts;
    const recovered = await held.items.change(item.id, (present) => {
      const attempt = present?.sending?.attempt;
      if (present?.state !== 'releasing' || attempt === undefined || attempt.until > now()) return undefined;
      const died = 'whoever sent it ended in the middle';
      return afterFailure(present, attempt.handed ? 'unknown' : 'later', died, now(), true);
    });
    if (recovered?.doubtful === true)
      log.error(
        { item: item.id, owner: item.owner },
        'a release was cut off while the mail server took the message: it may have been delivered, and is held',
      );
    return recovered;
  }

  /** Changes an item if this attempt still has it. */
  #mine(
    { id }: HeldItem,
    attempt: string,
    to: (present: HeldItem) => HeldItem,
  ): Promise<HeldItem | undefined> {
    return this.#parts.held.items.change(id, (present) =>
      present?.state === 'releasing' && present.sending?.attempt?.id === attempt ? to(present) : undefined,
    );
  }
}

function afterFailure(
  item: HeldItem,
  outcome: OutgoingError['outcome'],
  fault: string,
  now: number,
  atOnce = false,
): HeldItem {
  const { sending } = item;
  if (outcome === 'later' && sending !== undefined && now - sending.since < GIVE_UP) {
    const pause = atOnce ? 0 : Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (sending.tries - 1));
    return { ...item, fault, sending: { since: sending.since, tries: sending.tries, due: now + pause } };
  }
  const doubtful = outcome === 'unknown' ? true : undefined;
  return { ...item, state: 'held', changed: now, fault, doubtful, sending: undefined };
}
