/** Two correspondents as a key of the store. */
import { createHash } from 'node:crypto';
import { comparableAddress } from './comparable.ts';

/** What BATV, SES and SRS put before a sender's local part: another one every day, or for each message. */
const SIGNATURE = /^(?:prvs=[\da-f]{10}=|SES=[\w-]{1,40}=|SRS0[-+=][\w+/-]{1,27}=[A-Z2-7]{2}==?)/i;

/** A key of bounded length for two addresses, as addresses are compared, and without regard to signatures; neither can be read from it. */
export function pairKey(one: string, other: string): string {
  const [first, second] = [one, other].map((address) => comparableAddress(address).replace(SIGNATURE, ''));
  return createHash('sha256').update(`${first} ${second}`).digest('base64url').slice(0, 32);
}
