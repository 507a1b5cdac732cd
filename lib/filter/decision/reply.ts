/**
 * The SMTP reply of a refusal: the finding's text, where help is, and the reference by which `milter why` finds it.
 */
import { type Reject, type ReplyCode, reject, safeText, type Tempfail, tempfail } from '../../index.ts';
import type { FindingReply } from '../findings/finding.ts';

/** Room for the reference and the address of help behind a text of somebody else's making. */
const MAX_TEXT = 300;

/** What is known besides the finding. */
export interface ReplySetting {
  readonly ref: string;
  /** The address of a page that explains, with `{finding}`. */
  readonly help: string | undefined;
}

/** Makes the reply. A code of the other class is turned into its counterpart: 550 5.7.1 becomes 450 4.7.1. */
export function makeReply(
  verdict: 'reject' | 'tempfail',
  { code, enhanced, text }: FindingReply,
  finding: string,
  { ref, help }: ReplySetting,
): Reject | Tempfail {
  const plain = safeText(text);
  const shown = plain.length > MAX_TEXT ? `${plain.slice(0, MAX_TEXT - 3)}...` : plain;
  const page = help === undefined ? '' : `; see ${help.replaceAll('{finding}', encodeURIComponent(finding))}`;
  const line = `${shown}${page} [ref ${ref}]`;
  const [, subject = '7', detail = '1'] = enhanced?.split('.') ?? [];
  if (verdict === 'reject') {
    return reject(
      isOfClass(5, code) ? code : 550,
      enhanced === null ? null : `5.${BigInt(subject)}.${BigInt(detail)}`,
      line,
    );
  }
  return tempfail(
    isOfClass(4, code) ? code : 451,
    enhanced === null ? null : `4.${BigInt(subject)}.${BigInt(detail)}`,
    line,
  );
}

/** A reply on one line, for the history. */
export function showReply({ code, enhanced, lines }: Reject | Tempfail): string {
  return [code, ...(enhanced === null ? [] : [enhanced]), lines.join(' ')].join(' ');
}

function isOfClass<Class extends 4 | 5>(wanted: Class, code: number): code is ReplyCode<Class> {
  return Math.floor(code / 100) === wanted;
}
