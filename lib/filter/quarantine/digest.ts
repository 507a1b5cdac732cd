/** The digest: once a day each owner is told of what is newly held for them. */
import { createHash } from 'node:crypto';
import type { Logger } from '../../index.ts';
import type { Settings } from '../config/schema.ts';
import { linkAddress, pageAddress } from '../http/links.ts';
import { comparableAddress } from '../mail/comparable.ts';
import { OutgoingError } from '../outgoing/mail.ts';
import { send } from '../outgoing/outgoing.ts';
import { type OwnMail, writeOwnMail } from '../outgoing/own-mail.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../watch/metrics.ts';
import { digestMail } from './digest-mail.ts';
import type { HeldMail } from './held-mail.ts';
import { RELEASED_HEADER } from './mark.ts';
import type { HeldItem } from './quarantine.ts';
import type { Review } from './review.ts';

/** What the digest works with. */
export interface DigestParts {
  readonly held: HeldMail;
  readonly review: Review;
  /** A part of its own: who has been told. */
  readonly store: Store;
  readonly settings: Settings;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  /** Whether an address is ours; undefined: nobody knows what is. */
  readonly isOurs: () => ((address: string) => boolean) | undefined;
}

/** What is new for an owner: the newest of it, and how many there are. */
interface News {
  readonly items: HeldItem[];
  count: number;
  /** As the store has it: up to when the owner has been told. */
  readonly told: string | undefined;
}

/** So many are shown in one mail; of the rest it says how many they are. */
const MAX_SHOWN = 50;
const PAGE = 500;
/** Milliseconds for which it is known up to when an owner has been told, longer than what that was about is held. */
const TOLD_AFTER = 3 * 86_400_000;

/**
 * Tells each owner what was held from `since` on, and before `until`.
 * @param busy called between mails
 * @throws Error where some could not be told yet; those who were are not told again
 */
export async function sendDigests(
  parts: DigestParts,
  since: number,
  until: number,
  busy: () => Promise<void>,
): Promise<void> {
  const { store, log, metrics, held } = parts;
  const ttl = held.keep + TOLD_AFTER;
  let sent = 0;
  let last: unknown;
  for (const [owner, news] of await collect(parts, since, until)) {
    await busy();
    if (news.count === 0) continue;
    const key = toldKey(owner);
    // Before it is sent: rather none than two.
    if (!(await store.compareAndSet(key, news.told, String(until), { ttl }))) continue;
    try {
      await tell(parts, owner, news);
      sent++;
    } catch (error) {
      metrics.count('quarantine_digest_failures_total');
      log.error({ owner, error }, 'a digest could not be sent');
      if (error instanceof OutgoingError && error.outcome !== 'later') continue;
      if (news.told === undefined) await store.delete(key);
      else await store.set(key, news.told, { ttl });
      last = error;
      if (error instanceof OutgoingError && error.isAway) break;
    }
  }
  metrics.count('quarantine_digests_total', {}, sent);
  if (sent > 0) log.info({ mails: sent }, 'digests of the quarantine were sent');
  if (last !== undefined) throw last;
}

/** What is new, by owners. */
async function collect(
  { held, isOurs, store }: DigestParts,
  since: number,
  until: number,
): Promise<ReadonlyMap<string, News>> {
  const all = new Map<string, News>();
  const ours = isOurs();
  let after: string | undefined;
  do {
    const page = await held.page({ limit: PAGE, ...(after === undefined ? {} : { after }) });
    for (const item of page.items) {
      if (item.at < since) return all;
      const isOurOwner = ours === undefined ? item.direction !== 'outgoing' : ours(item.owner);
      if (item.at >= until || item.owner === '' || item.state === 'releasing' || !isOurOwner) continue;
      let news = all.get(item.owner);
      if (news === undefined) {
        news = { items: [], count: 0, told: await store.get(toldKey(item.owner)) };
        all.set(item.owner, news);
      }
      // Others may have been told of it without this one, when mail could not be sent to all.
      const told = Number(news.told ?? 0);
      // One in the future is of a clock that was wrong.
      if (told <= until && item.at < told) continue;
      news.count++;
      if (news.items.length < MAX_SHOWN) news.items.push(item);
    }
    after = page.next;
  } while (after !== undefined);
  return all;
}

async function tell(parts: DigestParts, owner: string, news: News): Promise<void> {
  const { review, settings } = parts;
  const rows = await Promise.all(
    news.items.map(async (item) => ({
      item,
      release: review.mayRelease({ name: owner, isAdmin: false }, item)
        ? linkAddress(settings, await review.makeLink(item, 'release'))
        : undefined,
      delete: linkAddress(settings, await review.makeLink(item, 'delete')),
      show: linkAddress(settings, await review.makeLink(item, 'show')),
    })),
  );
  const mail = digestMail({
    owner,
    rows,
    count: news.count,
    keep: settings.quarantine.keep,
    page: pageAddress(settings, 'quarantine'),
    hostname: settings.hostname,
  });
  await sendOwn(parts, mail);
}

/** Sends what the filter writes itself, marked so that it does not hold it. */
export async function sendOwn(
  { held, settings, now }: Pick<DigestParts, 'held' | 'settings' | 'now'>,
  mail: OwnMail,
): Promise<void> {
  const owner = comparableAddress(mail.to);
  const headers = { ...mail.headers, [RELEASED_HEADER]: await held.marks.make('own', owner) };
  const message = writeOwnMail({ ...mail, headers }, settings, now());
  await send(settings, { sender: '<>', recipient: `<${mail.to}>`, message });
}

function toldKey(owner: string): string {
  return `told/${createHash('sha256').update(owner).digest('hex').slice(0, 32)}`;
}
