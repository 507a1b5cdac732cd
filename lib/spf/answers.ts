/** What the answers of DNS mean to SPF. */
import type { Answer } from '../dns/index.ts';
import { MAX_NAMES } from './limits.ts';

/** The text of records that a cache gives again and again: it is not decoded again, and the engine knows its hash. */
const decoded = new WeakMap<readonly Buffer[], string>();

/** The bytes of a TXT record, one character each, its character-strings glued with nothing in between (section 3.3). */
export function joinText(strings: readonly Buffer[]): string {
  let text = decoded.get(strings);
  if (text === undefined) {
    text = Buffer.concat(strings).toString('latin1');
    decoded.set(strings, text);
  }
  return text;
}

/** RFC 7208 section 4.6.4: a void lookup. */
export function isVoid(answer: Answer): boolean {
  return answer.status === 'nodata' || answer.status === 'nxdomain';
}

/** A name that cannot be asked has no records either, but no query was wasted on it. */
export function isEmpty(answer: Answer): boolean {
  return isVoid(answer) || answer.status === 'badname';
}

/** The status of a failure, with its reason if there is one. */
export function failureText(answer: Answer): string {
  const reason = 'reason' in answer && answer.reason !== undefined ? ` (${answer.reason})` : '';
  return answer.status + reason;
}

/** The client's names that are looked at (section 5.5). */
export function ptrNames(answer: Answer<'PTR'>): readonly string[] {
  return answer.status === 'ok' ? answer.records.slice(0, MAX_NAMES) : [];
}
