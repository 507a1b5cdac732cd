/**
 * What became of each message, for `milter why` and the status page. Written in batches a little after the MTA was
 * answered: mail never waits for it, and a store that is away costs history, not mail.
 */
import type { Logger } from '../index.ts';
import type { RecipientOutcome } from './findings/judgement.ts';
import type { Store, StoreCall } from './store/store.ts';

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
  /** Milliseconds since 1970. */
  readonly since?: number;
}

/** How many messages wait for the store before the oldest are forgotten. */
const MAX_WAITING = 10_000;
/** A message with more recipients is kept with these, and the number of the others is lost. */
const MAX_RECIPIENTS = 100;
const FLUSH_EVERY = 1_000;

/** The history of a filter. */
export class History {
  readonly #store: Store;
  readonly #keep: number;
  readonly #log: Logger;
  #waiting = new Map<string, HistoryRecord>();
  #timer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();

  /** @param settings how long messages are kept, in milliseconds, and how many of them; none: no history */
  constructor(store: Store, settings: { readonly keep: number; readonly max: number }, log: Logger) {
    this.#store = store;
    this.#keep = settings.max === 0 ? 0 : settings.keep;
    this.#log = log;
  }

  /** Keeps a record, in place of an earlier one of the same message. */
  write(record: HistoryRecord): void {
    if (this.#keep === 0) return;
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

  /** Writes what waits. A store that is away is logged, and the records are forgotten. */
  flush(): Promise<void> {
    const records = [...this.#waiting.values()];
    this.#waiting = new Map();
    this.#flushing = this.#flushing.then(async () => {
      if (records.length === 0) return;
      try {
        await this.#store.batch(records.flatMap((record) => this.#calls(record)));
      } catch (error) {
        this.#log.warn({ error, messages: records.length }, 'the history could not be written');
      }
    });
    return this.#flushing;
  }

  /** Records that fit, the newest first. */
  async find({ id, from, to, since = 0 }: HistoryQuery, limit = 100): Promise<readonly HistoryRecord[]> {
    await this.flush();
    if (id !== undefined) return await this.#byId(id);
    const found: HistoryRecord[] = [];
    for await (const [, value] of this.#store.scan('at/')) {
      const record = parse(value);
      if (record === undefined || record.at < since) continue;
      if (from !== undefined && !includes(record.sender, from)) continue;
      if (to !== undefined && !record.recipients.some(({ address }) => includes(address, to))) continue;
      found.push(record);
    }
    return found.sort((a, b) => b.at - a.at).slice(0, limit);
  }

  /** Writes what waits, and stops. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.flush();
  }

  async #byId(id: string): Promise<readonly HistoryRecord[]> {
    const key = (await this.#store.get(`ref/${id.toUpperCase()}`)) ?? (await this.#store.get(`queue/${id}`));
    const value = key === undefined ? undefined : await this.#store.get(key);
    const record = value === undefined ? undefined : parse(value);
    return record === undefined ? [] : [record];
  }

  #calls(record: HistoryRecord): StoreCall[] {
    const keep = { ttl: this.#keep };
    const key = `at/${String(record.at).padStart(15, '0')}/${record.ref}`;
    const value = JSON.stringify({ ...record, recipients: record.recipients.slice(0, MAX_RECIPIENTS) });
    const calls: StoreCall[] = [
      { call: 'set', key, value, keep },
      { call: 'set', key: `ref/${record.ref}`, value: key, keep },
    ];
    if (record.queueId !== undefined) {
      calls.push({ call: 'set', key: `queue/${record.queueId}`, value: key, keep });
    }
    return calls;
  }
}

function parse(value: string): HistoryRecord | undefined {
  try {
    return JSON.parse(value) as HistoryRecord;
  } catch {
    return undefined;
  }
}

function includes(address: string, part: string): boolean {
  return address.toLowerCase().includes(part.toLowerCase());
}
