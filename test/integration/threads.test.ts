/** Serving in threads: a server's connections are shared out to them, and whatever one does harms no other. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { type Filter, FilterThreads, Milter, type ServeOptions, serve } from '../../lib/index.ts';
import { silentLogger } from '../../lib/logger.ts';
import type { WireConnection } from '../../lib/testing/index.ts';
import { ENVELOPE, MESSAGE, serving, type TestServer } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

const FILTER = new URL('../fixtures/threads/filter.ts', import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'milter-threads-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function fileOf(text: string): URL {
  const path = join(folder, `filter-${++files}.ts`);
  writeFileSync(path, text);
  return pathToFileURL(path);
}

/** What the filter answers to MAIL from `who`, in words. */
async function mail(mta: WireConnection, who: string): Promise<string> {
  const { verdict, reply } = await mta.envfrom(`<${who}@one.test>`);
  return reply?.lines.join(' ') ?? verdict;
}

async function died(t: TestServer, times: number): Promise<void> {
  const deaths = (): number =>
    t.server.stats().threads?.reduce((total, { deaths }) => total + deaths, 0) ?? 0;
  await until('the thread to be dead', () => deaths() === times);
}

/** How many threads answer so many connections at once. */
async function threadsOf(t: TestServer, connections: number): Promise<number> {
  const mtas = await Promise.all(Array.from({ length: connections }, () => t.mta()));
  const names = await Promise.all(mtas.map((mta) => mail(mta, 'who')));
  await Promise.all(mtas.map((mta) => mta.close()));
  expect(names.filter((name) => !name.startsWith('thread '))).toEqual([]);
  return new Set(names).size;
}

const AGAIN = 'Mail filter failed, please connect again';

