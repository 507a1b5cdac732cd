/** Whose domain is checked: RFC 7208 sections 2.3, 2.4 and 4.3. */
import { domainToASCII } from 'node:url';
import { splitAddress } from '../address.ts';
import { queryName } from '../dns/index.ts';

/** The identity that is checked. */
export interface Identity {
  readonly kind: 'mailfrom' | 'helo';
  /** What stands before the last `@`, quotes included; `postmaster` where there is nothing. */
  readonly local: string;
  /** In A-labels, without the final dot, in the sender's own case. */
  readonly domain: string;
}

/** Where there is no local part (RFC 7208 section 4.3). */
const POSTMASTER = 'postmaster';

/**
 * Reads the MAIL FROM address, with or without angle brackets and a source route. An empty one means the HELO identity.
 */
export function readIdentity(sender: string, helo: string): Identity {
  const { local, domain } = splitAddress(sender);
  if (domain !== undefined)
    return { kind: 'mailfrom', local: local || POSTMASTER, domain: asciiDomain(domain) };
  if (local === '') return { kind: 'helo', local: POSTMASTER, domain: asciiDomain(helo.trim()) };
  // Without "@" there is no local part, as in a HELO name, unless quotes say that it is one.
  if (local.startsWith('"')) return { kind: 'mailfrom', local, domain: '' };
  return { kind: 'mailfrom', local: POSTMASTER, domain: asciiDomain(local) };
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
