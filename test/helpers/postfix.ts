/** A real Postfix in a directory of its own, on an unused port. Needs root. */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Mta, readMails, startServer, stopServer, untilLogged } from './mta.ts';
import { until, unusedPort } from './wait.ts';

const run = promisify(execFile);

/** How to set it up. */
export interface PostfixOptions {
  /** The filters, in libmilter's words: `unix:/path`, `inet:port@host` or `inet6:port@host`. */
  readonly milters: readonly string[];
  /** More lines for main.cf; what is set here wins. */
  readonly main?: readonly string[];
  /** More lines for master.cf. */
  readonly services?: readonly string[];
  /** The name server that it asks, on port 53, in place of the machine's; needs `a resolver of its own`. */
  readonly nameServer?: string;
}

/** A running Postfix. */
export interface Postfix extends Mta {
  /** Its configuration directory, for `sendmail -C` and the like. */
  readonly config: string;
  /** The directory with a file for each mail that it delivered; there once there is one. */
  readonly mailbox: string;
  /** Its queue, held mails included. */
  queue(): Promise<readonly QueueEntry[]>;
}

/** A mail in the queue, as `postqueue -j` tells of it. */
export interface QueueEntry {
  /** `hold`, `deferred`, `active` … */
  readonly queue_name: string;
  readonly queue_id: string;
  readonly sender: string;
  readonly recipients: readonly { readonly address: string; readonly delay_reason?: string }[];
}

/** Starts Postfix. It is ready when this resolves. */
export async function startPostfix({
  milters,
  main = [],
  services = [],
  nameServer,
}: PostfixOptions): Promise<Postfix> {
  const directory = await mkdtemp(join(tmpdir(), 'postfix-'));
  const config = join(directory, 'etc');
  const logFile = join(directory, 'maillog');
  const maildir = join(directory, 'maildir');
  const port = await unusedPort();
  const [uid, gid] = await Promise.all([postfixId('-u'), postfixId('-g')]);

  await chmod(directory, 0o755);
  for (const name of ['etc', 'spool', 'data', 'maildir']) await mkdir(join(directory, name));
  for (const name of ['data', 'maildir']) await chown(join(directory, name), uid, gid);
  const settings = [...mainSettings(directory, uid, gid), milterSettings(milters), ...main];
  await writeFile(join(config, 'main.cf'), `${settings.join('\n')}\n`);
  // A file just written Postfix reads again and again for a second, lest it be half of one.
  await utimes(join(config, 'main.cf'), 0, 0);
  await writeFile(join(config, 'master.cf'), `${masterServices(port)}${services.join('\n')}\n`);

  const started = async (): Promise<boolean> =>
    (await readFile(logFile, 'utf8').catch(() => '')).includes('daemon started');
  const [program, ...args] = [
    ...(nameServer === undefined ? [] : await withResolver(nameServer, directory)),
    ...['postfix', '-c', config, 'start-fg'],
  ] as const;
  const master = await startServer(program ?? '', args, started);
  const queue = async (): Promise<readonly QueueEntry[]> => {
    const { stdout } = await run('postqueue', ['-c', config, '-j']);
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as QueueEntry]));
  };
  return {
    port,
    config,
    mailbox: join(maildir, 'all/new'),
    delivered: (count) => readMails(join(maildir, 'all/new'), count),
    async settled() {
      await until('Postfix to have delivered everything', async () =>
        (await queue()).every(({ queue_name }) => queue_name === 'hold'),
      );
    },
    async held() {
      const held = (await queue()).filter(({ queue_name }) => queue_name === 'hold');
      return held.map(({ sender }) => ({ sender, reason: undefined }));
    },
    logged: (what) => untilLogged(logFile, what),
    queue,
    async submit(sender, recipients, message) {
      const submission = run('sendmail', ['-C', config, '-f', sender, ...recipients]);
      submission.child.stdin?.end(message);
      await submission;
    },
    async [Symbol.asyncDispose]() {
      await stopServer(master, join(directory, 'spool/pid/master.pid'));
      await rm(directory, { recursive: true });
    },
  };
}

/** A command that runs the one behind it where /etc/resolv.conf names that server. */
async function withResolver(nameServer: string, directory: string): Promise<readonly string[]> {
  const file = join(directory, 'resolv.conf');
  await writeFile(file, `nameserver ${nameServer}\noptions timeout:5 attempts:2\n`);
  return ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc/resolv.conf && exec "$@"', file];
}

async function postfixId(which: '-u' | '-g'): Promise<number> {
  return Number((await run('id', [which, 'postfix'])).stdout);
}

/** Postfix has a way of its own to write addresses. */
function milterSettings(milters: readonly string[]): string {
  const addresses = milters.map((spec) =>
    spec.replace(/^inet6?:(\d+)@\[?([^\]]+)\]?$/, (_, port, host: string) =>
      host.includes(':') ? `inet:[${host}]:${port}` : `inet:${host}:${port}`,
    ),
  );
  return `smtpd_milters = ${addresses.join(' ')}\nnon_smtpd_milters = $smtpd_milters`;
}

function mainSettings(directory: string, uid: number, gid: number): string[] {
  return [
    'compatibility_level = 3.6',
    `queue_directory = ${directory}/spool`,
    `data_directory = ${directory}/data`,
    'command_directory = /usr/sbin',
    'daemon_directory = /usr/lib/postfix/sbin',
    'mail_owner = postfix',
    'setgid_group = postdrop',
    `maillog_file = ${directory}/maillog`,
    `maillog_file_prefixes = ${directory}`,
    'myhostname = mx.test.invalid',
    'mydestination =',
    'inet_interfaces = 127.0.0.1',
    'inet_protocols = ipv4',
    'mynetworks = 127.0.0.0/8',
    'smtpd_authorized_xclient_hosts = 127.0.0.0/8',
    'smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination',
    'virtual_mailbox_domains = test.invalid',
    `virtual_mailbox_base = ${directory}/maildir`,
    'virtual_mailbox_maps = static:all/',
    `virtual_uid_maps = static:${uid}`,
    `virtual_gid_maps = static:${gid}`,
    'virtual_minimum_uid = 1',
    'local_recipient_maps =',
    'alias_maps =',
    'alias_database =',
    'default_transport = discard',
    'disable_dns_lookups = yes',
    'smtpd_peername_lookup = no',
    'milter_default_action = tempfail',
    'milter_command_timeout = 10s',
  ];
}

function masterServices(port: number): string {
  return `127.0.0.1:${port} inet n - n - 50 smtpd
tlsmgr    unix       - - n 1000? 1 tlsmgr
pickup    unix       n - n 60  1 pickup
cleanup   unix       n - n -   0 cleanup
qmgr      unix       n - n 300 1 qmgr
rewrite   unix       - - n -   - trivial-rewrite
bounce    unix       - - n -   0 bounce
defer     unix       - - n -   0 bounce
trace     unix       - - n -   0 bounce
error     unix       - - n -   - error
retry     unix       - - n -   - error
discard   unix       - - n -   - discard
smtp      unix       - - n -   - smtp
virtual   unix       - n n -   - virtual
showq     unix       n - n -   - showq
anvil     unix       - - n -   1 anvil
postlog   unix-dgram n - n -   1 postlogd
proxymap  unix       - - n -   - proxymap
`;
}