describe.each(['libmilter', 'js'] as const)('threads under the engine %s', (engine) => {
  const options: Partial<ServeOptions> = { engine, threads: 2 };

  it('see what the MTA says and answer as one does', async () => {
    await using t = await serving(FILTER, options);
    expect(t.server.engine).toBe(engine);
    const mta = await t.mta();
    const macros = { i: '4Q', j: 'mx.test', '{odd_one}': 'wüst' };
    const result = await mta.sendMessage(MESSAGE, { ...ENVELOPE, macros });
    expect(result.verdict).toBe('continue');
    const { message } = result;
    expect(message.headers.map(({ name, value }) => `${name}: ${value}`).slice(-3)).toEqual([
      'X-Macro: wüst',
      'X-Id: 4Q',
      'X-Subject: hello',
    ]);
    expect(message.body.toString()).toMatch(/^first line\r\nthread \d+\r\n$/);
    const lines = '0123456789abcde\r\n'.repeat(100_000);
    const large = await mta.sendMessage(`Subject: large\r\n\r\n${lines}`, ENVELOPE);
    expect(large.message.body.subarray(0, lines.length).equals(Buffer.from(lines))).toBe(true);
    expect(large.message.body.subarray(lines.length).toString()).toMatch(/^thread \d+\r\n$/);
  });

  it('share the connections, and are counted each and in sum', async () => {
    await using t = await serving(FILTER, options);
    expect(await threadsOf(t, 8)).toBe(2);
    const mta = await t.mta();
    expect((await mta.envfrom('<throw@one.test>')).verdict).toBe('tempfail');
    await mta.close();
    await t.idle();
    const stats = t.server.stats();
    expect(stats).toMatchObject({ failures: 1, deadlines: 0 });
    const { threads = [] } = stats;
    expect(threads.map(({ thread, deaths }) => [thread, deaths])).toEqual([
      [1, 0],
      [2, 0],
    ]);
    for (const { sessions, tickets } of threads) {
      expect(sessions.created).toBeGreaterThan(0);
      expect(tickets).toEqual({ created: tickets.created, freed: tickets.created });
    }
    for (const what of ['sessions', 'tickets'] as const) {
      expect(threads.reduce((sum, one) => sum + one[what].created, 0)).toBe(stats[what].created);
    }
    expect(t.log).toMatchObject([
      {
        level: 'error',
        fields: { thread: expect.any(Number), stage: 'envfrom', code: 'ERR_MILTER_HANDLER' },
      },
    ]);
  });

  it.each(['exit', 'stray'])(
    'that die (%s) owe nobody an answer, harm no other, and are replaced',
    async (how) => {
      await using t = await serving(FILTER, options);
      const waiting = await Promise.all(Array.from({ length: 4 }, () => t.mta()));
      const answers = waiting.map((mta) => mail(mta, 'wait'));
      await until('all to wait', () => t.server.stats().tickets.created === 4);
      const bad = await t.mta();
      expect(await mail(bad, how)).toBe(AGAIN);
      await died(t, 1);
      // Its session cannot go on.
      expect(await mail(bad, 'who')).toBe(AGAIN);
      const firsts = await Promise.race(answers);
      expect(firsts).toBe(AGAIN);
      const { tickets } = t.server.stats();
      expect(tickets.created - tickets.freed).toBe(2);
      expect(t.log.filter(({ level }) => level === 'error')).toMatchObject([
        { message: expect.stringContaining('a thread died'), fields: { thread: expect.any(Number) } },
      ]);
      await until('both to serve', async () => (await threadsOf(t, 8)) === 2);
      await t.server.close({ deadline: 0 });
      expect((await Promise.all(answers)).filter((answer) => answer === AGAIN)).toHaveLength(2);
    },
  );

  it('that hang are left alone, and answered for when their deadline passes', async () => {
    await using t = await serving(FILTER, { ...options, deadlines: { envfrom: 1_000 } });
    const bad = await t.mta();
    const answer = mail(bad, 'spin');
    await until('it to hang', () => t.server.stats().tickets.created === 1);
    expect(await answer).toBe('Mail filter failed, please try again later');
    expect(await threadsOf(t, 6)).toBe(1);
  });

  it('let what is under way finish when the server closes', async () => {
    const t = await serving(FILTER, options);
    const mta = await t.mta();
    await mta.envfrom('<ann@one.test>');
    const closing = t.server.close();
    await mta.envrcpt('<bob@two.test>');
    await mta.data();
    await mta.header('Subject', 'hello');
    await mta.eoh();
    await mta.body('x\r\n');
    expect((await mta.eom()).verdict).toBe('continue');
    await closing;
    await t[Symbol.asyncDispose]();
  });

  it('end with a server that cannot listen', async () => {
    await using t = await serving(FILTER, options);
    await expect(
      serve(FILTER, { socket: t.server.address, engine, threads: 2, logger: silentLogger }),
    ).rejects.toMatchObject({ code: 'ERR_MILTER_ADDRESS_IN_USE' });
  });

  it('serve several servers', async () => {
    const threads = await FilterThreads.start(FILTER, 2, silentLogger);
    {
      await using one = await serving(threads, { engine });
      await using two = await serving(threads, { engine });
      expect(await threadsOf(one, 4)).toBe(2);
      expect(await threadsOf(two, 4)).toBe(2);
    }
    await threads.close();
  });

  it('have factories choose a class for each connection', async () => {
    const file = fileOf(`
      import { Milter, reject } from 'libmilter';
      class One extends Milter { envfrom() { return reject(550, '5.7.1', 'one'); } }
      class Two extends Milter { envrcpt() { return reject(550, '5.7.1', 'two'); } }
      let made = 0;
      export default () => (made++ % 2 === 0 ? new One() : new Two());`);
    await using t = await serving(file, options);
    const heard: unknown[] = [];
    for (let i = 0; i < 4; i++) {
      const mta = await t.mta();
      heard.push(
        (await mta.envfrom('<ann@one.test>')).reply?.lines[0] ??
          (await mta.envrcpt('<b@two.test>')).reply?.lines[0],
      );
    }
    expect(heard.toSorted()).toEqual(['one', 'one', 'two', 'two']);
  });
});

it.concurrent.each(['libmilter', 'js'] as const)(
  'threads that hang for good are ended and replaced, and harm no other, under the engine %s',
  async (engine) => {
    const short = { envfrom: 400, envrcpt: 400, data: 400, eom: 400, connect: 400, helo: 400, unknown: 400 };
    await using t = await serving(FILTER, {
      engine,
      threads: 2,
      deadlines: { ...short, header: 400, eoh: 400, body: 400 },
    });
    const [bad, good] = [await t.mta(), await t.mta()];
    const spun = mail(bad, 'spin');
    await until('it to hang', () => t.server.stats().tickets.created === 1);
    expect(await spun).toBe('Mail filter failed, please try again later');
    const place = await mail(good, 'who');
    expect(place).toMatch(/^thread /);
    await died(t, 1);
    expect(await mail(good, 'who')).toBe(place);
    expect(t.log.filter(({ message }) => message.startsWith('a thread died'))).toMatchObject([
      {
        level: 'error',
        fields: { owed: 0, error: { message: expect.stringContaining('hung in a handler for 5 s') } },
      },
    ]);
    await until('both to serve', async () => (await threadsOf(t, 8)) === 2);
  },
);

