/** Those who are compared: what Postfix is told of each, how it is started, and which processes are it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { until } from '../../helpers/wait.ts';
import { localModules, moduleText } from '../filter-modules.ts';
import { processes } from './usage.ts';

/** The address of the name server: libunbound, in opendkim, asks none of 127.0.0.0/8. */
export const NAME_SERVER = '10.53.0.1';
/** The name that stands in Authentication-Results. */
export const HOSTNAME = 'mx.example.com';

/** One that is compared. */
export interface Rival {
  readonly id: string;
  readonly name: string;
  /** Options of its smtpd, `name=value`. */
  readonly smtpd: readonly string[];
  /** More lines for master.cf. */
  readonly services?: string;
  /** Starts it in a folder of its own. */
  start(): Promise<readonly ChildProcess[]>;
  /** What delivered mail must say: that it was checked. */
  readonly proof: readonly RegExp[];
}

/** Ours is started with what its unit of systemd gives it. */
const UNIT = readFileSync(join(import.meta.dirname, '../../../operation/milter.service'), 'utf8');
const ENVIRONMENT = [...UNIT.matchAll(/^Environment=(\S+)$/gm)].map(([, setting = '']) => setting);

const PROOF = [/\bspf=pass/, /\bdkim=pass/, /\bdmarc=pass/] as const;
const POLICYD = 'policyd-spf';

/** All of them, whose files are in `folder`. `profile` is where our filter writes profiles. */
export function rivals(folder: string, profile: string | undefined): Rival[] {
  const socket = (name: string): string => join(folder, `${name}.socket`);
  const milters = (...names: string[]): string =>
    `smtpd_milters=${names.map((name) => `unix:${socket(name)}`).join(',')}`;
  const policyd = join(folder, 'policyd-spf.conf');

  const chain: Rival = {
    id: 'chain',
    name: 'opendkim, opendmarc, policyd-spf',
    smtpd: [
      milters('opendkim', 'opendmarc'),
      `smtpd_recipient_restrictions=reject_unauth_destination,check_policy_service,unix:private/${POLICYD}`,
      'smtpd_policy_service_max_idle=1h',
      'smtpd_policy_service_max_ttl=1h',
    ],
    // Its processes live as long as the run: of those that ended, only a living parent knows the CPU time.
    services: `${POLICYD} unix - n n - 0 spawn -o max_use=1000000 -o max_idle=1h user=nobody argv=/usr/bin/policyd-spf ${policyd}\n`,
    proof: PROOF,
    async start() {
      await writeFile(
        policyd,
        `debugLevel = 1\nTestOnly = 1\nHELO_reject = Fail\nMail_From_reject = Fail\nPermError_reject = False\n` +
          `TempError_Defer = False\nskip_addresses = 127.0.0.0/8,::ffff:127.0.0.0/104,::1\n` +
          `Header_Type = AR\nAuthserv_Id = ${HOSTNAME}\n`,
      );
      await writeFile(
        join(folder, 'opendkim.conf'),
        `Socket local:${socket('opendkim')}\nUMask 000\nMode v\nSyslog no\nNameservers ${NAME_SERVER}\n` +
          `AuthservID ${HOSTNAME}\nAlwaysAddARHeader yes\n`,
      );
      await writeFile(
        join(folder, 'opendmarc.conf'),
        `Socket local:${socket('opendmarc')}\nUMask 000\nSyslog false\nAuthservID ${HOSTNAME}\n` +
          `TrustedAuthservIDs ${HOSTNAME}\nRejectFailures false\n` +
          `PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat\n`,
      );
      return [
        await startServer(socket('opendkim'), 'opendkim', '-f', '-x', join(folder, 'opendkim.conf')),
        await startServer(socket('opendmarc'), 'opendmarc', '-f', '-c', join(folder, 'opendmarc.conf')),
      ];
    },
  };

  const ours = (id: string, name: string, modules: readonly string[]): Rival => ({
    id,
    name,
    smtpd: [milters(id)],
    proof: PROOF,
    async start() {
      const data = join(folder, id);
      await mkdir(data);
      await writeFile(join(data, 'access'), 'From:spam.example REJECT\nConnect:192.0.2.1 REJECT\n');
      const config = join(data, 'milter.toml');
      await writeFile(config, `socket_mode = "0666"\n${moduleText(modules.join(','), data)}`);
      const profiling = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${join(profile, id)}`];
      const main = join(import.meta.dirname, '../../../dist/cli/main.js');
      const args = [...profiling, main, 'run', config, '--socket', `unix:${socket(id)}`];
      return [await startServer(socket(id), 'env', ...ENVIRONMENT, process.execPath, ...args)];
    },
  });

  return [
    { id: 'postfix', name: 'Postfix alone', smtpd: [], proof: [], start: async () => [] },
    chain,
    ours('same', 'our filter: spf, auth', ['spf', 'auth']),
    ours('all', 'our filter: all local modules besides', [...localModules, 'auth']),
  ];

  /** Starts a program, whose log goes to a file, and waits until it takes connections. */
  async function startServer(path: string, program: string, ...args: string[]): Promise<ChildProcess> {
    const log = await open(`${path}.log`, 'a');
    const child = spawn(program, args, { stdio: ['ignore', log.fd, log.fd] });
    let failed: Error | undefined;
    child.on('error', (error) => {
      failed = error;
    });
    await until(`${program} to listen`, async () => {
      if (failed !== undefined) throw failed;
      if (child.exitCode !== null)
        throw new Error(`${program} ended with ${child.exitCode}; see ${path}.log`);
      return await listens(path);
    });
    await log.close();
    return child;
  }
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const dial = connect(path);
    dial.on('connect', () => resolve(true)).on('connect', () => dial.destroy());
    dial.on('error', () => resolve(false));
  });
}

/** The processes of a rival, and the seconds of CPU that they and their ended children have used. */
export function usageOf(rival: Rival, children: readonly ChildProcess[]): { pids: number[]; cpu: number } {
  const all = processes();
  const own = new Set(children.map(({ pid }) => pid));
  const started = all.filter(({ pid, parent }) => own.has(pid) || own.has(parent));
  // Postfix starts a spawn(8) for each policyd-spf, so that both belong to the chain; its own CPU time is little.
  const spawners = rival.id === 'chain' ? all.filter(({ command }) => command.startsWith('spawn ')) : [];
  const spawned = all.filter(({ parent }) => spawners.some(({ pid }) => pid === parent));
  const counted = [...started, ...spawners, ...spawned];
  return {
    pids: counted.map(({ pid }) => pid),
    cpu: counted.reduce((sum, one) => sum + one.own + one.ended, 0),
  };
}
