/** `milter run`: from listening to the end, and what it refuses. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { libmilterInfo } from '../../lib/index.ts';
import { connectMta, type MessageResult } from '../../lib/testing/index.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { CLOSE_LISTENER } from '../helpers/close-listener.ts';
import { knowsDescriptors } from '../helpers/requirements.ts';
import { until } from '../helpers/wait.ts';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'milter-cli-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, code: string): string {
  const path = join(folder, name);
  writeFileSync(path, code);
  return path;
}

const ANY_PORT = ['--socket', 'inet:0@127.0.0.1'];

/** A filter that does no harm. */
const PLAIN = join(import.meta.dirname, '../../examples/add-header.ts');

async function sendTo(address: string): Promise<MessageResult> {
  const mta = await connectMta(address);
  const macros = { i: 'Q1' };
  const result = await mta.sendMessage('Subject: hi\n\nHi.\n', {
    sender: 'a@x.org',
    recipients: ['b@x.org'],
    macros,
  });
  await mta.close();
  return result;
}

/** Answers envfrom when the file appears. */
const slow = (go: string): string => `
import { Milter } from 'libmilter';
import { existsSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
export default class Slow extends Milter {
  async envfrom() {
    process.stderr.write('waiting\\n');
    while (!existsSync(${JSON.stringify(go)})) await setTimeout(5);
    return 'accept';
  }
}`;

const takesDescriptors = await knowsDescriptors();

