/** What every request does, on any table of entries that can be read and written at once (in memory, in SQLite). */
import type { Page, StoreAnswer, StoreRequest } from './request.ts';
import type { Keep, StoreCall, WindowLimit } from './store.ts';
import { addTo, admission, type Window } from './window.ts';

/** A value, and how it is kept. */
export interface Entry {
  readonly value: string;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
  readonly listed: boolean;
}

/** Entries and windows by their keys. */
export interface Table {
  /** Undefined where there is none, or it has expired. */
  read(key: string, now: number): Entry | undefined;
  write(key: string, entry: Entry): void;
  remove(key: string): void;
  /** Listed keys in order: those that begin with `prefix` and come behind `after`. */
  page(prefix: string, after: string, most: number, now: number): Page['entries'];
  readWindow(key: string): Window;
  /** @param expires when nothing in it counts any more */
  writeWindow(key: string, window: Window, expires: number): void;
  /** Lets go of what has expired, at most so many of each kind; returns how many they were. */
  sweep(now: number, most: number): number;
}

/** Does what is asked. Nothing in here fails halfway, unless the table does. */
export function perform(table: Table, request: StoreRequest, now: number): StoreAnswer {
  switch (request.call) {
    case 'compareAndSet': {
      const { key, expected, value, keep, along = [] } = request;
      if (table.read(key, now)?.value !== expected) return false;
      table.write(key, toEntry(value, keep, now));
      for (const call of along) performCall(table, call, now);
      return true;
    }
    case 'batch':
      return request.calls.map((call) => performCall(table, call, now));
    case 'page': {
      const { prefix, after, most, holding } = request;
      const entries = table.page(prefix, after, most, now);
      return {
        entries: holding === undefined ? entries : entries.filter(([, value]) => value.includes(holding)),
        next: entries.length < most ? undefined : entries.at(-1)?.[0],
      };
    }
    case 'admit': {
      const windows = request.limits.map(({ key }) => table.readWindow(key));
      const result = admission(request.limits, windows, now);
      if (result.admitted) for (const limit of request.limits) addToWindow(table, limit, limit.add, now);
      return result;
    }
    case 'giveBack':
      for (const limit of request.limits) addToWindow(table, limit, -limit.add, now);
      return undefined;
    default:
      return performCall(table, request, now);
  }
}

function performCall(table: Table, call: StoreCall, now: number): string | number | undefined {
  switch (call.call) {
    case 'get':
      return table.read(call.key, now)?.value;
    case 'set':
      table.write(call.key, toEntry(call.value, call.keep, now));
      return undefined;
    case 'increment': {
      const entry = table.read(call.key, now) ?? toEntry('0', call.keep, now);
      const sum = (/^-?\d+$/.test(entry.value) ? Number(entry.value) : 0) + call.by;
      table.write(call.key, { ...entry, value: String(sum) });
      return sum;
    }
    case 'delete':
      table.remove(call.key);
      return undefined;
  }
}

function toEntry(value: string, keep: Keep | undefined, now: number): Entry {
  const expires = keep?.ttl === undefined ? Number.POSITIVE_INFINITY : now + keep.ttl;
  return { value, expires, listed: keep?.listed === true };
}

function addToWindow(table: Table, { key, per }: WindowLimit, amount: number, now: number): void {
  if (amount !== 0) table.writeWindow(key, addTo(table.readWindow(key), amount, now, per), now + 2 * per);
}
