/**
 * What the decision writes into a message that goes on: the findings that say `tag`, a mark before the subject, and the
 * points. A message from outside that brings such headers along loses them: people's own rules go by them.
 */
import type { Message } from '../../index.ts';
import { decodeWords, encodeWords } from '../../mime/words.ts';
import type { Direction } from '../facts.ts';
import type { MessageDecision, Ruled } from './decide.ts';

/** The header that lists findings. */
const FINDINGS_HEADER = 'X-Milter-Findings';

/** A longer subject is left alone: nobody reads its end, and a folded one would have to be folded anew. */
const MAX_SUBJECT = 900;

/**
 * Writes what was decided into the message.
 * @param scoreHeader empty where points are not to be told
 * @param forgeable headers besides that only the filter may write
 */
export function writeDecision(
  message: Message,
  { tags, points, ruled }: MessageDecision & { readonly verdict: 'continue' },
  direction: Direction,
  scoreHeader: string,
  forgeable: readonly string[],
): void {
  const incoming = direction === 'incoming';
  if (incoming) {
    const own = [FINDINGS_HEADER, scoreHeader, ...forgeable].filter((name) => name !== '');
    for (const name of new Map(own.map((one) => [one.toLowerCase(), one])).values()) remove(message, name);
  }
  if (tags.length > 0) tag(message, tags);
  const scored = ruled.filter(({ action }) => action.word === 'score');
  if (!incoming || scoreHeader === '' || scored.length === 0) return;
  const parts = scored.map(
    ({ finding, action }) => `${finding.name}=${'points' in action ? action.points : 0}`,
  );
  message.addHeader(scoreHeader, [points.toFixed(1), ...parts].join('\n\t'));
}

function remove(message: Message, name: string): void {
  for (let n = message.headers.getAll(name).length; n > 0; n--) message.changeHeader(name, n, null);
}

function tag(message: Message, tags: readonly Ruled[]): void {
  message.addHeader(FINDINGS_HEADER, [...new Set(tags.map(({ finding }) => finding.name))].join(', '));
  const marks = new Set(tags.map(({ finding }) => finding.mark).filter((mark) => mark.trim() !== ''));
  if (marks.size === 0 || isSealed(message)) return;
  const subject = message.headers.get('Subject');
  const text = subject === undefined ? '' : decodeWords(subject.value);
  if (text.length > MAX_SUBJECT) return;
  const found = marksOf(text, marks);
  const missing = [...marks].filter((mark) => !found.has(mark));
  if (missing.length > 0) message.changeHeader('Subject', 1, encodeWords([...missing, text].join('')));
}

/** The marks that stand where a person sees them: at the start of the subject, or behind the `Re:` of an answer. */
function marksOf(text: string, marks: ReadonlySet<string>): ReadonlySet<string> {
  const found = new Set<string>();
  let rest = text;
  for (;;) {
    rest = rest.replace(/^(?:\s*\p{L}{1,4}:)*\s*/u, '');
    const mark = [...marks].find((one) => rest.startsWith(one.trim()));
    if (mark === undefined) return found;
    found.add(mark);
    rest = rest.slice(mark.trim().length);
  }
}

/**
 * Whether the message is signed or encrypted as a whole (RFC 1847, RFC 8551): readers compare or hide its subject. By its header alone,
 * other than `sealOf`: what is sealed further in has a subject that is not, and for a mark the body is not taken apart.
 */
function isSealed(message: Message): boolean {
  const type = message.headers.get('Content-Type')?.value ?? '';
  return /^\s*(multipart\/(signed|encrypted)|application\/(x-)?pkcs7-)/i.test(type);
}
