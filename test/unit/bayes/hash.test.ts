import { expect, it } from 'vitest';
import { halfSipHash, KEYS, keyOf } from '../../../lib/bayes/hash.ts';

it('is HalfSipHash-2-4 with 64 bits', () => {
  const secret = [0x03020100, 0x07060504] as const;
  // The vectors of the reference for the inputs of 0, 2, 4 and 6 bytes 00 01 02 …
  const text = '\u0100\u0302\u0504';
  const hex = (n: number): string => {
    const [low, high] = halfSipHash(text.slice(0, n), secret);
    const bytes = Buffer.alloc(8);
    bytes.writeUInt32LE(low, 0);
    bytes.writeUInt32LE(high, 4);
    return bytes.toString('hex');
  };
  expect([0, 1, 2, 3].map(hex)).toEqual([
    '218d1f59b9b83cc8',
    '064f39ef7c50eb57',
    'd5e78a175be52ea1',
    'ce3e91358aa2bc25',
  ]);
});

it('gives numbers of 48 bits that depend on the secret', () => {
  const tokens = Array.from({ length: 1_000 }, (_, i) => `word${i}`);
  const keys = tokens.map((token) => keyOf(token, [1, 2]));
  expect(new Set(keys).size).toBe(1_000);
  expect(keys.every((key) => Number.isInteger(key) && key >= 0 && key < KEYS)).toBe(true);
  expect(keys.filter((key, i) => key === keyOf(tokens[i] ?? '', [1, 3]))).toEqual([]);
});
