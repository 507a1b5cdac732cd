/** Signed Envelope Sender, as pysrs has it: each message's return address carries a signature of its own. */
import { wrongArgument } from '../errors.ts';
import { callback, checkOptions, integer, type Kinds } from '../options.ts';
import { SrsError } from './error.ts';
import { lowerCase, readParts, writeParts } from './parts.ts';
import { isSame, keyed, secretList } from './secrets.ts';

/** Options of {@link createSes}. */
export interface SesOptions {
  /** The first one signs, all of them verify. */
  readonly secrets: readonly string[];
  /** Days for which a signature is good, 1000 at most. Whoever verifies must have the same. @default 10 */
  readonly expiration?: number;
  /** The clock: milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
  /**
   * A number from 1 to 2 ** 53 - 1 for each signature, not given before within a quarter of a day. Where several processes
   * sign, or one is started anew, random ones are best. @default 1, 2, 3 … within each quarter of a day
   */
  readonly id?: () => number;
}

/** What {@link Ses.inspect} sees in an address. */
export interface SesReport {
  /** The address that was signed. Trust it only if `fault` is undefined. */
  readonly address: string;
  /** The same for each way to write this signature: by it those are counted that were seen. */
  readonly signature: string;
  /** The number it was given. */
  readonly id: bigint;
  /** When it was signed, to a quarter of a day, in milliseconds since 1970; undefined for a fixed one, which does not expire. */
  readonly signedAt: number | undefined;
  /** Which of the secrets signed, counted from 0. */
  readonly secret: number | undefined;
  /** Why {@link Ses.verify} refuses it. */
  readonly fault: SrsError | undefined;
}

/** Signs addresses, and knows them again. Addresses may stand in angle brackets; what is returned does not. */
export interface Ses {
  /**
   * `SES=SIGNATURE=user@domain`; another one at each call, but for the null sender, which stays as it is.
   * @param fixed makes a signature of this number which is always the same and never expires
   * @throws SrsError for what is no address with a domain, or would become longer than SMTP allows
   */
  sign(address: string, fixed?: number): string;
  /**
   * The address without its signature. How often it was asked is not counted.
   * @throws SrsError for what carries no signature, a forged or an expired one
   */
  verify(address: string): string;
  /**
   * What a signature says of itself, right or not.
   * @throws SrsError `form` for what carries none
   */
  inspect(address: string): SesReport;
}

const KINDS: Kinds<SesOptions> = {
  secrets: secretList,
  expiration: integer(1, 1000),
  now: callback<() => number>(),
  id: callback<() => number>(),
};

const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-';
const BASE = BigInt(DIGITS.length);
const HASH_BITS = 80n;
const HASH_BYTES = 10;
const QUARTERS = 4;
const QUARTER = 86_400_000 / QUARTERS;
const TAGGED = /^SES=([\w-]{1,40})=(.+)$/is;
const anId = integer(1, Number.MAX_SAFE_INTEGER);

/**
 * Makes what signs and verifies.
 * @throws TypeError for unknown options and impossible values
 */
export function createSes(options: SesOptions): Ses {
  checkOptions('createSes option', options, KINDS, wrongArgument);
  const { secrets, expiration = 10, now = Date.now } = options;
  if (secrets === undefined) throw wrongArgument('createSes needs the option "secrets"');
  const quarter = (): number => Math.floor(now() / QUARTER);
  const { id = counter(quarter) } = options;
  const timeBits = BigInt(expiration + 1).toString(2).length + Math.log2(QUARTERS);
  /** All bits set, which no time has: such a signature is fixed. */
  const fixedTime = 2 ** timeBits - 1;

  function hashOf(secret: string, time: number, number: bigint, local: string, domain: string): bigint {
    const numbers = Buffer.alloc(16);
    numbers.writeBigUInt64BE(BigInt(time));
    numbers.writeBigUInt64BE(number, 8);
    const mac = keyed(secret, numbers, local, '@', lowerCase(domain));
    return BigInt(`0x${mac.toString('hex', 0, HASH_BYTES)}`);
  }

  function inspect(address: string): SesReport {
    const { local, domain } = readParts('inspect', address);
    const [, signature = '', user = ''] = TAGGED.exec(local) ?? [];
    if (signature === '') throw new SrsError('form', 'this address carries no SES signature');
    const bits = decode(signature);
    const hash = BigInt.asUintN(Number(HASH_BITS), bits);
    const stamp = Number(BigInt.asUintN(timeBits, bits >> HASH_BITS));
    const number = bits >> (HASH_BITS + BigInt(timeBits));
    if (number >= 1n << 64n) throw new SrsError('form', 'this SES signature is garbled');
    const today = quarter();
    const time = stamp === fixedTime ? 0 : today - ((today - stamp) % fixedTime);
    const given = hash.toString(16);
    const right = secrets.map((one) => isSame(padded(hashOf(one, time, number, user, domain)), padded(hash)));
    const secret = right.includes(true) ? right.indexOf(true) : undefined;
    const isOld = time !== 0 && today - time >= expiration * QUARTERS;
    return {
      address: writeParts(user, domain),
      signature: `${number}.${stamp}.${given}`,
      id: number,
      signedAt: time === 0 ? undefined : time * QUARTER,
      secret,
      fault:
        secret === undefined
          ? new SrsError('hash', 'this SES signature is not ours, or older than can be told')
          : isOld
            ? new SrsError('expired', `this SES signature is older than ${expiration} days`)
            : undefined,
    };
  }

  return {
    inspect,
    sign(address, fixed) {
      if (address === '' || address === '<>') return '';
      const { local, domain } = readParts('sign', address);
      const number = fixed ?? id();
      if (!anId.accepts(number)) throw wrongArgument(`the number of a signature must ${anId.must}`);
      const time = fixed === undefined ? quarter() : 0;
      const stamp = fixed === undefined ? time % fixedTime : fixedTime;
      const hash = hashOf(secrets[0] ?? '', time, BigInt(number), local, domain);
      const bits = (((BigInt(number) << BigInt(timeBits)) | BigInt(stamp)) << HASH_BITS) | hash;
      return writeParts(`SES=${encode(bits)}=${local}`, domain);
    },
    verify(address) {
      const { fault, address: original } = inspect(address);
      if (fault !== undefined) throw fault;
      return original;
    },
  };
}

/** Numbers from 1 on, anew in each quarter of a day. */
function counter(quarter: () => number): () => number {
  let current = quarter();
  let last = 0;
  return () => {
    if (quarter() !== current) [current, last] = [quarter(), 0];
    return ++last;
  };
}

function padded(hash: bigint): string {
  return hash.toString(16).padStart(HASH_BYTES * 2, '0');
}

function encode(bits: bigint): string {
  let text = '';
  for (let left = bits; left > 0n; left /= BASE) text = `${DIGITS[Number(left % BASE)]}${text}`;
  return text;
}

function decode(text: string): bigint {
  return [...text.toUpperCase()].reduce((bits, digit) => bits * BASE + BigInt(DIGITS.indexOf(digit)), 0n);
}
