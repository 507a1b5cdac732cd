/**
 * Tokens to numbers, by HalfSipHash-2-4 with an installation's secret: who does not know it cannot look for words that meet in
 * one number. Of its 64 bits 48 are kept, which a number of JavaScript holds exactly and SQLite in six bytes: an unknown token is
 * taken for one of five millions once in fifty million times.
 */

/** The secret: two words of 32 bits. */
export type Secret = readonly [number, number];

/** Numbers of tokens are below this. */
export const KEYS = 2 ** 48;

let v0 = 0;
let v1 = 0;
let v2 = 0;
let v3 = 0;

function round(): void {
  v0 = (v0 + v1) | 0;
  v1 = (v1 << 5) | (v1 >>> 27);
  v1 ^= v0;
  v0 = (v0 << 16) | (v0 >>> 16);
  v2 = (v2 + v3) | 0;
  v3 = (v3 << 8) | (v3 >>> 24);
  v3 ^= v2;
  v0 = (v0 + v3) | 0;
  v3 = (v3 << 7) | (v3 >>> 25);
  v3 ^= v0;
  v2 = (v2 + v1) | 0;
  v1 = (v1 << 13) | (v1 >>> 19);
  v1 ^= v2;
  v2 = (v2 << 16) | (v2 >>> 16);
}

/** Both halves of the hash of a string's UTF-16 code units, little-endian. */
export function halfSipHash(text: string, [k0, k1]: Secret): readonly [low: number, high: number] {
  v0 = k0;
  v1 = k1 ^ 0xee;
  v2 = 0x6c796765 ^ k0;
  v3 = 0x74656462 ^ k1;
  const { length } = text;
  const whole = length & ~1;
  for (let i = 0; i < whole; i += 2) {
    const word = text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16);
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  const last = ((length * 2) << 24) | (whole < length ? text.charCodeAt(whole) : 0);
  v3 ^= last;
  round();
  round();
  v0 ^= last;
  v2 ^= 0xee;
  for (let i = 0; i < 4; i++) round();
  const low = v1 ^ v3;
  v1 ^= 0xdd;
  for (let i = 0; i < 4; i++) round();
  return [low >>> 0, (v1 ^ v3) >>> 0];
}

/** The number of a token. */
export function keyOf(token: string, secret: Secret): number {
  const [low, high] = halfSipHash(token, secret);
  return (high & 0xffff) * 2 ** 32 + low;
}
