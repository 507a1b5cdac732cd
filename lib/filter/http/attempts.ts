/** Bounds guessing: after so many failures in a row of time an account, or an address, must wait. */

/** How many failures within which time. */
export interface AttemptLimits {
  readonly ofAccount: number;
  readonly ofAddress: number;
  /** Milliseconds; as long as nobody tries again, after it all is forgotten. */
  readonly window: number;
  /** What is remembered in all; the oldest is forgotten first. */
  readonly most: number;
}

const LIMITS: AttemptLimits = { ofAccount: 10, ofAddress: 30, window: 15 * 60_000, most: 20_000 };

/** Failures of one account or address. */
interface Failures {
  count: number;
  /** When it is forgotten. */
  until: number;
}

/** Failed attempts to sign in, or to guess. */
export class Attempts {
  readonly #now: () => number;
  readonly #limits: AttemptLimits;
  readonly #failures = new Map<string, Failures>();

  /** @param now milliseconds since 1970 */
  constructor(now: () => number, limits: AttemptLimits = LIMITS) {
    this.#now = now;
    this.#limits = limits;
  }

  /**
   * Counts an attempt as failed until it is known to have succeeded, so that many at once are no way around. Gives the
   * milliseconds to wait, where there have been too many; such an attempt is not to be looked at.
   */
  begin(address: string, account?: string): number {
    const now = this.#now();
    const waits = this.#keys(address, account).map(([key, most]) => {
      const failures = this.#current(key, now);
      return failures !== undefined && failures.count >= most ? failures.until - now : 0;
    });
    const wait = Math.max(...waits);
    if (wait > 0) return wait;
    for (const [key] of this.#keys(address, account)) {
      const failures = this.#current(key, now) ?? { count: 0, until: 0 };
      failures.count++;
      failures.until = now + this.#limits.window;
      // Behind all others.
      this.#failures.delete(key);
      this.#failures.set(key, failures);
    }
    for (const key of this.#failures.keys()) {
      if (this.#failures.size <= this.#limits.most) break;
      this.#failures.delete(key);
    }
    return 0;
  }

  /** It was right after all: the account is forgiven, and of the address this one attempt. */
  succeed(address: string, account?: string): void {
    if (account !== undefined) this.#failures.delete(`account ${account}`);
    const failures = this.#failures.get(networkOf(address));
    if (failures !== undefined) failures.count--;
  }

  #keys(address: string, account: string | undefined): readonly (readonly [key: string, most: number])[] {
    const { ofAccount, ofAddress } = this.#limits;
    const network = [networkOf(address), ofAddress] as const;
    return account === undefined ? [network] : [network, [`account ${account}`, ofAccount]];
  }

  #current(key: string, now: number): Failures | undefined {
    const failures = this.#failures.get(key);
    return failures === undefined || failures.until <= now ? undefined : failures;
  }
}

/** Whoever has an address of IPv6 has its /64. */
function networkOf(address: string): string {
  if (!address.includes(':') || address.startsWith('::ffff:')) return `address ${address}`;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const behind = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - groups.length - behind.length)).fill('0');
  return `address ${[...groups, ...zeros, ...behind].slice(0, 4).join(':')}::/64`;
}
