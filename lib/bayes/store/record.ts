/**
 * What is kept of a trained message: what it was learned as, the keys of its header, and enough of its body to know that the body at
 * hand has the very keys that were learned. As bytes: flags, version, check of the body, six bytes for each key.
 */
import { checkOf, isOfSpam, type LearnedRecord, type Lesson, type Task, TOKENS_VERSION } from './store.ts';

const SPAM = 1;
const LEARNED = 2;
/** Flags, version, check. */
const RECORD_HEAD = 8;
const KEY = 6;

/** Keys as bytes, in which Redis keeps and compares them. */
export function keyBytes(keys: readonly number[]): Buffer {
  const bytes = Buffer.allocUnsafe(keys.length * KEY);
  for (const [i, key] of keys.entries()) bytes.writeUIntBE(key, i * KEY, KEY);
  return bytes;
}

/** Makes the record of a message with which this was done. */
export function encodeRecord({ header, body }: Lesson, task: Task): Buffer {
  const isLearned = task.call === 'learn';
  const head = Buffer.alloc(RECORD_HEAD);
  head[0] = (isOfSpam(task) ? SPAM : 0) | (isLearned ? LEARNED : 0);
  head[1] = TOKENS_VERSION;
  head.writeUIntBE(checkOf(body), 2, KEY);
  return isLearned ? Buffer.concat([head, keyBytes(header)]) : head;
}

/** What a record says. */
export function decodeRecord(bytes: Buffer): LearnedRecord & { readonly header: readonly number[] } {
  const flags = bytes[0] ?? 0;
  const header: number[] = [];
  for (let at = RECORD_HEAD; at + KEY <= bytes.length; at += KEY) header.push(bytes.readUIntBE(at, KEY));
  return { kind: (flags & SPAM) !== 0 ? 'spam' : 'ham', isLearned: (flags & LEARNED) !== 0, header };
}

/** Whether a message's body has the keys that were learned with this record. */
export function isOfSameBody(record: Buffer, { body }: Lesson): boolean {
  return record[1] === TOKENS_VERSION && record.readUIntBE(2, KEY) === checkOf(body);
}
