/**
 * The result in a message's headers, written for those who come later and read from those who came before:
 * Received-SPF (RFC 7208 section 9.1) and Authentication-Results (RFC 8601).
 *
 * Sender, HELO name and record are chosen by strangers. Everything written here is printable ASCII and quoted where the
 * grammar wants it, so none of them can forge a field or a result. It is one line unless that would be longer than mail
 * allows: then it is folded by a line feed and a space.
 */

import { wrongArgument } from '../errors.ts';
import { parseIp } from '../ip.ts';
import { text as aText, checkValue, type Kind, object } from '../options.ts';
import type { CheckOptions, CheckResult, SpfResult } from './check.ts';
import { printable } from './evaluate.ts';
import { HeaderScanner } from './scanner.ts';

/** What was asked: the options of the check do. */
export type CheckedMail = Pick<CheckOptions, 'ip' | 'sender' | 'helo' | 'receiver'>;

const aResult: Kind<CheckResult> = {
  must: 'be what checkHost() resolved to',
  accepts: (value): value is CheckResult =>
    isSpfResult((value as Partial<CheckResult> | null | undefined)?.result ?? ''),
};

const aMail: Kind<CheckedMail> = object();

const RESULTS: ReadonlySet<string> = new Set<SpfResult>([
  'pass',
  'fail',
  'softfail',
  'neutral',
  'none',
  'temperror',
  'permerror',
]);
/** What is quoted of a record: a term may be as long as its author likes. */
const MAX_QUOTE = 200;
/** What is shown of anything else: all of every address that RFC 5321 section 4.5.3.1 allows. */
const MAX_VALUE = 320;
/** Lines of mail have at most 998 characters (RFC 5322 section 2.1.1), the name of the field among them. */
const MAX_LINE = 950;
/** What is read of a field that others have written. */
const MAX_FIELD = 65_536;

