/** clamd, spamd and rspamd, real ones, without network, on unused ports of loopback. */
import type { ChildProcess } from 'node:child_process';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporaryDirectory } from './directory.ts';
import { startServer } from './mta.ts';
import { unusedPort } from './wait.ts';

/** The test file that every scanner knows. Put together here, so that no scanner finds it in our sources. */
export const EICAR: string = [
  'X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-',
  'ANTIVIRUS-TEST-FILE!$H+H*',
].join('');

/** Text that our own signature is about, and its name. */
export const OWN_VIRUS = 'libmilter own virus, of no harm';
export const OWN_NAME = 'Own.Test.Body.UNOFFICIAL';

/** Mail that every judge of spam takes for spam. */
export const GTUBE: string = [
  'XJS*C4JDBQADN1.NSBN3*2IDNEN*',
  'GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X',
].join('');

/** A running clamd. */
export interface TestClamd extends AsyncDisposable {
  /** As the configuration has it. */
  readonly unix: string;
  readonly path: string;
  readonly port: number;
  /** Ends it at once. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Halts it, so that it takes connections and does not answer; `SIGCONT` has it go on. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void;
}

/** Starts clamd, with a database of its own. It takes 1 MiB at most. */
export async function startClamd(more = ''): Promise<TestClamd> {
  const directory = await temporaryDirectory();
  const at = (name: string): string => join(directory.path, name);
  const port = await unusedPort();
  for (const name of ['db', 'tmp']) mkdirSync(at(name));
  const md5 = createHash('md5').update(EICAR).digest('hex');
  writeFileSync(at('db/own.hdb'), `${md5}:${EICAR.length}:Own.Eicar\n`);
  writeFileSync(at('db/own.ndb'), `Own.Test.Body:0:*:${Buffer.from(OWN_VIRUS).toString('hex')}\n`);
  const path = at('clamd.sock');
  writeFileSync(
    at('clamd.conf'),
    `Foreground yes
LocalSocket ${path}
FixStaleSocket yes
TCPSocket ${port}
TCPAddr 127.0.0.1
DatabaseDirectory ${at('db')}
TemporaryDirectory ${at('tmp')}
${process.getuid?.() === 0 ? 'User root' : ''}
StreamMaxLength 1M
MaxThreads 4
SelfCheck 3600
${more}
`,
  );
  let child: ChildProcess | undefined;
  const kill = async (): Promise<void> => {
    child?.kill('SIGCONT');
    await end(child, 'SIGKILL');
    child = undefined;
  };
  const start = async (): Promise<void> => {
    child = await startServer('clamd', ['-c', at('clamd.conf')], () => takes({ path }));
  };
  await start();
  return {
    unix: `unix:${path}`,
    path,
    port,
    kill,
    start,
    signal: (signal) => child?.kill(signal),
    async [Symbol.asyncDispose]() {
      await kill();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** A running spamd. */
export interface TestSpamd extends AsyncDisposable {
  readonly port: number;
}

/** Starts spamd: local tests only, and it learns. */
export async function startSpamd(): Promise<TestSpamd> {
  const directory = await temporaryDirectory();
  const port = await unusedPort();
  // It works as a user of its own, who keeps there what it learned.
  const home = join(directory.path, 'home');
  mkdirSync(home);
  execFileSync('chown', ['debian-spamd', home]);
  chmodSync(directory.path, 0o755);
  const args = ['-L', '-l', '-x', '-u', 'debian-spamd', '-H', home, '-i', '127.0.0.1', '-p', String(port)];
  const files = ['--siteconfigpath=/etc/spamassassin', `--cf=bayes_path ${home}/bayes`];
  const limits = ['--max-children=2', '-r', join(directory.path, 'pid'), '-s', 'stderr'];
  const child = await startServer('spamd', [...args, ...files, ...limits], () => takes({ port }));
  return {
    port,
    async [Symbol.asyncDispose]() {
      await end(child, 'SIGTERM');
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** A running rspamd. */
export interface TestRspamd extends AsyncDisposable {
  readonly port: number;
  readonly controller: number;
  readonly password: string;
}

/** Starts rspamd: nothing that asks anybody, and what it learns in this Redis. */
export async function startRspamd(redis: number): Promise<TestRspamd> {
  const directory = await temporaryDirectory();
  const [port, controller, nobody] = [await unusedPort(), await unusedPort(), await unusedPort()];
  const at = (name: string): string => join(directory.path, name);
  for (const name of ['db', 'run', 'log', 'local.d']) mkdirSync(at(name));
  const off = 'enabled = false;';
  const files: Readonly<Record<string, string>> = {
    'options.inc': `control_socket = "${at('run/c.sock')} mode=0600"; hs_cache_dir = "${at('db')}"; disable_hyperscan = true; url_tld = "${at('tld')}"; dns { nameserver = ["127.0.0.1:${nobody}:1"]; timeout = 0.2s; retransmits = 1; }`,
    'worker-normal.inc': `bind_socket = "127.0.0.1:${port}"; count = 1;`,
    // No address is trusted without the password.
    'worker-controller.inc': `bind_socket = "127.0.0.1:${controller}"; count = 1; password = "looks-only"; enable_password = "may-teach"; secure_ip = ["192.0.2.1"];`,
    'worker-proxy.inc': off,
    'worker-fuzzy.inc': off,
    'redis.conf': `servers = "127.0.0.1:${redis}";`,
    'classifier-bayes.conf': `backend = "redis"; servers = "127.0.0.1:${redis}"; min_learns = 10; autolearn = false; new_schema = true;`,
    'logging.inc': 'type = "file"; filename = "/dev/null"; level = "error";',
  };
  const without =
    'asn dmarc fuzzy_check mx_check neural phishing rbl spf surbl url_redirector history_redis'.split(' ');
  for (const name of without) writeFileSync(at(`local.d/${name}.conf`), off);
  for (const [name, text] of Object.entries(files)) writeFileSync(at(`local.d/${name}`), `${text}\n`);
  // It compiles all names in there, which takes most of its start.
  writeFileSync(at('tld'), 'com\norg\nexample\n');
  execFileSync('chown', ['-R', '_rspamd:_rspamd', directory.path]);
  chmodSync(directory.path, 0o755);
  const places = [
    `--var=LOCAL_CONFDIR=${directory.path}`,
    `--var=DBDIR=${at('db')}`,
    `--var=RUNDIR=${at('run')}`,
    `--var=LOGDIR=${at('log')}`,
  ];
  const args = ['-f', '-u', '_rspamd', '-g', '_rspamd', '-c', '/etc/rspamd/rspamd.conf', ...places];
  const isReady = async (): Promise<boolean> => (await pings(port)) && (await pings(controller));
  const child = await startServer('rspamd', args, isReady);
  return {
    port,
    controller,
    password: 'may-teach',
    async [Symbol.asyncDispose]() {
      await end(child, 'SIGTERM');
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function pings(port: number): Promise<boolean> {
  return await fetch(`http://127.0.0.1:${port}/ping`).then(
    async (reply) => (await reply.text()).startsWith('pong'),
    () => false,
  );
}

async function takes(address: { readonly path: string } | { readonly port: number }): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', ...address });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}