describe('milter run', () => {
  // With select() it tries sixteen times, a second longer each time. Node's own listener cannot be closed behind its back.
  const isJs = process.env['MILTER_ENGINE'] === 'js';
  const neverGivesUp = libmilterInfo().usesSelect || isJs;
  it.skipIf(neverGivesUp)('exits with 1 when libmilter gives up listening', async () => {
    const code = `
      import { Milter } from 'libmilter';
      ${CLOSE_LISTENER}
      export default class extends Milter { envfrom() { closeListener(); } }`;
    await using running = new RunningMilter([...ANY_PORT, file('gives-up.mjs', code)]);
    const mta = await connectMta(await running.address());
    await mta.envfrom('<a@x.org>');
    expect(await running.status()).toBe(1);
    expect(running.err).toContain('error: libmilter gave up listening at inet:0@127.0.0.1');
    await mta.close();
  });

  it('logs a line for each message that the filter did not just pass', async () => {
    const code = `
import { Milter, reject } from 'libmilter';
export default class Gate extends Milter {
  eom() {
    this.log.info({ subject: 'hi' }, 'looked at');
    return this.message.sender === '<a@x.org>' ? reject(550, '5.7.1', 'Not from', 'there') : undefined;
  }
}`;
    await using running = new RunningMilter([...ANY_PORT, file('gate.mjs', code)]);
    await sendTo(await running.address());
    const lines = [
      'milter: info: looked at session=1 queueId=Q1 subject=hi\n',
      'milter: info: message rejected session=1 queueId=Q1 sender=<a@x.org> stage=eom verdict=reject ' +
        'reply="550 5.7.1 Not from / there" filter=Gate\n',
    ];
    await until('the lines', () => running.err.includes('message rejected'));
    expect(running.err).toBe(lines.join(''));
  });

  it('names the messages that the grace time cuts off', async () => {
    await using running = new RunningMilter([
      ...ANY_PORT,
      '--grace',
      '100',
      file('off.mjs', slow(join(folder, 'never'))),
    ]);
    const sent = sendTo(await running.address());
    await until('the handler', () => running.err.includes('waiting'));
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
    await sent.catch(() => {});
    expect(running.err).toContain(
      'warn: message cut off by the end of the grace time; its sender will try again session=1 queueId=Q1 sender=<a@x.org>\n',
    );
  });

  it('tells what to write in the configuration of Postfix and Sendmail', async () => {
    await using running = new RunningMilter([...ANY_PORT, PLAIN]);
    const address = await running.address();
    const port = /:(\d+)@/.exec(address)?.[1];
    await until('the advice', () => running.out.includes('Stop it'));
    expect(running.out).toContain(`    smtpd_milters = inet:127.0.0.1:${port}\n`);
    expect(running.out).toContain(`    non_smtpd_milters = inet:127.0.0.1:${port}\n`);
    expect(running.out).toContain('    milter_default_action = tempfail\n');
    expect(running.out).toContain(`INPUT_MAIL_FILTER(\`milter', \`S=inet:${port}@127.0.0.1, F=T, `);
  });

  it.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'on %s lets a running message finish and exits 0',
    async (signal) => {
      const go = join(folder, `go-${signal}`);
      await using running = new RunningMilter([...ANY_PORT, file('slow.ts', slow(go))]);
      const result = sendTo(await running.address());
      await until('the handler to wait', () => running.err.includes('waiting'));
      running.child.kill(signal);
      await until('the end to begin', () => running.err.includes('closing'));
      writeFileSync(go, '');
      expect(await result).toMatchObject({ verdict: 'accept' });
      expect(await running.status()).toBe(0);
    },
  );

  it('on a second signal exits at once', async () => {
    await using running = new RunningMilter([...ANY_PORT, file('stuck.ts', slow(join(folder, 'never')))]);
    const mta = await connectMta(await running.address());
    const refused = mta.sendMessage('\n\n', { sender: 'a@x.org', recipients: ['b@x.org'] }).then(
      ({ verdict }) => verdict,
      () => 'cut off',
    );
    await until('the handler to wait', () => running.err.includes('waiting'));
    // A second signal that comes with the first one counts as the same.
    await until('the end', () => {
      running.child.kill('SIGTERM');
      return running.hasEnded;
    });
    expect(await running.status()).toBe(143);
    // Node's own sockets take a last word along.
    expect(isJs ? ['tempfail', 'cut off'] : ['cut off']).toContain(await refused);
    await mta.close();
  });

  it('gives a message that does not finish the grace it is told, then tempfail', async () => {
    const args = [...ANY_PORT, '--grace', '10', file('stuck.ts', slow(join(folder, 'never')))];
    await using running = new RunningMilter(args);
    const result = sendTo(await running.address());
    await until('the handler to wait', () => running.err.includes('waiting'));
    running.child.kill('SIGTERM');
    expect(await result).toMatchObject({ verdict: 'tempfail' });
    expect(await running.status()).toBe(0);
  });

  it('serves a unix socket with the mode and the group that it is told', async () => {
    const path = join(folder, 'mode.sock');
    const args = ['--socket', `unix:${path}`, '--socket-mode', '0660', '--socket-group', 'root', PLAIN];
    await using running = new RunningMilter(args);
    expect(await running.address()).toBe(`unix:${path}`);
    expect(statSync(path)).toMatchObject({ gid: 0 });
    expect(lstatSync(path).mode & 0o777).toBe(0o660);
    await until('the advice', () => running.out.includes('Stop it'));
    expect(running.out).toContain(`smtpd_milters = unix:${path}\n`);
    expect(running.out).toContain(`\`S=unix:${path}, F=T`);
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
    expect(existsSync(path)).toBe(false);
  });

  it.skipIf(!takesDescriptors)('takes a listening socket from systemd as fd:3', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await until('the socket', () => server.listening);
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    await using running = new RunningMilter(['--socket', 'fd:3', PLAIN], {
      stdio: ['pipe', 'pipe', 'pipe', fd],
    });
    const address = await running.address();
    server.close();
    expect(await sendTo(address)).toMatchObject({ verdict: 'continue' });
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('serves in threads', async () => {
    await using running = new RunningMilter([PLAIN, '--threads', '2', ...ANY_PORT]);
    expect((await sendTo(await running.address())).verdict).toBe('continue');
    expect(running.out).toContain(': add-header.ts in 2 threads listens at ');
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('logs in JSON, one object a line', async () => {
    const code =
      "import { Milter } from 'libmilter'; export class A extends Milter { eom() { throw new TypeError('ouch'); } }";
    await using running = new RunningMilter([
      ...ANY_PORT,
      '--json',
      '--on-error',
      'accept',
      file('throws.mjs', code),
    ]);
    expect(await sendTo(await running.address())).toMatchObject({ verdict: 'accept' });
    running.child.kill('SIGTERM');
    await running.status();
    expect(running.out).toBe('');
    const lines = running.err
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(lines).toMatchObject([
      { level: 'info', message: 'listening', filter: 'A' },
      { level: 'error', stage: 'eom', queueId: 'Q1', error: { name: 'TypeError', message: 'ouch' } },
      { level: 'info', message: 'closing', signal: 'SIGTERM' },
    ]);
  });

  it('goes on when a promise of the filter is rejected outside of every handler', async () => {
    const code = `
import { Milter } from 'libmilter';
export class A extends Milter { envfrom() { void Promise.reject(new Error('lost')); } }`;
    await using running = new RunningMilter([...ANY_PORT, file('reject.mjs', code)]);
    const address = await running.address();
    expect(await sendTo(address)).toMatchObject({ verdict: 'continue' });
    await until('the log', () => running.err.includes('Error: lost'));
    expect(await sendTo(address)).toMatchObject({ verdict: 'continue' });
  });

  it('ends in order with status 1 when the filter throws outside of every handler', async () => {
    const code = `
import { Milter } from 'libmilter';
export class A extends Milter { eom() { setImmediate(() => { throw new Error('out of hand'); }); } }`;
    await using running = new RunningMilter([...ANY_PORT, file('throw.mjs', code)]);
    expect(await sendTo(await running.address())).toMatchObject({ verdict: 'continue' });
    expect(await running.status()).toBe(1);
    expect(running.err).toContain('Error: out of hand');
  });
});

describe('milter run refuses', () => {
  it.each([
    [
      'an unknown option',
      ['--sokcet', 'x'],
      2,
      'milter run: unknown option "--sokcet"; did you mean "--socket"?',
    ],
    [
      'an option without its value',
      ['--socket'],
      2,
      "milter run: Option '--socket <value>' argument missing",
    ],
    ['two filters', ['b.ts'], 2, `milter run: one FILE.toml or FILTER at most, got ${PLAIN} b.ts`],
    [
      'a mode that is none',
      ['--socket-mode', '888'],
      2,
      'milter run: --socket-mode needs an octal mode such as 660, got "888"',
    ],
    [
      'an unknown group',
      ['--socket-group', 'no-such'],
      2,
      'milter run: option "socketGroup": /etc/group has no group "no-such"',
    ],
    [
      'a number that is none',
      ['--backlog', '1e3'],
      2,
      'milter run: --backlog needs a whole number, got "1e3"',
    ],
    [
      'a deadline without a stage',
      ['--deadline', '5000'],
      2,
      'milter run: --deadline is written like eom=60000, got "5000"',
    ],
    ['a deadline of an unknown stage', ['--deadline', 'enfrom=5'], 2, 'did you mean "envfrom"?'],
    [
      'an unknown policy',
      ['--on-error', 'defer'],
      2,
      'must be tempfail, reject, accept or continue, got "defer"',
    ],
    [
      'a socket that is none',
      ['--socket', 'tcp:25'],
      1,
      'milter run: socket "tcp:25" begins with tcp:, which is none of',
    ],
    [
      'a host that is not of this machine',
      ['--socket', 'inet:0@192.0.2.1'],
      1,
      'milter run: cannot listen at inet:0@192.0.2.1',
    ],
    [
      'a folder that is not there',
      ['--socket', 'unix:/nonexistent/x.sock'],
      1,
      'milter run: cannot listen at unix:/nonexistent/x.sock',
    ],
  ])('%s with one line', async (_, args, status, words) => {
    const result = await milter(['run', PLAIN, ...args]);
    expect(result).toMatchObject({ status, out: '', err: expect.stringContaining(words) });
    expect(result.err).toMatch(/^.*\n$/);
  });

  it('an address in use, with one line', async () => {
    await using running = new RunningMilter([...ANY_PORT, PLAIN]);
    const address = await running.address();
    expect(await milter(['run', PLAIN, '--socket', address])).toEqual({
      status: 1,
      out: '',
      err: `milter run: ${address}: another program listens there; stop it first\n`,
    });
  });

  it('to start without libmilter, naming the remedy', () => {
    const without = { MILTER_LIBRARY: '/nonexistent/libmilter.so', MILTER_ENGINE: 'libmilter' };
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(import.meta.dirname, '../../lib/cli/main.ts'), 'run', ...ANY_PORT],
      { env: { ...process.env, ...without }, encoding: 'utf8', timeout: 20_000 },
    );
    expect(status).toBe(1);
    expect(stderr).toMatch(/^milter run: .*\/nonexistent\/libmilter\.so.*\n$/);
  });
});

describe('milter', () => {
  it('names the nearest command', async () => {
    expect(await milter(['rnu'])).toMatchObject({
      status: 2,
      err: 'milter: unknown command "rnu"; did you mean "run"? (see milter --help)\n',
    });
  });

  it.each([[['--help']], [['run', '--help']], [['try', '-h']], [['spf', '--help']]])(
    '%j explains itself',
    async (args) => {
      expect(await milter(args)).toMatchObject({
        status: 0,
        err: '',
        out: expect.stringMatching(/^Usage: milter/),
      });
    },
  );

  it('--version names this package, Node.js and libmilter', async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
      version: string;
    };
    const { out } = await milter(['--version']);
    expect(out).toContain(`milter ${version}\nNode.js ${process.versions.node}\nlibmilter 1.`);
  });
});
