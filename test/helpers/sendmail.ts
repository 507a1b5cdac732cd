/** A real Sendmail in a directory of its own, on an unused port, as `.ci/mta.mjs` unpacked it. Needs root. */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { type Mta, readMails, startServer, stopServer, untilLogged } from './mta.ts';
import { SENDMAIL_ROOT } from './requirements.ts';
import { unusedPort } from './wait.ts';

const run = promisify(execFile);

/** How to set it up. */
export interface SendmailOptions {
  /** The filters, in libmilter's words: `unix:/path`, `inet:port@host` or `inet6:port@host`. */
  readonly milters: readonly string[];
  /** Lines of the m4 configuration before all others: definitions. */
  readonly definitions?: readonly string[];
  /** More lines for the m4 configuration. */
  readonly configuration?: readonly string[];
}

/** A running Sendmail. */
export interface Sendmail extends Mta {
  /** What its test mode (`-bt`) prints for these lines. */
  test(...lines: readonly string[]): Promise<string>;
}

/** The user and group `mail`, for whom mails are delivered; Debian's number for both. */
const MAIL = 8;

/** Where the host's name has no dot Sendmail waits a minute at start, so `unshare` gives it a name of its own. */
const NAMED = ['--uts', 'sh', '-c', 'hostname mx.test.invalid && exec "$@"', 'sh'];

/** Where Debian's packages have their libraries below `directory`. */
function libraries(directory: string): string {
  return join(SENDMAIL_ROOT, directory, `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`);
}

/** Where its programs look for their libraries. */
export function sendmailLibraries(): string {
  return `${libraries('usr/lib')}:${libraries('lib')}`;
}

/** Starts Sendmail. It is ready when this resolves. */
export async function startSendmail({
  milters,
  definitions = [],
  configuration = [],
}: SendmailOptions): Promise<Sendmail> {
  const directory = await mkdtemp(join(tmpdir(), 'sendmail-'));
  const file = (name: string): string => join(directory, name);
  const port = await unusedPort();

  await chmod(directory, 0o755);
  for (const name of ['queue', 'submitted']) await mkdir(file(name), { mode: 0o700 });
  await mkdir(file('mails'));
  await mkdir(file('incoming'));
  await Promise.all(['mails', 'incoming', 'submitted'].map((name) => chown(file(name), MAIL, MAIL)));
  await writeFile(file('service.switch'), 'hosts files\naliases files\n');
  // Moved when whole, so that nobody sees half a mail.
  const deliver = `#!/bin/sh
{ printf 'Return-Path: <%s>\\nDelivered-To: %s@test.invalid\\n' "$1" "$2"; cat; } > ${directory}/incoming/$$ &&
  mv ${directory}/incoming/$$ ${directory}/mails/$$
`;
  await writeFile(file('deliver'), deliver, { mode: 0o755 });
  const filters = milters.map(
    (spec, index) => `INPUT_MAIL_FILTER(\`filter${index}', \`S=${spec}, F=T, T=S:10s;R:10s;E:30s')dnl\n`,
  );
  await writeFile(file('more.mc'), [...filters, ...configuration].join('\n'));
  await writeFile(file('first.mc'), definitions.map((line) => `${line}dnl\n`).join(''));
  const [first, more] = [file('first.mc'), file('more.mc')];
  await writeFile(file('sendmail.cf'), await compile(directory, port, first, 'sendmail.mc', more));
  await writeFile(file('submit.cf'), await compile(directory, port, 'submit.mc'));

  const program = join(SENDMAIL_ROOT, 'usr/libexec/sendmail/sendmail');
  const env = { ...process.env, LD_LIBRARY_PATH: sendmailLibraries() };
  const daemon = await startServer(
    'unshare',
    [...NAMED, program, `-C${file('sendmail.cf')}`, '-bD', '-X', file('traffic')],
    () =>
      readFile(file('pid'), 'utf8').then(
        (pid) => pid.includes('\n'),
        () => false,
      ),
    env,
  );
  return {
    port,
    delivered: (count) => readMails(file('mails'), count),
    settled: () => Promise.resolve(), // It delivers before it says 250.
    async held() {
      const names = (await readdir(file('queue'))).filter((name) => name.startsWith('hf'));
      const mails = await Promise.all(names.map((name) => readFile(file(`queue/${name}`), 'latin1')));
      return mails.map((mail) => ({
        sender: /^S<(.*)>$/m.exec(mail)?.[1] ?? '',
        reason: /^q(.*)$/m.exec(mail)?.[1],
      }));
    },
    async submit(sender, recipients, message) {
      const args = [
        ...NAMED,
        program,
        `-C${file('submit.cf')}`,
        '-f',
        sender === '' ? '<>' : sender,
        ...recipients,
      ];
      const submission = run('unshare', args, { env });
      submission.child.stdin?.end(message);
      await submission;
    },
    async test(...lines) {
      const testing = run('unshare', [...NAMED, program, `-C${file('sendmail.cf')}`, '-bt'], { env });
      testing.child.stdin?.end(`${lines.join('\n')}\n`);
      return (await testing).stdout;
    },
    logged: (what) => untilLogged(file('traffic'), what),
    async [Symbol.asyncDispose]() {
      await stopServer(daemon, file('pid'));
      await rm(directory, { recursive: true });
    },
  };
}

/** The text of a .cf file, made of these sources; relative ones are beside this file. */
async function compile(directory: string, port: number, ...given: string[]): Promise<string> {
  const cf = join(SENDMAIL_ROOT, 'usr/share/sendmail/cf/');
  const defines = [`-D_CF_DIR_=${cf}`, `-D_DIRECTORY_=${directory}`, `-D_PORT_=${port}`];
  const sources = [`${cf}m4/cf.m4`, ...given.map((source) => resolve(import.meta.dirname, source))];
  const { stdout } = await run('m4', [...defines, ...sources], { maxBuffer: 10_000_000 });
  // m4 has no way to have no alias file, and one that is missing keeps mails in the queue.
  return stdout.replace(/^O AliasFile.*\n/m, '');
}
