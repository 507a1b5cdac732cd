/**
 * The alert: once a day an administrator is told what went wrong, which is what was logged as a warning or an error. Every process
 * counts for itself and writes that into the store now and then; one of them tells of all.
 */
import { createHash } from 'node:crypto';
import type { LogFields, Logger } from '../../index.ts';
import type { OwnMail } from '../outgoing/own-mail.ts';
import type { Store } from '../store/store.ts';
import { fieldsText } from './log.ts';
import { watching } from './troubles.ts';

/** How often one thing went wrong. */
export interface Counted {
  readonly level: 'warn' | 'error';
  /** The module that logged it; empty for none. */
  readonly module: string;
  readonly message: string;
  /** What it was about the last time. */
  readonly about: string;
  readonly count: number;
  /** Milliseconds since 1970. */
  readonly first: number;
  readonly last: number;
}

/** More kinds of trouble count as one. */
const MOST = 200;
const OTHERS = 'and other things';
/** So many of all machines are read. */
const MOST_READ = 1_000;
/** So many are told; of the rest the mail says how many they are. */
const MOST_TOLD = 50;
/** Milliseconds after which nobody wants to know any more. */
const KEPT = 3 * 86_400_000;
const MAX_TEXT = 500;

/** Counts what goes wrong. */
export class Alert {
  readonly #store: Store;
  readonly #host: string;
  readonly #now: () => number;
  #counted = new Map<string, Counted>();
  #writing: Promise<void> = Promise.resolve();

  /** @param store a part of its own */
  constructor(store: Store, host: string, now: () => number) {
    this.#store = store;
    this.#host = host;
    this.#now = now;
  }

  /** A logger that counts what goes wrong, and hands everything on. */
  watching(logger: Logger): Logger {
    return watching(
      () => logger,
      (level, fields, message) => this.#count(level, fields, message),
    );
  }

  /** Writes what was counted into the store; where that is away it is counted on. */
  flush(): Promise<void> {
    this.#writing = this.#writing.then(() => this.#flush());
    return this.#writing;
  }

  /** Tells what all machines have counted, where something went wrong; what was told is forgotten. */
  async tell(to: string, send: (mail: OwnMail) => Promise<void>): Promise<void> {
    await this.flush();
    const found: { readonly key: string; readonly value: string }[] = [];
    for await (const [key, value] of this.#store.scan('')) {
      if (found.push({ key, value }) >= MOST_READ) break;
    }
    if (found.length === 0) return;
    await send(
      alertMail(
        to,
        found.map(({ key, value }) => ({
          host: key.slice(0, key.indexOf('/')),
          counted: JSON.parse(value) as Counted,
        })),
      ),
    );
    // What has been counted meanwhile is for the next.
    for (const { key, value } of found) await this.#store.compareAndSet(key, value, value, { ttl: 1 });
  }

  #count(level: Counted['level'], fields: LogFields, message: string): void {
    const { module, ...rest } = fields;
    // Numbers, addresses and quoted texts tell instances of one thing apart.
    const kind = message.replace(/"[^"]*"|<[^>]*>|\d+/g, '#').slice(0, MAX_TEXT);
    const name = `${level} ${typeof module === 'string' ? module : ''} ${kind}`;
    const key = this.#counted.has(name) || this.#counted.size < MOST ? name : OTHERS;
    const known = this.#counted.get(key);
    const now = this.#now();
    this.#counted.set(key, {
      level,
      module: typeof module === 'string' ? module : '',
      message: key === OTHERS ? OTHERS : message.slice(0, MAX_TEXT),
      about: fieldsText(rest).slice(0, MAX_TEXT),
      count: (known?.count ?? 0) + 1,
      first: known?.first ?? now,
      last: now,
    });
  }

  async #flush(): Promise<void> {
    const counted = this.#counted;
    this.#counted = new Map();
    try {
      for (const [name, one] of counted) {
        const key = `${this.#host}/${createHash('sha256').update(name).digest('hex').slice(0, 32)}`;
        const value = await this.#store.get(key);
        const before = value === undefined ? undefined : (JSON.parse(value) as Counted);
        const sum = { ...one, count: one.count + (before?.count ?? 0), first: before?.first ?? one.first };
        await this.#store.set(key, JSON.stringify(sum), { listed: true, ttl: KEPT });
        counted.delete(name);
      }
    } catch {
      // The store is away, which whoever needs it logs.
      for (const [name, one] of counted) if (!this.#counted.has(name)) this.#counted.set(name, one);
    }
  }
}

function alertMail(
  to: string,
  found: readonly { readonly host: string; readonly counted: Counted }[],
): OwnMail {
  const sorted = found.toSorted(
    (a, b) => rank(a.counted) - rank(b.counted) || b.counted.count - a.counted.count,
  );
  const errors = found.reduce(
    (sum, { counted: { level, count } }) => sum + (level === 'error' ? count : 0),
    0,
  );
  const warnings = found.reduce(
    (sum, { counted: { level, count } }) => sum + (level === 'warn' ? count : 0),
    0,
  );
  const lines = sorted.slice(0, MOST_TOLD).map(({ host, counted }) => {
    const { level, module, message, about, count, first, last } = counted;
    const often = count === 1 ? `once, ${time(last)}` : `${count} times, ${time(first)} to ${time(last)}`;
    return `${level === 'error' ? 'ERROR' : 'warning'}: ${plain(module === '' ? message : `${module}: ${message}`)}\n    on ${host}, ${often}${about === '' ? '' : `\n    ${plain(about)}`}`;
  });
  const more =
    sorted.length > MOST_TOLD ? [`and ${sorted.length - MOST_TOLD} other things; see the log.`] : [];
  return {
    to,
    subject: `Mail filter: ${errors} errors, ${warnings} warnings`,
    text: `${['What went wrong since the last such mail; all of it is in the log.', ...lines, ...more].join('\n\n')}\n`,
  };
}

function rank({ level }: Counted): number {
  return level === 'error' ? 0 : 1;
}

function time(at: number): string {
  return new Date(at).toISOString().slice(0, 16).replace('T', ' ');
}

function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, ' ');
}
