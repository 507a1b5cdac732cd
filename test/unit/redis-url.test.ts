import { describe, expect, it } from 'vitest';
import { parseRedisUrl, redisName, redisUrlFault } from '../../lib/redis-url.ts';

const NOTHING = { tls: false, username: undefined, password: undefined, database: 0, master: undefined };

describe('the URL of a Redis', () => {
  it.each([
    ['redis://db', { ...NOTHING, servers: [{ host: 'db', port: 6379 }] }, 'redis://db:6379'],
    ['redis://db/', { ...NOTHING, servers: [{ host: 'db', port: 6379 }] }, 'redis://db:6379'],
    [
      'rediss://us%3Aer:p%40ss%2F:x@[::1]:7000/15',
      {
        ...NOTHING,
        tls: true,
        username: 'us:er',
        password: 'p@ss/:x',
        database: 15,
        servers: [{ host: '::1', port: 7000 }],
      },
      'rediss://[::1]:7000',
    ],
    [
      'redis://:p@ss@db:1',
      { ...NOTHING, password: 'p@ss', servers: [{ host: 'db', port: 1 }] },
      'redis://db:1',
    ],
    [
      'redis+sentinel://a,b:7,[::1]:8/mail',
      {
        ...NOTHING,
        master: 'mail',
        servers: [
          { host: 'a', port: 26379 },
          { host: 'b', port: 7 },
          { host: '::1', port: 8 },
        ],
      },
      'redis+sentinel://a:26379,b:7,[::1]:8/mail',
    ],
    [
      'rediss+sentinel://u:p@a:1/my%20mail/3',
      {
        tls: true,
        username: 'u',
        password: 'p',
        database: 3,
        master: 'my mail',
        servers: [{ host: 'a', port: 1 }],
      },
      'rediss+sentinel://a:1/my%20mail',
    ],
  ])('%s', (url, place, name) => {
    expect(parseRedisUrl(url)).toEqual(place);
    expect(redisName(url)).toBe(name);
  });

  it.each([
    ['http://hush@db', 'must be "redis://HOST:PORT/NUMBER", "redis+sentinel://'],
    ['redis://', 'must be "redis://'],
    ['redis://db:99999', 'must be "redis://'],
    ['redis://db:0', 'must be "redis://'],
    ['redis://:hush/hush@db', 'has a "/" in its password'],
    ['redis://db/0?password=hush', 'must be "redis://'],
    ['redis://db/hush', 'must end with the number of a database'],
    ['redis://db/0/hush', 'must end with the number of a database'],
    ['redis://:hu%sh@db', 'has a "%" that begins no character'],
    ['redis://a,b', 'names several servers, but no sentinels'],
    ['redis+sentinel://a,b', 'must name the master as its sentinels do'],
    ['redis+sentinel://a,b/', 'must name the master as its sentinels do'],
    ['redis+sentinel://a,b//0', 'must name the master as its sentinels do'],
    ['redis+sentinel://a,,b/mail', 'must be "redis://'],
    ['redis+sentinel://a/mail/hush', 'must end with the number of a database'],
    [`redis+sentinel://${'a,'.repeat(20)}a/mail`, 'names more than 20 sentinels'],
  ])('%s is refused in one line that repeats nothing of it', (url, message) => {
    expect(() => parseRedisUrl(url)).toThrow(TypeError);
    const fault = redisUrlFault(url);
    expect(fault).toContain(message);
    expect(fault).not.toMatch(/hush|\n/);
  });
});
