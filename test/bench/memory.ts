/** Whether a filter's memory stays where it is while messages go by, and whether it frees what it made. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Filter, load, report } from './processes.ts';
import type { Report } from './serve.ts';

const phases = [
  { name: 'warm-up', messages: 20_000 },
  { name: 'middle', messages: 90_000 },
  { name: 'end', messages: 90_000 },
];

/** What resident memory may grow by after warm-up: far below one kept body (4 kB) per message, which were 720 MB. */
const mayGrow = 32 * 1024 * 1024;

/** How long after the load the last connection may take to be gone, in milliseconds. */
const idleDeadline = 5_000;

/** Runs 200 000 messages through a filter, prints its memory and counters, and says whether all is well. */
export async function watchMemory(filter: Filter, tools: string): Promise<boolean> {
  print('start', await report(filter));
  const reports: Report[] = [];
  for (const { name, messages } of phases) {
    await load(filter, tools, ['-m', `${messages}`]);
    const idle = await whenIdle(filter);
    print(name, idle);
    reports.push(idle);
  }
  const [warm, , end] = reports as [Report, Report, Report];
  const grown = end.rss - warm.rss;
  const leaked = leaks(end);
  console.log(`grown by ${mebibytes(grown)} after warm-up, bound ${mebibytes(mayGrow)}`);
  for (const what of leaked) console.log(`LEAKED ${what}`);
  if (grown > mayGrow) console.log('FAILED: memory grows');
  return grown <= mayGrow && leaked.length === 0;
}

/** The filter's report once everything made has been freed, or at the deadline. */
async function whenIdle(filter: Filter): Promise<Report> {
  const deadline = Date.now() + idleDeadline;
  for (;;) {
    const said = await report(filter);
    if (leaks(said).length === 0 || Date.now() > deadline) return said;
    await delay(20);
  }
}

function leaks({ stats }: Report): string[] {
  return (['sessions', 'messages', 'tickets'] as const)
    .filter((what) => stats[what].created !== stats[what].freed)
    .map((what) => `${what}: ${stats[what].created} created, ${stats[what].freed} freed`);
}

function print(name: string, { rss, stats }: Report) {
  console.log(`${name.padEnd(8)} ${mebibytes(rss).padStart(10)}  ${JSON.stringify(stats)}`);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
