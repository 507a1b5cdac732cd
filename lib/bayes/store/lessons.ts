/** Learning and unlearning on a table that nobody else changes meanwhile. */
import { counted, pack, unpack } from '../counts.ts';
import { TOUCH_DAYS } from '../expiry.ts';
import type { Totals } from '../score.ts';
import { decodeRecord, encodeRecord, isOfSameBody } from './record.ts';
import type { Import, Kind, Lesson, Outcome, Task } from './store.ts';

/** One dictionary. */
export interface Table {
  totals(): Totals;
  addTotals(spam: number, ham: number): void;
  /** The packed counts of those tokens that are known. */
  get(keys: readonly number[]): ReadonlyMap<number, number>;
  /** @param isNew whether it is unknown so far */
  set(key: number, packed: number, isNew: boolean): void;
  remove(key: number): void;
  record(digest: Buffer): Buffer | undefined;
  setRecord(digest: Buffer, record: Buffer): void;
  removeRecord(digest: Buffer): void;
}

/** Does what is to be done with a lesson. */
export function perform(table: Table, task: Task, lesson: Lesson, day: number): Outcome {
  const bytes = table.record(lesson.digest);
  const record = bytes && decodeRecord(bytes);
  if (task.call === 'unlearn' && record === undefined) return 'unknown';
  if (
    record?.isLearned === true &&
    task.call !== 'unlearn' &&
    (task.call === 'note' || record.kind === task.kind)
  )
    return 'known';
  if (bytes !== undefined && record?.isLearned === true) {
    if (!isOfSameBody(bytes, lesson)) return 'other-release';
    count(table, [...record.header, ...lesson.body], record.kind, -1, day);
  }
  if (task.call === 'unlearn') {
    table.removeRecord(lesson.digest);
    return record?.isLearned === true ? 'unlearned' : 'noted';
  }
  table.setRecord(lesson.digest, encodeRecord(lesson, task));
  const keys = [...lesson.header, ...lesson.body];
  if (task.call === 'note') {
    touch(table, keys, day);
    return 'noted';
  }
  count(table, keys, task.kind, 1, day);
  return record?.isLearned === true ? 'moved' : 'learned';
}

function count(table: Table, keys: readonly number[], kind: Kind, by: 1 | -1, day: number): void {
  const distinct = [...new Set(keys)];
  const known = table.get(distinct);
  for (const key of distinct) {
    const packed = known.get(key);
    if (packed === undefined && by < 0) continue;
    const before = packed === undefined ? { spam: 0, ham: 0, day } : unpack(packed);
    // What is taken back leaves the token as old as it was.
    const after = counted(before, kind, by, by < 0 ? before.day : Math.max(before.day, day));
    if (after.spam + after.ham === 0) table.remove(key);
    else table.set(key, pack(after), packed === undefined);
  }
  table.addTotals(kind === 'spam' ? by : 0, kind === 'ham' ? by : 0);
}

function touch(table: Table, keys: readonly number[], day: number): void {
  for (const [key, packed] of table.get([...new Set(keys)])) {
    const counts = unpack(packed);
    if (day - counts.day >= TOUCH_DAYS) table.set(key, pack({ ...counts, day }), false);
  }
}

/** Adds counts as they are. */
export function addCounts(table: Table, tokens: readonly Import[], totals: Totals): void {
  for (const { key, spam, ham, day } of tokens) {
    // One by one: two words may have become one token.
    const packed = table.get([key]).get(key);
    const before = packed === undefined ? { spam: 0, ham: 0, day } : unpack(packed);
    const last = Math.max(before.day, day);
    table.set(
      key,
      pack(counted(counted(before, 'spam', spam, last), 'ham', ham, last)),
      packed === undefined,
    );
  }
  table.addTotals(totals.spam, totals.ham);
}
