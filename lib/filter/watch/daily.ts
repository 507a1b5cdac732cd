/**
 * Work that is to be done once a day at a time of day, by one of all processes that share a store; where all were down at that
 * time, when the first is up again.
 */
import type { Logger } from '../../index.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from './metrics.ts';

/** What is to be done. */
export interface DailyWork {
  /** For the store, the log and the metric `daily_NAME_timestamp_seconds`. */
  readonly name: string;
  /** Minutes after midnight, local time. */
  readonly minute: number;
  /**
   * Does it. Where it rejects it is called again some minutes later, then later and later, for the same time.
   * @param since up to when the work before saw, in milliseconds since 1970
   * @param until up to when this one shall
   * @param busy to be called now and then: else another process takes over after a quarter of an hour
   */
  readonly work: (since: number, until: number, busy: () => Promise<void>) => Promise<void>;
}

/** What daily work needs. */
export interface DailyParts {
  /** A part that all daily work shares. */
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
}

/** Milliseconds after which whoever was at it has died of it. */
const LEASE = 15 * 60_000;
/** Milliseconds until it is tried again where it failed: twice as long each time, up to an hour. */
const PAUSE = 5 * 60_000;
const LONGEST_PAUSE = 60 * 60_000;
const DAY = 24 * 60 * 60_000;

/** As it is kept: what was seen up to `seen`; while it is done, `until` says for how long nobody else begins. */
interface Kept {
  readonly slot: number;
  readonly seen: number;
  readonly doing?: { readonly until: number; readonly seeing: number; readonly failures?: number };
}

/** One work. */
export class Daily {
  readonly #work: DailyWork;
  readonly #parts: DailyParts;
  /** The last time that is done. */
  #done = 0;

  constructor(work: DailyWork, parts: DailyParts) {
    this.#work = work;
    this.#parts = parts;
  }

  /** Does it if it is time. To be called every few seconds. */
  async tick(): Promise<void> {
    const { store, now, log } = this.#parts;
    const { name, minute, work } = this.#work;
    const slot = lastTime(now(), minute);
    if (slot === this.#done) return;
    const value = await store.get(name);
    const kept = value === undefined ? undefined : (JSON.parse(value) as Kept);
    if (kept === undefined || kept.slot - now() > DAY) {
      // It has never been done: nothing was missed. Or by a clock that was far ahead, and was set back since.
      await store.compareAndSet(name, value, JSON.stringify({ slot, seen: slot } satisfies Kept));
      return;
    }
    if (kept.slot >= slot && kept.doing === undefined) {
      this.#finished(slot, kept);
      return;
    }
    if ((kept.doing?.until ?? 0) > now()) return;
    const seeing = kept.slot >= slot ? (kept.doing?.seeing ?? now()) : now();
    let standing = JSON.stringify({
      slot,
      seen: kept.seen,
      doing: { until: now() + LEASE, seeing },
    } satisfies Kept);
    if (!(await store.compareAndSet(name, value, standing))) return;
    const change = async (next: Kept): Promise<void> => {
      const text = JSON.stringify(next);
      if (!(await store.compareAndSet(name, standing, text)))
        throw new Error('another process has taken over');
      standing = text;
    };
    let renewed = now();
    try {
      await work(kept.seen, seeing, async () => {
        if (now() - renewed < LEASE / 5) return;
        renewed = now();
        await change({ slot, seen: kept.seen, doing: { until: renewed + LEASE, seeing } });
      });
    } catch (error) {
      log.error({ error }, `the daily ${name} could not be finished, and is tried again`);
      const failures = kept.slot >= slot ? (kept.doing?.failures ?? 0) : 0;
      const pause = Math.min(LONGEST_PAUSE, PAUSE * 2 ** failures);
      await change({
        slot,
        seen: kept.seen,
        doing: { until: now() + pause, seeing, failures: failures + 1 },
      });
      return;
    }
    const done: Kept = { slot, seen: seeing };
    await change(done);
    this.#finished(slot, done);
  }

  #finished(slot: number, { seen }: Kept): void {
    this.#done = slot;
    this.#parts.metrics.gauge(`daily_${this.#work.name}_timestamp_seconds`, seen / 1_000);
  }
}

/** The last time that a clock on the wall showed so many minutes after midnight. */
export function lastTime(now: number, minute: number): number {
  const day = new Date(now);
  // Each day's for itself: where clocks are put forward today's may be a time that yesterday's is not.
  const at = (daysAgo: number): number =>
    new Date(day.getFullYear(), day.getMonth(), day.getDate() - daysAgo, 0, minute).getTime();
  return at(0) <= now ? at(0) : at(1);
}
