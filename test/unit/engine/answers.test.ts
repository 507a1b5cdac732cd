import { describe, expect, it } from 'vitest';
import { packAnswer } from '../../../lib/engine/libmilter/answers.ts';
import { reject } from '../../../lib/milter/verdicts.ts';

describe('an answer', () => {
  it('of nothing is nothing', () => {
    expect(packAnswer({})).toBe(undefined);
  });

  it('holds the reply with every percent sign doubled', () => {
    const packed = packAnswer({ reply: reject(550, '5.7.1', '100%', '%s') });
    expect(packed?.toString('latin1')).toContain('100%%\0');
    expect(packed?.toString('latin1')).toContain('%%s\0');
  });
});
