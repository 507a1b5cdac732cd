/**
 * Envelope addresses: how they are written between MTA and filter, and how they are taken apart.
 */
import { wrongArgument } from './errors.ts';

/** An envelope address, taken apart by {@link parseAddress}. All three are empty for the null sender. */
export interface Address {
  /**
   * What stands before the last `@`, without quotes (RFC 5321 section 4.1.2), in the sender's own case: only the
   * domain's own MTA knows whether that matters.
   */
  readonly local: string;
  /** What stands behind it, in lower case and without a final dot; empty where there is no `@`. */
  readonly domain: string;
  /** Both, to compare and to look up: `local@domain`, in quotes only where it needs them, without angle brackets. */
  readonly address: string;
}

const SOURCE_ROUTE = /^@[^:"[]*:/;
const QUOTED_STRING = /^"(?:[^"\\]|\\.)*"$/s;
/** A dot-atom (RFC 5322 section 3.2.3), with any character that is not ASCII (RFC 6531). */
const DOT_ATOM = /^[\w!#$%&'*+/=?^`{|}~\u0080-\uffff-]+(?:\.[\w!#$%&'*+/=?^`{|}~\u0080-\uffff-]+)*$/;

/**
 * An address as the filter sees it: in angle brackets, `<>` for the null sender. MTAs write it so for mail that came by
 * SMTP; Postfix writes local submissions bare, and SMTP clients may leave the brackets out.
 */
export function inBrackets(text: string): string {
  const trimmed = text.trim();
  if (trimmed.startsWith('<') && trimmed.endsWith('>')) return trimmed;
  // `Boss <boss@example.com>`: what is before the brackets is a name.
  if (trimmed.endsWith('>') && trimmed.includes('<')) return trimmed.slice(trimmed.lastIndexOf('<'));
  return `<${trimmed}>`;
}

/**
 * The two halves as they are written, quotes and case included, without brackets and source route. The domain is undefined
 * where there is no `@`.
 */
export function splitAddress(text: string): { readonly local: string; readonly domain: string | undefined } {
  let path = inBrackets(text).slice(1, -1).trim();
  // A source route is to be ignored (RFC 5321 appendix C).
  if (path.startsWith('@')) path = path.replace(SOURCE_ROUTE, '');
  // A quoted local part may hold an "@".
  const at = QUOTED_STRING.test(path) ? -1 : path.lastIndexOf('@');
  return at < 0
    ? { local: path, domain: undefined }
    : { local: path.slice(0, at), domain: path.slice(at + 1) };
}

/**
 * Takes an envelope address apart: `<"a b"@Example.com>` is `{ local: 'a b', domain: 'example.com', address:
 * '"a b"@example.com' }`. Angle brackets may be there or not; a source route is left out; of several `@` the last one
 * counts; an address without one, such as `<postmaster>`, has no domain. Never fails on text: whatever it is, all of it is
 * in `local`, `domain` or the route.
 * @throws TypeError where `text` is no string
 */
export function parseAddress(text: string): Address {
  if (typeof text !== 'string') throw wrongArgument(`parseAddress needs a string, got ${typeof text}`);
  const { local: writtenLocal, domain: writtenDomain } = splitAddress(text);
  const local = QUOTED_STRING.test(writtenLocal)
    ? writtenLocal.slice(1, -1).replace(/\\(.)/gs, '$1')
    : writtenLocal;
  const domain = writtenDomain?.toLowerCase().replace(/\.$/, '');
  const plain = local === '' || DOT_ATOM.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`;
  return { local, domain: domain ?? '', address: domain === undefined ? plain : `${plain}@${domain}` };
}
