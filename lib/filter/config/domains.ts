/** Domain names as they are compared: A-labels, lower case, without the final dot. */
import { domainToASCII } from 'node:url';

/** Longer is no domain (RFC 1035 section 2.3.4), however written. */
const MAX_DOMAIN = 255;

/**
 * The domain as lists compare it. Never throws: what is no domain is given back in lower case, since it comes from mail
 * and equals nothing that is one.
 */
export function aLabels(domain: string): string {
  const plain = (domain.endsWith('.') ? domain.slice(0, -1) : domain).toLowerCase();
  // Node's function would also make an address of "0x7f.1"; ASCII needs none.
  if (/^[\0-\x7f]*$/.test(plain) || plain.length > MAX_DOMAIN) return plain;
  return domainToASCII(plain) || plain;
}

/** Whether this, as {@link aLabels} writes it, can be a domain: an address in dotted numbers is none. */
export function isDomain(domain: string): boolean {
  return (
    domain.length <= 253 &&
    !/(^|\.)\d+$/.test(domain) &&
    domain.split('.').every((label) => /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/.test(label))
  );
}
