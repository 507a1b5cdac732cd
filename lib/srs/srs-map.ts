/** What MTAs ask of a socket map that rewrites addresses, in the words of Postfix's users and of pysrs'. */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';
import type { MapReply } from './socket-map.ts';

/** Who knows which addresses are rewritten, and how. Addresses have no angle brackets. */
export interface Rewriter {
  /** What mail from this address is sent on with; undefined where it stays as it is. */
  forward(address: string): string | undefined;
  /** The address that this one was made of; undefined where it is none of ours, forged or expired. */
  reverse(address: string): string | undefined;
  /** Whether mail for this host stays here, so that its senders are left alone. */
  isOurs(host: string): boolean;
}

/** Sendmail's `$|` between host and address in a key of `make_srs`: one byte, which is no UTF-8. */
const BAR = '\udc9b';

/**
 * Answers for the maps `forward` and `reverse` (an address, or not found), and for pysrs' `make_srs` and `reverse_srs`, whose
 * keys are addresses as Sendmail's rulesets have them, `user<@example.com.>`, and which give back as it was what they do not
 * change.
 */
export function answerSrsMap(map: string, key: string, rewriter: Rewriter): MapReply {
  checkValue('answerSrsMap: the map', map, text, wrongArgument);
  checkValue('answerSrsMap: the key', key, text, wrongArgument);
  switch (map.replaceAll('-', '_')) {
    case 'forward':
      return found(rewriter.forward(key));
    case 'reverse':
      return found(rewriter.reverse(key));
    case 'make_srs':
      return { status: 'OK', value: makeSrs(key, rewriter) };
    case 'reverse_srs':
      return { status: 'OK', value: reverseSrs(key, rewriter) };
    default:
      return { status: 'PERM', text: 'there are the maps forward, reverse, make_srs and reverse_srs' };
  }
}

function found(address: string | undefined): MapReply {
  return address === undefined || address === '' ? { status: 'NOTFOUND' } : { status: 'OK', value: address };
}

/** The key is an address, or the host that it goes to, `$|`, and an address. */
function makeSrs(key: string, rewriter: Rewriter): string {
  const bar = key.indexOf(BAR);
  const host = bar < 0 ? undefined : key.slice(0, bar).trim().replace(/\.$/, '');
  const address = bar < 0 ? key : key.slice(bar + 1).trim();
  if (host === '' || (host !== undefined && rewriter.isOurs(host))) return address;
  const rewritten = rewriter.forward(unfocused(address));
  return rewritten === undefined || rewritten === '' ? address : focused(rewritten);
}

function reverseSrs(key: string, rewriter: Rewriter): string {
  const original = rewriter.reverse(unfocused(key));
  if (original !== undefined) return focused(original);
  // An alias that is a program would be taken apart.
  return key.startsWith('|') ? `"${key}"` : key;
}

/** `user<@example.com.>` as others write it. */
function unfocused(address: string): string {
  const [, local = '', domain = ''] = /^(.*)<@([^<>]*?)\.?>$/s.exec(address) ?? [];
  return domain === '' ? address.replace(/[<>]/g, '').replace(/^@$/, '') : `${local}@${domain}`;
}

function focused(address: string): string {
  const at = address.lastIndexOf('@');
  return `${address.slice(0, at)}<@${address.slice(at + 1)}.>`;
}
