import { describe, expect, it } from 'vitest';
import { isLoopback, RateLimit } from '../../../lib/nameserver/rate-limit.ts';

describe('a limit by network', () => {
  it('gives so many a second, and as many at once', () => {
    let now = 5;
    const limit = new RateLimit(10, () => now);
    const taken = (address: string): number =>
      Array.from({ length: 20 }, () => limit.take(address)).filter(Boolean).length;
    expect(taken('192.0.2.1')).toBe(10);
    expect(taken('192.0.2.200')).toBe(0);
    expect(taken('::ffff:192.0.2.7')).toBe(10);
    expect(taken('192.0.3.1')).toBe(10);
    now += 500;
    expect(limit.has('192.0.2.1')).toBe(true);
    expect(taken('192.0.2.1')).toBe(5);
    expect(limit.has('192.0.2.1')).toBe(false);
    now += 60_000;
    expect(taken('192.0.2.1')).toBe(10);
  });

  it('takes 56 bits of IPv6 for a network', () => {
    const limit = new RateLimit(1, () => 5);
    expect(limit.take('2001:db8:0:1::1')).toBe(true);
    expect(limit.take('2001:db8:0:ff:2::')).toBe(false);
    expect(limit.take('2001:db8:0:100::1')).toBe(true);
    expect(limit.take('fe80::1%eth0')).toBe(true);
  });
});

it.each([
  ['127.0.0.1', true],
  ['127.8.9.1', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['128.0.0.1', false],
  ['::2', false],
  ['1.127.0.1', false],
])('%s is of this machine: %s', (address, expected) => expect(isLoopback(address)).toBe(expected));
