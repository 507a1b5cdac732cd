/** Signatures by SES: how they are made, and how many bounces each may bring. The name server goes by the same. */
import { randomInt } from 'node:crypto';
import type { SesOptions, SesReport } from '../../../srs/index.ts';
import type { Signing, Store } from '../../kit.ts';

/** The module whose part of the store counts them. */
export const BOUNCES = 'bounces';

/** What one message to one recipient may bring: a warning that it is late, that it failed, and one for luck. */
const USES = 3;
/** So many recipients are told apart in a signature's number. */
const MOST_RECIPIENTS = 255;
/** SES signatures are good for no longer. */
const MOST_DAYS = 1000;

/** A signature that may bring so many bounces only. */
export interface Counted {
  /** Under which it is counted. */
  readonly key: string;
  readonly most: number;
}

/** How signatures are made and known again, by the secrets that are in force now. */
export function sesOptions({ secrets, maxAge }: Signing, now: () => number): SesOptions {
  return { secrets, expiration: Math.min(maxAge, MOST_DAYS), now };
}

/** The number of a signature: random, so that several processes may sign, and it tells how many recipients there are. */
export function sesNumber(recipients: number): number {
  return randomInt(1, 2 ** 31) * 256 + Math.min(recipients, MOST_RECIPIENTS);
}

/** How a signature is counted; undefined for a fixed one, which is not. */
export function countedOf({ id, signature, signedAt }: SesReport): Counted | undefined {
  const recipients = Math.max(1, Number(id & BigInt(MOST_RECIPIENTS)));
  return signedAt === undefined ? undefined : { key: `ses:${signature}`, most: USES * recipients };
}

/**
 * Whether it has brought as many bounces as it may.
 * @param store the module's part
 * @throws StoreError where the store is away
 */
export async function isUsedUp(store: Store, { key, most }: Counted): Promise<boolean> {
  return Number((await store.get(key)) ?? 0) >= most;
}

/**
 * Whether a signature has brought as many bounces as it may, for those who have the whole store.
 * @throws StoreError where the store is away
 */
export async function isSesUsed(store: Store, report: SesReport): Promise<boolean> {
  const counted = countedOf(report);
  return counted !== undefined && (await isUsedUp(store.part(BOUNCES), counted));
}
