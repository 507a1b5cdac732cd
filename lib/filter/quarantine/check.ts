/** Brings the items of the quarantine and its files together again, and forgets what is too old. */
import type { Logger } from '../../index.ts';
import type { Metrics } from '../watch/metrics.ts';
import type { FolderEntry } from './folder.ts';
import { type HeldMail, makeId, readable } from './held-mail.ts';
import { isWanted } from './items.ts';
import type { HeldItem, QuarantineReport } from './quarantine.ts';

/** What it works with. */
export interface Tidying {
  readonly held: HeldMail;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
}

/** Younger files are still being written, or about to be named, in milliseconds. */
const GRACE = 60 * 60_000;

/** Forgets what is older than `keep`, and removes files that nobody has named for so long. To be called now and then. */
export async function expire({ held, log, metrics, now }: Tidying): Promise<void> {
  await held.folder.putBack();
  let expired = 0;
  for await (const item of held.items.olderThan(now() - held.keep)) {
    if (!held.isOver(item) || !(await held.items.forget(item))) continue;
    if (await held.isHere(item)) await held.letGo(item.sha256);
    if (isWanted(item)) expired++;
  }
  let bytes = 0;
  for await (const entry of held.folder.entries()) {
    const age = now() - entry.changed;
    bytes += entry.bytes;
    if (entry.sha256 === undefined) {
      if (age > GRACE && isOurs(entry)) await held.folder.removeOther(entry);
    } else if (age > held.keep + GRACE) await held.letGo(entry.sha256);
  }
  metrics.count('quarantine_expired_total', {}, expired);
  if (expired > 0) log.info({ messages: expired }, 'messages in quarantine have expired');
  const { open, oldest } = await held.items.count();
  metrics.gauge('quarantine_items', open);
  metrics.gauge('quarantine_bytes', bytes);
  metrics.gauge('quarantine_max_bytes', held.folder.most);
  metrics.gauge('quarantine_oldest_timestamp_seconds', oldest === undefined ? 0 : oldest / 1_000);
  metrics.gauge('quarantine_tidied_timestamp_seconds', now() / 1_000);
}

/**
 * Compares items and files, and mends what can be: items without a sound file are `lost` until it is there again, files without an
 * item get one that belongs to nobody, what was never finished goes. Every file is read. While no file is there at all (a disk
 * that is not mounted), items stay as they are.
 */
export async function check({ held, now }: Tidying): Promise<QuarantineReport> {
  await held.folder.putBack();
  const known = new Map<string, HeldItem[]>();
  let waiting = 0;
  let listed = 0;
  for await (const item of held.list()) {
    if (await held.items.list(item)) listed++;
    if (isWanted(item)) waiting++;
    if (!(await held.isHere(item))) continue;
    const items = known.get(item.sha256);
    if (items === undefined) known.set(item.sha256, [item]);
    else items.push(item);
  }
  const there = new Map<string, FolderEntry>();
  const removed: string[] = [];
  let bytes = 0;
  for await (const entry of held.folder.entries()) {
    const { sha256, name, changed } = entry;
    if (sha256 !== undefined) {
      there.set(sha256, entry);
      bytes += entry.bytes;
    } else if (now() - changed > GRACE && isOurs(entry)) {
      await held.folder.removeOther(entry);
      removed.push(name);
    }
  }
  const lost: QuarantineReport['lost'][number][] = [];
  const found: HeldItem[] = [];
  const adopted: HeldItem[] = [];
  const unusable: string[] = [];
  const isMounted = there.size > 0;
  for (const [sha256, items] of known) {
    const needing = items.filter((item) => isWanted(item) || item.state === 'lost');
    if (needing.length === 0) continue;
    const fault = await faultOf(held, sha256);
    for (const item of needing) {
      if (fault === undefined && item.state === 'lost') {
        const back = await held.move(item, ['lost'], CHECK, () => ({ state: 'held', fault: undefined }));
        if (back !== undefined) found.push(back);
      } else if (fault !== undefined) {
        // Somebody may have released or deleted it meanwhile: then it is no loss.
        const present = await held.items.get(item.id);
        if (present === undefined || !(isWanted(present) || present.state === 'lost')) continue;
        lost.push({ item, fault });
        if (isMounted && item.state !== 'lost')
          await held.move(item, ['held', 'requested'], CHECK, () => ({ state: 'lost', fault }));
      }
    }
  }
  for (const [sha256, { name, changed }] of there) {
    if (now() - changed <= GRACE) continue;
    const items = known.get(sha256) ?? [];
    if (items.some((item) => isWanted(item) || item.state === 'lost')) continue;
    // Its items are over, and whoever ended the last died before the file was removed.
    if (items.length > 0) await held.letGo(sha256);
    else {
      const item = await adopt(held, sha256, changed);
      if (item === undefined) unusable.push(name);
      else adopted.push(item);
    }
  }
  return {
    held: waiting + found.length + adopted.length - lost.filter(({ item }) => isWanted(item)).length,
    files: there.size,
    bytes,
    lost,
    found,
    adopted,
    unusable,
    removed,
    listed,
  };
}

/** Who is named as the one who did it. */
const CHECK = 'milter quarantine check';

/** Makes an item for a file that none names. What is no message is left alone. */
async function adopt(held: HeldMail, sha256: string, at: number): Promise<HeldItem | undefined> {
  let message: Buffer;
  try {
    message = await held.folder.read(sha256);
  } catch {
    return undefined;
  }
  const { parseMessage } = await import('../../mime/index.ts');
  const { headers } = parseMessage(message).root;
  const header = (name: string): string => readable(headers.get(name)?.value ?? '');
  return await held.items.change(makeId(sha256, ''), (present) =>
    present !== undefined && isWanted(present)
      ? undefined
      : {
          id: makeId(sha256, ''),
          state: 'held',
          at: Math.floor(at),
          sha256,
          size: message.length,
          host: held.host,
          ref: '',
          sender: '<>',
          recipient: '<>',
          owner: '',
          client: { hostname: '', helo: '' },
          from: header('From'),
          subject: header('Subject'),
          findings: [],
          points: 0,
          by: CHECK,
        },
  );
}

async function faultOf(held: HeldMail, sha256: string): Promise<string | undefined> {
  try {
    await held.folder.read(sha256);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A file that a hold or a removal began, and not one that somebody else put there. */
function isOurs({ name }: FolderEntry): boolean {
  return /^\.(new-|[\da-f]{64}\.)/.test(name);
}
