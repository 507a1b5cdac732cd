/** The comparison itself, inside namespaces of its own: see ../chain.ts. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { createResolver } from '../../../lib/dns/index.ts';
import { type Postfix, startPostfix } from '../../helpers/postfix.ts';
import { until, unusedPort } from '../../helpers/wait.ts';
import { median } from '../report.ts';
import { Session, sendFor } from './load.ts';
import { type Correspondence, makeCorrespondence, type Sender } from './mails.ts';
import { HOSTNAME, NAME_SERVER, type Rival, rivals, usageOf } from './rivals.ts';
import { machineSeconds, memoryOf } from './usage.ts';

/** What is sent there goes nowhere; the mail for the second is delivered, to be looked at. */
const RECIPIENT = 'bob@example.com';
const READER = 'reader@example.com';

/** What our filter with the same checks is to reach beside the chain. */
const GOALS = { rate: 2, cpu: 0.25, memory: 150 } as const;

interface Options {
  readonly rounds: number;
  readonly seconds: number;
  readonly sessions: number;
  readonly only: readonly string[] | undefined;
  readonly profile: string | undefined;
}

/** One that runs. */
interface Running {
  readonly rival: Rival;
  readonly children: readonly ChildProcess[];
  readonly port: number;
}

/** One round's figures. */
interface Figures {
  readonly rate: number;
  /** Milliseconds of CPU a message: the filter's, and all of the machine's. */
  readonly filterCpu: number;
  readonly machineCpu: number;
  readonly p50: number;
  readonly p99: number;
  readonly processes: number;
  readonly rss: number;
  readonly pss: number;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '6' },
      sessions: { type: 'string', default: '16' },
      only: { type: 'string' },
      profile: { type: 'string' },
    },
  });
  const positive = (name: 'rounds' | 'seconds' | 'sessions'): number => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new TypeError(`--${name}: expected a number above 0, got "${values[name]}"`);
    return value;
  };
  return {
    rounds: positive('rounds'),
    seconds: positive('seconds'),
    sessions: positive('sessions'),
    only: values.only?.split(','),
    profile: values.profile === undefined ? undefined : resolve(values.profile),
  };
}

/** A network of its own with an address for the name server, and a folder in memory for all files. */
function furnish(): string {
  // Only these processes see it there.
  const folder = '/mnt';
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=1777', 'tmpfs', folder]);
  process.env['TMPDIR'] = folder;
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  execFileSync('ip', ['address', 'add', `${NAME_SERVER}/32`, 'dev', 'lo']);
  const resolvConf = join(folder, 'resolv.conf');
  writeFileSync(resolvConf, `nameserver ${NAME_SERVER}\n`);
  execFileSync('mount', ['--bind', resolvConf, '/etc/resolv.conf']);
  const own = join(folder, 'chain');
  mkdirSync(own);
  return own;
}

/** The name server that all ask. */
async function startDns(folder: string, records: readonly string[]): Promise<ChildProcess> {
  const config = join(folder, 'unbound.conf');
  const data = records.map((record) => `  local-data: '${record}'\n`).join('');
  writeFileSync(
    config,
    `server:\n  interface: ${NAME_SERVER}\n  access-control: 0.0.0.0/0 allow\n  username: ""\n  chroot: ""\n  directory: "${folder}"\n` +
      `  pidfile: ""\n  use-syslog: no\n  do-daemonize: no\n  num-threads: 1\n  module-config: "iterator"\n  local-zone: "." static\n  local-data: ". SOA . . 1 3600 1200 604800 3600"\n${data}` +
      'remote-control:\n  control-enable: no\n',
  );
  const child = spawn('unbound', ['-d', '-c', config], { stdio: ['ignore', 'ignore', 'ignore'] });
  const probe = createResolver({ servers: [NAME_SERVER], timeout: 200, tries: 1 });
  await until('unbound to answer', async () => {
    if (child.exitCode !== null) throw new Error(`unbound ended with ${child.exitCode}`);
    return (await probe.resolve('one.example', 'TXT')).status === 'ok';
  });
  return child;
}

async function startMta(running: readonly Running[]): Promise<Postfix> {
  return await startPostfix({
    milters: [],
    main: [
      `myhostname = ${HOSTNAME}`,
      'virtual_mailbox_domains =',
      'relay_domains = example.com',
      'relay_transport = discard:',
      'relay_recipient_maps =',
      `transport_maps = inline:{ { ${READER} = virtual: } }`,
    ],
    services: running.map(
      ({ rival, port }) =>
        `127.0.0.1:${port} inet n - n - 50 smtpd${rival.smtpd.map((option) => ` -o ${option}`).join('')}\n${rival.services ?? ''}`,
    ),
  });
}

/** One mail through each, delivered: it must say that everything was checked, or the figures would be worth nothing. */
async function prove(running: readonly Running[], mta: Postfix, sender: Sender): Promise<void> {
  let count = 0;
  const seen = new Set<string>();
  for (const { rival, port } of running) {
    const session = await Session.open(port, sender);
    await session.send(READER, sender.mails[0]);
    await session.close();
    const mails = await mta.delivered(++count);
    const mail = mails.find((one) => !seen.has(one)) ?? '';
    for (const one of mails) seen.add(one);
    for (const sign of rival.proof) {
      if (!sign.test(mail))
        throw new Error(`${rival.name} did not check: no ${sign} in\n${mail.slice(0, 3_000)}`);
    }
  }
}

