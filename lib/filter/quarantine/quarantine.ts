/** Where the action `quarantine` puts mail: kept for review, out of the mail's way. */
import type { Milter } from '../../index.ts';
import type { Judgement } from '../findings/judgement.ts';

/** Keeps messages for review. */
export interface Quarantine {
  /**
   * Keeps the message as received, for these recipients. Resolves when it is safe on disk, so that the MTA can be told.
   * Rejects where it cannot be kept: the message is then tempfailed.
   */
  hold(milter: Milter, judgement: Judgement, recipients: readonly string[]): Promise<void>;
}
