/** The envelope that a stored message probably had, as its headers tell. */
import { inBrackets } from '../address.ts';
import { readMailboxes, readReceived } from '../filter/index.ts';
import { readEml, type SendOptions } from '../testing/index.ts';

/** What is known of all messages, in place of what each one's headers tell. */
export interface KnownEnvelope {
  readonly from?: string;
  readonly rcpt?: readonly string[];
  readonly client?: string;
  readonly helo?: string;
}

/** More recipients than this do not make a difference. */
const MAX_RECIPIENTS = 100;

/** Where a message tells of no client: nobody's address (RFC 5737). */
const NOBODY = '192.0.2.1';

/**
 * The envelope: sender from Return-Path or else From, recipients from Delivered-To, X-Original-To or else To and Cc,
 * client and HELO from the topmost Received line that names one.
 */
export function guessEnvelope(
  eml: Buffer,
  known: KnownEnvelope,
): Pick<SendOptions, 'sender' | 'recipients' | 'client' | 'helo'> {
  const { headers } = readEml(eml);
  const all = (name: string): string[] =>
    headers.filter((header) => header.name.toLowerCase() === name).map(({ value }) => value);
  const addresses = (...names: string[]): string[] =>
    names
      .flatMap(all)
      .flatMap(readMailboxes)
      .map(({ address }) => address)
      .slice(0, MAX_RECIPIENTS);
  const [returnPath] = all('return-path');
  const sender = known.from ?? returnPath?.trim() ?? addresses('from')[0] ?? '<>';
  const delivered = addresses('delivered-to', 'x-original-to');
  const recipients = known.rcpt ?? (delivered.length > 0 ? delivered : addresses('to', 'cc'));
  const judged = all('received')
    .map(readReceived)
    .find((client) => client !== undefined);
  const address = known.client ?? judged?.address ?? NOBODY;
  const isKnown = known.client !== undefined;
  const hostname = (isKnown ? undefined : judged?.hostname) ?? `[${address}]`;
  const helo = known.helo ?? (isKnown ? undefined : judged?.helo) ?? hostname;
  return {
    sender: inBrackets(withoutControls(sender)),
    recipients: recipients.length > 0 ? recipients.map(withoutControls) : ['recipient@example.com'],
    client: { address, hostname },
    helo: withoutControls(helo),
  };
}

/** No MTA lets these into an envelope. */
function withoutControls(text: string): string {
  return text.replace(/\p{Cc}/gu, '');
}
