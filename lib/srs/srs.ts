/** The Sender Rewriting Scheme, guarded, as Perl's Mail::SRS and all after it have it; and its signing mode. */
import { wrongArgument } from '../errors.ts';
import { callback, checkOptions, flag, integer, type Kinds, oneOf } from '../options.ts';
import { SrsError } from './error.ts';
import { isDomain, lowerCase, readParts, writeParts } from './parts.ts';
import { isSame, keyed, secretList } from './secrets.ts';

/** Options of {@link createSrs}. */
export interface SrsOptions {
  /** The first one signs, all of them verify: a new one is put before the old ones. */
  readonly secrets: readonly string[];
  /** Days for which a rewritten address can be taken back, the day of signing not counted; 1022 at most. @default 21 */
  readonly maxAge?: number;
  /**
   * Characters of the hash, 6 bits each, 27 at most. Other implementations take 4: 24 bits, and fewer without case, can be
   * guessed. @default 8
   */
  readonly hashLength?: number;
  /** Shorter hashes are not accepted. @default hashLength */
  readonly hashMin?: number;
  /** What stands behind `SRS0` and `SRS1`. All are understood. @default '=' */
  readonly separator?: '=' | '+' | '-';
  /** Rewrites addresses that are in the new domain already. @default false */
  readonly alwaysRewrite?: boolean;
  /** The clock: milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** What {@link Srs.inspect} sees in an address. */
export interface SrsReport {
  /** `SRS0`: what a forwarder made of an address. `SRS1`: what a second one made of that. */
  readonly kind: 'SRS0' | 'SRS1';
  /** Whether it was signed for its own domain (`sign`), not rewritten for another. */
  readonly signed: boolean;
  /** The address that was rewritten. Trust it only if `fault` is undefined. */
  readonly address: string;
  /** Which of the secrets made the hash, counted from 0. Undefined where none did, or where it is too short. */
  readonly secret: number | undefined;
  /** Whether somebody changed the case of the hash on the way. */
  readonly smashed: boolean;
  /** Days since it was signed, modulo 1024: 1023 may mean tomorrow. SRS1 has no date of its own. */
  readonly age: number | undefined;
  /** Why {@link Srs.reverse} refuses it. */
  readonly fault: SrsError | undefined;
}

/** Rewrites addresses, and takes them back. Addresses may stand in angle brackets; what is returned does not. */
export interface Srs {
  /**
   * The address under which mail from `address` is sent on by `domain` (an address there will do). Unchanged are the null
   * sender, and what is in that domain already, unless `alwaysRewrite`.
   * @throws SrsError for what is no address with a domain, or would become longer than SMTP allows
   */
  forward(address: string, domain: string): string;
  /**
   * The address that was rewritten or signed. One layer is taken off: of SRS1 the SRS0 address of the first forwarder.
   * @throws SrsError for what is no SRS address, forged, or expired
   */
  reverse(address: string): string;
  /**
   * The same address, signed: `SRS0=HASH=DATE==user@domain`, by which its bounces are known.
   * @throws SrsError like `forward`
   */
  sign(address: string): string;
  /**
   * What an address says of itself, right or not.
   * @throws SrsError `form` for what is no SRS address, or a garbled one
   */
  inspect(address: string): SrsReport;
}

const KINDS: Kinds<SrsOptions> = {
  secrets: secretList,
  maxAge: integer(0, 1022),
  hashLength: integer(1, 27),
  hashMin: integer(1, 27),
  separator: oneOf('=', '+', '-'),
  alwaysRewrite: flag,
  now: callback<() => number>(),
};

/** With something behind it: all that is rewritten can be taken back. */
const TAG = /^SRS([01])[-+=]./i;
const DAY = 86_400_000;
const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const SLOTS = DIGITS.length ** 2;

/**
 * Makes what rewrites and verifies return addresses.
 *
 * ```ts
 * const srs = createSrs({ secrets: ['tops3cr3t'] });
 * srs.forward('user@example.com', 'forwarder.example'); // SRS0=…=…=example.com=user@forwarder.example
 * ```
 * @throws TypeError for unknown options and impossible values
 */
export function createSrs(options: SrsOptions): Srs {
  checkOptions('createSrs option', options, KINDS, wrongArgument);
  const { secrets, maxAge = 21, hashLength = 8, separator = '=', alwaysRewrite = false } = options;
  const { hashMin = hashLength, now = Date.now } = options;
  if (secrets === undefined) throw wrongArgument('createSrs needs the option "secrets"');
  if (hashMin > hashLength)
    throw wrongArgument(`createSrs option "hashMin" must not be above hashLength, which is ${hashLength}`);

  const today = (): number => Math.floor(now() / DAY) % SLOTS;
  const hashOf = (secret: string, ...fields: readonly string[]): string =>
    keyed(secret, lowerCase(fields.join(''))).toString('base64');

  function hashed(...fields: readonly string[]): string {
    return hashOf(secrets[0] ?? '', ...fields).slice(0, hashLength);
  }

  /** All are compared in each case, exactly before without case. */
  function verified(hash: string, ...fields: readonly string[]): Pick<SrsReport, 'secret' | 'smashed'> {
    // Some sign with the alphabet of RFC 4648 section 5, since there are hosts that dislike a `/`.
    const given = hash.replaceAll('-', '+').replaceAll('_', '/');
    const valid = secrets.map((secret) => hashOf(secret, ...fields).slice(0, hash.length));
    const exact = valid.map((one) => isSame(one, given)).indexOf(true);
    const loose = valid.map((one) => isSame(lowerCase(one), lowerCase(given))).indexOf(true);
    if (hash.length < hashMin || loose < 0) return { secret: undefined, smashed: false };
    return { secret: exact < 0 ? loose : exact, smashed: exact < 0 };
  }

  function rewritten(local: string, host: string, shownHost: string): string {
    const [, kind] = TAG.exec(local) ?? [];
    if (kind === '0') {
      const rest = local.slice('SRS0'.length);
      return [`SRS1${separator}${hashed(host, rest)}`, host, rest].join('=');
    }
    const first = kind === '1' ? guarded(local) : undefined;
    if (first !== undefined)
      return [`SRS1${separator}${hashed(first.host, first.rest)}`, first.host, first.rest].join('=');
    const date = today();
    const stamp = `${DIGITS[date >> 5]}${DIGITS[date & 31]}`;
    return [`SRS0${separator}${hashed(stamp, host, local)}`, stamp, shownHost, local].join('=');
  }

  function inspect(address: string): SrsReport {
    const { local, domain } = readParts('inspect', address);
    const [, kind] = TAG.exec(local) ?? [];
    if (kind === undefined) throw new SrsError('form', 'this is no SRS address');
    const report = kind === '0' ? inspectDated(local, domain) : inspectGuarded(local);
    if (report === undefined) throw new SrsError('form', `this SRS${kind} address is cut short or garbled`);
    return report;
  }

  function inspectDated(local: string, domain: string): SrsReport | undefined {
    const [hash = '', stamp = '', host = '', ...user] = local.slice('SRS0='.length).split('=');
    const name = user.join('=');
    const day = dayOf(stamp);
    if (day === undefined || name === '' || (host !== '' && !isDomain(host))) return undefined;
    const from = host === '' ? domain : host;
    const found = verified(hash, stamp, from, name);
    const age = (today() - day + SLOTS) % SLOTS;
    const fault = found.secret === undefined ? forged() : age > maxAge ? outdated(age) : undefined;
    return { kind: 'SRS0', signed: host === '', address: writeParts(name, from), ...found, age, fault };
  }

  function inspectGuarded(local: string): SrsReport | undefined {
    const first = guarded(local);
    if (first === undefined) return undefined;
    const found = verified(first.hash, first.host, first.rest);
    const fault = found.secret === undefined ? forged() : undefined;
    const address = writeParts(`SRS0${first.rest}`, first.host);
    return { kind: 'SRS1', signed: false, address, ...found, age: undefined, fault };
  }

  return {
    inspect,
    forward(address, domain) {
      if (isNull(address)) return '';
      const { local, domain: from } = readParts('forward', address);
      if (typeof domain !== 'string') throw wrongArgument('forward needs the domain that sends on');
      const to = domain.slice(domain.lastIndexOf('@') + 1);
      if (!isDomain(to)) throw new SrsError('form', `${JSON.stringify(to)} is no domain that could send on`);
      const isThere = lowerCase(to) === lowerCase(from);
      if (isThere && !alwaysRewrite) return writeParts(local, from);
      return writeParts(rewritten(local, from, from), to);
    },
    reverse(address) {
      const { fault, address: original } = inspect(address);
      if (fault !== undefined) throw fault;
      return original;
    },
    sign(address) {
      if (isNull(address)) return '';
      const { local, domain } = readParts('sign', address);
      return writeParts(rewritten(local, domain, ''), domain);
    },
  };

  function outdated(age: number): SrsError {
    const ahead = SLOTS - age;
    const when = ahead <= maxAge ? `${ahead} days ahead of this clock` : `${age} days ago`;
    return new SrsError('expired', `this SRS address was signed ${when}; it is good for ${maxAge} days`);
  }
}

function forged(): SrsError {
  return new SrsError('hash', 'the hash of this SRS address is not ours');
}

function isNull(address: unknown): boolean {
  return address === '' || address === '<>';
}

/** The fields of an SRS1 address. Undefined unless it holds an SRS0 address, which begins with a separator. */
function guarded(local: string): { hash: string; host: string; rest: string } | undefined {
  const [hash = '', host = '', ...fields] = local.slice('SRS1='.length).split('=');
  const rest = fields.join('=');
  return isDomain(host) && /^[-+=]./.test(rest) ? { hash, host, rest } : undefined;
}

function dayOf(stamp: string): number | undefined {
  const [high = -1, low = -1] = [...stamp.toUpperCase()].map((digit) => DIGITS.indexOf(digit));
  return stamp.length === 2 && high >= 0 && low >= 0 ? high * DIGITS.length + low : undefined;
}
