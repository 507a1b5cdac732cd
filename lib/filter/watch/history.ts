/**
 * What became of each message, for `milter why` and the status page. Written in batches a little after the MTA was
 * answered: mail never waits for it, and a store that is away costs history, not mail.
 */
import type { Logger } from '../../index.ts';
import type { RecipientOutcome } from '../findings/judgement.ts';
import type { Store, StoreCall } from '../store/store.ts';

/** What is kept of one message. */
export interface HistoryRecord {
  readonly ref: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly queueId?: string | undefined;
  readonly client: {
    readonly address?: string | undefined;
    readonly hostname: string;
    readonly kind: string;
  };
  readonly helo: string;
  readonly sender: string;
  readonly direction?: string | undefined;
  readonly recipients: readonly RecipientOutcome[];
  readonly subject?: string | undefined;
  readonly findings: readonly HistoryFinding[];
  readonly points: number;
  readonly verdict: string;
  readonly reply?: string | undefined;
  /** Modules that changed the message. */
  readonly changedBy: readonly string[];
}

/** One finding, as it is kept. */
export interface HistoryFinding {
  readonly name: string;
  readonly action: string;
  readonly subject: string;
  readonly observed: boolean;
  readonly recipient?: string | undefined;
  readonly note?: string | undefined;
  /** What was done instead of `action`: an entry of `access`, or the relay it came from, had it so. */
  readonly done?: string | undefined;
  /** The entry of `access` that overruled it. */
  readonly by?: string | undefined;
}

/** Which records {@link History.find} looks for; all that is given must fit. */
export interface HistoryQuery {
  /** A reference or a queue id. */
  readonly id?: string;
  /** Part of the sender's, or a recipient's, address; without case. */
  readonly from?: string;
  readonly to?: string;
  /** Milliseconds since 1970. @default all that is kept */
  readonly since?: number;
}

/** How many messages wait for the store before the oldest are forgotten. */
const MAX_WAITING = 10_000;
/** A message with more recipients is kept with these, and the number of the others is lost. */
export const MAX_RECIPIENTS = 100;
const FLUSH_EVERY = 1_000;
/** Messages that are written, or read, in one batch. */
const PAGE = 200;

/** How far the clocks of machines that share a store may be apart, in milliseconds. */
const CLOCKS = 60_000;

/** A record as it is kept, under its number. */
interface Kept extends HistoryRecord {
  /** Milliseconds since 1970: the numbers rise with it, as they need not with `at`. */
  readonly written: number;
}

/** What `[history]` says, and what it needs. */
export interface HistoryOptions {
  /** How long messages are kept, in milliseconds. */
  readonly keep: number;
  /** How many are; 0: none. */
  readonly max: number;
  readonly log: Logger;
  readonly now: () => number;
}

/**
 * The history of a filter. Messages are numbered in the order in which they are written; `n/NUMBER` is the record, and
 * `ref/…` and `queue/…` say the number. A new number drives out the one `max` before it.
 */
export class History {
  readonly #store: Store;
  readonly #options: HistoryOptions;
  #waiting = new Map<string, HistoryRecord>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  constructor(store: Store, options: HistoryOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** Keeps a record, in place of an earlier one of the same message. */
  write(record: HistoryRecord): void {
    const { keep, max } = this.#options;
    if (keep === 0 || max === 0) return;
    this.#waiting.set(record.ref, record);
    if (this.#waiting.size > MAX_WAITING) {
      for (const oldest of this.#waiting.keys()) {
        this.#waiting.delete(oldest);
        break;
      }
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, FLUSH_EVERY).unref();
  }

