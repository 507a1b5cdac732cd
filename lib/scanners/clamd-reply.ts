/** What clamd says (clamd(8), COMMANDS). Only what is known to mean "clean" does. */
import { ScannerError, shownReply } from './error.ts';

/** What a virus scanner says of some bytes: the name of what it found, or that it found nothing. */
export type VirusVerdict = { readonly virus: string } | { readonly virus: undefined };

/** Nothing was found. */
export const CLEAN: VirusVerdict = { virus: undefined };

/** Longer names than any in a database. */
const MAX_NAME = 200;

/** One reply within a session, without what ends it: the number of the command, and what is said to it. */
export function parseSessionReply(reply: string): { readonly id: number; readonly text: string } {
  const [, digits, text] = /^(\d{1,9}): (.*)$/s.exec(reply) ?? [];
  if (digits !== undefined && text !== undefined) return { id: Number(digits), text };
  if (/TIMED OUT/.test(reply)) throw new ScannerError('cut-off', 'clamd ended the session: it was idle');
  throw new ScannerError('nonsense', `clamd says ${shownReply(reply)}`);
}

/**
 * What clamd says to INSTREAM.
 * @throws ScannerError for all that is neither clean nor found
 */
export function readClamdVerdict(text: string): VirusVerdict {
  if (text === 'stream: OK') return CLEAN;
  const [, virus] = /^stream: (.+) FOUND$/s.exec(text) ?? [];
  if (virus !== undefined) return { virus: virus.slice(0, MAX_NAME) };
  if (/^INSTREAM size limit exceeded\b/.test(text)) {
    throw new ScannerError('too-big', 'clamd does not take so much (StreamMaxLength)');
  }
  const fault = / ERROR$/.test(text) ? 'refused' : 'nonsense';
  throw new ScannerError(fault, `clamd says ${shownReply(text)}`);
}
