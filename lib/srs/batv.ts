/** Bounce Address Tag Validation, the method `prvs` of draft-levine-smtp-batv. */
import { wrongArgument } from '../errors.ts';
import { callback, checkOptions, integer, type Kinds } from '../options.ts';
import { SrsError } from './error.ts';
import { lowerCase, readParts, writeParts } from './parts.ts';
import { isSame, keyed, secretList } from './secrets.ts';

/** Options of {@link createBatv}. */
export interface BatvOptions {
  /** The first one signs, all of them verify. */
  readonly secrets: readonly string[];
  /** Days for which a tag is good, 900 at most. @default 7 */
  readonly maxAge?: number;
  /** The clock: milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
}

/** What {@link Batv.inspect} sees in an address. */
export interface BatvReport {
  /** The address that was tagged. Trust it only if `fault` is undefined. */
  readonly address: string;
  /** Days until the tag expires, modulo 1000. */
  readonly left: number;
  /** Which of the secrets made the tag, counted from 0. */
  readonly secret: number | undefined;
  /** Why {@link Batv.verify} refuses it. */
  readonly fault: SrsError | undefined;
}

/** Tags addresses, and knows them again. Addresses may stand in angle brackets; what is returned does not. */
export interface Batv {
  /**
   * `prvs=KDDDSSSSSS=user@domain`, the same all day. The null sender stays as it is.
   * @throws SrsError for what is no address with a domain, or would become longer than SMTP allows
   */
  sign(address: string): string;
  /**
   * The address without its tag.
   * @throws SrsError for what carries no tag, a forged or an expired one
   */
  verify(address: string): string;
  /**
   * What a tag says of itself, right or not.
   * @throws SrsError `form` for what carries none
   */
  inspect(address: string): BatvReport;
}

const KINDS: Kinds<BatvOptions> = {
  secrets: secretList,
  maxAge: integer(1, 900),
  now: callback<() => number>(),
};

const TAGGED = /^prvs=(\d)(\d{3})([0-9a-f]{6})=(.+)$/is;
const DAY = 86_400_000;
const DAYS = 1000;
/** Which key it is: all are tried, so that a new secret may be put before the old ones. */
const KEY = '0';

/**
 * Makes what tags and verifies.
 * @throws TypeError for unknown options and impossible values
 */
export function createBatv(options: BatvOptions): Batv {
  checkOptions('createBatv option', options, KINDS, wrongArgument);
  const { secrets, maxAge = 7, now = Date.now } = options;
  if (secrets === undefined) throw wrongArgument('createBatv needs the option "secrets"');
  const today = (): number => Math.floor(now() / DAY);
  const hashOf = (secret: string, key: string, local: string, domain: string): string =>
    keyed(secret, key, lowerCase(`${local}@${domain}`)).toString('hex', 0, 3);

  function inspect(address: string): BatvReport {
    const { local, domain } = readParts('inspect', address);
    const [, key = '', day = '', hash = '', user = ''] = TAGGED.exec(local) ?? [];
    if (user === '') throw new SrsError('form', 'this address carries no BATV tag');
    const given = lowerCase(hash);
    const right = secrets.map((one) => isSame(hashOf(one, key + day, user, domain), given));
    const secret = right.includes(true) ? right.indexOf(true) : undefined;
    const left = (((Number(day) - today()) % DAYS) + DAYS) % DAYS;
    return {
      address: writeParts(user, domain),
      left,
      secret,
      fault:
        secret === undefined
          ? new SrsError('hash', 'this BATV tag is not ours')
          : left > maxAge
            ? new SrsError('expired', `this BATV tag is older than ${maxAge} days`)
            : undefined,
    };
  }

  return {
    inspect,
    sign(address) {
      if (address === '' || address === '<>') return '';
      const { local, domain } = readParts('sign', address);
      const key = `${KEY}${String((today() + maxAge) % DAYS).padStart(3, '0')}`;
      return writeParts(`prvs=${key}${hashOf(secrets[0] ?? '', key, local, domain)}=${local}`, domain);
    },
    verify(address) {
      const { fault, address: original } = inspect(address);
      if (fault !== undefined) throw fault;
      return original;
    },
  };
}
