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

const ADDRESS = /^(?<local>"(?:[^"\\]|\\.)*"|.*?)(?:@(?<domain>[^@]*))?$/s;

/**
 * Reads the MAIL FROM address, with or without angle brackets and a source route. An empty one means the HELO identity.
 */
export function readIdentity(sender: string, helo: string): Identity {
  const address = sender
    .trim()
    .replace(/^<(.*)>$/s, '$1')
    .replace(/^@[^:"[]*:/, '');
  if (address === '') return { kind: 'helo', local: 'postmaster', domain: asciiDomain(helo.trim()) };
  const { local = '', domain } = ADDRESS.exec(address)?.groups ?? {};
  // Without "@" there is no local part, as in a HELO name.
  if (domain === undefined && !local.startsWith('"')) {
    return { kind: 'mailfrom', local: 'postmaster', domain: asciiDomain(local) };
  }
  return { kind: 'mailfrom', local: local || 'postmaster', domain: asciiDomain(domain ?? '') };
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
