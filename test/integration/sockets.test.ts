import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer, type Server as TcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import {
  type LogFields,
  type Logger,
  Milter,
  type MilterClass,
  type MilterError,
  type ServeOptions,
  serve,
} from '../../lib/index.ts';
import { connectMta } from '../../lib/testing/index.ts';
import { knowsDescriptors } from '../helpers/requirements.ts';
import { ENVELOPE, MESSAGE, serving } from '../helpers/server.ts';

class Marking extends Milter {
  override eom() {
    this.message.addHeader('X-Marked', 'yes');
  }
}

const folder = mkdtempSync(join(tmpdir(), 'milter-'));
afterAll(() => rmSync(folder, { recursive: true }));
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
let paths = 0;
const newPath = (): string => join(folder, `${paths++}.sock`);

/** What serve() fails with. */
async function fault(options: Partial<ServeOptions>, filter: unknown = Marking): Promise<MilterError> {
  try {
    const server = await serve(filter as MilterClass, options as ServeOptions);
    await server.close();
  } catch (error) {
    return error as MilterError;
  }
  throw new Error('serve() succeeded');
}

/** Another program that listens at a unix socket. */
async function listening(path: string): Promise<TcpServer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

const takesDescriptors = await knowsDescriptors();

describe('serve() listens', () => {
  it.each([
    ['inet:0@127.0.0.1', /^inet:\d+@127\.0\.0\.1$/],
    ['inet:0@localhost', /^inet:\d+@127\.0\.0\.1$/],
    ['inet:0@[127.0.0.1]', /^inet:\d+@127\.0\.0\.1$/],
    ['inet6:0@::1', /^inet6:\d+@::1$/],
    ['inet6:0@[::1]', /^inet6:\d+@::1$/],
  ])('at %s, and says with which port', async (socket, address) => {
    await using t = await serving(Marking, { socket });
    expect(t.server.address).toMatch(address);
    expect(t.server.address).not.toContain(':0@');
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).message.headers.at(-1)?.name).toBe(
      'X-Marked',
    );
  });

  it.each(['unix:', 'local:', ''])(
    'at a unix socket written as %jPATH, and removes it when closed',
    async (scheme) => {
      const path = newPath();
      const t = await serving(Marking, { socket: `${scheme}${path}` });
      {
        await using _ = t;
        expect(t.server.address).toBe(`unix:${path}`);
        expect(statSync(path).isSocket()).toBe(true);
        expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
      }
      expect(existsSync(path)).toBe(false);
    },
  );

  it.each([0o600, 0o660, 0o666])('with socketMode 0o%o', async (socketMode) => {
    const path = newPath();
    await using _ = await serving(Marking, { socket: `unix:${path}`, socketMode });
    expect((statSync(path).mode & 0o777).toString(8)).toBe(socketMode.toString(8));
  });

  it.skipIf(process.getuid?.() !== 0)('with socketGroup', async () => {
    const path = newPath();
    await using _ = await serving(Marking, { socket: `unix:${path}`, socketGroup: 12 });
    expect(statSync(path).gid).toBe(12);
  });

  it.skipIf(process.getuid?.() !== 0)('with socketGroup by name', async () => {
    const line = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .find((group) => group.startsWith('mail:'));
    const path = newPath();
    await using _ = await serving(Marking, { socket: `unix:${path}`, socketGroup: 'mail' });
    expect(statSync(path).gid).toBe(Number(line?.split(':')[2]));
  });

  it('at a path from the current folder, wherever the process goes afterwards', async () => {
    const path = newPath();
    await using t = await serving(Marking, { socket: `unix:${relative(process.cwd(), path)}` });
    expect(t.server.address).toBe(`unix:${path}`);
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });

  it.each([
    ['inet:0', 'inet:0@127.0.0.1'],
    ['inet6:0', 'inet6:0@::1'],
  ])('at %s on all addresses, and warns', async (socket, better) => {
    const warnings: string[] = [];
    const logger = { ...silent, warn: (_: LogFields, message: string) => void warnings.push(message) };
    await using _ = await serving(Marking, { socket, logger });
    expect(warnings).toEqual([
      `listening on all addresses, for whoever can reach them; for this machine alone write ${better}`,
    ]);
    await using explicit = await serving(Marking, { socket: better, logger });
    expect(explicit.server.address).not.toBe('');
    expect(warnings.length).toBe(1);
  });

  it.skipIf(!takesDescriptors)('at a descriptor that it was given, as systemd does', async () => {
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
    const { port } = listener.address() as AddressInfo;
    const script = `
      import { Milter, serve } from ${JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../lib/index.ts')).href)};
      class Marking extends Milter {
        eom() {
          this.message.addHeader('X-Marked', 'yes');
        }
      }
      const server = await serve(Marking, { socket: 'fd:3' });
      console.log(server.address);
      process.stdin.on('end', () => server.close()).resume();`;
    const args = ['--input-type=module', '--eval', script];
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit', fd] });
    listener.close();
    const [line] = (await once(child.stdout ?? child, 'data')) as [Buffer];
    expect(String(line)).toBe(`inet:${port}@127.0.0.1\n`);
    {
      await using mta = await connectMta(`inet:${port}@127.0.0.1`);
      expect((await mta.sendMessage(MESSAGE, ENVELOPE)).message.headers.at(-1)?.name).toBe('X-Marked');
    }
    child.stdin?.end();
    expect(await once(child, 'exit')).toEqual([0, null]);
  });

  it('several times in one process, and again at the same address', async () => {
    await using one = await serving(Marking);
    await using two = await serving(
      class Silent extends Milter {
        override eom() {}
      },
    );
    expect((await (await one.mta()).sendMessage(MESSAGE, ENVELOPE)).message.headers.length).toBe(5);
    expect((await (await two.mta()).sendMessage(MESSAGE, ENVELOPE)).message.headers.length).toBe(4);
    const path = newPath();
    for (let i = 0; i < 3; i++) {
      await using t = await serving(Marking, { socket: `unix:${path}` });
      expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).message.headers.length).toBe(5);
    }
  });
});

