/**
 * What greylisting knows of one triple of origin, sender and recipient, and what follows from it at the next attempt. Pure.
 */

/** A triple as it is kept. Milliseconds since 1970. */
export interface Seen {
  /** The first attempt, from which the delay counts. */
  readonly first: number;
  readonly last: number;
  /** Attempts that were let through. */
  readonly count: number;
}

/** How long what takes, in milliseconds. */
export interface Times {
  /** An attempt is let through when the first one is so long ago, */
  readonly delay: number;
  /** but not when it is as long ago as this: then it counts as the first again. */
  readonly expire: number;
  /** A triple that was let through is forgotten after so long without mail. */
  readonly retain: number;
}

/** On top of the delay: a retry to the second is a machine that does not wait. */
const GRACE = 5_000;

/** What an attempt makes of a triple: with a count of 0 it must wait. */
export function attempt(seen: Seen | undefined, now: number, { delay, expire, retain }: Times): Seen {
  const anew = { first: now, last: now, count: 0 };
  if (seen === undefined || now > seen.last + retain) return anew;
  // The clock was set back: nobody waits until it is there again.
  if (seen.count === 0 && now < seen.first) return anew;
  if (now < seen.first + delay + GRACE) return { ...seen, last: now };
  if (seen.count > 0 || now < seen.first + expire) return { ...seen, last: now, count: seen.count + 1 };
  return anew;
}

/** Milliseconds that a triple still has to wait. */
export function waitOf({ first }: Seen, now: number, { delay }: Times): number {
  return first + delay + GRACE - now;
}

/** Milliseconds after which a triple means nothing more. */
export function keepFor({ first, count }: Seen, now: number, { expire, retain }: Times): number {
  // To the last moment: the store forgets at the end of the time, not after it.
  return count > 0 ? retain + 1 : Math.max(1, first + expire - now);
}

/** As text for the store. */
export function write({ first, last, count }: Seen): string {
  return `${first} ${last} ${count}`;
}

/** The reverse; undefined for what is none. */
export function read(text: string | undefined): Seen | undefined {
  const [first, last, count] = /^\d+ \d+ \d+$/.test(text ?? '') ? (text?.split(' ').map(Number) ?? []) : [];
  return first === undefined || last === undefined || count === undefined
    ? undefined
    : { first, last, count };
}
