/** Whose domain is checked: RFC 7208 sections 2.3, 2.4 and 4.3. */
import { domainToASCII } from 'node:url';
import { queryName } from '../dns/index.ts';

/** The identity that is checked. */
export interface Identity {
  readonly kind: 'mailfrom' | 'helo';
  /** What stands before the last `@`, quotes included; `postmaster` where there is nothing. */
  readonly local: string;
  /** In A-labels, without the final dot, in the sender's own case. */
  readonly domain: string;
}

const SOURCE_ROUTE = /^@[^:"[]*:/;
const QUOTED_STRING = /^"(?:[^"\\]|\\.)*"$/s;

/**
 * Reads the MAIL FROM address, with or without angle brackets and a source route. An empty one means the HELO identity.
 */
export function readIdentity(sender: string, helo: string): Identity {
  let address = sender.trim();
  if (address.startsWith('<') && address.endsWith('>')) address = address.slice(1, -1);
  if (address.startsWith('@')) address = address.replace(SOURCE_ROUTE, '');
  if (address === '') return { kind: 'helo', local: 'postmaster', domain: asciiDomain(helo.trim()) };
  // A quoted local part may hold an "@"; without any there is no local part, as in a HELO name.
  const at = QUOTED_STRING.test(address) ? address.length : address.lastIndexOf('@');
  return {
    kind: 'mailfrom',
    local: address.slice(0, Math.max(at, 0)) || 'postmaster',
    domain: asciiDomain(address.slice(at + 1)),
  };
}

/** Whether SPF can be asked of this domain: well formed, of more than one label, and no address literal. */
export function isCheckable(domain: string): boolean {
  return (
    domain.includes('.') &&
    !domain.startsWith('[') &&
    !domain.endsWith('.') && // The final dot was taken off: this one ends an empty label.
    queryName(domain) !== undefined
  );
}

function asciiDomain(domain: string): string {
  const name = domain.endsWith('.') ? domain.slice(0, -1) : domain;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII, all of it.
  if (/^[\x00-\x7f]*$/.test(name)) return name;
  return domainToASCII(name) || name;
}
