/** The programs of the benchmark: compiled, started, loaded, stopped. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Competitor } from './competitors.ts';
import type { LoadResult } from './report.ts';
import type { Report } from './serve.ts';

const run = promisify(execFile);

/** How long a filter may take to listen, in milliseconds. */
const startDeadline = 20_000;

/** Linux counts a process's CPU time in hundredths of a second. */
const ticksPerSecond = 100;

/** A filter that listens. */
export interface Filter {
  readonly competitor: Competitor;
  readonly socket: string;
  readonly child: ChildProcess;
  /** What it has printed on standard output. */
  output: string;
}

/** Compiles the load generator and the C filter into the folder `tools`. */
export async function compile(tools: string): Promise<void> {
  const flags = ['-std=c11', '-O2', '-Wall', '-Wextra', '-o'];
  const source = (name: string) => join(import.meta.dirname, name);
  try {
    await run('cc', [...flags, join(tools, 'load'), source('load.c'), source('script.c')]);
    await run('cc', [...flags, join(tools, 'noop'), source('noop.c'), '-lmilter']);
  } catch (error) {
    throw new Error(
      'cannot compile the benchmark; it needs Linux, cc and libmilter (Debian: gcc, libmilter-dev)',
      { cause: error },
    );
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free TCP port on 127.0.0.1');
  return address.port;
}

function accepts(socket: string): Promise<boolean> {
  const [, port = '', host = ''] = /^inet:(\d+)@(.+)$/.exec(socket) ?? [];
  const dial = socket.startsWith('unix:') ? connect(socket.slice(5)) : connect(Number(port), host);
  return new Promise((resolve) => {
    dial.on('connect', () => {
      dial.destroy();
      resolve(true);
    });
    dial.on('error', () => resolve(false));
  });
}

/** Starts a competitor and waits until it listens. */
export async function start(
  competitor: Competitor,
  tools: string,
  kind: 'unix' | 'inet',
  started: Filter[],
): Promise<Filter> {
  const socket =
    kind === 'unix' ? `unix:${join(tools, competitor.id)}.sock` : `inet:${await freePort()}@127.0.0.1`;
  const [program, ...args] = competitor.command(socket);
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit', competitor.ours ? 'ipc' : 'ignore'],
  });
  const filter: Filter = { competitor, socket, child, output: '' };
  started.push(filter);
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    filter.output += text;
  });
  await once(child, 'spawn');
  for (const deadline = Date.now() + startDeadline; !(await accepts(socket)); await delay(20)) {
    if (hasEnded(filter)) throw new Error(`${competitor.id} ended before it listened on ${socket}`);
    if (Date.now() > deadline) throw new Error(`${competitor.id} does not listen on ${socket}`);
  }
  return filter;
}

function hasEnded({ child }: Filter): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** Ends the filters that still run. */
export async function stop(filters: readonly Filter[]): Promise<void> {
  for (const filter of filters) {
    if (hasEnded(filter)) continue;
    filter.child.kill('SIGKILL');
    await once(filter.child, 'exit');
  }
}

/** Seconds of CPU time a process has used. */
function cpuSeconds(pid: number | undefined): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  // The fields after the program's name, which may itself hold spaces: utime and stime are numbers 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Runs the load generator against a filter. Any verdict but "continue" and any lost connection is an error. */
export async function load(filter: Filter, tools: string, args: readonly string[]): Promise<LoadResult> {
  const before = cpuSeconds(filter.child.pid);
  const { stdout } = await run(join(tools, 'load'), [...args, filter.socket]).catch((error) => {
    throw new Error(`${filter.competitor.id}: ${String(error.stderr || error.message).trim()}`);
  });
  const result = JSON.parse(stdout);
  return { ...result, filterCpu: cpuSeconds(filter.child.pid) - before };
}

/** What one of our filters says of itself. */
export async function report({ child }: Filter): Promise<Report> {
  const answer = once(child, 'message');
  child.send('report');
  const [said] = await answer;
  return said;
}
