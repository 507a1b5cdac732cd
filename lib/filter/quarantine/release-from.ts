/** Releases what a module had held, when it has learned better. */
import { comparableAddress } from '../mail/comparable.ts';
import { pairKey } from '../mail/pair-key.ts';
import type { HeldMail } from './held-mail.ts';
import type { HeldItem } from './quarantine.ts';
import { type Review, ReviewError } from './review.ts';

/** Which messages. */
export interface HeldFrom {
  /** Whose they are: an address, without brackets. */
  readonly owner: string;
  /** The envelope sender, however it was signed. */
  readonly sender: string;
  /** What may have held them: those that something else holds too stay. */
  readonly finding: string;
  /** Who says so, for the log. */
  readonly by: string;
}

/** So many of one owner are looked through. */
const MAX_PAGES = 10;

/** Has those messages sent, and resolves to how many there were. Harmless if done again. */
export async function releaseFrom(held: HeldMail, review: Review, which: HeldFrom): Promise<number> {
  const owner = comparableAddress(which.owner);
  const isMeant = ({ sender, state, guarded, findings }: HeldItem): boolean =>
    (state === 'held' || state === 'requested') &&
    guarded !== true &&
    pairKey(owner, sender) === pairKey(owner, which.sender) &&
    findings.some(({ name }) => name === which.finding) &&
    findings.every(({ name, action }) => name === which.finding || action !== 'quarantine');
  let count = 0;
  let after: string | undefined;
  for (let page = 0; page < MAX_PAGES; page++) {
    const { items, next } = await held.page({ owners: [owner], ...(after === undefined ? {} : { after }) });
    for (const { id } of items.filter(isMeant)) {
      try {
        await review.release({ name: which.by, isAdmin: true }, id, { wait: false });
        count++;
      } catch (error) {
        // Somebody was first.
        if (!(error instanceof ReviewError) || error.code === 'cannot') throw error;
      }
    }
    if (next === undefined) break;
    after = next;
  }
  return count;
}
