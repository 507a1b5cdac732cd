/**
 * `npm run bench -- dns`: queries per second of `milter dns` against nsd with one server process, as dnsperf with eight
 * clients counts them: with ten names and patterns, and with 100 000 names and 10 000 patterns. All are asked the same
 * 20 000 names in turns, round by round, and the medians count. rbldnsd, a socket of node:dgram that gives back what
 * it gets, and dns2's own server are there to compare with.
 *
 *   --rounds 7       rounds
 *   --seconds 2      per competitor and round
 *
 * Goals that are missed are printed and change nothing else. Needs nsd and dnsperf (Debian: nsd, dnsperf).
 */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { createResolver } from '../../lib/dns/index.ts';
import { until, unusedPort } from '../helpers/wait.ts';
import { median } from './report.ts';

const run = promisify(execFile);
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, seconds: { type: 'string', default: '2' } },
});

const ZONE = 'bl.test';
const GOAL = 0.6;
const MANY_GOAL = 0.9;
const main = join(import.meta.dirname, '../../lib/cli/main.ts');

for (const program of ['nsd', 'dnsperf']) {
  if (spawnSync(program, ['-h']).error !== undefined) {
    console.log(`skipped: ${program} is not installed`);
    process.exit(0);
  }
}
const folder = mkdtempSync(join(tmpdir(), 'milter-bench-dns-'));
chmodSync(folder, 0o755);
const children: ChildProcess[] = [];

/** One in four is listed by name, one in a hundred by a pattern. */
const queries = Array.from({ length: 20_000 }, (_, i) => {
  if (i % 100 === 1) return `ded${i}.com.${ZONE} A`;
  if (i % 100 === 2) return `cheap-pills.shop${i}.example.${ZONE} A`;
  return `n${i}.example${i % 7}.com.${ZONE} ${i % 8 === 4 ? 'TXT' : 'A'}`;
});
writeFileSync(join(folder, 'queries'), queries.join('\n'));

function lines(names: number, patterns: number): string {
  const all = ['ded[0-9]+.com 127.0.0.2 series: $', '*-pills.* 127.0.0.3', 'rr[300-399].net', '192.0.2.0/24'];
  for (let i = 0; i < names; i++) all.push(`n${i * 4}.example${(i * 4) % 7}.com 127.0.0.2 listed: $`);
  for (let i = 0; i < patterns; i++) {
    const kinds = [`bad${i}-###.com`, `ser${i}x[0-9]+.com`, `*-meds${i}.*`, `.roll${i}-[100-199].net`];
    all.push(kinds[i % 4] ?? '');
  }
  return all.join('\n');
}

interface Competitor {
  readonly name: string;
  readonly port: number;
  readonly child: ChildProcess;
  readonly rates: number[];
  readonly cpu: number[];
}

async function start(name: string, command: (port: number) => readonly string[]): Promise<Competitor> {
  const port = await unusedPort();
  const [program = '', ...args] = command(port);
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  const resolver = createResolver({ servers: [`127.0.0.1:${port}`], tries: 1, timeout: 500 });
  await until(
    `${name} to answer`,
    async () => {
      if (child.exitCode !== null) throw new Error(`${name} ended`);
      return (await resolver.resolve(`n4.example4.com.${ZONE}`, 'A')).status !== 'timeout';
    },
    60_000,
  );
  return { name, port, child, rates: [], cpu: [] };
}

function ours(title: string, names: number, patterns: number): Promise<Competitor> {
  return start(`milter dns, ${title}`, (port) => {
    const file = join(folder, `${names}.toml`);
    writeFileSync(join(folder, `${names}.list`), lines(names, patterns));
    writeFileSync(
      file,
      `socket = "fd:3"\n[log]\nlevel = "warn"\n[dns_server]\nlisten = "127.0.0.1:${port}"\nzone = "${ZONE}"\n` +
        `patterns = "file:${names}.list"\nname_servers = ["ns.example.net"]\n`,
    );
    return [process.execPath, main, 'dns', file];
  });
}

