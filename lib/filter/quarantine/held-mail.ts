/**
 * The filter's own quarantine: messages in a folder, and in the store an item for each of their owners. First the message
 * is safe on disk, then its items are written, then the MTA is answered; whoever crashes in between leaves a file that
 * nobody names, and the MTA sends again.
 */
import { createHash } from 'node:crypto';
import { hostname as systemName } from 'node:os';
import type { Logger, Milter } from '../../index.ts';
import { decodeWords } from '../../mime/words.ts';
import type { Settings } from '../config/schema.ts';
import { directionFact } from '../facts.ts';
import { type Finding, holds } from '../findings/finding.ts';
import type { Judgement } from '../findings/judgement.ts';
import { shownAction } from '../judging/running.ts';
import { comparableAddress } from '../mail/comparable.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../watch/metrics.ts';
import { provedIdentities } from './allowed.ts';
import { HeldFolder } from './folder.ts';
import { HeldItems, isWanted } from './items.ts';
import { FilterMarks } from './mark.ts';
import type { HeldFinding, HeldItem, HeldPage, HeldQuery, HeldState, Quarantine } from './quarantine.ts';

/** What the quarantine works with. */
export interface HeldMailParts {
  /** Its own part of it. */
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  /** As configured. */
  readonly hostname: string;
  /** A finding in words. @default none are known */
  readonly phraseOf?: (finding: string) => string | undefined;
}

const MAX_TEXT = 200;
const MAX_FINDINGS = 50;

/** The quarantine. Several processes may work in it at once. */
export class HeldMail implements Quarantine {
  readonly folder: HeldFolder;
  readonly items: HeldItems;
  readonly marks: FilterMarks;
  /** Milliseconds that items are kept. */
  readonly keep: number;
  /** What items call this machine: machines that share a store may be configured with one name, or be one with two filters. */
  readonly host: string;
  readonly #parts: HeldMailParts;

  constructor({ path, keep, max_size }: Settings['quarantine'], data: string, parts: HeldMailParts) {
    this.folder = new HeldFolder(path ?? data, max_size, parts.log);
    this.items = new HeldItems(parts.store);
    this.marks = new FilterMarks(parts.store, parts.now);
    this.keep = keep;
    const system = systemName();
    this.host = parts.hostname === system ? system : `${parts.hostname} (${system})`;
    this.#parts = parts;
  }

