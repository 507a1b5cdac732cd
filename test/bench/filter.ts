/**
 * `npm run bench -- filter`: the mail filter with the starter configuration, with all local modules, and with each module
 * alone, beside pymilter with its mime and spf modules, under one load in one run. They take turns in short rounds, and
 * the medians count. What a module costs is its CPU time a message beyond that of the framework alone.
 *
 *   --connections 16   connections at a time
 *   --rounds 7         rounds per competitor
 *   --seconds 1        measured seconds per round
 *   --only a,b         these alone: pymilter, starter, all, none, or the name of a module
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ownModules } from '../../lib/filter/modules/index.ts';
import type { Competitor } from './competitors.ts';
import { localModules, otherModules } from './filter-modules.ts';
import { compile, type Filter, load, report, start, stop } from './processes.ts';
import { type LoadResult, median, type Row, summarize } from './report.ts';

const python = '/usr/bin/python3';
const root = join(import.meta.dirname, '../..');

/** Milliseconds to listening, and microseconds of CPU a module. */
const GOALS = { starter: 5, all: 1_000, module: 150, start: 300 };

/** Modules that judge by what others found. What those cost is taken off. */
const leansOn: Readonly<Record<string, readonly string[]>> = {
  greylist: ['spf'],
  known: ['spf'],
  bounces: ['srs'],
};

function ours(id: string, modules: string): Competitor {
  return {
    id,
    name: id === 'all' ? 'all local modules' : id,
    ours: true,
    command: (socket) => [process.execPath, join(import.meta.dirname, 'filter-serve.ts'), modules, socket],
  };
}

function competitors(): Competitor[] {
  const there = localModules.filter((name) => name in ownModules);
  const pymilter: Competitor = {
    id: 'pymilter',
    name: 'pymilter with mime and spf',
    ours: false,
    command: (socket) => [python, join(import.meta.dirname, 'filter_pymilter.py'), socket],
    missing:
      spawnSync(python, ['-c', 'import Milter, spf']).status === 0
        ? undefined
        : 'pymilter or pyspf is not installed (Debian: python3-milter, python3-spf)',
  };
  return [
    pymilter,
    ours('starter', 'starter'),
    ours('all', there.join(',')),
    ours('none', 'none'),
    ...[...there, ...otherModules].map((name) => ours(name, [...(leansOn[name] ?? []), name].join(','))),
  ];
}

async function measure(
  filters: readonly Filter[],
  tools: string,
  args: readonly string[],
  rounds: number,
): Promise<Row[]> {
  const results = new Map<Filter, LoadResult[]>(filters.map((filter) => [filter, []]));
  for (let round = 0; round < rounds; round++) {
    const first = Math.floor((round * filters.length) / rounds);
    for (const filter of [...filters.slice(first), ...filters.slice(0, first)]) {
      results.get(filter)?.push(await load(filter, tools, args));
    }
    console.error(`round ${round + 1} of ${rounds} done`);
  }
  return [...results].map(([filter, loads]) => summarize(filter.competitor, loads));
}

/** Milliseconds from the start of `milter run` with the starter configuration until its socket takes a connection. */
async function startUp(tools: string): Promise<number> {
  const path = join(tools, 'start-up.sock');
  const began = performance.now();
  const child = spawn(process.execPath, [join(root, 'dist/cli/main.js'), 'run', '--socket', `unix:${path}`], {
    stdio: 'ignore',
  });
  try {
    for (const deadline = began + 20_000; performance.now() < deadline; await delay(2)) {
      const dial = connect(path);
      const listening = await Promise.race([
        once(dial, 'connect').then(() => true),
        once(dial, 'error').then(() => false),
      ]).catch(() => false);
      dial.destroy();
      if (listening) return performance.now() - began;
    }
    throw new Error('milter run does not listen');
  } finally {
    child.kill('SIGTERM');
    await once(child, 'exit');
  }
}

function print(rows: readonly Row[]): void {
  const none = rows.find(({ competitor }) => competitor.id === 'none')?.cpuPerMessage;
  console.log(
    '\n| filter | msg/s | p50 | p99 | CPU a message | beyond the framework |\n|---|---:|---:|---:|---:|---:|',
  );
  for (const { competitor, rate, p50, p99, cpuPerMessage } of rows) {
    const beyond = competitor.ours && none !== undefined ? `${Math.round(cpuPerMessage - none)} µs` : '';
    console.log(
      `| ${competitor.name} | ${Math.round(rate)} | ${Math.round(p50)} µs | ${Math.round(p99)} µs | ${Math.round(cpuPerMessage)} µs | ${beyond} |`,
    );
  }
  const rate = (id: string): number | undefined => rows.find(({ competitor }) => competitor.id === id)?.rate;
  const goal = (what: string, value: number | undefined, wanted: number, more: boolean): void => {
    if (value === undefined || Number.isNaN(value)) return;
    const met = more ? value >= wanted : value <= wanted;
    console.log(`${met ? 'met   ' : 'MISSED'} ${what}: ${value.toFixed(1)} (goal ${wanted})`);
  };
  console.log('');
  goal(
    'starter configuration, times pymilter',
    (rate('starter') ?? Number.NaN) / (rate('pymilter') ?? Number.NaN),
    GOALS.starter,
    true,
  );
  goal('all local modules, messages a second', rate('all'), GOALS.all, true);
  for (const { competitor, cpuPerMessage } of rows) {
    if (!localModules.includes(competitor.id)) continue;
    const [below = 'none'] = leansOn[competitor.id] ?? [];
    const without = rows.find((row) => row.competitor.id === below)?.cpuPerMessage;
    goal(`${competitor.id}, µs a message`, cpuPerMessage - (without ?? Number.NaN), GOALS.module, false);
  }
}

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '1' },
    only: { type: 'string' },
  },
});
const tools = await mkdtemp(join(tmpdir(), 'milter-bench-'));
const started: Filter[] = [];
try {
  const only = values.only?.split(',');
  const chosen = competitors().filter(({ id }) => only === undefined || only.includes(id));
  await compile(tools);
  console.log(`${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}`);
  for (const competitor of chosen) {
    if (competitor.missing === undefined) await start(competitor, tools, 'unix', started);
    else console.error(`SKIPPED ${competitor.missing}`);
  }
  const args = ['-c', values.connections, '-s', values.seconds, '-w', '0.5'];
  print(await measure(started, tools, args, Number(values.rounds)));
  for (const filter of started.filter(({ competitor }) => competitor.id === 'all')) {
    console.log(`all local modules: ${Math.round((await report(filter)).rss / 2 ** 20)} MiB`);
  }
  const times: number[] = [];
  for (let i = 0; i < 5; i++) times.push(await startUp(tools));
  console.log(`start-up to listening: ${Math.round(median(times))} ms (goal ${GOALS.start})`);
} finally {
  await stop(started);
  await rm(tools, { recursive: true, force: true });
}