/** The value of a Received-SPF field. It belongs above every Received field of the host that made the check. */
export function receivedSpf(check: CheckResult, mail: CheckedMail): string {
  checkValue('receivedSpf: the result', check, aResult, wrongArgument);
  checkValue('receivedSpf: the mail', mail, aMail, wrongArgument);
  const { helo, receiver = 'unknown' } = mail;
  const ip = clientAddress(mail);
  const pairs: [string, string | undefined][] = [
    ['client-ip', ip],
    ['envelope-from', check.identity === 'mailfrom' ? bare(mail.sender) : undefined],
    ['helo', helo || undefined],
    ['receiver', receiver],
    ['identity', check.identity],
    ['mechanism', check.mechanism?.slice(0, MAX_QUOTE)],
    ['problem', check.problem?.slice(0, MAX_QUOTE)],
  ];
  const list = pairs.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${word(value)};`]));
  return folded(check.result, comment(`${receiver}: ${sentence(check, ip)}`), ...list).slice(0, -1);
}

/**
 * The value of an Authentication-Results field with this one result.
 * @param authservId - the name under which this site's results are trusted (RFC 8601 section 2.5)
 */
export function authenticationResults(authservId: string, check: CheckResult, mail: CheckedMail): string {
  checkValue('authenticationResults: the authserv-id', authservId, aText, wrongArgument);
  checkValue('authenticationResults: the result', check, aResult, wrongArgument);
  checkValue('authenticationResults: the mail', mail, aMail, wrongArgument);
  const reason = check.problem === undefined ? [] : [`reason=${quoted(check.problem.slice(0, MAX_QUOTE))}`];
  const property =
    check.identity === 'mailfrom'
      ? `smtp.mailfrom=${address(bare(mail.sender))}`
      : `smtp.helo=${word(mail.helo || check.domain || 'unknown')}`;
  const result = `spf=${check.result}`;
  return folded(
    `${word(authservId)};`,
    result,
    comment(sentence(check, clientAddress(mail))),
    ...reason,
    property,
  );
}

/** A Received-SPF field as read. */
export interface ReceivedSpf {
  /** The result in RFC 7208's words. */
  readonly result: SpfResult;
  /** The first comment, without its parentheses. */
  readonly comment: string;
  /** By key in lower case: `client-ip`, `envelope-from`, `helo`, `receiver`, `identity`, `mechanism`, `problem` and others. */
  readonly values: ReadonlyMap<string, string>;
}

/**
 * Reads the value of a Received-SPF field. Undefined if it does not follow the grammar. Believe it only if a relay that
 * you trust has written it: anybody may put such a field into a message.
 */
export function parseReceivedSpf(value: string): ReceivedSpf | undefined {
  checkValue('parseReceivedSpf: the value of the field', value, aText, wrongArgument);
  if (value.length > MAX_FIELD) return undefined;
  const scanner = new HeaderScanner(value);
  const result = scanner.atom()?.toLowerCase() ?? '';
  if (!isSpfResult(result)) return undefined;
  const text = scanner.comments();
  const values = new Map<string, string>();
  while (!scanner.isAtEnd()) {
    const key = scanner.atom()?.toLowerCase();
    if (key === undefined || !scanner.take('=')) return undefined;
    const item = scanner.value();
    if (item === undefined) return undefined;
    if (!values.has(key)) values.set(key, item);
    if (!scanner.take(';') && !scanner.isAtEnd()) return undefined;
  }
  return { result, comment: text, values };
}

/** One method's result in an Authentication-Results field. */
export interface AuthenticationResult {
  /** In lower case: `spf`, `dkim`, `dmarc` … */
  readonly method: string;
  /** In lower case. */
  readonly result: string;
  /** Why, where the field says so. */
  readonly reason: string | undefined;
  /** By `type.property` in lower case, for example `smtp.mailfrom`. */
  readonly properties: ReadonlyMap<string, string>;
}

/** An Authentication-Results field as read. */
export interface AuthenticationResults {
  /** Compare it with the names that you trust before anything else (RFC 8601 section 5). */
  readonly authservId: string;
  /** In the order of the field; none where it says `none`. */
  readonly results: readonly AuthenticationResult[];
}

/**
 * Reads the value of an Authentication-Results field by the grammar of RFC 8601 section 2.2, comments and white space in
 * every place included; a property without a type and a semicolon at the end, which are often seen, are let pass. Undefined
 * if it does not follow the grammar. Believe it only if a relay that you trust has written it.
 */
export function parseAuthenticationResults(value: string): AuthenticationResults | undefined {
  checkValue('parseAuthenticationResults: the value of the field', value, aText, wrongArgument);
  if (value.length > MAX_FIELD) return undefined;
  const scanner = new HeaderScanner(value);
  const authservId = scanner.value();
  if (authservId === undefined) return undefined;
  scanner.number(); // The version of the field.
  const results: AuthenticationResult[] = [];
  while (scanner.take(';')) {
    if (scanner.isAtEnd()) break;
    const method = scanner.keyword()?.toLowerCase();
    if (method === 'none' && results.length === 0 && scanner.isAtEnd()) break;
    const result = method === undefined ? undefined : readResult(method, scanner);
    if (result === undefined) return undefined;
    results.push(result);
  }
  return scanner.isAtEnd() ? { authservId, results } : undefined;
}

/** The grammar's `resinfo`, behind the name of the method. */
function readResult(method: string, scanner: HeaderScanner): AuthenticationResult | undefined {
  if (scanner.take('/') && scanner.number() === undefined) return undefined; // The version of the method.
  if (!scanner.take('=')) return undefined;
  const result = scanner.keyword()?.toLowerCase();
  if (result === undefined) return undefined;
  let reason: string | undefined;
  const properties = new Map<string, string>();
  for (let name = scanner.keyword(); name !== undefined; name = scanner.keyword()) {
    while (scanner.take('.')) name += `.${scanner.keyword() ?? ''}`;
    if (name.endsWith('.') || !scanner.take('=')) return undefined;
    const isReason = name.toLowerCase() === 'reason';
    const item = isReason ? scanner.value() : scanner.mailboxOrValue();
    if (item === undefined) return undefined;
    if (isReason) reason = item;
    else properties.set(name.toLowerCase(), item);
  }
  return { method, result, reason, properties };
}

function isSpfResult(text: string): text is SpfResult {
  return RESULTS.has(text);
}

/** The result in words, as RFC 7208 section 9.1 has them in its examples. */
function sentence({ result, domain, identity, problem }: CheckResult, ip = 'unknown'): string {
  const who = identity === 'mailfrom' ? `domain of ${domain}` : `HELO name ${domain}`;
  switch (result) {
    case 'pass':
      return `${who} designates ${ip} as permitted sender`;
    case 'fail':
      return `${who} does not designate ${ip} as permitted sender`;
    case 'softfail':
      return `${who} discourages use of ${ip} as sender`;
    case 'neutral':
      return `${ip} is neither permitted nor denied by ${who}`;
    case 'none':
      return `${who} does not provide an SPF record`;
    case 'temperror':
      return `error in processing during lookup of ${who}`;
    case 'permerror':
      return `permanent error in processing ${who}: ${problem?.slice(0, MAX_QUOTE)}`;
  }
}

/** The parts with a space between them, and a line feed before it where the line would be too long. */
function folded(...parts: readonly string[]): string {
  let text = '';
  let line = 0;
  for (const part of parts) {
    const fits = line + 1 + part.length <= MAX_LINE;
    if (text !== '') text += fits ? ' ' : '\n ';
    text += part;
    line = fits ? line + 1 + part.length : part.length;
  }
  return text;
}

/** As the grammar has it: without the tag `IPv6:`. */
function clientAddress({ ip }: CheckedMail): string | undefined {
  return ip === undefined || ip === null ? undefined : (parseIp(ip)?.text ?? ip);
}

function bare(sender: string): string {
  return sender.trim().replace(/^<(.*)>$/s, '$1');
}

/** A dot-atom as it is, anything else quoted. */
function word(text: string): string {
  return text.length <= MAX_VALUE && /^[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*$/.test(text)
    ? text
    : quoted(text);
}

/** An address made of a dot-atom and a domain as it is, anything else quoted. */
function address(text: string): string {
  return text.length <= MAX_VALUE && /^(?:[\w!#$%&'*+/=?^`{|}~.-]+@)?[\w-]+(?:\.[\w-]+)*$/.test(text)
    ? text
    : quoted(text);
}

function quoted(text: string): string {
  return `"${printable(text.slice(0, MAX_VALUE)).replace(/["\\]/g, '\\$&')}"`;
}

function comment(text: string): string {
  return `(${printable(text.slice(0, MAX_LINE / 2)).replace(/[()\\]/g, '\\$&')})`;
}
