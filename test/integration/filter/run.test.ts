/** `milter run FILE.toml`: the configuration in force, replaced, and left. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectMta } from '../../../lib/testing/index.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'milter-run-'));
  chmodSync(folder, 0o755);
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function config(name: string, text: string, socket = '"inet:0@127.0.0.1"'): string {
  const path = join(folder, name);
  writeFileSync(path, `socket = ${socket}\n${text}`);
  return path;
}

const MEMORY = '[store]\nurl = "memory:"\n';
const HELO = '[[module]]\nuse = "helo"\n';

async function send(mta: Awaited<ReturnType<typeof connectMta>>) {
  return await mta.sendMessage('Subject: hi\n\nHi.\n', {
    client: { address: '192.0.2.7', hostname: 'mail.example.org' },
    helo: '192.0.2.7',
    sender: 'a@example.org',
    recipients: ['b@example.com'],
    macros: { i: 'Q1' },
  });
}

describe('milter run FILE.toml', () => {
  it('serves all sockets, and logs one line for each refused recipient', async () => {
    const path = join(folder, 'run.sock');
    const file = config(
      'two.toml',
      `socket_mode = "0600"\n${MEMORY}${HELO}`,
      `["unix:${path}", "inet:0@127.0.0.1"]`,
    );
    await using running = new RunningMilter([file]);
    const inet = await until('both sockets', () => / and at (\S+)/.exec(running.out)?.[1]);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    for (const address of [`unix:${path}`, inet]) {
      const mta = await connectMta(address);
      const { recipients } = await send(mta);
      expect(recipients[0]?.reply?.lines[0]).toMatch(/ \[ref [A-Z2-9]{6}\]$/);
      await mta.quit();
    }
    await until('the log', () => running.err.split('"message":"recipient: reject"').length === 3);
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('on SIGHUP takes the new configuration for new connections, and refuses one with faults', async () => {
    const file = config('hup.toml', `${MEMORY}${HELO}`);
    await using running = new RunningMilter([file]);
    const address = await running.address();
    const old = await connectMta(address);
    expect((await send(old)).recipients[0]?.verdict).toBe('reject');
    config('hup.toml', `${MEMORY}${HELO}mode = "observe"\n`);
    running.child.kill('SIGHUP');
    await until('the reload', () => running.err.includes('is in force'));
    const next = await connectMta(address);
    expect((await send(next)).recipients[0]?.verdict).toBe('continue');
    expect((await send(old)).recipients[0]?.verdict).toBe('reject');
    config('hup.toml', `${MEMORY}${HELO}mod = "observe"\n`);
    running.child.kill('SIGHUP');
    await until('the refusal', () => running.err.includes('was not taken'));
    expect(running.err).toContain('did you mean \\"mode\\"?');
    expect((await send(next)).recipients[0]?.verdict).toBe('continue');
    await Promise.all([old.quit(), next.quit()]);
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it.runIf(process.getuid?.() === 0).each([1, 2])(
    'becomes its user when the socket is open, %d threads',
    async (threads) => {
      const path = join(folder, `user-${threads}.sock`);
      const data = join(folder, `user-data-${threads}`);
      const text = `user = "nobody"\nthreads = ${threads}\ndata = "${data}"\n${HELO}`;
      await using running = new RunningMilter([config(`user-${threads}.toml`, text, `"unix:${path}"`)]);
      await running.address();
      const tasks = `/proc/${running.child.pid}/task`;
      const status = readdirSync(tasks)
        .map((task) => readFileSync(join(tasks, task, 'status'), 'utf8'))
        .join('');
      const ids = (name: string): string[] =>
        [...status.matchAll(new RegExp(`^${name}:\\s*(.*)`, 'gm'))].flatMap(([, found = '']) =>
          found.trim().split(/\s+/),
        );
      const { uid, gid } = statSync(data);
      expect(uid).not.toBe(0);
      expect(new Set(ids('Uid'))).toEqual(new Set([String(uid)]));
      expect(new Set(ids('Gid'))).toEqual(new Set([String(gid)]));
      expect(new Set(ids('Groups'))).toEqual(new Set([String(gid)]));
      const mta = await connectMta(`unix:${path}`);
      expect((await send(mta)).recipients[0]?.verdict).toBe('reject');
      await mta.quit();
      // Whatever is stored is its own: no thread opened it as root.
      const stored = await until('something to be stored', () => {
        const names = readdirSync(data, { recursive: true, encoding: 'utf8' });
        return names.length > 0 && names;
      });
      // SQLite's journal comes and goes.
      const owners = stored.map((name) => statSync(join(data, name), { throwIfNoEntry: false })?.uid ?? uid);
      expect(new Set(owners)).toEqual(new Set([uid]));
    },
  );

  it('serves metrics and health, and goes on counting after a reload', async () => {
    const port = await unusedPort();
    const text = `[http]\nlisten = "127.0.0.1:${port}"\n${MEMORY}${HELO}`;
    await using running = new RunningMilter([config('http.toml', text)]);
    const mta = await connectMta(await running.address());
    const metrics = async (): Promise<string> =>
      await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    await send(mta);
    running.child.kill('SIGHUP');
    await until('the reload', () => running.err.includes('is in force'));
    await mta.quit();
    const next = await connectMta(await running.address());
    await send(next);
    await next.quit();
    expect(await metrics()).toContain('milter_verdicts_total{verdict="reject"} 2\n');
    expect((await fetch(`http://127.0.0.1:${port}/readyz`)).status).toBe(200);
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toContain('<h1>Sign in</h1>');
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('tells all faults, and exits with 1', async () => {
    const file = config('bad.toml', 'sockt = 1\n[[module]]\nuse = "helu"\n');
    const { status, err } = await milter(['run', file]);
    expect(status).toBe(1);
    expect(err).toBe(
      `milter run: the configuration has 2 faults:\n` +
        `${file}:2:1: sockt: the configuration has no such key; did you mean "socket"?\n` +
        `${file}:4:1: use: there is no module "helu", and no package of that name; did you mean "helo"?\n`,
    );
  });

  it.each([
    ['user = "no-such-user"\n', 'there is no user "no-such-user"'],
    ['socket_group = "no-such-group"\n', 'has no group "no-such-group"'],
  ])('refuses %j in one line', async (text, message) => {
    const { status, err } = await milter(['run', config('refused.toml', `${text}data = "none"\n`)]);
    expect(status).toBeGreaterThan(0);
    expect(err).toMatch(/^milter run: [^\n]*\n$/);
    expect(err).toContain(message);
  });

  it.each([
    ['/proc/x/y', "ENOENT: no such file or directory, mkdir '/proc/x'"],
    ['milter.toml/x', 'ENOTDIR: not a directory, mkdir '],
  ])('refuses data = "%s", where nothing can be kept, as check does', async (data, why) => {
    const file = config('milter.toml', `data = "${data}"\n${HELO}`);
    const { status, err } = await milter(['run', file]);
    expect(status).toBe(1);
    expect(err).toMatch(/^milter run: data: the filter can keep nothing in [^\n]*\n$/);
    expect(err).toContain(why);
    const checked = await milter(['check', file]);
    expect(checked.status).toBe(1);
    expect(checked.out).toMatch(/^fault: \S+:2: data: /m);
  });

  it.runIf(process.getuid?.() === 0)('refuses data that the user may not write, in one line', async () => {
    const data = join(folder, 'of-root');
    mkdirSync(data, { mode: 0o755 });
    const text = `user = "nobody"\ndata = "${data}"\n${HELO}`;
    const { status, err } = await milter(['run', config('of-root.toml', text)]);
    expect(status).toBe(1);
    expect(err).toMatch(/^milter run: data: user "nobody" can keep nothing in [^\n]*: EACCES[^\n]*\n$/);
  });

  it('refuses options that a configuration has keys for', async () => {
    const { status, err } = await milter(['run', '--on-error', 'accept', config('o.toml', MEMORY)]);
    expect({ status, err }).toEqual({
      status: 2,
      err: expect.stringContaining('--on-error goes with a FILTER'),
    });
  });
});

describe('milter run without a file', () => {
  it('serves the starter configuration, which touches nothing', async () => {
    const env = { ...process.env, MILTER_CONFIG: '', XDG_STATE_HOME: folder };
    await using running = new RunningMilter(['--socket', 'inet:0@127.0.0.1'], { env });
    const mta = await connectMta(await running.address());
    const { verdict, recipients, message } = await send(mta);
    expect([verdict, recipients[0]?.verdict]).toEqual(['continue', 'continue']);
    expect(message.headers.map(({ name }) => name)).toEqual(['Subject']);
    await mta.quit();
    await until('the log', () => running.err.includes('helo-address(observed)'));
    await until('the history', () => existsSync(join(folder, 'milter/milter.db')));
    expect(running.out).toContain('smtpd_milters = inet:127.0.0.1:');
  });

  it('serves the file of $MILTER_CONFIG', async () => {
    const env = { ...process.env, MILTER_CONFIG: config('env.toml', `${MEMORY}${HELO}`) };
    await using running = new RunningMilter([], { env });
    const mta = await connectMta(await running.address());
    expect((await send(mta)).recipients[0]?.verdict).toBe('reject');
    await mta.quit();
  });
});

it.each(['run', 'check', 'try'])(
  'milter %s tells in one line why a module cannot be set up',
  async (command) => {
    const module = join(folder, 'broken.ts');
    writeFileSync(
      module,
      `import { defineModule, z } from 'libmilter/filter';
     export default defineModule({ name: 'broken', options: z.strictObject({}), findings: {},
       setup: () => { throw new Error('no luck'); } });`,
    );
    const file = config('broken.toml', `${MEMORY}[[module]]\nuse = "./broken.ts"\n`);
    const { status, out, err } = await milter(
      command === 'try' ? ['try', '--config', file, '-'] : [command, file],
    );
    expect(status).toBe(1);
    expect(out + err).toMatch(/cannot be opened: .*no luck\n/);
    expect(out + err).not.toContain('    at ');
  },
);