describe('a socket file that is there already', () => {
  it('is replaced when nobody listens there any more', async () => {
    const path = newPath();
    const old = await listening(`${path}.old`);
    const { linkSync } = await import('node:fs');
    linkSync(`${path}.old`, path);
    await new Promise((resolve) => old.close(resolve));
    expect(statSync(path).isSocket()).toBe(true);
    await using t = await serving(Marking, { socket: `unix:${path}` });
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });

  it('is left alone when somebody does', async () => {
    const path = newPath();
    const other = await listening(path);
    expect(await fault({ socket: `unix:${path}` })).toMatchObject({
      code: 'ERR_MILTER_ADDRESS_IN_USE',
      message: `unix:${path}: another program listens there; stop it first`,
    });
    expect(statSync(path).isSocket()).toBe(true);
    await new Promise((resolve) => other.close(resolve));
  });

  it('is left alone when it is no socket', async () => {
    const path = newPath();
    writeFileSync(path, 'precious');
    expect(await fault({ socket: `unix:${path}` })).toMatchObject({
      code: 'ERR_MILTER_SOCKET',
      message: expect.stringContaining('names a file that is no socket; it is left alone'),
    });
    expect(statSync(path).isFile()).toBe(true);
  });

  it('is left alone with removeSocket false', async () => {
    const path = newPath();
    const old = await listening(`${path}.old`);
    const { linkSync } = await import('node:fs');
    linkSync(`${path}.old`, path);
    await new Promise((resolve) => old.close(resolve));
    expect(await fault({ socket: `unix:${path}`, removeSocket: false })).toMatchObject({
      code: 'ERR_MILTER_SOCKET',
      message: `unix:${path}: a program that runs no more left its socket there; remove the file, or let that be done for you (removeSocket)`,
    });
    expect(statSync(path).isSocket()).toBe(true);
  });
});

