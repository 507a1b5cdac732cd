import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseSocket } from '../../../lib/protocol/socket.ts';
import { readOptions, type ServeOptions } from '../../../lib/serve/options.ts';

describe('parseSocket', () => {
  it.each([
    ['unix:/run/a.sock', { spec: 'unix:/run/a.sock', unixPath: '/run/a.sock' }],
    ['local:/run/a.sock', { spec: 'unix:/run/a.sock', unixPath: '/run/a.sock' }],
    ['UNIX:/run/a.sock', { spec: 'unix:/run/a.sock', unixPath: '/run/a.sock' }],
    ['/run/a.sock', { spec: 'unix:/run/a.sock', unixPath: '/run/a.sock' }],
    ['/run/with:colon', { spec: 'unix:/run/with:colon', unixPath: '/run/with:colon' }],
    ['run/a.sock', { spec: `unix:${resolve('run/a.sock')}`, unixPath: resolve('run/a.sock') }],
    ['inet:8894@127.0.0.1', { spec: 'inet:8894@127.0.0.1', unixPath: '' }],
    ['inet:8894@[127.0.0.1]', { spec: 'inet:8894@127.0.0.1', unixPath: '' }],
    ['inet:8894@mail.example.com', { spec: 'inet:8894@mail.example.com', unixPath: '' }],
    ['inet:8894', { spec: 'inet:8894', unixPath: '' }],
    ['inet:milter@localhost', { spec: 'inet:milter@localhost', unixPath: '' }],
    ['inet:0@localhost', { spec: 'inet:0@localhost', unixPath: '' }],
    ['inet:65535', { spec: 'inet:65535', unixPath: '' }],
    ['inet6:8894@::1', { spec: 'inet6:8894@::1', unixPath: '' }],
    ['inet6:8894@[::1]', { spec: 'inet6:8894@::1', unixPath: '' }],
    ['fd:3', { spec: 'fd:3', unixPath: '' }],
  ])('takes %s', (spec, socket) => {
    expect(parseSocket(spec)).toEqual(socket);
  });

  it.each([
    ['', 'is empty'],
    ['unix:', 'lacks the path'],
    [`unix:/${'x'.repeat(120)}`, 'has a path of 121 bytes'],
    ['unix:/a\0b', 'holds a NUL'],
    ['inet:', 'lacks the port'],
    ['inet:99999', 'has port 99999; the highest is 65535'],
    ['inet:80 80', 'has "80 80" where the port belongs'],
    ['inet:-1', 'has "-1" where the port belongs'],
    ['inet:8894@', 'lacks the host after @'],
    ['inet:8894@::1', 'has an IPv6 address; use inet6:'],
    ['tcp:8894', 'begins with tcp:, which is none of'],
    ['fd:x', 'needs the number of a listening descriptor'],
    ['fd:', 'needs the number of a listening descriptor'],
  ])('refuses %j in one line that says what to write', (spec, what) => {
    expect(() => parseSocket(spec)).toThrow(expect.objectContaining({ code: 'ERR_MILTER_SOCKET' }));
    expect(() => parseSocket(spec)).toThrow(what);
    expect(() => parseSocket(spec)).toThrow(/^socket [^\n]*; write for instance unix:[^\n]+$/);
  });
});

describe('readOptions', () => {
  const socket = 'inet:8894@127.0.0.1';
  const read = (options: object) => readOptions({ socket, ...options } as ServeOptions);

  it('fills in the documented defaults', () => {
    expect(read({})).toMatchObject({
      socket: { spec: socket },
      removeSocket: true,
      onError: 'tempfail',
      maxBody: 64 * 1024 * 1024,
      deadlines: {
        connect: 8000,
        helo: 8000,
        envfrom: 8000,
        envrcpt: 8000,
        data: 8000,
        unknown: 8000,
        header: 8000,
        eoh: 8000,
        body: 8000,
        eom: 120_000,
      },
    });
  });

  it('keeps the other deadlines when some are given', () => {
    expect(read({ deadlines: { eom: 5 } }).deadlines).toMatchObject({ eom: 5, connect: 8000 });
  });

  it.each([
    [{ sokcet: 1 }, 'unknown option "sokcet"; did you mean "socket"?'],
    [{ maxbody: 1 }, 'unknown option "maxbody"; did you mean "maxBody"?'],
    [{ deadline: {} }, 'unknown option "deadline"; did you mean "deadlines"?'],
    [{ onerror: 'reject' }, 'unknown option "onerror"; did you mean "onError"?'],
    [{ deadlines: { mail: 1 } }, /unknown stage in option "deadlines" "mail"$/],
    [{ deadlines: { rcpt: 1 } }, 'unknown stage in option "deadlines" "rcpt"; did you mean "envrcpt"?'],
    [{ deadlines: 5 }, 'option "deadlines" must be an object, got 5'],
    [{ deadlines: { eom: 0 } }, 'option "deadlines.eom" must be an integer from 1 to 2147483647, got 0'],
    [{ maxBody: -1 }, 'option "maxBody" must be an integer from 0 to 2147483647, got -1'],
    [{ maxBody: '64M' }, 'option "maxBody" must be an integer from 0 to 2147483647, got "64M"'],
    [{ maxConnections: 0 }, 'option "maxConnections" must be an integer from 1'],
    [{ socketMode: 0o1777 }, 'option "socketMode" must be an integer from 0 to 511, got 1023'],
    [{ socketMode: '660' }, 'option "socketMode" must be an integer from 0 to 511, got "660"'],
    [{ removeSocket: 1 }, 'option "removeSocket" must be true or false, got 1'],
    [{ onError: 'discard' }, 'option "onError" must be tempfail, reject, accept or continue, got "discard"'],
    [{ timeout: Number.NaN }, 'option "timeout" must be an integer'],
    [{ debug: 7 }, 'option "debug" must be an integer from 0 to 6, got 7'],
    [{ logger: console.log }, 'option "logger" must have a function "debug"'],
    [{ logger: null }, 'option "logger" must have a function "debug"'],
    [{ socket: undefined }, 'option "socket" is missing'],
  ])('refuses %j', (options, message) => {
    expect(() => read(options)).toThrow(expect.objectContaining({ code: 'ERR_MILTER_OPTION' }));
    expect(() => read(options)).toThrow(message);
  });

  it('takes a logger such as console', () => {
    const lines: unknown[] = [];
    const { logger } = read({ logger: { ...console, warn: (...line: unknown[]) => lines.push(line) } });
    logger.warn({ stage: 'eom' }, 'late');
    expect(lines).toEqual([[{ stage: 'eom' }, 'late']]);
  });

  it('needs options at all', () => {
    expect(() => readOptions(null as unknown as ServeOptions)).toThrow(
      /needs options, at least \{ socket \}/,
    );
    expect(() => readOptions('inet:1' as unknown as ServeOptions)).toThrow(/needs options/);
  });
});
