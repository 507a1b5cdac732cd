/** The action `tag`: findings written into the message, and a mark before its subject. */
import type { Message } from '../../index.ts';
import { decodeWords, encodeWords } from '../../mime/index.ts';
import type { Ruled } from './decide.ts';

/** The header that lists findings. Those of strangers with this name are taken out. */
export const FINDINGS_HEADER = 'X-Milter-Findings';

/** A longer subject is left alone: nobody reads its end, and a folded one would have to be folded anew. */
const MAX_SUBJECT = 900;

/** Writes the findings into the message. */
export function tag(message: Message, tags: readonly Ruled[]): void {
  message.addHeader(FINDINGS_HEADER, [...new Set(tags.map(({ finding }) => finding.name))].join(', '));
  const mark = tags.find(({ finding }) => finding.mark !== '')?.finding.mark;
  if (mark === undefined || isSealed(message)) return;
  const subject = message.headers.get('Subject');
  const text = subject === undefined ? '' : decodeWords(subject.value);
  if (text.startsWith(mark.trimEnd()) || text.length > MAX_SUBJECT) return;
  message.changeHeader('Subject', 1, encodeWords(`${mark}${text}`));
}

/** Whether the message is signed or encrypted as a whole (RFC 1847, RFC 8551): readers compare or hide its subject. */
function isSealed(message: Message): boolean {
  const type = message.headers.get('Content-Type')?.value ?? '';
  return /^\s*(multipart\/(signed|encrypted)|application\/(x-)?pkcs7-)/i.test(type);
}
