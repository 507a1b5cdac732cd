/**
 * Tokens to numbers, by HalfSipHash-2-4 with an installation's secret: who does not know it cannot look for words that meet in
 * one number. Of its 64 bits 48 are kept, which a number of JavaScript holds exactly and SQLite in six bytes: an unknown token is
 * taken for one of five millions once in fifty million times.
 */

/** The secret: two words of 32 bits. */
export type Secret = readonly [number, number];

/** Numbers of tokens are below this. */
export const KEYS = 2 ** 48;

/** The four words of the hash under way. */
const state = new Int32Array(4);

/** Mixes one word in. In variables of its own, not in `state`: every word of every message comes here. */
function mix(word: number, rounds: number): void {
  let v0 = state[0] ?? 0;
  let v1 = state[1] ?? 0;
  let v2 = state[2] ?? 0;
  let v3 = (state[3] ?? 0) ^ word;
  for (let i = 0; i < rounds; i++) {
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  state[0] = v0 ^ word;
  state[1] = v1;
  state[2] = v2;
  state[3] = v3;
}

/** One half of the result. */
function finish(at: 1 | 2, mark: number): number {
  state[at] = (state[at] ?? 0) ^ mark;
  mix(0, 4);
  return ((state[1] ?? 0) ^ (state[3] ?? 0)) >>> 0;
}

/** Both halves of the hash of a string's UTF-16 code units, little-endian. */
export function halfSipHash(text: string, [k0, k1]: Secret): readonly [low: number, high: number] {
  state[0] = k0;
  state[1] = k1 ^ 0xee;
  state[2] = 0x6c796765 ^ k0;
  state[3] = 0x74656462 ^ k1;
  const { length } = text;
  const whole = length & ~1;
  for (let i = 0; i < whole; i += 2) mix(text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16), 2);
  mix(((length * 2) << 24) | (whole < length ? text.charCodeAt(whole) : 0), 2);
  return [finish(2, 0xee), finish(1, 0xdd)];
}

/** The number of a token. */
export function keyOf(token: string, secret: Secret): number {
  const [low, high] = halfSipHash(token, secret);
  return (high & 0xffff) * 2 ** 32 + low;
}
