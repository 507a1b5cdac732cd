/**
 * Limits by network, in a table of fixed size: what a client is answered may go to a victim whose address it forged, and
 * signatures are not to be guessed.
 */
import { randomInt } from 'node:crypto';
import { parseIp6 } from '../ip.ts';

/** Networks that are told apart, about: those that fall together displace each other. */
const SLOTS = 1 << 14;
const PREFIX6_MASK = ~0xff;

/** So many things a second for each IPv4 /24 and IPv6 /56, and as many at once. */
export class RateLimit {
  readonly #rate: number;
  readonly #now: () => number;
  readonly #seed = randomInt(2 ** 31);
  readonly #keys = new Int32Array(SLOTS);
  readonly #left = new Float64Array(SLOTS);
  readonly #times = new Float64Array(SLOTS);

  /** @param now milliseconds, from wherever */
  constructor(rate: number, now: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Whether the address's network has one left; nothing is taken. */
  has(address: string): boolean {
    return (this.#left[this.#slot(address)] ?? 0) >= 1;
  }

  /** Takes one; false where there is none left. */
  take(address: string): boolean {
    const slot = this.#slot(address);
    const left = this.#left[slot] ?? 0;
    if (left < 1) return false;
    this.#left[slot] = left - 1;
    return true;
  }

  /** The network's slot, filled up to now. */
  #slot(address: string): number {
    const key = networkKey(address, this.#seed);
    const slot = (key ^ (key >>> 15)) & (SLOTS - 1);
    const now = this.#now();
    const since = now - (this.#times[slot] ?? 0);
    const isKnown = this.#keys[slot] === key && this.#times[slot] !== 0;
    const left = isKnown ? (this.#left[slot] ?? 0) + (since * this.#rate) / 1000 : this.#rate;
    this.#keys[slot] = key;
    this.#left[slot] = Math.min(this.#rate, left);
    this.#times[slot] = now;
    return slot;
  }
}

/** A number for the network: by the digits before the last dot, IPv4-mapped addresses too, or by the first 56 bits. */
function networkKey(address: string, seed: number): number {
  const dot = address.lastIndexOf('.');
  let key = seed;
  if (dot >= 0) {
    for (let i = 0; i < dot; i++) key = Math.imul(key ^ address.charCodeAt(i), 0x0100_0193);
    return key;
  }
  const [first, second] = parseIp6(address.replace(/%.*/, '')) ?? [0, 0];
  key = Math.imul(key ^ first, 0x85eb_ca6b);
  key = Math.imul(key ^ (key >>> 13) ^ (second & PREFIX6_MASK), 0xc2b2_ae35);
  return key ^ (key >>> 16);
}

/** Whether an address is this machine's own, which nobody else can forge. */
export function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1' || address.startsWith('::ffff:127.');
}
