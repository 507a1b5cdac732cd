import { describe, expect, it } from 'vitest';
import { parseDialSpec } from '../../../lib/protocol/dial-spec.ts';

describe('parseDialSpec', () => {
  it.each([
    ['unix:/run/x', { path: '/run/x' }],
    ['LOCAL:/run/x', { path: '/run/x' }],
    [':/run/x', { path: '/run/x' }],
    ['/run/x', { path: '/run/x' }],
    ['inet:8894@127.0.0.1', { host: '127.0.0.1', port: 8894, family: 4 }],
    ['inet:8894@[127.0.0.1]', { host: '127.0.0.1', port: 8894, family: 4 }],
    ['inet:8894@mx.test', { host: 'mx.test', port: 8894, family: 4 }],
    ['inet:8894', { host: '127.0.0.1', port: 8894, family: 4 }],
    ['inet6:8894@::1', { host: '::1', port: 8894, family: 6 }],
    ['inet6:8894@[::1]', { host: '::1', port: 8894, family: 6 }],
    ['inet6:8894', { host: '::1', port: 8894, family: 6 }],
  ])('reads %s', (spec, address) => {
    expect(parseDialSpec(spec)).toEqual(address);
  });

  it.each(['', 'run/x', 'unix:run/x', 'inet:0@h', 'inet:65536@h', 'inet:127.0.0.1:8894', 'inet:@h', 'fd:3'])(
    'refuses %j and says how to write it',
    (spec) => {
      expect(() => parseDialSpec(spec)).toThrow(
        expect.objectContaining({
          code: 'ERR_MILTER_SOCKET',
          message: expect.stringContaining('inet:port@host'),
        }),
      );
    },
  );
});
