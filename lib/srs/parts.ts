/** Addresses as signatures see them: the local part without quotes, the domain in its own case. */
import { parseAddress, splitAddress, writtenLocal } from '../address.ts';
import { wrongArgument } from '../errors.ts';
import { show } from '../options.ts';
import { encodeText } from '../text.ts';
import { SrsError } from './error.ts';

/** RFC 5321 section 4.5.3.1.3: 256 octets for a path, of which two are its angle brackets. */
const MAX_ADDRESS = 254;
/** Nobody signs longer ones; they are not worth taking apart. */
const MAX_READ = 1024;
// biome-ignore lint/suspicious/noControlCharactersInRegex: an address with these is hostile.
const CONTROL = /[\0-\x1f\x7f]/;
/** `=` would part the fields of a signed address elsewhere. */
const NO_DOMAIN = /[=\s@"<>]|^$/;

export interface Parts {
  /** What the local part means, without quotes and backslashes. */
  readonly local: string;
  readonly domain: string;
}

/**
 * Takes an address with a domain apart; angle brackets may be there or not.
 * @throws SrsError `form` where there is none, `length` where it is absurd; TypeError for what is no string
 */
export function readParts(what: string, address: string): Parts {
  if (typeof address !== 'string') throw wrongArgument(`${what} needs a string, got ${show(address)}`);
  if (address.length > MAX_READ) throw new SrsError('length', `the address has ${address.length} characters`);
  const { local } = parseAddress(address);
  const domain = splitAddress(address).domain ?? '';
  if (local === '' || CONTROL.test(address) || !isDomain(domain))
    throw new SrsError('form', `${show(address)} is no address with a domain`);
  return { local, domain };
}

/** Whether a domain can stand in a signed address. */
export function isDomain(domain: string): boolean {
  return !NO_DOMAIN.test(domain) && !CONTROL.test(domain);
}

/**
 * An address of its parts, the local part in quotes where it needs them.
 * @throws SrsError `length` where it is too long for SMTP
 */
export function writeParts(local: string, domain: string): string {
  const address = `${writtenLocal(local)}@${domain}`;
  const octets = encodeText(address).length;
  if (octets > MAX_ADDRESS)
    throw new SrsError('length', `the address would have ${octets} octets, ${MAX_ADDRESS} are allowed`);
  return address;
}

/** Without case as mail has it: the letters of ASCII only, so that it does not matter who reads the rest as what. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
