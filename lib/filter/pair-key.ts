/** Two correspondents as a key of the store. */
import { createHash } from 'node:crypto';
import { parseAddress } from '../index.ts';

/** What BATV puts before a sender's local part: another one every day. */
const BATV = /^prvs=[\da-f]{10}=/i;

/** A key of bounded length for two addresses, without regard to case; neither can be read from it. */
export function pairKey(one: string, other: string): string {
  const [first, second] = [one, other].map((address) => parseAddress(address).address.replace(BATV, ''));
  return createHash('sha256').update(`${first} ${second}`.toLowerCase()).digest('base64url').slice(0, 32);
}
