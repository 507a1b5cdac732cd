/**
 * `npm run bench`: messages per second and latency of our filter in four forms, of a C no-op on libmilter and of
 * pymilter, under one load in one run. The competitors take turns in many short rounds and the medians count: a
 * busy machine disturbs all alike, and libmilter's worker pool, which may starve some connections for as long as
 * a load lasts, is drawn anew each time.
 *
 *   --connections 16,50   connections at a time; each sends messages one after the other
 *   --rounds 9            rounds per competitor
 *   --seconds 1           measured seconds per round, after a short warm-up
 *   --socket unix|inet    kind of socket
 *   --only form1,c-0x0    these competitors alone; c-0xSTEPS is a C no-op with those protocol steps
 *   --json                results on standard output as JSON
 *   --memory              instead: 200 000 messages against form2, watching its memory
 *
 * `npm run bench -- filter` is filter.ts instead, and so for `dns`, `quarantine`, `redis`, `bayes`, `threads` and `chain`. Without options
 * spf.ts and mime.ts follow: SPF evaluations, and messages searched and cleaned, per second.
 *
 * Exit code 1 when a filter failed, gave another verdict than "continue", or when ours could not take part. Goals
 * that are missed are printed and change nothing else.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Competitor, competitors, noop } from './competitors.ts';
import { watchMemory } from './memory.ts';
import { compile, type Filter, load, start, stop } from './processes.ts';
import { goals, isMet, type LoadResult, outcomes, type Row, summarize, table } from './report.ts';

/** Seconds of load before each round's measuring begins. */
const warmup = '0.3';

interface Options {
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  readonly socket: 'unix' | 'inet';
  readonly only: readonly string[] | undefined;
  readonly json: boolean;
  readonly memory: boolean;
}

function options(): Options {
  const { values } = parseArgs({
    options: {
      connections: { type: 'string', default: '16,50' },
      rounds: { type: 'string', default: '9' },
      seconds: { type: 'string', default: '1' },
      socket: { type: 'string', default: 'unix' },
      only: { type: 'string' },
      json: { type: 'boolean', default: false },
      memory: { type: 'boolean', default: false },
    },
  });
  const positive = (name: string, text: string) => {
    const value = Number(text);
    if (!(value > 0)) throw new TypeError(`--${name}: expected a number above 0, got "${text}"`);
    return value;
  };
  if (values.socket !== 'unix' && values.socket !== 'inet')
    throw new TypeError(`--socket: expected unix or inet, got "${values.socket}"`);
  return {
    connections: values.connections.split(',').map((text) => positive('connections', text)),
    rounds: positive('rounds', values.rounds),
    seconds: positive('seconds', values.seconds),
    socket: values.socket,
    only: values.only?.split(','),
    json: values.json,
    memory: values.memory,
  };
}

/** Those whom `--only` names, or all. */
function choose(tools: string, only: readonly string[] | undefined): Competitor[] {
  const all = competitors(tools);
  return (
    only?.map((id) => {
      const [, steps] = /^c-(0x[0-9a-f]+)$/.exec(id) ?? [];
      const found = steps ? noop(tools, Number(steps)) : all.find((competitor) => competitor.id === id);
      if (found) return found;
      throw new TypeError(`--only: "${id}" is none of ${all.map((c) => c.id).join(', ')} and c-0xSTEPS`);
    }) ?? all
  );
}

/** Starts everybody; each of ours brings the C no-op that negotiates the same steps. */
async function startAll(chosen: readonly Competitor[], tools: string, options: Options, started: Filter[]) {
  for (const competitor of chosen) {
    if (started.some((filter) => filter.competitor.id === competitor.id)) continue;
    const filter = await start(competitor, tools, options.socket, started);
    if (!competitor.ours) continue;
    const { steps } = await load(filter, tools, ['-c', '1', '-m', '1']);
    const same = noop(tools, steps);
    if (![...chosen, ...started.map((f) => f.competitor)].some((other) => other.id === same.id))
      await start(same, tools, options.socket, started);
  }
}

