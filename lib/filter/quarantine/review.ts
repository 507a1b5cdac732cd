/**
 * What people may do with held messages, for the command, the page and the links of a digest alike: who may do what, and one line
 * of the log for everything that is done.
 */
import type { Logger } from '../../index.ts';
import type { Settings } from '../config/schema.ts';
import type { Learner } from '../facts.ts';
import { canSend } from '../outgoing/outgoing.ts';
import { isSame } from '../stored-key.ts';
import type { Metrics } from '../watch/metrics.ts';
import type { AllowedSender, AllowedSenders, Identity } from './allowed.ts';
import type { HeldMail } from './held-mail.ts';
import { domainOf } from './items.ts';
import type { HeldItem, HeldPage, HeldQuery } from './quarantine.ts';
import type { Deliver, Released, Releases } from './releases.ts';

/** Who looks after held messages. */
export interface Reviewer {
  /** For the log, and for who asks who did it. */
  readonly name: string;
  /** May see everybody's messages, and release what is dangerous. */
  readonly isAdmin: boolean;
  /**
   * Whose messages they are, as addresses are compared, where that can be listed: addresses, or `@example.com` for all of a domain; undefined: those
   * of whom `owns` is true.
   */
  readonly owners?: readonly string[] | undefined;
  /** Whether an owner's messages are theirs; not asked of administrators. @default by `owners` */
  readonly owns?: ((owner: string) => boolean) | undefined;
  /** Where they are, for the log. */
  readonly client?: string | undefined;
}

/** What a link of a digest is for. */
export const LINK_ACTIONS = ['show', 'release', 'delete'] as const;
/** What a link of a digest is for. */
export type LinkAction = (typeof LINK_ACTIONS)[number];

/** Why something was not done, in a sentence for whoever wanted it. */
export class ReviewError extends Error {
  override readonly name: string = 'ReviewError';
  /** `gone`: there is no such message, or it is not theirs; `forbidden`; `late`: somebody was first; `cannot`: the set-up lacks something. */
  readonly code: 'gone' | 'forbidden' | 'late' | 'cannot';

