/** What spamd says (SPAMD/1.5). Only what is whole counts. */
import { ScannerError, shownReply } from './error.ts';
import { isRuleName, MAX_RULES, type ScannedRule } from './symbols.ts';

/** A whole reply. */
export interface SpamdReply {
  readonly code: number;
  /** What stands behind the code. */
  readonly text: string;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** What spamd thinks of a message. */
export interface SpamdVerdict {
  readonly spam: boolean;
  readonly score: number;
  /** From so many on it is spam. */
  readonly threshold: number;
  /** Those that the report lists; empty where it is written in another form than the usual. */
  readonly rules: readonly ScannedRule[];
}

/**
 * Takes a reply apart, one character a byte.
 * @throws ScannerError where it is none, or not whole
 */
export function parseSpamdReply(reply: string): SpamdReply {
  const [, digits, text = ''] = /^SPAMD\/\d{1,3}\.\d{1,3} (\d{1,3}) ([^\r\n]*)\r?\n/.exec(reply) ?? [];
  if (digits === undefined) throw nonsense(reply);
  const code = Number(digits);
  // A complaint has no more lines.
  if (code !== 0) return { code, text, headers: new Map(), body: '' };
  const [, section, end] = /^[^\n]*\n((?:[^\n]+\n)*?)(\r?\n|$)/.exec(reply) ?? [];
  if (section === undefined || end === undefined) throw nonsense(reply);
  const headers = new Map<string, string>();
  for (const line of section.split(/\r?\n/).slice(0, -1)) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const start = reply.indexOf('\n') + 1 + section.length + end.length;
  const body = reply.slice(start);
  const declared = headers.get('content-length');
  if (declared !== undefined && declared !== String(body.length)) {
    throw new ScannerError(
      'cut-off',
      `spamd's reply is not whole: ${body.length} of ${shownReply(declared)} bytes`,
    );
  }
  return { code, text, headers, body };
}

/**
 * What a reply to CHECK, SYMBOLS or REPORT says of the message.
 * @throws ScannerError where it says nothing of it
 */
export function readSpamdVerdict(reply: string): SpamdVerdict {
  const { code, text, headers, body } = parseSpamdReply(reply);
  if (code !== 0) throw new ScannerError('refused', `spamd says ${shownReply(`${code} ${text}`)}`);
  const number = String.raw`(-?\d{1,9}(?:\.\d{1,9})?)`;
  const [, word, score, threshold] =
    new RegExp(`^(True|False|Yes|No) ?; ?${number} ?/ ?${number}$`, 'i').exec(headers.get('spam') ?? '') ??
    [];
  if (word === undefined) throw nonsense(reply);
  return {
    spam: /^[ty]/i.test(word),
    score: Number(score),
    threshold: Number(threshold),
    rules: readRules(body),
  };
}

/** The table of a report: points, name, description. */
function readRules(report: string): readonly ScannedRule[] {
  const rules: ScannedRule[] = [];
  for (const [, points, name = ''] of report.matchAll(/^ {0,4}(-?\d{1,6}(?:\.\d{1,6})?) ([A-Z]\w*)/gm)) {
    if (isRuleName(name) && rules.push({ name, points: Number(points) }) === MAX_RULES) break;
  }
  return rules;
}

function nonsense(reply: string): ScannerError {
  if (reply === '') return new ScannerError('cut-off', 'spamd hung up');
  return new ScannerError('nonsense', `spamd says ${shownReply(reply)}`);
}
