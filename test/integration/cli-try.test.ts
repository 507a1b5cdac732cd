/** `milter try` on the real libmilter. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Finished, MAIN, milter } from '../helpers/cli.ts';

let folder: string;

beforeAll(() => {
  // Outside of every package: what is imported must be the running copy.
  folder = mkdtempSync(join(tmpdir(), 'milter-cli-'));
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const MAIL = 'From: a@example.com\nX-Old: 1\nX-Gone: bye\nX-Old: 2\n\nHello.\n';

async function tryFilter(name: string, code: string, ...options: readonly string[]): Promise<Finished> {
  return await milter(['try', file(name, code), file('mail.eml', MAIL), ...options]);
}

const everything = `
import { Milter } from 'libmilter';
export default class Everything extends Milter {
  async eom(): Promise<'accept'> {
    const { message } = this;
    message.insertHeader(0, 'X-Top', 'first');
    message.addHeader('X-Bottom', 'last \\u{9b}31m');
    message.changeHeader('X-Old', 2, 'two');
    message.changeHeader('X-Gone', 1, null);
    message.changeFrom('new@example.com');
    message.addRcpt('more@example.com');
    message.deleteRcpt('less@example.com');
    message.replaceBody(Buffer.from('Bye.\\r\\n'));
    message.quarantine('looks odd');
    return 'accept';
  }
}`;

describe('milter try', () => {
  it('shows a person everything that a filter changed', async () => {
    const recipients = ['--rcpt', 'stay@example.com', '--rcpt', 'less@example.com'];
    expect(await tryFilter('everything.ts', everything, '--from', 'old@example.com', ...recipients)).toEqual({
      status: 0,
      err: '',
      out: `verdict     accepted at eom
recipient     <stay@example.com>
recipient   - <less@example.com> deleted
recipient   + <more@example.com>
sender      <old@example.com> → <new@example.com>
header      + X-Top: first
header      - X-Gone: bye
header      - X-Old: 2
header      + X-Old: two
header      + X-Bottom: last \\u{9b}31m
body        replaced, 8 → 6 bytes
quarantine  looks odd
`,
    });
  });

  it('shows a program the same in JSON', async () => {
    const { status, out } = await tryFilter('everything.ts', everything, '--json');
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual({
      verdict: 'accept',
      stage: 'eom',
      recipients: [{ address: '<recipient@example.com>', verdict: 'continue' }],
      changes: {
        sender: { was: '<sender@example.com>', value: '<new@example.com>' },
        recipients: { added: ['<more@example.com>'], deleted: [] },
        headers: [
          { change: 'added', name: 'X-Top', value: 'first' },
          { change: 'deleted', name: 'X-Gone', was: 'bye' },
          { change: 'changed', name: 'X-Old', was: '2', value: 'two' },
          { change: 'added', name: 'X-Bottom', value: 'last \u{9b}31m' },
        ],
        body: { was: 8, value: 6 },
        quarantine: 'looks odd',
      },
      failures: 0,
    });
  });

  it('says nothing changed when nothing did', async () => {
    const { out } = await tryFilter(
      'nothing.mjs',
      "import { Milter } from 'libmilter'; export class A extends Milter { eom() {} }",
    );
    expect(out).toContain('nothing changed\n');
  });

  it('tells the filter of the client, the greeting and the macros that it is given', async () => {
    const code = `
import { Milter, reject } from 'libmilter';
export class Echo extends Milter {
  eom() {
    const { client, helo } = this.session;
    return reject(550, null, client.address, helo, this.message.queueId, this.session.macro('auth_authen'));
  }
}`;
    const options = [
      '--client',
      '2001:db8::1',
      '--helo',
      'mx',
      '--macro',
      'i=Q7',
      '--macro',
      'auth_authen=me',
    ];
    const { out } = await tryFilter('echo.mjs', code, '--json', ...options);
    expect(JSON.parse(out)).toMatchObject({ reply: { lines: ['2001:db8::1', 'mx', 'Q7', 'me'] } });
  });

  it.each([
    ["'reject'", 3, 'rejected at envfrom'],
    ["'tempfail'", 4, 'told to try later at envfrom'],
    ["'discard'", 5, 'discarded at envfrom'],
    ["'accept'", 0, 'accepted at envfrom'],
  ])('ends on %s with status %i', async (verdict, status, words) => {
    const code = `import { Milter } from 'libmilter'; export class A extends Milter { envfrom() { return ${verdict}; } }`;
    expect(await tryFilter('verdict.mjs', code)).toMatchObject({
      status,
      out: expect.stringContaining(words),
    });
  });

  it('ends with status 1 when a handler failed, and shows where', async () => {
    const code =
      "import { Milter } from 'libmilter';\nexport class A extends Milter { eom() { throw new Error('ouch'); } }";
    const { status, out, err } = await tryFilter('throws.mjs', code);
    expect(status).toBe(1);
    expect(out).toContain('failures    1');
    expect(err).toContain('throws.mjs:2');
  });

  it('waits for a handler as long as --deadline says', async () => {
    const code =
      "import { Milter } from 'libmilter';\nexport class A extends Milter { async eom() { await new Promise(() => {}); } }";
    const { status, out, err } = await tryFilter('hangs.mjs', code, '--deadline', 'eom=50');
    expect({ status, out }).toEqual({ status: 1, out: expect.stringContaining('told to try later at eom') });
    expect(err).toContain('ERR_MILTER_DEADLINE');
  });

  it.each([
    [
      'a misspelt stage',
      "onEom() { return 'reject'; }",
      'A: the method onEom is no stage; did you mean "eom"?',
    ],
    ['a stage as a field', "eom = () => 'reject'", 'A: write eom as a method'],
    ['no stage', 'check() {}', 'A: has no stage'],
    [
      'a misspelt wish',
      "static onErorr = 'reject'; eom() {}",
      'A: static onErorr is no wish; did you mean "onError"?',
    ],
    ['a wrong wish', "static onError = 'rejct'; eom() {}", 'got "rejct"; did you mean "reject"?'],
  ])('refuses a filter with %s', async (_, members, message) => {
    const code = `import { Milter } from 'libmilter';\nexport default class A extends Milter { ${members} }`;
    const { status, out, err } = await tryFilter('misspelt.mjs', code);
    expect({ status, out }).toEqual({ status: 1, out: '' });
    expect(err).toContain(message);
    expect(err.split('\n')).toHaveLength(2);
  });

  it('plays a local submission, which has no client of its own', async () => {
    const code = `
import { Milter, reject } from 'libmilter';
export class Echo extends Milter {
  envrcpt(recipient) {
    const { client, helo } = this.session;
    return reject(550, null, client.hostname, client.address, helo, this.message.sender, recipient);
  }
}`;
    const { out } = await tryFilter(
      'local.mjs',
      code,
      '--local',
      '--from',
      '',
      '--rcpt',
      'bob@two.test',
      '--json',
    );
    expect(JSON.parse(out).reply.lines).toEqual([
      'localhost',
      '127.0.0.1',
      'localhost',
      '<>',
      '<bob@two.test>',
    ]);
    const { status, err } = await tryFilter('local.mjs', code, '--local', '--helo', 'a');
    expect({ status, err }).toEqual({
      status: 2,
      err: expect.stringContaining('--local goes with neither --client nor --helo'),
    });
  });

  it.each([
    ['gate.ts', 'gate.ts MESSAGE'],
    ['gate.mjs', 'gate.mjs MESSAGE'],
    ['milter.toml', '--config milter.toml MESSAGE'],
  ])('takes %s alone for no message', async (name, meant) => {
    const { status, out, err } = await milter(['try', name]);
    expect({ status, out }).toEqual({ status: 2, out: '' });
    expect(err).toMatch(`milter try: ${name} is no message; write milter try ${meant}`);
  });

  it('refuses a deadline of no stage', async () => {
    const code = "import { Milter } from 'libmilter'; export class A extends Milter { eom() {} }";
    const { status, err } = await tryFilter('one.mjs', code, '--deadline', 'bodi=50');
    expect({ status, err }).toEqual({ status: 2, err: expect.stringContaining('did you mean "body"?') });
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('on %s leaves nothing behind', async (signal) => {
    const temporary = mkdtempSync(join(folder, 'tmp-'));
    const code = `import { Milter } from 'libmilter';
export class A extends Milter { async eom() { console.log('here'); await new Promise(() => {}); } }`;
    const args = ['try', file('waits.mjs', code), file('mail.eml', MAIL)];
    const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, TMPDIR: temporary } });
    await once(child.stdout, 'data');
    expect(readdirSync(temporary)).toHaveLength(1);
    child.kill(signal);
    await once(child, 'close');
    expect(child.exitCode).toBe(128 + constants.signals[signal]);
    expect(readdirSync(temporary)).toEqual([]);
  });
});

describe('a result that cannot be written', () => {
  const commands = () => {
    const filter = "import { Milter } from 'libmilter'; export class A extends Milter { eom() {} }";
    return [['try', file('fine.mjs', filter), file('mail.eml', MAIL)], ['--version'], ['spf', '--help']];
  };

  it.skipIf(!existsSync('/dev/full'))('because the disk is full ends with status 1 and says so', () => {
    const full = openSync('/dev/full', 'w');
    for (const args of commands()) {
      const { status, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
        stdio: ['ignore', full, 'pipe'],
        encoding: 'utf8',
      });
      const err = expect.stringMatching(/^milter: the result cannot be written: ENOSPC.*\n$/);
      expect({ args, status, stderr }).toEqual({ args, status: 1, stderr: err });
    }
    closeSync(full);
  });

  it('because its reader is gone ends with status 1 and without a word', async () => {
    for (const args of commands()) {
      const child = spawn(process.execPath, [MAIN, ...args]);
      child.stdout.destroy();
      const [err] = await Promise.all([text(child.stderr), once(child, 'close')]);
      expect({ args, status: child.exitCode, err }).toEqual({ args, status: 1, err: '' });
    }
  });
});
