/**
 * The client that a Received line names, as the MTAs in use write it (RFC 5321 section 4.4):
 *
 *     from HELO (NAME [ADDRESS]) by …            Postfix, Sendmail, Exchange
 *     from [ADDRESS] (helo=NAME) by …            Exim
 *     from NAME ([ADDRESS] helo=HELO) by …       Exim
 *     from HELO (ADDRESS) by …                   qmail and others
 */
import { isIP } from 'node:net';
import type { JudgedClient } from '../../kit.ts';

/** A line is folded, but not longer than this; what is longer was not written by an MTA. */
const MAX_LENGTH = 4_000;

/** Reads one Received field. Undefined where it names no client by its address: local submission, or another form. */
export function readReceived(value: string): JudgedClient | undefined {
  if (value.length > MAX_LENGTH) return undefined;
  const line = value.replace(/\s+/g, ' ').trim();
  const from = /^from ([^ ]{1,255})(?: \(([^()]{0,1000}(?:\([^()]{0,200}\)[^()]{0,200})?)\))?/i.exec(line);
  if (from === null) return undefined;
  const [, said = '', comment = ''] = from;
  const address = addressIn(comment) ?? addressIn(said);
  if (address === undefined) return undefined;
  const helo = /\bhelo[= ]([^ )]{1,255})/i.exec(comment)?.[1] ?? said;
  const first = /^([^ []{1,255})/.exec(comment)?.[1];
  const hostname = isHostName(first) ? first : undefined;
  return { address, hostname, helo };
}

/** The first IP address in brackets, or all that stands there. */
function addressIn(text: string): string | undefined {
  const bracketed = /\[(?:IPv6:)?([0-9a-f:.]{2,45})\]/i.exec(text)?.[1];
  const candidate = bracketed ?? text.split(' ')[0] ?? '';
  return isIP(candidate) === 0 ? undefined : candidate.toLowerCase();
}

function isHostName(text: string | undefined): text is string {
  return text?.includes('.') === true && isIP(text) === 0 && !/^(unknown|helo)\b/i.test(text);
}
