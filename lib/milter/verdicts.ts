/**
 * What handlers answer with: words, and replies whose text the SMTP client gets to see.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';
import { encodeText } from '../text.ts';

const replyBrand: unique symbol = Symbol.for('libmilter.reply') as never;

/** An SMTP reply (RFC 5321 section 4.2), checked when it was made, and frozen: a changed copy of one is no verdict. */
interface Reply {
  readonly [replyBrand]: true;
  /** The code: 4xx or 5xx. */
  readonly code: number;
  /** The enhanced status code (RFC 3463), or null. */
  readonly enhanced: string | null;
  /** Plain text, one entry a line of the reply; `%` is not doubled here. */
  readonly lines: readonly string[];
}

/** A permanent refusal with its own text, made by {@link reject}. */
export interface Reject extends Reply {
  /** SMFIS_REJECT. */
  readonly verdict: 'reject';
}

/** A temporary refusal with its own text, made by {@link tempfail}. */
export interface Tempfail extends Reply {
  /** SMFIS_TEMPFAIL. */
  readonly verdict: 'tempfail';
}

/** What a handler may return: a verdict, nothing (which is `continue`), or a promise of either. */
export type Answer<Verdict> = Verdict | undefined | void | Promise<Verdict | undefined | void>;

/** Verdicts on a connection. */
export type ConnectionVerdict = 'continue' | 'accept' | 'reject' | 'tempfail' | Reject | Tempfail;
/** Verdicts on a message. In envrcpt, reject and tempfail concern the recipient alone. */
export type MessageVerdict = ConnectionVerdict | 'discard';
/** Verdicts on a chunk of the body: `skip` asks for no more of them. */
export type BodyVerdict = MessageVerdict | 'skip';
/** Verdicts on a command that the MTA does not know. */
export type UnknownVerdict = 'continue' | 'reject' | 'tempfail' | Reject | Tempfail;

type Digit = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9;

/** The reply codes of a class (RFC 5321 section 4.2.1), each as a number: 500 to 599, or 400 to 499. */
export type ReplyCode<Class extends 4 | 5> = `${Class}${Digit}${Digit}` extends `${infer Code extends number}`
  ? Code
  : never;

/** The enhanced status codes of a class (RFC 3463 section 2), such as `5.7.1`. */
export type EnhancedCode<Class extends 4 | 5> = `${Class}.${bigint}.${bigint}`;

/** libmilter takes at most this many lines (smfi_setmlreply). */
const MAX_LINES = 32;
/** libmilter takes 980 bytes, SMTP 512 with the code and CRLF (RFC 5321 section 4.5.3.1.5). */
const MAX_LINE_BYTES = 500;

/**
 * Refuses for good, with a reply.
 * @param code 500 to 599
 * @param enhanced such as `'5.7.1'` (class 5), or null to leave it to libmilter
 * @param lines at least one; longer ones are split at a space
 * @throws TypeError where code, class or text cannot be sent
 */
export function reject(code: ReplyCode<5>, enhanced: EnhancedCode<5> | null, ...lines: string[]): Reject {
  return makeReply('reject', 5, code, enhanced, lines);
}

/**
 * Refuses for now, with a reply; the sender tries again. A code of 421 also ends the SMTP session.
 * @param code 400 to 499
 * @param enhanced such as `'4.7.1'` (class 4), or null to leave it to libmilter
 * @param lines at least one; longer ones are split at a space
 * @throws TypeError where code, class or text cannot be sent
 */
export function tempfail(code: ReplyCode<4>, enhanced: EnhancedCode<4> | null, ...lines: string[]): Tempfail {
  return makeReply('tempfail', 4, code, enhanced, lines);
}

/**
 * Makes text from elsewhere (a DNS record, a header, an address) fit for a reply: control characters become
 * spaces, other non-ASCII a question mark, and it ends after 400 characters.
 */
export function safeText(foreign: string): string {
  checkValue('safeText: the text', foreign, text, wrongArgument);
  const plain = foreign
    // biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the point.
    .replace(/[\u0000-\u001f\u007f]+/g, ' ')
    .replace(/[^\u0020-\u007e]+/gu, '?')
    .trim();
  return plain.length > 400 ? `${plain.slice(0, 397)}...` : plain;
}

/** Whether `value` is a verdict with a reply, also one made by another copy of this package. */
export function isReply(value: unknown): value is Reject | Tempfail {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, replyBrand);
}

function makeReply<Verb extends 'reject' | 'tempfail'>(
  verb: Verb,
  replyClass: 4 | 5,
  code: number,
  enhanced: string | null,
  lines: readonly string[],
): Reply & { readonly verdict: Verb } {
  if (!Number.isInteger(code) || Math.floor(code / 100) !== replyClass) {
    throw wrongArgument(`${verb}: the code must be ${replyClass}00 to ${replyClass}99, got ${String(code)}`);
  }
  if (enhanced !== null && !(typeof enhanced === 'string' && /^[245](\.\d{1,3}){2}$/.test(enhanced))) {
    throw wrongArgument(
      `${verb}: the enhanced code must look like "${replyClass}.7.1" or be null, got ${JSON.stringify(enhanced)}`,
    );
  }
  if (enhanced !== null && Number(enhanced[0]) !== replyClass) {
    throw wrongArgument(
      `${verb}: the enhanced code of a ${code} reply begins with ${replyClass}, got ${enhanced}`,
    );
  }
  const fitting = lines.flatMap((line) => splitLine(verb, line));
  if (fitting.length === 0) throw wrongArgument(`${verb}: a reply needs at least one line of text`);
  if (fitting.length > MAX_LINES) {
    throw wrongArgument(`${verb}: a reply has at most ${MAX_LINES} lines, got ${fitting.length}`);
  }
  // What was checked stays so: it cannot be changed, and a copy lacks the brand.
  const reply = { verdict: verb, [replyBrand]: true as const, code, enhanced, lines: Object.freeze(fitting) };
  return Object.freeze(Object.defineProperty(reply, replyBrand, { enumerable: false }));
}

/** Splits a line that is too long at its last fitting space, or where it must. */
function splitLine(verb: string, line: string): string[] {
  if (typeof line !== 'string') {
    throw wrongArgument(`${verb}: a line of a reply is a string, got ${typeof line}`);
  }
  const bad = /[\r\n\0]/.exec(line);
  if (bad !== null) {
    throw wrongArgument(
      `${verb}: a line of a reply cannot hold CR, LF or NUL (index ${bad.index}); give each line as an argument of ` +
        'its own, and pass foreign text through safeText()',
    );
  }
  const pieces: string[] = [];
  let rest = line;
  while (wireLength(rest) > MAX_LINE_BYTES) {
    let end = rest.length;
    while (wireLength(rest.slice(0, end)) > MAX_LINE_BYTES) {
      end = Math.floor((end * 9) / 10);
      // Never between the halves of a surrogate pair.
      if (/[\ud800-\udbff]/.test(rest.charAt(end - 1))) end--;
    }
    const space = rest.lastIndexOf(' ', end);
    pieces.push(rest.slice(0, space > 0 ? space : end));
    rest = rest.slice(space > 0 ? space + 1 : end);
  }
  pieces.push(rest);
  return pieces;
}

/** Bytes on the wire: libmilter takes the text for a format, so each `%` goes doubled. */
function wireLength(line: string): number {
  return encodeText(line).length + (line.split('%').length - 1);
}
