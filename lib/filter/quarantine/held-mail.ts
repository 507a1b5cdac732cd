/**
 * The filter's own quarantine: messages in a folder, and in the store an item for each of their owners. First the message
 * is safe on disk, then its items are written, then the MTA is answered; whoever crashes in between leaves a file that
 * nobody names, and the MTA sends again.
 *
 * In the store: `item/ID`, and `of/SHA256/ID` for each message's items.
 */
import { createHash } from 'node:crypto';
import { type Logger, type Milter, parseAddress } from '../../index.ts';
import { decodeWords } from '../../mime/index.ts';
import type { Settings } from '../config/schema.ts';
import { holds } from '../findings/finding.ts';
import type { Judgement } from '../findings/judgement.ts';
import { shownAction } from '../running.ts';
import type { Store } from '../store/store.ts';
import { type FolderEntry, HeldFolder } from './folder.ts';
import { RELEASED_HEADER, ReleaseMarks } from './mark.ts';
import type { HeldItem, HeldState, Quarantine, QuarantineReport } from './quarantine.ts';

/** What the quarantine works with. */
export interface HeldMailParts {
  /** Its own part of it. */
  readonly store: Store;
  readonly log: Logger;
  readonly now: () => number;
  readonly hostname: string;
}

/** Milliseconds after which somebody who began to release a message has died of it. */
const LEASE = 10 * 60_000;
/** Younger files are still being written, or about to be named. */
const GRACE = 60 * 60_000;
/** How items are kept: until {@link HeldMail.expire} forgets them with their files. */
const LISTED = { listed: true };
const MAX_TEXT = 200;
const MAX_FINDINGS = 50;
/** Two who change one item at once; more often than that something is wrong. */
const MAX_TRIES = 10;

/** The quarantine. Several processes may work in it at once. */
export class HeldMail implements Quarantine {
  readonly #folder: HeldFolder;
  readonly #keep: number;
  readonly #parts: HeldMailParts;
  readonly #marks: ReleaseMarks;

  constructor({ path, keep, max_size }: Settings['quarantine'], data: string, parts: HeldMailParts) {
    this.#folder = new HeldFolder(path ?? data, max_size, parts.log);
    this.#keep = keep;
    this.#parts = parts;
    this.#marks = new ReleaseMarks(parts.store, parts.now);
  }

  async hold(milter: Milter, judgement: Judgement, recipients: readonly string[]): Promise<void> {
    const pieces = (await milter.message.mime()).pieces();
    const items = this.#describe(milter, judgement, recipients);
    const stored = await this.#folder.write(pieces);
    const whole = items.map((item): HeldItem => {
      const id = makeId(stored.sha256, item.owner);
      return { ...item, ...stored, id };
    });
    await this.#parts.store.batch(
      whole.map(({ sha256, id }) => ({ call: 'set', key: `of/${sha256}/${id}`, value: id, keep: LISTED })),
    );
    for (const item of whole) await this.#keepItem(item);
    // Another owner's copy of it may have been deleted in that moment.
    if (!(await this.#folder.has(stored.sha256))) await this.#folder.write(pieces);
    this.#parts.log.info(
      { ref: judgement.ref, sha256: stored.sha256, items: whole.map(({ id }) => id).join(',') },
      'message is held in quarantine',
    );
  }

