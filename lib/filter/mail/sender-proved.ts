/** Whether somebody vouches for the envelope sender. */
import { type Milter, parseAddress } from '../../index.ts';
import { authFact, spfFact } from '../facts.ts';
import { isAligned } from './aligned.ts';

/** A DKIM signature of the sender's domain, of one above or below it, was verified. */
export function isSenderSigned(milter: Milter): boolean {
  const { domain } = parseAddress(milter.message.sender);
  return authFact.get(milter)?.dkim.some((signed) => isAligned(signed, domain)) === true;
}

/** SPF of the sender's domain, or such a signature, says that the sender is what it claims to be. At the end of the message. */
export async function isSenderProved(milter: Milter): Promise<boolean> {
  return isSenderSigned(milter) || (await spfFact.get(milter))?.result === 'pass';
}
