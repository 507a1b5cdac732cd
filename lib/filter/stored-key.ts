/** A key for proofs that whoever shares the store can make and verify, and nobody else. */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Store } from './store/store.ts';

const NAME = 'key';

/** What nobody else can make of these texts, none of which may hold a line end: 32 bytes. The key is made when it is first needed. */
export async function storedProof(store: Store, texts: readonly string[]): Promise<Buffer> {
  return createHmac('sha256', await keyOf(store))
    .update(texts.join('\n'))
    .digest();
}

async function keyOf(store: Store): Promise<string> {
  const known = await store.get(NAME);
  if (known !== undefined) return known;
  const made = randomBytes(32).toString('hex');
  if (await store.compareAndSet(NAME, undefined, made)) return made;
  return (await store.get(NAME)) ?? made;
}

/** Compares in a time that does not tell where they differ. */
export function isSame(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
