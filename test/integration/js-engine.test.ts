/** What is the TypeScript engine's own: its bounds, and where it does otherwise than libmilter. docs/engines.md lists the latter. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Milter, type ServeOptions, SMFIP } from '../../lib/index.ts';
import { encodeFrame } from '../../lib/protocol/frames.ts';
import { encodeNegotiation } from '../../lib/protocol/wire.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { fc, runs } from '../helpers/fuzz.ts';
import {
  CLIENT,
  ENVELOPE,
  gate,
  MESSAGE,
  PLAYED_STAGES,
  serving,
  type TestServer,
} from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

const OFFER = encodeNegotiation({ version: 6, actions: 0x1ff, steps: 0x1fffff });
const MAIL = encodeFrame('M', Buffer.from('<ann@one.test>\0'));

const js = (filter: typeof Milter, options: Partial<ServeOptions> = {}): Promise<TestServer> =>
  serving(filter, { engine: 'js', ...options });

/** Notes what it hears; of unknown commands it wants to hear nothing. */
function hearing(heard: string[]): typeof Milter {
  class Hearing extends Milter {
    static override readonly early = ['header', 'eoh', 'body'] as const;
  }
  const heardOf = PLAYED_STAGES.filter((stage) => stage !== 'unknown');
  for (const stage of [...heardOf, 'abort', 'close'])
    Object.defineProperty(Hearing.prototype, stage, { value: () => void heard.push(stage) });
  return Hearing;
}

/** Dials, negotiates, and sends no more than it is told to. */
async function dial({ server }: TestServer, first: Buffer = OFFER): Promise<Socket> {
  const socket = connect(Number(/:(\d+)@/.exec(server.address)?.[1]), '127.0.0.1').on('error', () => {});
  await once(socket, 'connect');
  socket.write(first);
  return socket;
}

/** Sends bytes, and resolves when the filter has hung up. */
async function refusedFor(t: TestServer, ...bytes: readonly Buffer[]): Promise<void> {
  const socket = await dial(t, Buffer.concat(bytes));
  socket.resume();
  await once(socket, 'close');
}

const NODE = (script: string, env: Record<string, string> = {}): string => {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', script],
    {
      encoding: 'utf8',
      env: { ...process.env, ...env },
    },
  );
  return stdout + stderr;
};
const INDEX = JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href);

describe('the engine is chosen', () => {
  it('as "js" without anything native', () => {
    const script = `
      process.dlopen = (_, file) => { throw new Error('loaded ' + file); };
      const { Milter, serve } = await import(${INDEX});
      const server = await serve(class extends Milter { eom() {} }, { socket: 'inet:0@127.0.0.1', engine: 'js' });
      console.log(server.engine);
      await server.close();`;
    expect(NODE(script)).toBe('js\n');
  });

  it.each([
    ['auto', '/nonexistent/libmilter.so', 'js info libmilter cannot be loaded: Node.js speaks for it\n'],
    ['auto', '', 'libmilter\n'],
    ['js', '', 'js\n'],
  ])('by MILTER_ENGINE=%s with MILTER_LIBRARY=%j', (engine, library, expected) => {
    const script = `
      const { Milter, serve } = await import(${INDEX});
      const said = [];
      const logger = { debug() {}, warn() {}, error() {}, info: (_, text) => said.push('info ' + text) };
      const server = await serve(class extends Milter { eom() {} }, { socket: 'inet:0@127.0.0.1', logger });
      console.log(server.engine, ...said);
      await server.close();`;
    expect(NODE(script, { MILTER_ENGINE: engine, MILTER_LIBRARY: library })).toBe(expected);
  });

  it('by who is told of it where the addon cannot be loaded', async () => {
    await using folder = await temporaryDirectory();
    mkdirSync(join(folder.path, 'build/Release'), { recursive: true });
    writeFileSync(join(folder.path, 'build/Release/milter.node'), 'no library');
    const script = `
      const { Milter, serve } = await import(${INDEX});
      await serve(class extends Milter { eom() {} }, { socket: 'inet:0@127.0.0.1', engine: 'libmilter' })
        .catch(({ code, message }) => console.log(code, message));`;
    expect(NODE(script, { LIBMILTER_PREBUILD: folder.path })).toMatch(
      /^ERR_MILTER_LIBRARY the addon \S+milter\.node cannot be loaded; build it .*: npm rebuild libmilter; or use the engine "js", which needs none \(MILTER_ENGINE=js\)\n$/,
    );
  });

  it('by no word that is none', async () => {
    await expect(js(Milter, { engine: 'javascript' as 'js' })).rejects.toMatchObject({
      code: 'ERR_MILTER_OPTION',
    });
  });
});

