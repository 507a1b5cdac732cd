/** How often a token was learned, and when it was last of use: as one number, small where the counts are, as nearly all are. */

/** What is known of a token. */
export interface Counts {
  /** Messages with it that were learned as spam, and as ham. */
  readonly spam: number;
  readonly ham: number;
  /** Days since 2020. */
  readonly day: number;
}

/** Counts stop here. */
export const MOST_COUNTED: number = 2 ** 18 - 1;
const DAYS = 2 ** 14;
const DAY = 86_400_000;
const START = Date.UTC(2020, 0, 1);

/** The day of a time in milliseconds. */
export function dayOf(now: number): number {
  return Math.min(DAYS - 1, Math.max(0, Math.floor((now - START) / DAY)));
}

/** By Cantor's pairing of both counts. */
export function pack({ spam, ham, day }: Counts): number {
  const sum = spam + ham;
  return ((sum * (sum + 1)) / 2 + ham) * DAYS + day;
}

/** The reverse of {@link pack}. */
export function unpack(packed: number): Counts {
  const pair = Math.floor(packed / DAYS);
  const sum = Math.floor((Math.sqrt(8 * pair + 1) - 1) / 2);
  const ham = pair - (sum * (sum + 1)) / 2;
  return { spam: sum - ham, ham, day: packed % DAYS };
}

/** One more or less in one count; never below 0, as what was counted may have expired since. */
export function counted({ spam, ham }: Counts, kind: 'spam' | 'ham', by: number, day: number): Counts {
  const within = (count: number): number => Math.min(MOST_COUNTED, Math.max(0, count + by));
  return kind === 'spam' ? { spam: within(spam), ham, day } : { spam, ham: within(ham), day };
}
