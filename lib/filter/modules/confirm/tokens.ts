/**
 * Addresses whose use confirms: `ann+confirm-TOKEN@example.org`. A token names what is to be confirmed and until when, and proves
 * that it was made here for this address.
 */
import { randomBytes } from 'node:crypto';
import { parseAddress } from '../../../index.ts';
import { base32, comparableAddress, isSame, type Store, storedProof } from '../../kit.ts';

/** What a token says. */
export interface Token {
  /** Of what is to be confirmed. */
  readonly id: string;
  readonly isExpired: boolean;
}

const ID_LENGTH = 8;
const TIME_LENGTH = 4;
const PROOF_LENGTH = 12;
const HOUR = 3_600_000;
const FORM = /^(.+)\+confirm-([a-z2-7]{24})$/is;
const TOKEN = /^([a-z2-7]{8})([a-z2-7]{4})([a-z2-7]{12})$/;
const DIGITS = 'abcdefghijklmnopqrstuvwxyz234567';
/** RFC 5321 section 4.5.3.1.1. */
const MAX_LOCAL = 64;

/** The address without its token, and that; undefined for addresses of another form. */
export function readAddress(
  recipient: string,
): { readonly owner: string; readonly token: string } | undefined {
  const { local, domain } = parseAddress(recipient);
  if (local.length > MAX_LOCAL) return undefined;
  const [, user, token] = FORM.exec(local) ?? [];
  return user === undefined || token === undefined
    ? undefined
    : { owner: `${user}@${domain}`, token: token.toLowerCase() };
}

/** The address that confirms; undefined where it would be too long, or is none that everybody can write to. */
export function confirmingAddress(owner: string, token: string): string | undefined {
  const { local, domain } = parseAddress(owner);
  const name = `${local}+confirm-${token}`;
  return name.length <= MAX_LOCAL && /^[\w.!#$%&'*+/=?^`{|}~-]+$/.test(local)
    ? `${name}@${domain}`
    : undefined;
}

/** Makes tokens, and reads them. */
export class Tokens {
  readonly #store: Store;
  readonly #now: () => number;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** @param expire milliseconds for which it is good; hours are counted, the last one whole */
  async make(owner: string, expire: number): Promise<{ readonly id: string; readonly token: string }> {
    const id = base32(randomBytes(5), ID_LENGTH);
    const time = written(Math.ceil((this.#now() + expire) / HOUR));
    return { id, token: id + time + (await this.#proof(id + time, owner)) };
  }

  /** Undefined for a token that was not made here for this address. */
  async read(token: string, owner: string): Promise<Token | undefined> {
    const [, id = '', time = '', proof = ''] = TOKEN.exec(token) ?? [];
    if (id === '' || !isSame(proof, await this.#proof(id + time, owner))) return undefined;
    return { id, isExpired: hoursOf(time) * HOUR < this.#now() };
  }

  async #proof(what: string, owner: string): Promise<string> {
    const whose = comparableAddress(owner);
    return base32(await storedProof(this.#store, ['confirm', what, whose]), PROOF_LENGTH);
  }
}

/** What the first characters of a token say that it is about, right or not. */
export function idOf(token: string): string {
  return token.slice(0, ID_LENGTH);
}

function written(value: number): string {
  let text = '';
  for (let rest = value; text.length < TIME_LENGTH; rest = Math.floor(rest / 32))
    text = (DIGITS[rest % 32] ?? '') + text;
  return text;
}

function hoursOf(text: string): number {
  return [...text].reduce((value, digit) => value * 32 + DIGITS.indexOf(digit), 0);
}
