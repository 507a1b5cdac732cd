import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameReader } from '../../../lib/protocol/frames.ts';

describe('FrameReader', () => {
  const bytes = Buffer.concat([
    encodeFrame('c'),
    encodeFrame('y', Buffer.from('550 no\0')),
    encodeFrame('p'),
  ]);

  it.each([1, 2, 3, 7, bytes.length])('finds the same frames in pieces of %i bytes', (size) => {
    const reader = new FrameReader(0xf_ffff, 'the filter');
    const found: [string, string][] = [];
    for (let at = 0; at < bytes.length; at += size) {
      reader.push(bytes.subarray(at, at + size));
      for (let next = reader.next(); next !== undefined; next = reader.next()) {
        found.push([next.command, next.payload.toString()]);
      }
    }
    expect(found).toEqual([
      ['c', ''],
      ['y', '550 no\0'],
      ['p', ''],
    ]);
  });

  it.each(['00000000', '00100001', 'ffffffff'])('refuses the length 0x%s', (length) => {
    const reader = new FrameReader(0xf_ffff, 'the filter');
    reader.push(Buffer.from(length, 'hex'));
    expect(() => reader.next()).toThrow(expect.objectContaining({ code: 'ERR_MILTER_PROTOCOL' }));
  });
});
