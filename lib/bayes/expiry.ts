/** Which tokens are no longer of use. */
import type { Counts } from './counts.ts';
import type { Totals } from './score.ts';
import type { Retention } from './store/store.ts';

/** Defaults of {@link Retention}. */
export const RETENTION: Retention = {
  records: 60,
  once: 15,
  rare: 60,
  neutral: 90,
  all: 365,
  sharedTokens: 5_000_000,
  userTokens: 500_000,
};

/** Days after which the use of a token is written again. */
export const TOUCH_DAYS = 7;

/** Whether a token may go. */
export function isStale(
  { spam, ham, day }: Counts,
  totals: Totals,
  today: number,
  retention: Retention,
): boolean {
  const age = today - day;
  if (age <= Math.min(retention.once, retention.rare, retention.neutral, retention.all)) return false;
  const count = spam + ham;
  if (count === 0 || age > retention.all) return true;
  if (count === 1) return age > retention.once;
  if (count <= 3) return age > retention.rare;
  const [inSpam, inHam] = [spam / Math.max(1, totals.spam), ham / Math.max(1, totals.ham)];
  const share = inSpam / (inSpam + inHam);
  return share > 0.3 && share < 0.7 && age > retention.neutral;
}