describe('what cannot be served in threads', () => {
  const refused = async (filter: Filter | URL, options: Partial<ServeOptions> = {}): Promise<unknown> => {
    try {
      await serve(filter, { socket: 'inet:0@127.0.0.1', logger: silentLogger, threads: 2, ...options });
      return 'served';
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      return `${code}: ${message}`;
    }
  };

  it.each([
    [
      'a file that is not there',
      () => new URL('none.ts', FILTER),
      /^ERR_MILTER_FILTER: there is no filter .*none\.ts$/,
    ],
    [
      'a file that does not parse',
      () => fileOf('export default class {'),
      /^ERR_MILTER_FILTER: the filter .* cannot be loaded: SyntaxError/,
    ],
    [
      'a file that throws',
      () => fileOf("throw new Error('no key')"),
      /^ERR_MILTER_FILTER: .*cannot be loaded: Error: no key, at .*filter-\d+\.ts:1$/,
    ],
    [
      'a file without a filter',
      () => fileOf('export const x = 1;'),
      /^ERR_MILTER_FILTER: .*exports no Milter class/,
    ],
    [
      'a stage that is misspelt',
      () =>
        fileOf("import { Milter } from 'libmilter'; export default class A extends Milter { envform() {} }"),
      /^ERR_MILTER_FILTER: .*envform/,
    ],
    [
      'a file that ends its thread',
      () => fileOf('process.exit(4);'),
      /^ERR_MILTER_FILTER: a thread of .* ended while it started: it ended with status 4$/,
    ],
    [
      'another kind of URL',
      () => new URL('https://example.com/filter.ts'),
      /^ERR_MILTER_FILTER: the filter's address must be a file: URL/,
    ],
    [
      'a class',
      () => class extends Milter {},
      /^ERR_MILTER_OPTION: option "threads": threads import the filter themselves/,
    ],
  ])('%s', async (_, make, fault) => {
    expect(await refused(make())).toMatch(fault);
  });

  it.each([0, 257, 1.5])('%d threads', async (threads) => {
    expect(await refused(FILTER, { threads })).toMatch(/^ERR_MILTER_OPTION: option "threads" must be/);
  });
});

it.each(['libmilter', 'js'])(
  'a program that does nothing else waits for threads under %s, and ends without them',
  (engine) => {
    const library = new URL('../../lib/index.ts', import.meta.url).href;
    const script = `
    import { serve } from '${library}';
    const options = { socket: 'inet:0@127.0.0.1', engine: '${engine}', threads: 2 };
    const server = await serve(new URL('${FILTER.href}'), options);
    console.log('serving');
    await server.close();
    console.log('closed');
    (await serve(new URL('${FILTER.href}'), options)).unref();`;
    const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect({ stdout, stderr, status }).toEqual({ stdout: 'serving\nclosed\n', stderr: '', status: 0 });
  },
);

it('a file may close what it opened', async () => {
  const told = join(folder, 'told');
  const file = fileOf(`
    import { appendFileSync } from 'node:fs';
    import { Milter } from 'libmilter';
    export default class A extends Milter { eom() {} }
    export async function close() { await null; appendFileSync(${JSON.stringify(told)}, 'x'); }`);
  const server = await serve(file, { socket: 'inet:0@127.0.0.1', threads: 3, logger: silentLogger });
  await server.close();
  const { readFileSync } = await import('node:fs');
  expect(readFileSync(told, 'utf8')).toBe('xxx');
});

it('a process with options for V8, as for more memory, may have threads', () => {
  const library = new URL('../../lib/index.ts', import.meta.url).href;
  const script = join(folder, 'with-options.mjs');
  writeFileSync(
    script,
    `import { serve } from '${library}';
    const server = await serve(new URL('${FILTER.href}'), { socket: 'inet:0@127.0.0.1', engine: 'js', threads: 2 });
    await server.close();
    console.log('served');`,
  );
  const args = ['--disable-warning=ExperimentalWarning', '--expose-gc', '--max-old-space-size=200', script];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect({ stdout, stderr }).toEqual({ stdout: 'served\n', stderr: '' });
});