/** Measures all filters at one number of connections. A filter that fails drops out. */
async function measure(filters: readonly Filter[], connections: number, tools: string, options: Options) {
  const results = new Map<Filter, LoadResult[]>(filters.map((filter) => [filter, []]));
  const failures: string[] = [];
  for (let round = 0; round < options.rounds; round++) {
    const first = Math.floor((round * filters.length) / options.rounds);
    for (const filter of [...filters.slice(first), ...filters.slice(0, first)]) {
      const args = ['-c', `${connections}`, '-s', `${options.seconds}`, '-w', warmup];
      const rounds = results.get(filter);
      try {
        if (rounds) rounds.push(await load(filter, tools, args));
      } catch (error) {
        results.delete(filter);
        failures.push(String(error));
        console.error(`FAILED ${error}`);
      }
    }
    console.error(`${connections} connections: round ${round + 1} of ${options.rounds} done`);
  }
  const rows = [...results]
    .map(([filter, rounds]) => summarize(filter.competitor, rounds))
    .toSorted((a, b) => Number(a.competitor.ours) - Number(b.competitor.ours));
  return { rows, failures };
}

function print(rows: readonly Row[], options: Options) {
  const reached = outcomes(rows);
  const missed = reached.filter((outcome) => !isMet(outcome)).length;
  console.log(
    `\n${rows[0]?.connections} connections, ${options.socket} socket, 10 headers, 4 kB body, 1 recipient; ` +
      `medians of ${options.rounds} rounds of ${options.seconds} s\n\n${table(rows)}\n`,
  );
  console.log(
    'CPU µs: CPU time of the filter per message; load CPU: the generator, in shares of one core\n' +
      "starved: connections with less than a tenth of the average's messages, which flatters p50\n",
  );
  if (reached.length > 0) console.log(`${goals(reached)}\n${reached.length - missed} met, ${missed} missed`);
}

async function main(): Promise<boolean> {
  const chosenOptions = options();
  const tools = await mkdtemp(join(tmpdir(), 'milter-bench-'));
  const started: Filter[] = [];
  process.once('SIGINT', () => void stop(started).then(() => process.exit(130)));
  try {
    const chosen = choose(tools, chosenOptions.memory ? ['form2'] : chosenOptions.only);
    const missing = new Set(chosen.flatMap((competitor) => competitor.missing ?? []));
    for (const reason of missing) console.error(`SKIPPED ${reason}`);
    await compile(tools);
    const able = chosen.filter((competitor) => competitor.missing === undefined);
    if (chosenOptions.memory) {
      const [filter] = able;
      if (!filter) return false;
      return await watchMemory(await start(filter, tools, chosenOptions.socket, started), tools);
    }
    await startAll(able, tools, chosenOptions, started);

    const [cpu] = cpus();
    const libmilter = started.flatMap(({ output }) =>
      output.startsWith('libmilter') ? [output.trim()] : [],
    );
    const machine = [
      `${cpu?.model.trim()}, ${cpus().length} cores`,
      `Linux ${release()}`,
      `Node ${process.version}`,
      ...libmilter.slice(0, 1),
    ].join(', ');
    if (!chosenOptions.json) console.log(machine);

    const measured = [];
    for (const connections of chosenOptions.connections) {
      const found = await measure(started, connections, tools, chosenOptions);
      measured.push(found);
      if (!chosenOptions.json) print(found.rows, chosenOptions);
    }
    const failures = measured.flatMap((found) => found.failures);
    if (chosenOptions.json) {
      const rows = measured.flatMap((found) =>
        found.rows.map((r) => ({ ...r, competitor: r.competitor.id })),
      );
      const reached = measured.flatMap((found) => outcomes(found.rows));
      console.log(JSON.stringify({ machine, rows, goals: reached, failures }, null, 2));
    }
    return failures.length === 0 && !chosen.some((competitor) => competitor.ours && competitor.missing);
  } finally {
    await stop(started);
    await rm(tools, { recursive: true, force: true });
  }
}

const [, , room] = process.argv;
if (
  room !== undefined &&
  ['filter', 'dns', 'quarantine', 'redis', 'bayes', 'threads', 'chain'].includes(room)
) {
  const bench = [join(import.meta.dirname, `${room}.ts`), ...process.argv.slice(3)];
  process.exit(spawnSync(process.execPath, bench, { stdio: 'inherit' }).status ?? 1);
}

try {
  process.exitCode = (await main()) ? 0 : 1;
  if (process.argv.length === 2) {
    for (const [name, file] of [
      ['SPF', 'spf.ts'],
      ['MIME', 'mime.ts'],
    ] as const) {
      console.log(`\n${name}:`);
      const bench = spawnSync(process.execPath, [join(import.meta.dirname, file)], { stdio: 'inherit' });
      if (bench.status !== 0) process.exitCode = 1;
    }
  }
} catch (error) {
  const { message, cause } = error as Error;
  console.error(`bench: ${message}${cause instanceof Error ? `\n${cause.message}` : ''}`);
  process.exitCode = 1;
}
