/** Passwords as they are kept: scrypt (RFC 7914), salted, with the cost that they were made with. */
import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { Turns } from './turns.ts';

const derive = promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt);

/** What one look at a password costs: 2 ** `work` blocks of 128 * `block` bytes, `times` over. */
export interface PasswordCost {
  readonly work: number;
  readonly block: number;
  readonly times: number;
}

/** 32 MiB, and some tenths of a second. */
const COST: PasswordCost = { work: 15, block: 8, times: 3 };
const LENGTH = 32;
/** Nobody types more. */
export const MAX_PASSWORD = 1_024;
/** As people are advised today (NIST SP 800-63B), shorter ones are refused. */
export const MIN_PASSWORD = 8;
const HASH = /^scrypt:(\d{1,2}):(\d{1,2}):(\d{1,2}):([\w-]{16,64}):([\w-]{43})$/;

/** The same word may be typed in more than one way. */
function bytesOf(password: string): string {
  return password.normalize('NFC');
}

function optionsOf({ work, block, times }: PasswordCost): ScryptOptions {
  return { N: 2 ** work, r: block, p: times, maxmem: 2 ** work * 128 * block + 2 ** 20 };
}

/** A password, made so that it can be kept. */
export async function hashPassword(password: string, cost: PasswordCost = COST): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(bytesOf(password), salt, LENGTH, optionsOf(cost));
  const { work, block, times } = cost;
  return `scrypt:${work}:${block}:${times}:${salt.toString('base64url')}:${key.toString('base64url')}`;
}

/** Whether a text is such a password, of a cost that can be borne. */
export function isPasswordHash(hash: string): boolean {
  return costOf(hash) !== undefined;
}

function costOf(hash: string): PasswordCost | undefined {
  const [, work, block, times] = (HASH.exec(hash) ?? []).map(Number);
  if (work === undefined || block === undefined || times === undefined) return undefined;
  const isBearable = work >= 1 && work <= 17 && block >= 1 && block <= 16 && times >= 1 && times <= 8;
  return isBearable ? { work, block, times } : undefined;
}

/** Of nobody: whoever asks for an account that is not there waits as long as the others. */
const NOBODY = `scrypt:${COST.work}:${COST.block}:${COST.times}:${'A'.repeat(22)}:${'A'.repeat(43)}`;

/** At once: each takes a thread of the few that files and names are looked up with too. */
const AT_ONCE = 2;
const MAX_WAITING = 30;

/** Looks at passwords, a few at a time. */
export class PasswordChecks {
  readonly #turns = new Turns(AT_ONCE, MAX_WAITING);

  /**
   * Whether it is the password; for an account that is not there (undefined) never, and no sooner.
   * @throws TooBusy where many others wait already
   */
  async isRight(password: string, hash: string | undefined): Promise<boolean> {
    const compared = hash ?? NOBODY;
    const cost = costOf(compared);
    const [, , , , salt = '', key = ''] = compared.split(':');
    if (cost === undefined || password.length > MAX_PASSWORD) return false;
    const given = await this.#turns.take(
      async () => await derive(bytesOf(password), Buffer.from(salt, 'base64url'), LENGTH, optionsOf(cost)),
    );
    return timingSafeEqual(given, Buffer.from(key, 'base64url')) && hash !== undefined;
  }
}