  async releasedFor(header: string): Promise<string | undefined> {
    return await this.#marks.read(header, async (id) => {
      const value = await this.#parts.store.get(`item/${id}`);
      const item = value === undefined ? undefined : parse(value);
      return item?.state === 'released' || item?.state === 'releasing' ? item.owner : undefined;
    });
  }

  /** All items, in no order: those that are over too, as long as they are kept. */
  async *list(): AsyncGenerator<HeldItem> {
    for await (const [, value] of this.#parts.store.scan('item/')) {
      const item = parse(value);
      if (item !== undefined && !this.#isOver(item)) yield this.#current(item);
    }
  }

  /** The items whose id begins so. */
  async find(id: string): Promise<readonly HeldItem[]> {
    if (!/^[\da-f]{1,32}$/.test(id)) return [];
    const found: HeldItem[] = [];
    for await (const [, value] of this.#parts.store.scan(`item/${id}`)) {
      const item = parse(value);
      if (item !== undefined && !this.#isOver(item)) found.push(this.#current(item));
    }
    return found;
  }

  /** The message as it was received. Rejects where it is not there, or is not what it was. */
  async read({ sha256 }: HeldItem): Promise<Buffer> {
    return await this.#folder.read(sha256);
  }

  /**
   * Has `deliver` send the message to its owner, and lets go of it. Resolves to false where somebody else was first; it
   * stays held where `deliver` fails.
   * @param by who wants it
   * @param deliver gets the message with a header more, by which this filter lets it pass
   */
  async release(
    item: HeldItem,
    by: string,
    deliver: (item: HeldItem, message: Buffer) => Promise<void>,
  ): Promise<boolean> {
    const releasing = await this.#change(item, 'held', 'releasing', by);
    if (releasing === undefined) return false;
    try {
      const mark = Buffer.from(`${RELEASED_HEADER}: ${await this.#marks.make(item.id, item.owner)}\r\n`);
      await deliver(releasing, Buffer.concat([mark, await this.read(releasing)]));
    } catch (error) {
      await this.#change(releasing, 'releasing', 'held', by);
      throw error;
    }
    await this.#change(releasing, 'releasing', 'released', by);
    await this.#letGo(item.sha256);
    return true;
  }

  /** Lets go of it. Resolves to false where somebody else was first. */
  async delete(item: HeldItem, by: string): Promise<boolean> {
    if ((await this.#change(item, 'held', 'deleted', by)) === undefined) return false;
    await this.#letGo(item.sha256);
    return true;
  }

  /** Forgets what is older than `keep`, and removes files that nobody has named for so long. To be called now and then. */
  async expire(): Promise<void> {
    const { store, log, hostname, now } = this.#parts;
    await this.#folder.putBack();
    let expired = 0;
    for await (const [key, value] of store.scan('item/')) {
      const item = parse(value);
      if (item === undefined || !this.#isOver(item)) continue;
      await store.batch([
        { call: 'delete', key },
        { call: 'delete', key: `of/${item.sha256}/${item.id}` },
      ]);
      if (item.host === hostname) await this.#letGo(item.sha256);
      if (item.state === 'held') expired++;
    }
    for await (const entry of this.#folder.entries()) {
      const age = now() - entry.changed;
      if (entry.sha256 === undefined) {
        if (age > GRACE && isOurs(entry)) await this.#folder.removeOther(entry);
      } else if (age > this.#keep + GRACE) await this.#letGo(entry.sha256);
    }
    if (expired > 0) log.info({ messages: expired }, 'messages in quarantine have expired');
  }

  /** Compares items and files; every file is read. */
  async check(): Promise<QuarantineReport> {
    const { hostname, now } = this.#parts;
    await this.#folder.putBack();
    const wanted = new Map<string, HeldItem[]>();
    let held = 0;
    for await (const item of this.list()) {
      if (!isWanted(item)) continue;
      held++;
      if (item.host !== hostname) continue;
      const items = wanted.get(item.sha256);
      if (items === undefined) wanted.set(item.sha256, [item]);
      else items.push(item);
    }
    const lost: QuarantineReport['lost'][number][] = [];
    const orphans: string[] = [];
    let files = 0;
    let bytes = 0;
    for await (const entry of this.#folder.entries()) {
      if (entry.sha256 === undefined) {
        if (now() - entry.changed > GRACE) orphans.push(entry.name);
        continue;
      }
      files++;
      bytes += entry.bytes;
      if (!wanted.has(entry.sha256)) orphans.push(entry.name);
    }
    for (const [sha256, items] of wanted) {
      const fault = await this.#faultOf(sha256);
      if (fault !== undefined) lost.push(...items.map((item) => ({ item, fault })));
    }
    return { held, files, bytes, lost, orphans };
  }

  async #faultOf(sha256: string): Promise<string | undefined> {
    try {
      await this.#folder.read(sha256);
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #describe(
    { session, message }: Milter,
    judgement: Judgement,
    recipients: readonly string[],
  ): readonly Omit<HeldItem, 'id' | 'sha256' | 'size'>[] {
    const { now, hostname } = this.#parts;
    const header = (name: string): string =>
      decodeWords(message.headers.get(name)?.value.slice(0, 10 * MAX_TEXT) ?? '')
        .replace(/\s+/g, ' ')
        .trim()
        .slice(0, MAX_TEXT)
        .toWellFormed();
    const findings = judgement.findings.filter((finding) => !finding.observed && holds(finding));
    const common = {
      state: 'held' as const,
      at: now(),
      host: hostname,
      ref: judgement.ref,
      queueId: message.queueId,
      sender: message.sender,
      client: {
        address: session.client.address,
        hostname: session.client.hostname,
        helo: session.helo,
      },
      from: header('From'),
      subject: header('Subject'),
      findings: findings.slice(0, MAX_FINDINGS).map(({ name, action, subject, note }) => ({
        name,
        action: shownAction(action),
        subject: subject.slice(0, MAX_TEXT),
        note: note?.slice(0, MAX_TEXT),
      })),
      points: judgement.points,
    };
    const owners = new Map(recipients.map((recipient) => [ownerOf(recipient), recipient]));
    return [...owners].map(([owner, recipient]) => ({ ...common, owner, recipient }));
  }

  /** One that is held already stays as it is; one that is over is held anew. */
  async #keepItem(item: HeldItem): Promise<void> {
    const { store } = this.#parts;
    const key = `item/${item.id}`;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const present = await store.get(key);
      const known = present === undefined ? undefined : parse(present);
      if (known !== undefined && isWanted(known) && !this.#isOver(known)) return;
      if (await store.compareAndSet(key, present, JSON.stringify(item), LISTED)) return;
    }
    throw new Error(`the quarantine's item ${item.id} changes all the time`);
  }

  /** Changes the state of an item that is in another; undefined where it is not. */
  async #change({ id }: HeldItem, from: HeldState, to: HeldState, by: string): Promise<HeldItem | undefined> {
    const { store, now } = this.#parts;
    const key = `item/${id}`;
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const present = await store.get(key);
      const item = present === undefined ? undefined : parse(present);
      if (item === undefined || this.#isOver(item) || this.#current(item).state !== from) return undefined;
      const next: HeldItem = { ...item, state: to, by, changed: now() };
      if (await store.compareAndSet(key, present, JSON.stringify(next), LISTED)) return next;
    }
    return undefined;
  }

  /** Removes a message that no owner waits for any more. */
  async #letGo(sha256: string): Promise<void> {
    await this.#folder.remove(sha256, async () => {
      for await (const [, id] of this.#parts.store.scan(`of/${sha256}/`)) {
        const value = await this.#parts.store.get(`item/${id}`);
        const item = value === undefined ? undefined : parse(value);
        if (item !== undefined && isWanted(item)) return true;
      }
      return false;
    });
  }

  #isOver({ at }: HeldItem): boolean {
    return at + this.#keep <= this.#parts.now();
  }

  /** A release that was cut off counts for nothing. */
  #current(item: HeldItem): HeldItem {
    const isCutOff = item.state === 'releasing' && (item.changed ?? 0) + LEASE <= this.#parts.now();
    return isCutOff ? { ...item, state: 'held' } : item;
  }
}

/** Whose it is, however the local part is written. */
export function ownerOf(recipient: string): string {
  return parseAddress(recipient).address.normalize('NFC').toLowerCase();
}

/** A file that a hold or a removal began, and not one that somebody else put there. */
function isOurs({ name }: FolderEntry): boolean {
  return /^\.(new-|[\da-f]{64}\.)/.test(name);
}

function isWanted({ state }: HeldItem): boolean {
  return state === 'held' || state === 'releasing';
}

function makeId(sha256: string, owner: string): string {
  return createHash('sha256').update(`${sha256}\n${owner}`).digest('hex').slice(0, 32);
}

function parse(value: string): HeldItem | undefined {
  try {
    return JSON.parse(value) as HeldItem;
  } catch {
    return undefined;
  }
}