  async hold(milter: Milter, judgement: Judgement, recipients: readonly string[]): Promise<void> {
    const pieces = (await milter.message.mime()).pieces();
    const described = this.#describe(milter, judgement, recipients);
    const stored = await this.folder.write(pieces);
    const items = described.map(
      (item): HeldItem => ({ ...item, ...stored, id: makeId(stored.sha256, item.owner) }),
    );
    await Promise.all(
      items.map((item) =>
        this.items.change(item.id, (known) => {
          // One that is over is held anew; one that is held already stays as it is, but what is dangerous now is.
          if (known === undefined || !isWanted(known) || this.isOver(known)) return item;
          return item.guarded === true && known.guarded !== true ? { ...known, guarded: true } : undefined;
        }),
      ),
    );
    // Another owner's copy of it may have been deleted in that moment.
    if (!(await this.folder.has(stored.sha256))) await this.folder.write(pieces);
    this.#parts.log.info(
      { ref: judgement.ref, sha256: stored.sha256, items: items.map(({ id }) => id).join(',') },
      'message is held in quarantine',
    );
  }

  async sparedBy(header: string, owners: readonly string[]): Promise<string | undefined> {
    return await this.marks.read(header, owners, async (id) => {
      const item = await this.items.get(id);
      return item?.state === 'released' || item?.state === 'releasing' ? item.owner : undefined;
    });
  }

  /** All items, in no order: those that are over too, as long as they are kept. */
  async *list(): AsyncGenerator<HeldItem> {
    for await (const item of this.items.all()) if (!this.isOver(item)) yield item;
  }

  /** A page of those that fit, the newest first. */
  async page(query: HeldQuery): Promise<HeldPage> {
    const { items, next } = await this.items.page(query);
    const left = items.filter((item) => !this.isOver(item));
    // They come in order of age.
    return { items: left, next: left.length < items.length ? undefined : next };
  }

  /** The items whose id begins so. */
  async find(id: string): Promise<readonly HeldItem[]> {
    return (await this.items.find(id)).filter((item) => !this.isOver(item));
  }

  /**
   * Whether its message is on this machine, or should be. Machines that share a store have folders of their own; a folder may
   * have come here from another machine, or this one have got another name.
   */
  async isHere({ host, sha256 }: Pick<HeldItem, 'host' | 'sha256'>): Promise<boolean> {
    return host === this.host || (await this.folder.has(sha256));
  }

  /** The message as it was received. Rejects where it is not there, or is not what it was. */
  async read({ sha256 }: HeldItem): Promise<Buffer> {
    return await this.folder.read(sha256);
  }

  /** Changes the state of an item that is in one of some others. Undefined where it is not: somebody else was first. */
  async move(
    { id }: HeldItem,
    from: readonly HeldState[],
    by: string,
    to: (item: HeldItem) => Partial<HeldItem> & { readonly state: HeldState },
  ): Promise<HeldItem | undefined> {
    const { now } = this.#parts;
    return await this.items.change(id, (item) =>
      item === undefined || this.isOver(item) || !from.includes(item.state)
        ? undefined
        : { ...item, by, changed: now(), ...to(item) },
    );
  }

  /** Lets go of a message that waits. Resolves to undefined where somebody else was first, or sends it at the moment. */
  async delete(item: HeldItem, by: string): Promise<HeldItem | undefined> {
    const { now } = this.#parts;
    const deleted = await this.items.change(item.id, (present) => {
      const isBusy = (present?.sending?.attempt?.until ?? 0) > now();
      const isThere = present !== undefined && (isWanted(present) || present.state === 'lost');
      if (!isThere || isBusy || this.isOver(present)) return undefined;
      return { ...present, state: 'deleted', by, changed: now(), sending: undefined };
    });
    if (deleted !== undefined) await this.letGo(item.sha256);
    return deleted;
  }

  /** Removes a message that no owner waits for any more. */
  async letGo(sha256: string): Promise<void> {
    await this.folder.remove(sha256, async () => {
      for await (const item of this.items.of(sha256)) if (isWanted(item)) return true;
      return false;
    });
  }

  /** Whether it is older than `keep`. What is on its way to the mail server is not forgotten meanwhile. */
  isOver({ at, state }: HeldItem): boolean {
    return state !== 'releasing' && at + this.keep <= this.#parts.now();
  }

  #describe(
    milter: Milter,
    judgement: Judgement,
    recipients: readonly string[],
  ): readonly Omit<HeldItem, 'id' | 'sha256' | 'size'>[] {
    const { now } = this.#parts;
    const { session, message } = milter;
    const header = (name: string): string => readable(message.headers.get(name)?.value ?? '');
    const findings = judgement.findings.filter((finding) => !finding.observed && holds(finding));
    const common = {
      state: 'held' as const,
      at: now(),
      host: this.host,
      ref: judgement.ref,
      queueId: message.queueId,
      direction: directionFact.get(milter),
      sender: message.sender,
      client: {
        address: session.client.address,
        hostname: session.client.hostname,
        helo: session.helo,
      },
      from: header('From'),
      subject: header('Subject'),
      findings: findings.slice(0, MAX_FINDINGS).map((finding) => this.#shown(finding)),
      points: judgement.points,
      guarded: findings.some(({ concernsExempt }) => concernsExempt) ? true : undefined,
      proved: provedIdentities(milter),
    };
    const owners = new Map(recipients.map((recipient) => [comparableAddress(recipient), recipient]));
    return [...owners].map(([owner, recipient]) => ({ ...common, owner, recipient }));
  }

  #shown({ name, action, subject, note }: Finding): HeldFinding {
    return {
      name,
      action: shownAction(action),
      subject: subject.slice(0, MAX_TEXT),
      text: this.#parts.phraseOf?.(name),
      note: note?.slice(0, MAX_TEXT),
    };
  }
}

/** A header field as a person reads it, on one line, and not too much of it. */
export function readable(value: string): string {
  return decodeWords(value.slice(0, 10 * MAX_TEXT))
    .replace(/\s+/g, ' ')
    .trim()
    .slice(0, MAX_TEXT)
    .toWellFormed();
}

/** The id of a message's item for an owner. */
export function makeId(sha256: string, owner: string): string {
  return createHash('sha256').update(`${sha256}\n${owner}`).digest('hex').slice(0, 32);
}