  /** Writes what waits. Where the store is away that is logged, and the records are forgotten. */
  flush(): Promise<void> {
    const records = [...this.#waiting.values()];
    this.#waiting = new Map();
    this.#flushing = this.#flushing.then(async () => {
      for (let from = 0; from < records.length; from += PAGE) {
        try {
          await this.#keep(records.slice(from, from + PAGE));
        } catch (error) {
          this.#options.log.warn(
            { error, messages: records.length - from },
            'the history could not be written',
          );
          return;
        }
      }
    });
    return this.#flushing;
  }

  /**
   * Records that fit, those whose fate was settled last first. Reads from there on, a few hundred at a time, until `limit`
   * are found or nothing older can fit.
   */
  async find(query: HistoryQuery, limit = 100): Promise<readonly HistoryRecord[]> {
    await this.flush();
    if (query.id !== undefined) return await this.#byId(query.id);
    const found: HistoryRecord[] = [];
    const last = Number((await this.#store.get('last')) ?? 0);
    const first = Math.max(1, last - this.#options.max + 1);
    let emptyPages = 0;
    for (let end = last; end >= first && emptyPages < 2; end -= PAGE) {
      const numbers = Array.from({ length: Math.min(PAGE, end - first + 1) }, (_, i) => end - i);
      const records = await this.#records(numbers);
      // One may be empty because a process died between taking numbers and writing. If two are, all before has expired.
      emptyPages = records.length === 0 ? emptyPages + 1 : 0;
      for (const record of records) {
        if (record.written < (query.since ?? 0) - CLOCKS) return found;
        if (!fits(record, query)) continue;
        found.push(withoutTime(record));
        if (found.length === limit) return found;
      }
    }
    return found;
  }

  /** Writes what waits, and stops. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.flush();
  }

  async #byId(id: string): Promise<readonly HistoryRecord[]> {
    const [byRef, byQueueId] = await this.#values([`ref/${id.toUpperCase()}`, `queue/${id}`]);
    const number = byRef ?? byQueueId;
    return number === undefined ? [] : (await this.#records([Number(number)])).map(withoutTime);
  }

  async #keep(records: readonly HistoryRecord[]): Promise<void> {
    const { keep: ttl, max, now } = this.#options;
    const known = await this.#values(records.map(({ ref }) => `ref/${ref}`));
    const added = known.filter((number) => number === undefined).length;
    const last = added === 0 ? 0 : await this.#store.increment('last', added);
    const forgotten = Array.from({ length: added }, (_, i) => last - max - i).filter((number) => number > 0);
    const calls = await this.#forgetting(forgotten);
    const written = now();
    let next = last - added;
    for (const [index, record] of records.entries()) {
      const number = known[index] ?? String(++next);
      const kept: Kept = { ...record, recipients: record.recipients.slice(0, MAX_RECIPIENTS), written };
      const set = (key: string, value: string): void => {
        calls.push({ call: 'set', key, value, keep: { ttl } });
      };
      set(`n/${number}`, JSON.stringify(kept));
      set(`ref/${record.ref}`, number);
      if (record.queueId !== undefined) set(`queue/${record.queueId}`, number);
    }
    await this.#store.batch(calls);
  }

  /** What takes these out, with all that leads to them. MTAs use queue ids again: one may lead to another by now. */
  async #forgetting(numbers: readonly number[]): Promise<StoreCall[]> {
    const records = await this.#records(numbers);
    const queued = records.flatMap(({ queueId }) => (queueId === undefined ? [] : [`queue/${queueId}`]));
    const led = await this.#values(queued);
    const keys = [
      ...numbers.map((number) => `n/${number}`),
      ...records.map(({ ref }) => `ref/${ref}`),
      ...queued.filter((_, index) => numbers.includes(Number(led[index]))),
    ];
    return keys.map((key) => ({ call: 'delete', key }));
  }

  async #records(numbers: readonly number[]): Promise<readonly Kept[]> {
    const values = await this.#values(numbers.map((number) => `n/${number}`));
    return values.flatMap((value) => (value === undefined ? [] : [JSON.parse(value) as Kept]));
  }

  async #values(keys: readonly string[]): Promise<readonly (string | undefined)[]> {
    return await this.#store.batch(keys.map((key) => ({ call: 'get' as const, key })));
  }
}

function fits({ at, sender, recipients }: HistoryRecord, { from, to, since = 0 }: HistoryQuery): boolean {
  if (at < since) return false;
  if (from !== undefined && !includes(sender, from)) return false;
  return to === undefined || recipients.some(({ address }) => includes(address, to));
}

function withoutTime({ written: _, ...record }: Kept): HistoryRecord {
  return record;
}

function includes(address: string, part: string): boolean {
  return address.toLowerCase().includes(part.toLowerCase());
}
