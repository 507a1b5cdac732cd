/** Two correspondents as a key of the store. */
import { createHash } from 'node:crypto';
import { parseAddress } from '../../index.ts';

/** What BATV, SES and SRS put before a sender's local part: another one every day, or for each message. */
const SIGNATURE = /^(?:prvs=[\da-f]{10}=|SES=[\w-]{1,40}=|SRS0[-+=][\w+/-]{1,27}=[A-Z2-7]{2}==?)/i;

/** A key of bounded length for two addresses, without regard to case and signatures; neither can be read from it. */
export function pairKey(one: string, other: string): string {
  const [first, second] = [one, other].map((address) => parseAddress(address).address.replace(SIGNATURE, ''));
  return createHash('sha256').update(`${first} ${second}`.toLowerCase()).digest('base64url').slice(0, 32);
}
