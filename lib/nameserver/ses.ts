/** Whether a sender's signature is ours. */
import { createSes, type Ses, SrsError } from '../srs/index.ts';
import type { SesCheck } from './zone.ts';

/** How signatures are checked. */
export interface SesCheckOptions {
  /** Those that the filter signs with, asked each time: the first one signs, all verify. */
  readonly secrets: () => readonly string[];
  /** Whether the signature, in a form that is the same for each way to write it, was used up by bounces. @default none is */
  readonly isUsed?: (signature: string) => boolean | Promise<boolean>;
  /** Milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** Makes what `ZoneOptions.ses` takes. */
export function makeSesCheck({ secrets, isUsed, now = Date.now }: SesCheckOptions): SesCheck {
  let made: { readonly of: readonly string[]; readonly ses: Ses } | undefined;
  return (local, domain) => {
    const current = secrets();
    if (current.length === 0) return false;
    if (made?.of !== current) made = { of: current, ses: createSes({ secrets: current, now }) };
    try {
      const { fault, signature } = made.ses.inspect(`${local}@${domain}`);
      if (fault !== undefined) return false;
      const used = isUsed?.(signature) ?? false;
      return typeof used === 'boolean' ? !used : used.then((one) => !one);
    } catch (error) {
      if (error instanceof SrsError) return false;
      throw error;
    }
  };
}
