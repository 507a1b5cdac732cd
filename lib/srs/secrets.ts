/** Keyed hashes, compared in constant time. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Kind } from '../options.ts';
import { encodeText } from '../text.ts';

/** One at least, none of them empty. */
export const secretList: Kind<readonly string[]> = {
  must: 'be an array of secrets, one at least, none of them empty',
  accepts: (value): value is readonly string[] =>
    Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'string' && one !== ''),
};

/** HMAC-SHA1 (RFC 2104): its weakness against collisions does not matter here, and all who verify know it. */
export function keyed(secret: string, ...data: readonly (string | Buffer)[]): Buffer {
  const mac = createHmac('sha1', encodeText(secret));
  for (const piece of data) mac.update(typeof piece === 'string' ? encodeText(piece) : piece);
  return mac.digest();
}

/** Whether two texts are the same, in a time that only tells whether they are equally long. */
export function isSame(a: string, b: string): boolean {
  const [one, other] = [encodeText(a), encodeText(b)];
  return one.length === other.length && timingSafeEqual(one, other);
}