async function measure(
  { rival, children, port }: Running,
  { seconds, sessions }: Options,
  { senders }: Correspondence,
): Promise<Figures> {
  await sendFor(1, port, sessions, senders, RECIPIENT);
  const [before, machineBefore] = [usageOf(rival, children).cpu, machineSeconds()];
  const round = await sendFor(seconds, port, sessions, senders, RECIPIENT);
  const machine = machineSeconds() - machineBefore;
  const { cpu, pids } = usageOf(rival, children);
  const times = round.times.toSorted((a, b) => a - b);
  const at = (share: number): number => times[Math.floor(times.length * share)] ?? Number.NaN;
  return {
    rate: round.messages / round.seconds,
    filterCpu: ((cpu - before) / round.messages) * 1_000,
    machineCpu: (machine / round.messages) * 1_000,
    p50: at(0.5),
    p99: at(0.99),
    processes: pids.length,
    ...memoryOf(pids),
  };
}

type Row = Figures & { readonly id: string };

function print(found: ReadonlyMap<Running, readonly Figures[]>, options: Options): void {
  console.log(
    `\n${cpus()[0]?.model.trim()}, ${cpus().length} cores, Linux ${release()}, Node ${process.version}\n` +
      `${options.sessions} SMTP sessions, medians of ${options.rounds} rounds of ${options.seconds} s\n\n` +
      '| through Postfix | messages a second | filter CPU a message | p50 / p99 | processes | memory (shared parted) | CPU of the machine |\n' +
      '|---|---:|---:|---:|---:|---:|---:|',
  );
  const rows: Row[] = [];
  for (const [{ rival }, rounds] of found) {
    const of = (pick: (figures: Figures) => number): number => median(rounds.map(pick));
    const row: Row = {
      id: rival.id,
      rate: of((one) => one.rate),
      filterCpu: of((one) => one.filterCpu),
      machineCpu: of((one) => one.machineCpu),
      p50: of((one) => one.p50),
      p99: of((one) => one.p99),
      processes: of((one) => one.processes),
      rss: of((one) => one.rss),
      pss: of((one) => one.pss),
    };
    rows.push(row);
    console.log(
      `| ${rival.name} | ${row.rate.toFixed(0)} | ${row.filterCpu.toFixed(2)} ms | ${row.p50.toFixed(0)} / ${row.p99.toFixed(0)} ms | ` +
        `${row.processes.toFixed(0)} | ${row.rss.toFixed(0)} (${row.pss.toFixed(0)}) MiB | ${row.machineCpu.toFixed(2)} ms |`,
    );
  }
  printGoals(rows);
}

function printGoals(rows: readonly Row[]): void {
  const [chain, same, all] = ['chain', 'same', 'all'].map((id) => rows.find((row) => row.id === id));
  const goal = (what: string, value: number, isMet: boolean, wanted: string): void =>
    console.log(`${isMet ? 'met   ' : 'MISSED'} ${what}: ${value.toFixed(2)} (goal ${wanted})`);
  console.log('');
  if (same !== undefined) {
    goal('same checks, MiB', same.rss, same.rss <= GOALS.memory, `at most ${GOALS.memory}`);
    if (chain !== undefined) {
      const [rate, cpu] = [same.rate / chain.rate, same.filterCpu / chain.filterCpu];
      goal("same checks, throughput in the chain's", rate, rate >= GOALS.rate, `at least ${GOALS.rate}`);
      goal("same checks, CPU in the chain's", cpu, cpu <= GOALS.cpu, `at most ${GOALS.cpu}`);
    }
  }
  if (all !== undefined && chain !== undefined) {
    const rate = all.rate / chain.rate;
    goal("all local modules besides, throughput in the chain's", rate, rate > 1, 'above 1');
  }
}

async function end(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}

async function main(options: Options): Promise<void> {
  const folder = furnish();
  if (options.profile !== undefined) await mkdir(options.profile, { recursive: true });
  const correspondence = await makeCorrespondence(RECIPIENT);
  const [first] = correspondence.senders;
  if (first === undefined) throw new Error('nobody sends');
  const started: ChildProcess[] = [await startDns(folder, correspondence.records)];
  try {
    const running: Running[] = [];
    for (const rival of rivals(folder, options.profile)) {
      if (options.only !== undefined && !options.only.includes(rival.id)) continue;
      const children = await rival.start();
      started.unshift(...children);
      running.push({ rival, children, port: await unusedPort() });
    }
    await using mta = await startMta(running);
    await prove(running, mta, first);
    const found = new Map(running.map((one) => [one, [] as Figures[]]));
    for (let round = 0; round < options.rounds; round++) {
      for (let i = 0; i < running.length; i++) {
        const one = running[(i + round) % running.length];
        if (one !== undefined) found.get(one)?.push(await measure(one, options, correspondence));
      }
      console.error(`round ${round + 1} of ${options.rounds} done`);
    }
    print(found, options);
  } finally {
    await end(started);
  }
}

await main(readOptions());
