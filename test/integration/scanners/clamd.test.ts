/** The client of clamd: with a real one, and with one that does what none should. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Clamd, type ScannerAddress, ScannerError } from '../../../lib/scanners/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { fc, runs } from '../../helpers/fuzz.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { EICAR, OWN_NAME, OWN_VIRUS, startClamd, type TestClamd } from '../../helpers/scanners.ts';
import { type Script, scriptedServer } from '../../helpers/scripted-server.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

const MiB = 2 ** 20;
const soon = (): AbortSignal => AbortSignal.timeout(20_000);

/** What becomes of one scan: what was found, `clean`, or the fault. */
async function scanned(clamd: Clamd, bytes: Buffer | string, signal = soon()): Promise<string> {
  return await clamd
    .scan(signal, (scan) => scan([Buffer.from(bytes)]))
    .then(
      ({ virus }) => virus ?? 'clean',
      (error: unknown) => {
        if (!(error instanceof ScannerError)) throw error;
        return error.fault;
      },
    );
}

describeWith(['clamd'], 'a real clamd', () => {
  let server: TestClamd;
  beforeAll(async () => {
    server = await startClamd('CommandReadTimeout 1\nReadTimeout 2\nIdleTimeout 1');
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  const places: readonly (readonly [name: string, address: () => ScannerAddress])[] = [
    ['a unix socket', () => ({ path: server.path })],
    ['TCP', () => ({ host: '127.0.0.1', port: server.port })],
  ];

  describe.each(places)('over %s', (_, address) => {
    it('finds what it knows, and nothing else', async () => {
      const clamd = new Clamd(address());
      expect(await clamd.say('PING', soon())).toBe('PONG');
      expect(await scanned(clamd, 'hello')).toBe('clean');
      expect(await scanned(clamd, '')).toBe('clean');
      expect(await scanned(clamd, EICAR)).toBe('Own.Eicar.UNOFFICIAL');
      expect(await scanned(clamd, `hello ${OWN_VIRUS}`)).toBe(OWN_NAME);
      clamd.close();
    });

    it('tells many in one session apart, in whatever order they come', async () => {
      const clamd = new Clamd(address());
      const bytes = Array.from({ length: 60 }, (_each, i) =>
        Buffer.concat([Buffer.alloc((i % 7) * 40_000), Buffer.from(i % 3 === 0 ? OWN_VIRUS : 'hello')]),
      );
      const found = await clamd.scan(soon(), (scan) => Promise.all(bytes.map((one) => scan([one]))));
      expect(found.map(({ virus }) => virus)).toEqual(
        bytes.map((_each, i) => (i % 3 === 0 ? OWN_NAME : undefined)),
      );
      clamd.close();
    });

    it.each([MiB, MiB + 1, 3 * MiB, 20 * MiB])('takes no more than it may: %i bytes', async (length) => {
      const clamd = new Clamd(address());
      const said = await scanned(clamd, Buffer.alloc(length));
      // It may hang up so quickly that its words get lost.
      expect(length <= MiB ? ['clean'] : ['too-big', 'cut-off']).toContain(said);
      // That ended the session; the next has another.
      expect(await scanned(clamd, EICAR)).toBe('Own.Eicar.UNOFFICIAL');
      clamd.close();
    });
  });

  it('may close sessions that nobody uses, be killed, and come back', async () => {
    const clamd = new Clamd({ path: server.path });
    const inFour = async (): Promise<readonly string[]> =>
      await Promise.all(['a', EICAR, 'b', OWN_VIRUS].map((text) => scanned(clamd, text)));
    const expected = ['clean', 'Own.Eicar.UNOFFICIAL', 'clean', OWN_NAME];
    expect(await inFour()).toEqual(expected);
    await server.kill();
    expect(await inFour()).toEqual(['down', 'down', 'down', 'down']);
    await server.start();
    expect(await inFour()).toEqual(expected);
    // Sessions of the one before: kept, and dead.
    await server.kill();
    await server.start();
    expect(await inFour()).toEqual(expected);
    clamd.close();
  });

  it('may be killed while it scans: nobody is told that it is clean', async () => {
    const clamd = new Clamd({ path: server.path });
    const scans = Array.from({ length: 30 }, (_, i) => scanned(clamd, `${OWN_VIRUS} ${i}`));
    await server.kill();
    for (const said of await Promise.all(scans)) expect([OWN_NAME, 'cut-off', 'down']).toContain(said);
    await server.start();
    expect(await scanned(clamd, OWN_VIRUS)).toBe(OWN_NAME);
    clamd.close();
  });

  it('may hang', async () => {
    const clamd = new Clamd({ path: server.path });
    expect(await scanned(clamd, 'hello')).toBe('clean');
    server.signal('SIGSTOP');
    expect(await scanned(clamd, 'hello', AbortSignal.timeout(50))).toBe('late');
    // More than the system keeps for it.
    expect(await scanned(clamd, Buffer.alloc(20 * MiB), AbortSignal.timeout(50))).toBe('late');
    expect(await scanned(clamd, 'hello', AbortSignal.abort())).toBe('cancelled');
    server.signal('SIGCONT');
    expect(await scanned(clamd, EICAR)).toBe('Own.Eicar.UNOFFICIAL');
    clamd.close();
  });
});

describe('a clamd that does what none should', () => {
  const answering =
    (reply: string): Script =>
    (socket, heard) =>
      // The end of the data: a chunk of no length.
      socket.on('data', () => heard().endsWith('\0\0\0\0') && socket.write(reply, 'latin1'));

  const cases: readonly (readonly [what: string, fault: string, script: Script])[] = [
    ['hangs', 'late', () => {}],
    ['hangs up', 'cut-off', (socket) => socket.destroy()],
    ['says goodbye', 'cut-off', (socket) => socket.end()],
    [
      'hangs up when it has heard all',
      'cut-off',
      (socket, heard) => socket.on('data', () => heard().endsWith('\0\0\0\0') && socket.end()),
    ],
    [
      'answers in half',
      'cut-off',
      (socket, heard) => socket.on('data', () => heard().endsWith('\0\0\0\0') && socket.end('1: stream: OK')),
    ],
    ['answers as if there were no session', 'nonsense', answering('stream: OK\0')],
    ['answers another command', 'nonsense', answering('2: stream: OK\0')],
    ['answers twice, then wrongly', 'clean', answering('1: stream: OK\0' + '1: stream: X FOUND\0')],
    ['speaks SMTP', 'nonsense', (socket) => socket.write('220 mx.example.org ESMTP\r\n')],
    ['speaks HTTP', 'nonsense', answering('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['talks without end', 'nonsense', answering('x'.repeat(200_000))],
    ['is out of memory', 'refused', answering("1: stream: Can't allocate memory ERROR\0")],
    ['times out', 'cut-off', answering('COMMAND READ TIMED OUT\n')],
    ['ends with a line feed', 'clean', answering('1: stream: OK\n')],
    [
      'finds something in pieces',
      'A.B',
      (socket, heard) =>
        socket.on('data', () => {
          if (!heard().endsWith('\0\0\0\0')) return;
          socket.write('1: stre');
          setImmediate(() => socket.write('am: A.B FOUND\0'));
        }),
    ],
  ];
  it.each(cases)('%s: %s', async (_, expected, script) => {
    await using server = await scriptedServer(script);
    const clamd = new Clamd({ host: '127.0.0.1', port: server.port });
    const signal = expected === 'late' ? AbortSignal.timeout(50) : soon();
    expect(await scanned(clamd, 'hello', signal)).toBe(expected);
    clamd.close();
  });

  it('says clean by nothing but that', async () => {
    const words = [
      '1: ',
      '2: ',
      'stream: ',
      'OK',
      ' FOUND',
      ' ERROR',
      '\0',
      '\n',
      '\r',
      'x',
      '1: stream: OK',
    ];
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...words), { maxLength: 6 }), async (said) => {
        const reply = said.join('');
        await using server = await scriptedServer((socket, heard) =>
          socket.on('data', () => heard().endsWith('\0\0\0\0') && socket.end(reply, 'latin1')),
        );
        const clamd = new Clamd({ host: '127.0.0.1', port: server.port });
        const outcome = await scanned(clamd, 'hello');
        clamd.close();
        expect(outcome === 'clean').toBe(/^1: stream: OK[\0\n]/.test(reply));
      }),
      runs(200),
    );
  });

  it('is not there', async () => {
    expect(await scanned(new Clamd({ host: '127.0.0.1', port: await unusedPort() }), 'x')).toBe('down');
    await using directory = await temporaryDirectory();
    expect(await scanned(new Clamd({ path: join(directory.path, 'none') }), 'x')).toBe('down');
    expect(await scanned(new Clamd({ host: 'no-such-host.invalid', port: 1 }), 'x')).toBe('down');
  });

  it('closes a kept session just when it is used: another is opened, once', async () => {
    let connections = 0;
    await using server = await scriptedServer((socket, heard) => {
      const isFirst = connections++ === 0;
      socket.on('data', () => {
        const ends = heard().split('zINSTREAM').length - 1;
        if (!heard().endsWith('\0\0\0\0')) return;
        if (isFirst && ends > 1) socket.destroy();
        else socket.write(`${ends}: stream: OK\0`);
      });
    });
    const clamd = new Clamd({ host: '127.0.0.1', port: server.port });
    expect(await scanned(clamd, 'one')).toBe('clean');
    expect(await scanned(clamd, 'two')).toBe('clean');
    expect(connections).toBe(2);
    expect(await scanned(clamd, 'three')).toBe('clean');
    expect(connections).toBe(2);
    clamd.close();
  });

  it('leaves no session open that was asked for when nobody wanted it any more', async () => {
    await using server = await scriptedServer((socket, heard) => {
      socket.on('end', () => socket.end());
      socket.on('data', () => {
        if (!heard().endsWith('\0\0\0\0')) return;
        if (heard().split('zINSTREAM').length > 2) socket.destroy();
        else if (heard().includes('one')) socket.write('1: stream: OK\0');
      });
    });
    const clamd = new Clamd({ host: '127.0.0.1', port: server.port });
    expect(await scanned(clamd, 'one')).toBe('clean');
    const given = clamd.scan(soon(), async (scan) => {
      // It is in the old session, which clamd closes: another is opened.
      void scan([Buffer.from('two')]).catch(() => {});
      await until('another', () => server.heard.length === 2);
      throw new Error('given up');
    });
    await expect(given).rejects.toThrow('given up');
    await until('all to be closed', () => server.clients.now === 0);
    clamd.close();
  });

  it('hangs up on new sessions too: that is no reason to ask for ever', async () => {
    await using server = await scriptedServer((socket) => socket.destroy());
    const clamd = new Clamd({ host: '127.0.0.1', port: server.port });
    expect(await scanned(clamd, 'one')).toBe('cut-off');
    expect(server.heard.length).toBe(1);
  });

  it('leaves nobody waiting in a session that ends', async () => {
    await using server = await scriptedServer((socket, heard) =>
      socket.on(
        'data',
        () => heard().split('zINSTREAM').length > 5 && socket.write('INSTREAM size limit exceeded. ERROR\0'),
      ),
    );
    const clamd = new Clamd({ host: '127.0.0.1', port: server.port });
    const asked = clamd.scan(soon(), (scan) =>
      Promise.allSettled(Array.from({ length: 10 }, () => scan([Buffer.from('x')]))),
    );
    expect((await asked).map(({ status }) => status)).toEqual(Array(10).fill('rejected'));
  });
});