describe('serve() fails with one clear line', () => {
  it('when the port is taken', async () => {
    await using t = await serving(Marking);
    expect(await fault({ socket: t.server.address })).toMatchObject({
      code: 'ERR_MILTER_ADDRESS_IN_USE',
      message: `${t.server.address}: another program listens there; stop it first`,
    });
    // And the one that was there goes on.
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });

  it.each([
    ['an address that is not ours', 'inet:0@192.0.2.1'],
    ['a host that does not exist', 'inet:0@no-such-host.invalid'],
    ['a folder that is not there', 'unix:/no/such/folder/a.sock'],
    ['a descriptor that is none', 'fd:987654'],
  ])('for %s', async (_, socket) => {
    const error = await fault({ socket });
    expect(error.code).toBe('ERR_MILTER_SOCKET');
    expect(error.message).toContain(socket);
    expect(error.message).not.toContain('\n');
    // Nothing is left half-started: the next server is fine.
    await using t = await serving(Marking);
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });

  it.each([
    ['that is not there', '/no/such/folder', 'the folder /no/such/folder does not exist'],
    ['that is none', '/dev/null', '/dev/null is no folder'],
    ['within what is none', '/dev/null/a', 'the folder /dev/null/a does not exist'],
  ])('for a folder %s', async (_, folder, why) => {
    expect(await fault({ socket: `unix:${folder}/a.sock` })).toMatchObject({
      code: 'ERR_MILTER_SOCKET',
      message: `cannot listen at unix:${folder}/a.sock: ${why}`,
    });
  });

  it('for a host name that nobody knows', async () => {
    const { code, message } = await fault({ socket: 'inet:0@no-such-host.invalid' });
    expect(code).toBe('ERR_MILTER_SOCKET');
    expect(message).toMatch(
      /^cannot listen at inet:0@no-such-host\.invalid: the host name no-such-host\.invalid cannot be resolved \(E/,
    );
  });

  it('for a group that nobody knows', async () => {
    expect(await fault({ socket: `unix:${newPath()}`, socketGroup: 'no such' })).toMatchObject({
      code: 'ERR_MILTER_OPTION',
      message: 'option "socketGroup": /etc/group has no group "no such"',
    });
  });

  it('for every descriptor of this process that does not listen, each of which stays open', async () => {
    const descriptors = readdirSync('/proc/self/fd').map(Number);
    for (const fd of descriptors) {
      const error = await fault({ socket: `fd:${fd}` });
      expect(error.message).toBe(
        `cannot listen at fd:${fd}: descriptor ${fd} is no listening socket; it must be passed to this process, as by a systemd socket unit`,
      );
    }
    await using t = await serving(Marking);
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });

  it.skipIf(process.getuid?.() === 0)('for a folder that may not be written to', async () => {
    const path = newPath();
    chmodSync(folder, 0o500);
    expect((await fault({ socket: `unix:${path}` })).code).toBe('ERR_MILTER_SOCKET');
    chmodSync(folder, 0o700);
  });

  it.each([
    ['an object', {}],
    ['nothing', null],
    ['a class that is none of ours', class Foreign {}],
  ])('for a filter that is %s', async (_, filter) => {
    const error = await fault({ socket: 'inet:0@127.0.0.1' }, filter);
    expect(error.code).toBe('ERR_MILTER_FILTER');
  });

  it('for options before anything is opened', async () => {
    const path = newPath();
    const error = await fault({ socket: `unix:${path}`, maxBdy: 1 } as Partial<ServeOptions>);
    expect(error).toMatchObject({
      code: 'ERR_MILTER_OPTION',
      message: 'unknown option "maxBdy"; did you mean "maxBody"?',
    });
    expect(existsSync(path)).toBe(false);
  });
});

describe('options', () => {
  it('maxConnections: those beyond are answered with tempfail, and have their turn later', async () => {
    await using t = await serving(Marking, { maxConnections: 2 });
    const [one, two] = [await t.mta(), await t.mta()];
    const third = await t.mta();
    expect((await third.connect('one.test')).verdict).toBe('tempfail');
    await third.quit();
    expect((await one.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
    await two.quit();
    const { sessions } = t.server.stats();
    expect(sessions.created - sessions.freed).toBeLessThanOrEqual(2);
    const fourth = await t.mta();
    expect((await fourth.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });

  it('maxDataSize: a larger packet ends the connection', async () => {
    await using t = await serving(Marking, { maxDataSize: 1000 });
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await mta.data();
    await mta.eoh();
    await mta.body('x'.repeat(2000));
    await expect(mta.eom()).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    await t.idle();
  });

  it('ref and unref can be called at any time', async () => {
    await using t = await serving(Marking, { backlog: 5 });
    expect(t.server.unref().ref()).toBe(t.server);
  });
});

describe('a port that is only probed', () => {
  it('is no session', async () => {
    await using t = await serving(Marking);
    const { connect } = await import('node:net');
    const port = Number(/:(\d+)@/.exec(t.server.address)?.[1]);
    for (let i = 0; i < 5; i++) {
      const dial = connect(port, '127.0.0.1');
      await new Promise((resolve) => dial.once('connect', resolve));
      dial.destroy();
      await new Promise((resolve) => dial.once('close', resolve));
    }
    await (await connectMta(t.server.address)).quit();
    await t.idle();
    expect(t.server.stats().sessions.created).toBe(1);
  });
});