function nsd(): Promise<Competitor> {
  return start('nsd', (port) => {
    const records = queries.flatMap((query, i) =>
      i % 4 === 0
        ? [`${query.replace(/ .*/, '')}. 60 A 127.0.0.2`, `${query.replace(/ .*/, '')}. 60 TXT "listed"`]
        : [],
    );
    writeFileSync(
      join(folder, 'zone'),
      `@ 60 SOA ns.x. a.x. 1 600 300 86400 60\n@ 60 NS ns.x.\n${records.join('\n')}\n`,
    );
    writeFileSync(
      join(folder, 'nsd.conf'),
      `server:\n  ip-address: 127.0.0.1@${port}\n  username: ""\n  chroot: ""\n  zonesdir: "${folder}"\n  pidfile: "${folder}/pid"\n` +
        `  xfrdfile: ""\n  xfrdir: "${folder}"\n  zonelistfile: "${folder}/zones"\n  server-count: 1\n  rrl-ratelimit: 0\n` +
        `remote-control:\n  control-enable: no\nzone:\n  name: ${ZONE}\n  zonefile: zone\n`,
    );
    return ['nsd', '-d', '-c', join(folder, 'nsd.conf')];
  });
}

function script(name: string, code: string): Promise<Competitor> {
  return start(name, (port) => [
    process.execPath,
    '--input-type=module',
    '--eval',
    code.replaceAll('PORT', String(port)),
  ]);
}

const BARE = `
  import { createSocket } from 'node:dgram';
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => {
    const reply = Buffer.from(query);
    reply[2] |= 0x84;
    socket.send(reply, peer.port, peer.address);
  });
  socket.bind(PORT, '127.0.0.1');`;
const DNS2 = `
  import dns2 from ${JSON.stringify(import.meta.resolve('dns2'))};
  const { Packet } = dns2;
  const server = dns2.createServer({ udp: true, handle(request, send) {
    const reply = Packet.createResponseFromRequest(request);
    const [{ name }] = request.questions;
    if (/^ded[0-9]+[.]com[.]/.test(name) || /-pills[.]/.test(name))
      reply.answers.push({ name, type: Packet.TYPE.A, class: Packet.CLASS.IN, ttl: 60, address: '127.0.0.2' });
    send(reply);
  } });
  await server.listen({ udp: { port: PORT, address: '127.0.0.1' } });`;

/** Hundredths of a second that a process and its children have had of a processor: nsd answers in a child. */
function ticks({ child }: Competitor): number {
  let sum = 0;
  const family = new Set([child.pid]);
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  for (const pid of processes.toSorted((one, other) => one - other)) {
    let fields: readonly string[];
    try {
      fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? [];
    } catch {
      continue; // It has ended meanwhile.
    }
    if (!family.has(pid) && !family.has(Number(fields[1]))) continue;
    family.add(pid);
    sum += Number(fields[11]) + Number(fields[12]);
  }
  return sum;
}

async function measure(competitor: Competitor): Promise<void> {
  const before = ticks(competitor);
  const { stdout } = await run('dnsperf', [
    ...['-s', '127.0.0.1', '-p', String(competitor.port), '-d', join(folder, 'queries')],
    ...['-l', values.seconds, '-c', '8'],
  ]);
  const count = Number(/Queries completed:\s+(\d+)/.exec(stdout)?.[1]);
  competitor.rates.push(Number(/Queries per second:\s+([\d.]+)/.exec(stdout)?.[1]));
  competitor.cpu.push(((ticks(competitor) - before) * 10_000) / count);
}

try {
  const competitors = [
    await nsd(),
    await ours('10 lines', 3, 3),
    await ours('110 000 lines', 100_000, 10_000),
    await script('node:dgram alone', BARE),
    await script("dns2's server", DNS2),
  ];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const competitor of competitors) await measure(competitor);
    console.error(`round ${round + 1} of ${values.rounds} done`);
  }
  const [reference, ten, many] = competitors;
  const rate = (competitor: Competitor | undefined): number => median(competitor?.rates ?? []);
  console.log('\n| server | queries/s | of nsd | CPU µs per query |\n|---|---:|---:|---:|');
  for (const competitor of competitors) {
    const share = (rate(competitor) / rate(reference)).toFixed(2);
    const cpu = median(competitor.cpu).toFixed(1);
    console.log(`| ${competitor.name} | ${Math.round(rate(competitor))} | ${share} | ${cpu} |`);
  }
  const goals: readonly [string, number, number][] = [
    ['10 lines against nsd', rate(ten) / rate(reference), GOAL],
    ['110 000 lines against nsd', rate(many) / rate(reference), GOAL],
    ['110 000 lines against 10', rate(many) / rate(ten), MANY_GOAL],
  ];
  console.log('');
  for (const [name, reached, goal] of goals)
    console.log(`${reached >= goal ? 'met   ' : 'MISSED'} ${name}: ${reached.toFixed(2)}, goal ${goal}`);
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true });
}
