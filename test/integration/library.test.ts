import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { libmilterInfo } from '../../lib/index.ts';
import { describeWith, libraryOf } from '../helpers/requirements.ts';

const folder = mkdtempSync(join(tmpdir(), 'library-'));
afterAll(() => rmSync(folder, { recursive: true }));

const index = JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href);
const testing = JSON.stringify(new URL('../../lib/testing/index.ts', import.meta.url).href);

/** Runs a script in a process of its own, under another library, and gives what it printed. */
function underLibrary(library: string, script: string): string {
  const prelude = `
    import { libmilterInfo, Milter, serve } from ${index};
    import { connectMta } from ${testing};
    class Quick extends Milter { envfrom() { return 'reject'; } }
    const socket = 'inet:0@127.0.0.1';`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', prelude + script],
    { encoding: 'utf8', env: { ...process.env, MILTER_LIBRARY: library } },
  );
  return stdout + stderr;
}

/** Serves one MAIL, and tells what library that was. */
const SERVES = `
  const { workerPool, usesSelect, mendsMacros } = libmilterInfo();
  const server = await serve(Quick, { socket });
  const mta = await connectMta(server.address);
  const { verdict } = await mta.envfrom('<a@one.test>');
  await mta.close();
  await server.close();
  console.log(verdict, workerPool, usesSelect, mendsMacros);`;

it('the library at hand is described', () => {
  expect(libmilterInfo()).toEqual({
    path: expect.stringMatching(/^\/.*milter/),
    version: expect.stringMatching(/^1\.\d+\.\d+$/),
    workerPool: expect.any(Boolean),
    usesSelect: expect.any(Boolean),
    mendsMacros: true,
  });
});

describe('MILTER_LIBRARY names its file when that cannot be used:', () => {
  const text = join(folder, 'text.so');
  writeFileSync(text, 'no library\n');

  it.each([
    ['none is there', '/nonexistent/libmilter.so', /No such file/],
    ['it is no library', text, /./],
    ['it is a folder', folder, /./],
    ['it is another library, by its name', 'libc.so.6', / has no smfi_register; /],
  ])('%s', (_, file, reason) => {
    const line = underLibrary(
      file,
      'try { libmilterInfo(); } catch ({ code, message }) { console.log(code, message); }',
    );
    expect(line.split(file), line).toHaveLength(2);
    expect(line).toMatch(/^ERR_MILTER_LIBRARY MILTER_LIBRARY: .*\n$/);
    expect(line).toMatch(reason);
  });
});

describeWith(['other builds of libmilter'], 'a libmilter without smfi_setmaxdatasize', () => {
  const library = libraryOf('early');

  it('serves', () => {
    expect(underLibrary(library, SERVES)).toBe('reject false false true\n');
  });

  it('refuses maxDataSize', () => {
    const script = `
      await serve(Quick, { socket, maxDataSize: 1000 }).catch(({ code, message }) => console.log(code, message));
      const server = await serve(Quick, { socket });
      await server.close();`;
    expect(underLibrary(library, script)).toBe(
      `ERR_MILTER_UNSUPPORTED ${library} has no smfi_setmaxdatasize: leave maxDataSize out\n`,
    );
  });
});

describeWith(['other builds of libmilter'], 'a libmilter with select()', () => {
  const library = libraryOf('select');

  it('serves', () => {
    expect(underLibrary(library, SERVES)).toBe('reject false true true\n');
  });

  it('says so when maxConnections is more than select() can wait for', () => {
    const script = `
      const logger = { debug() {}, info() {}, error() {}, warn: (fields) => console.log(fields.maxConnections) };
      for (const maxConnections of [undefined, 900, 901]) {
        const server = await serve(Quick, { socket, logger, ...(maxConnections && { maxConnections }) });
        await server.close();
      }`;
    expect(underLibrary(library, script)).toBe('900\n');
  });

  // Whatever ulimit -n says: Node raises it as far as it may.
  it('goes on listening when descriptors above 1,023 come near', () => {
    const script = `
      import { openSync, closeSync } from 'node:fs';
      const server = await serve(Quick, { socket });
      const files = [];
      do files.push(openSync('/dev/null', 'r')); while (files.at(-1) < 1000);
      const outcome = async () => {
        try {
          await using mta = await connectMta(server.address);
          return (await mta.envfrom('<a@one.test>')).verdict;
        } catch {
          return 'refused';
        }
      };
      const full = new Set();
      for (let i = 0; i < 40; i++) full.add(await outcome());
      console.log(...full);
      for (const file of files) closeSync(file);
      console.log(await outcome());
      await server.close();`;
    expect(underLibrary(library, script)).toBe('refused\nreject\n');
  });

  it('says why it cannot listen where all descriptors are above 1,023', () => {
    const script = `
      import { openSync } from 'node:fs';
      while (openSync('/dev/null', 'r') < 1100);
      await serve(Quick, { socket }).catch(({ code, message }) => console.log(code, message));`;
    const line = underLibrary(library, script);
    expect(line).toMatch(
      /^ERR_MILTER_SOCKET cannot listen at inet:0@127\.0\.0\.1: its descriptor would be above 1,023/,
    );
  });
});
