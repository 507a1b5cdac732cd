import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MilterError, wrongArgument } from '../../lib/errors.ts';

describe('a MilterError', () => {
  it('carries its code and what was underneath', () => {
    const cause = new Error('below');
    const error = new MilterError('ERR_MILTER_SOCKET', 'above', { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: 'MilterError', code: 'ERR_MILTER_SOCKET', message: 'above', cause });
    expect(String(error)).toBe('MilterError: above');
  });

  it('without a cause has none', () => {
    expect('cause' in new MilterError('ERR_MILTER_CLOSED', 'closed')).toBe(false);
  });
});

describe('a wrong argument', () => {
  it('is a TypeError that a program can tell by its code', () => {
    expect(wrongArgument('no')).toBeInstanceOf(TypeError);
    expect(wrongArgument('no')).toMatchObject({ code: 'ERR_MILTER_ARGUMENT', message: 'no' });
  });
});

describe('the documentation', () => {
  it('names every code', () => {
    const source = readFileSync(join(import.meta.dirname, '../../lib/errors.ts'), 'utf8');
    const codes = [...new Set(source.match(/ERR_MILTER_[A-Z_]+/g))];
    const docs = readFileSync(join(import.meta.dirname, '../../docs/errors.md'), 'utf8');
    expect(codes.length).toBeGreaterThan(10);
    expect(codes.filter((code) => !docs.includes(code))).toEqual([]);
  });
});
