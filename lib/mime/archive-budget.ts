/**
 * What looking into archives may cost, shared by all that one archive contains.
 */
import { Slice } from './slice.ts';

/** Bounds on looking into one attachment. */
export interface ArchiveLimits {
  /** Members of all nested archives together. @default 10_000 */
  readonly members: number;
  /** Archives within archives, the attachment itself being the first. @default 5 */
  readonly depth: number;
  /** Bytes that may be inflated, all together. @default 134_217_728 */
  readonly inflatedBytes: number;
  /** Milliseconds from start to end. @default 10_000 */
  readonly time: number;
}

/** The limits of {@link listArchive} unless told otherwise. */
export const defaultArchiveLimits: ArchiveLimits = {
  members: 10_000,
  depth: 5,
  inflatedBytes: 128 * 1024 * 1024,
  time: 10_000,
};

/** Why an archive could not be looked into, or not wholly. `path` leads to it through the archives around it. */
export type ArchiveProblem =
  | { readonly kind: 'corrupt'; readonly path: string; readonly reason: string }
  | { readonly kind: 'encrypted'; readonly path: string }
  /** A format, or a compression method, that cannot be looked into here: see {@link unreadFormats}. */
  | { readonly kind: 'unread'; readonly path: string; readonly format: string }
  | {
      readonly kind: 'limit';
      readonly path: string;
      readonly limit: keyof ArchiveLimits;
      readonly value: number;
    };

/** Stops the whole listing. Never leaves this module's users. */
export class LimitReached extends Error {
  readonly limit: keyof ArchiveLimits;

  constructor(limit: keyof ArchiveLimits) {
    super(`archive limit ${limit}`);
    this.limit = limit;
  }
}

/** Counts down the limits. */
export class Budget {
  readonly limits: ArchiveLimits;
  #members = 0;
  #inflated = 0;
  readonly #start: number = performance.now();
  readonly #slice: Slice = new Slice();

  constructor(limits: ArchiveLimits) {
    this.limits = limits;
  }

  /** Bytes that may still be inflated; at least 1, since a size of 0 means no bound to zlib. */
  get inflatable(): number {
    return Math.max(1, this.limits.inflatedBytes - this.#inflated);
  }

  /** Counts a member; lets the event loop turn now and then. */
  async countMember(): Promise<void> {
    if (++this.#members > this.limits.members) throw new LimitReached('members');
    if (performance.now() - this.#start > this.limits.time) throw new LimitReached('time');
    if (this.#slice.isOver) await this.#slice.next();
  }

  countInflated(bytes: number): void {
    this.#inflated += bytes;
    if (this.#inflated > this.limits.inflatedBytes) throw new LimitReached('inflatedBytes');
  }
}
