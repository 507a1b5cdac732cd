/** Who is signed in. Sessions are in memory, bounded, and end by themselves; those of a changed account end with it. */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Account } from './accounts.ts';

/** One browser that is signed in. */
export interface Session {
  readonly account: string;
  /** Stands in every form of it. */
  readonly formToken: string;
  /** What is to be said on the next page, and whether it is bad news. */
  notice: Notice | undefined;
}

/** News for the one who is signed in. */
export interface Notice {
  readonly text: string;
  readonly isBad: boolean;
}

interface Kept extends Session {
  /** Of the account, when it signed in. */
  readonly fingerprint: string;
  readonly began: number;
  seen: number;
}

/** How long sessions last, and how many there are. */
export interface SessionLimits {
  /** Milliseconds without a request. */
  readonly idle: number;
  /** Milliseconds in all. */
  readonly whole: number;
  readonly ofOneAccount: number;
  readonly inAll: number;
}

const LIMITS: SessionLimits = {
  idle: 60 * 60_000,
  whole: 12 * 60 * 60_000,
  ofOneAccount: 10,
  inAll: 2_000,
};

/** The sessions. */
export class Sessions {
  readonly #now: () => number;
  readonly #limits: SessionLimits;
  /** By the digest of what the cookie says, the oldest first. */
  readonly #sessions = new Map<string, Kept>();

  /** @param now milliseconds since 1970 */
  constructor(now: () => number, limits: SessionLimits = LIMITS) {
    this.#now = now;
    this.#limits = limits;
  }

  /** How many there are. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Begins one; resolves to what its cookie says. Where there are too many, the oldest end. */
  begin(account: Account): string {
    const own = [...this.#sessions].filter(([, session]) => session.account === account.name);
    for (const [key] of own.slice(0, Math.max(0, own.length - this.#limits.ofOneAccount + 1))) {
      this.#sessions.delete(key);
    }
    for (const key of this.#sessions.keys()) {
      if (this.#sessions.size < this.#limits.inAll) break;
      this.#sessions.delete(key);
    }
    const cookie = randomBytes(32).toString('base64url');
    const now = this.#now();
    this.#sessions.set(digest(cookie), {
      account: account.name,
      formToken: randomBytes(24).toString('base64url'),
      notice: undefined,
      fingerprint: fingerprintOf(account),
      began: now,
      seen: now,
    });
    return cookie;
  }

  /**
   * The session of a cookie, if it is still good.
   * @param find the account as it is now
   */
  async find(
    cookie: string | undefined,
    find: (name: string) => Promise<Account | undefined>,
  ): Promise<Session | undefined> {
    const key = cookie === undefined ? '' : digest(cookie);
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    const now = this.#now();
    const account = await find(session.account);
    const isOver =
      now - session.seen > this.#limits.idle ||
      now - session.began > this.#limits.whole ||
      account === undefined ||
      fingerprintOf(account) !== session.fingerprint;
    if (isOver) {
      this.#sessions.delete(key);
      return undefined;
    }
    session.seen = now;
    return session;
  }

  /** Ends it. */
  end(cookie: string | undefined): void {
    if (cookie !== undefined) this.#sessions.delete(digest(cookie));
  }
}

/** Whether two secrets are the same, in a time that tells nothing. */
export function isSame(given: string, right: string): boolean {
  return timingSafeEqual(Buffer.from(digest(given)), Buffer.from(digest(right)));
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Whoever got another password, other rights or other addresses signs in anew. */
function fingerprintOf({ password, isAdmin, addresses }: Account): string {
  return digest(JSON.stringify([password, isAdmin, addresses]));
}