  constructor(code: ReviewError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** What came of {@link Review.train}. */
export interface Trained {
  /** The names of those who learned it. */
  readonly learned: readonly string[];
  /** Who could not, and why. */
  readonly failed: readonly { readonly name: string; readonly fault: string }[];
}

/** What a review works with. */
export interface ReviewParts {
  readonly held: HeldMail;
  readonly releases: Releases;
  readonly allowed: AllowedSenders;
  readonly learners: () => readonly Learner[];
  readonly outgoing: Settings['outgoing'];
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
}

/** How a message is released. */
export interface ReleaseOptions {
  /** Even if it may have been delivered already. @default false */
  readonly again?: boolean;
  /** In place of `[outgoing]`. */
  readonly deliver?: Deliver;
  /** Whether to wait for the mail server's first answer. @default true */
  readonly wait?: boolean;
}

const MARK_LENGTH = 32;

/** Looks after held messages. Where something cannot be done its methods reject with {@link ReviewError}. */
export class Review {
  readonly #parts: ReviewParts;

  constructor(parts: ReviewParts) {
    this.#parts = parts;
  }

  /** A page of a reviewer's messages, the newest first. */
  async list(who: Reviewer, query: Omit<HeldQuery, 'owners' | 'owns'> = {}): Promise<HeldPage> {
    const owns = (owner: string): boolean => isTheirs(who, { owner });
    const whose = who.isAdmin ? {} : who.owners === undefined ? { owns } : { owners: who.owners };
    return await this.#parts.held.page({ ...query, ...whose });
  }

  /** One message of theirs, by its whole id. */
  async get(who: Reviewer, id: string): Promise<HeldItem> {
    const item = /^[\da-f]{32}$/.test(id) ? await this.#parts.held.items.get(id) : undefined;
    if (item === undefined || this.#parts.held.isOver(item) || !isTheirs(who, item))
      throw new ReviewError('gone', 'There is no such message');
    return item;
  }

  /** The message itself, as it was received. */
  async read(who: Reviewer, id: string): Promise<Buffer> {
    const item = await this.get(who, id);
    this.#log(who, 'view', item);
    return await this.#message(item);
  }

  /** Whether they may release it; else they may {@link request} that somebody does. */
  mayRelease(who: Reviewer, item: HeldItem): boolean {
    return who.isAdmin || item.guarded !== true;
  }

  /** Has it sent to its owner. */
  async release(who: Reviewer, id: string, options: ReleaseOptions = {}): Promise<Released> {
    const { again = false, deliver, wait = true } = options;
    const { releases, outgoing } = this.#parts;
    const item = await this.get(who, id);
    if (!this.mayRelease(who, item))
      throw new ReviewError(
        'forbidden',
        'Something dangerous was found in it: only an administrator may release it',
      );
    if (deliver === undefined && !canSend(outgoing))
      throw new ReviewError('cannot', '[outgoing] says neither smtp nor sendmail: mail cannot leave');
    if (deliver === undefined && item.owner === '')
      throw new ReviewError('cannot', 'Nobody knows whose it is: its entry was lost, and its file was found');
    const begun = await releases.begin(item, who.name, { again });
    if (begun === undefined) throw await this.#notBegun(who, id);
    this.#log(who, 'release', item);
    if (wait) return await releases.attempt(begun, deliver);
    releases.work().catch((error: unknown) => this.#parts.log.warn({ error }, 'releases could not be sent'));
    return { outcome: 'waiting', item: begun, fault: undefined };
  }

  /** Lets go of it. */
  async delete(who: Reviewer, id: string): Promise<HeldItem> {
    const item = await this.get(who, id);
    const deleted = await this.#parts.held.delete(item, who.name);
    if (deleted === undefined) throw await this.#late(who, id);
    this.#log(who, 'delete', item);
    return deleted;
  }

  /** Asks an administrator to release it. */
  async request(who: Reviewer, id: string): Promise<HeldItem> {
    const item = await this.get(who, id);
    const requested = await this.#parts.held.move(item, ['held'], who.name, () => ({ state: 'requested' }));
    if (requested === undefined) throw await this.#late(who, id);
    this.#log(who, 'request', item);
    return requested;
  }

  /** An administrator does not grant what was requested, or its owner wants it no more. */
  async withdraw(who: Reviewer, id: string): Promise<HeldItem> {
    const item = await this.get(who, id);
    const held = await this.#parts.held.move(item, ['requested'], who.name, () => ({ state: 'held' }));
    if (held === undefined) throw await this.#late(who, id);
    this.#log(who, 'withdraw', item);
    return held;
  }

  /** Whether anybody learns. */
  get canTrain(): boolean {
    return this.#parts.learners().length > 0;
  }

  /** Tells all who learn what it is, as long as it is neither released nor deleted: then its message goes. */
  async train(who: Reviewer, id: string, as: 'spam' | 'ham'): Promise<Trained> {
    const learners = this.#parts.learners();
    if (learners.length === 0)
      throw new ReviewError(
        'cannot',
        'No module of this configuration learns (such as bayes, or spam with learning)',
      );
    const item = await this.get(who, id);
    // Its file may still be there, for another owner.
    if (item.state === 'released' || item.state === 'deleted') throw await this.#late(who, id);
    const message = await this.#message(item);
    const owner = item.owner === '' ? undefined : item.owner;
    const results = await Promise.allSettled(learners.map((learner) => learner.learn(message, as, owner)));
    const learned: string[] = [];
    const failed: { name: string; fault: string }[] = [];
    for (const [index, result] of results.entries()) {
      const name = learners[index]?.name ?? '';
      if (result.status === 'fulfilled') learned.push(name);
      else failed.push({ name, fault: text(result.reason) });
    }
    if (learned.length > 0)
      await this.#parts.held.items.change(id, (present) => present && { ...present, learned: as });
    this.#log(who, `train ${as}`, item, {
      learned: learned.join(','),
      failed: failed.map(({ name }) => name).join(','),
    });
    for (const { name, fault } of failed)
      this.#parts.log.error({ learner: name, item: id, fault }, 'a message could not be learned');
    return { learned, failed };
  }

  /** Whom "always allow this sender" would name; undefined where nothing proves who it was. */
  allowable(item: HeldItem): Identity | undefined {
    return item.owner === '' ? undefined : item.proved?.[0];
  }

  /** Has mail of its sender come through to its owner from now on, as long as it is proved to be of that sender. */
  async allow(who: Reviewer, id: string): Promise<AllowedSender> {
    const item = await this.get(who, id);
    const identity = this.allowable(item);
    if (identity === undefined) {
      throw new ReviewError(
        'cannot',
        'Nothing proves who sent it (neither DKIM nor SPF): whoever forges the address would be let through',
      );
    }
    if (!this.mayRelease(who, item))
      throw new ReviewError(
        'forbidden',
        'Something dangerous was found in it: only an administrator may do that',
      );
    const entry = { owner: item.owner, ...identity, by: who.name, at: this.#parts.now() };
    try {
      await this.#parts.allowed.add(entry);
    } catch (error) {
      throw error instanceof RangeError ? new ReviewError('cannot', error.message) : error;
    }
    this.#log(who, 'allow', item, { kind: identity.kind, address: identity.address });
    return entry;
  }

  /** The senders that a reviewer's addresses allow. */
  async allowed(who: Reviewer): Promise<readonly AllowedSender[]> {
    const { allowed } = this.#parts;
    const entries: AllowedSender[] = [];
    const owners =
      who.isAdmin || who.owners?.some((owner) => owner.startsWith('@')) === true ? undefined : who.owners;
    const scans = owners === undefined ? [allowed.list()] : owners.map((owner) => allowed.list(owner));
    for (const scan of scans) for await (const entry of scan) if (isTheirs(who, entry)) entries.push(entry);
    return entries;
  }

  /** Allows a sender no longer. Resolves to whether it was. */
  async disallow(
    who: Reviewer,
    { owner, kind, address }: Identity & { readonly owner: string },
  ): Promise<boolean> {
    if (!isTheirs(who, { owner })) throw new ReviewError('gone', 'There is no such entry');
    this.#parts.log.info({ by: who.name, from: who.client, owner, kind, address }, 'review: disallow');
    return await this.#parts.allowed.remove(owner, { kind, address });
  }

  /** What a link carries: it says which item and what for, is good for its owner alone, and ends with the item. */
  async makeLink({ id, at, owner }: HeldItem, action: LinkAction): Promise<string> {
    const proof = await this.#parts.held.marks.proof(['link', id, String(at), owner, action]);
    return `${id}.${action}.${proof.slice(0, MARK_LENGTH)}`;
  }

  /** What a link is for, and who may act by it; undefined where it is not ours, or its item has gone. */
  async readLink(
    link: string,
  ): Promise<{ readonly item: HeldItem; readonly action: LinkAction; readonly who: Reviewer } | undefined> {
    const [, id = '', word = '', given = ''] =
      /^([\da-f]{32})\.([a-z]{1,10})\.([\da-f]{32})$/.exec(link) ?? [];
    const action = LINK_ACTIONS.find((one) => one === word);
    const item = action === undefined ? undefined : await this.#parts.held.items.get(id);
    if (action === undefined || item === undefined || this.#parts.held.isOver(item)) return undefined;
    const right = await this.#parts.held.marks.proof(['link', id, String(item.at), item.owner, action]);
    if (!isSame(given, right.slice(0, MARK_LENGTH))) return undefined;
    return { item, action, who: { name: `${item.owner} by a link`, isAdmin: false, owners: [item.owner] } };
  }

  async #message(item: HeldItem): Promise<Buffer> {
    const { held } = this.#parts;
    if (!(await held.isHere(item)))
      throw new ReviewError('cannot', `Its message is kept on ${item.host}, and can be read there only`);
    try {
      return await held.read(item);
    } catch (error) {
      throw new ReviewError('gone', `Its message is not there (it is ${item.state}): ${text(error)}`);
    }
  }

  async #notBegun(who: Reviewer, id: string): Promise<ReviewError> {
    const item = await this.get(who, id);
    if (item.doubtful === true) {
      return new ReviewError(
        'late',
        'It may have been delivered already: the filter ended while the mail server took it. Look for it first; it can be sent again',
      );
    }
    return await this.#late(who, id);
  }

  async #late(who: Reviewer, id: string): Promise<ReviewError> {
    const { state, by } = await this.get(who, id);
    return new ReviewError('late', `It is ${state} already${by === undefined ? '' : `, by ${by}`}`);
  }

  #log(who: Reviewer, action: string, item: HeldItem, more: Readonly<Record<string, string>> = {}): void {
    const { id, owner, ref } = item;
    this.#parts.metrics.count('quarantine_reviews_total', { action });
    this.#parts.log.info(
      { by: who.name, from: who.client, item: id, owner, ref, ...more },
      `review: ${action}`,
    );
  }
}

function isTheirs(who: Reviewer, { owner }: { readonly owner: string }): boolean {
  return who.isAdmin || (owner !== '' && ownership(who)(owner));
}

function ownership({ owners = [], owns }: Reviewer): (owner: string) => boolean {
  return owns ?? ((owner) => owners.includes(owner) || owners.includes(domainOf(owner)));
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