describe('an MTA in disorder', () => {
  it.each(['C', 'R', 'T', 'L', 'N'])(
    'is told to try later where %s cannot come, and has lost its message',
    async (command) => {
      const heard: string[] = [];
      await using t = await js(hearing(heard));
      const mta = await t.mta();
      await mta.connect('client.test', CLIENT);
      await mta.helo('one.test');
      await mta.envfrom('<ann@one.test>');
      await mta.envrcpt('<bob@two.test>');
      await mta.data();
      await mta.eoh();
      await mta.body('text');
      const again = {
        C: () => mta.connect('client.test', CLIENT),
        R: () => mta.envrcpt('<eve@two.test>'),
        T: () => mta.data(),
        L: () => mta.header('X-Late', 'value'),
        N: () => mta.eoh(),
      }[command];
      expect(await again?.()).toEqual({ verdict: 'tempfail' });
      expect(heard).toEqual(['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'eoh', 'body', 'abort']);
      expect((await mta.eom()).verdict).toBe('tempfail');
      expect((await mta.envfrom('<next@one.test>')).verdict).toBe('continue');
    },
  );

  it('is told so too where there is no message', async () => {
    const heard: string[] = [];
    await using t = await js(hearing(heard));
    const mta = await t.mta();
    expect((await mta.envrcpt('<bob@two.test>')).verdict).toBe('tempfail');
    expect((await mta.eom()).verdict).toBe('tempfail');
    expect(heard).toEqual([]);
  });

  it('may send an unknown command anywhere', async () => {
    const heard: string[] = [];
    await using t = await js(hearing(heard));
    const mta = await t.mta();
    await mta.envfrom('<ann@one.test>');
    await mta.raw(encodeFrame('U', Buffer.from('NOOP\0')));
    await mta.envrcpt('<bob@two.test>').catch(() => {});
    await mta.close();
    await until('the end', () => heard.includes('close'));
    expect(heard).toEqual(['envfrom', 'envrcpt', 'abort', 'close']);
  });

  it.each([
    ['begins without negotiating', [MAIL]],
    ['negotiates twice', [OFFER, OFFER]],
    ['sends a command that is none', [OFFER, encodeFrame('~')]],
    ['speaks the first version', [encodeNegotiation({ version: 1, actions: 1, steps: 1 })]],
    ['quits for another connection', [OFFER, encodeFrame('K')]],
    ['sends a packet that is too large', [OFFER, encodeFrame('B', Buffer.alloc(65_536))]],
  ])('that %s is hung up on', async (_, bytes) => {
    await using t = await js(hearing([]));
    await refusedFor(t, ...bytes);
    await t.idle();
  });
});

it('a filter that needs no message has no objection to any', async () => {
  class OfConnection extends Milter {
    override connect() {}
  }
  await using t = await js(OfConnection);
  const mta = await t.mta();
  expect(mta.negotiated.steps & SMFIP.NOMAIL).toBe(SMFIP.NOMAIL);
  expect((await mta.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  expect((await mta.sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
});

it('answers DATA on TCP, where silence would cost 40 ms', async () => {
  await using folder = await temporaryDirectory();
  await using tcp = await js(hearing([]));
  await using unix = await js(
    class extends Milter {
      override eom() {}
    },
    { socket: `unix:${folder.path}/s` },
  );
  await using alsoTcp = await js(
    class extends Milter {
      override eom() {}
    },
  );
  expect((await tcp.mta()).negotiated.steps & SMFIP.NR_DATA).toBe(0);
  expect((await unix.mta()).negotiated.steps & SMFIP.NR_DATA).toBe(SMFIP.NR_DATA);
  expect((await alsoTcp.mta()).negotiated.steps & SMFIP.NR_DATA).toBe(0);
});

describe('what one connection may take is bounded', () => {
  it('in time: by silence, and within a frame', async () => {
    const heard: string[] = [];
    await using t = await js(hearing(heard), { timeout: 300 });
    await refusedFor(t, OFFER);
    await refusedFor(t, OFFER, MAIL, Buffer.of(0, 0));
    const trickling = await dial(t);
    const closed = once(trickling.resume(), 'close');
    trickling.write(encodeFrame('B', Buffer.alloc(60_000)).subarray(0, 10));
    const trickle = setInterval(() => trickling.write('x'), 20);
    await closed;
    clearInterval(trickle);
    await until('abort and close', () => heard.filter((stage) => stage === 'close').length === 3);
    expect(heard).toContain('abort');
  });

  it('in what is read while a handler works', async () => {
    const hold = gate();
    class Slow extends Milter {
      override async envfrom() {
        await hold.opened;
      }
    }
    await using t = await js(Slow);
    const socket = await dial(t, Buffer.concat([OFFER, MAIL]));
    const flood = encodeFrame('U', Buffer.alloc(60_000, 'x'));
    let refused = false;
    for (let i = 0; i < 1_000; i++) refused = !socket.write(flood) || refused;
    let last = -1;
    await until('the flood to stand still', () => {
      const still = socket.writableLength === last;
      last = socket.writableLength;
      return still;
    });
    // 60 MB were sent; what was taken lies in the buffers of the system, and a little in ours.
    expect(last).toBeGreaterThan(30_000_000);
    hold.open();
    socket.resume();
    await until('the flood to be read', () => socket.writableLength === 0 || undefined);
    socket.destroy();
    await t.idle();
  });

  it('in what is written to an MTA that does not read', async () => {
    let asked = 0;
    class Talkative extends Milter {
      override eom() {
        asked++;
        this.message.replaceBody(Buffer.alloc(1_000_000, 'x'));
      }
    }
    await using t = await js(Talkative);
    const message = Buffer.concat([
      MAIL,
      encodeFrame('R', Buffer.from('<b@two.test>\0')),
      encodeFrame('N'),
      encodeFrame('E'),
    ]);
    const socket = await dial(t, Buffer.concat([OFFER, ...Array.from({ length: 200 }, () => message)]));
    let last = -1;
    await until('the filter to be left alone', () => {
      const still = asked === last && asked > 0;
      last = asked;
      return still;
    });
    expect(asked).toBeLessThan(50);
    socket.resume();
    await until('all the messages', () => asked === 200);
    socket.destroy();
    await t.idle();
  });

  it('so that many may be idle', async () => {
    await using t = await js(hearing([]), { maxConnections: 2_000 });
    const sockets = await Promise.all(Array.from({ length: 1_500 }, () => dial(t)));
    await until('all of them', () => t.server.stats().sessions.created === 1_500);
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
    for (const socket of sockets) socket.destroy();
    await until('all of them to be gone', () => t.server.stats().sessions.freed === 1_500);
  });
});

// FUZZ_RUNS=50 has a million frames.
it('no bytes do any harm', { timeout: 600_000 }, async () => {
  const heard: string[] = [];
  await using t = await js(hearing(heard), { maxConnections: 10_000 });
  const payload = fc.oneof(
    fc.constantFrom(
      '',
      '<a@one.test>\0',
      'h\0U',
      'h\x004\0\x00192.0.2.7\0',
      'Subject\0 value\0',
      'Mi\0Q1\0',
      'x\0',
    ),
    fc.string({ unit: 'binary', maxLength: 30 }),
  );
  const frame = fc
    .tuple(fc.constantFrom(...'CHMRTLNBEDAU'), payload)
    .map(([command, text]) => encodeFrame(command, Buffer.from(text, 'latin1')));
  await fc.assert(
    fc.asyncProperty(
      fc.array(frame, { minLength: 20, maxLength: 60 }),
      fc.uint8Array({ maxLength: 20 }),
      async (frames, rest) => {
        const socket = await dial(t, Buffer.concat([OFFER, ...frames, Buffer.from(rest)]));
        socket.resume().end();
        await once(socket, 'close');
      },
    ),
    runs(500),
  );
  await t.idle();
  expect(t.server.stats()).toMatchObject({ failures: 0, deadlines: 0 });
  expect(heard).toContain('eom');
  expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
});
