/** The soak of one engine: a filter in a process of its own, and the connections that try it. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { ServerStats } from '../../lib/index.ts';
import { until } from '../helpers/wait.ts';
import { type Flatness, flatness, growth, type Sample } from './flat.ts';
import { newTally, soakWith, type Tally } from './load.ts';
import type { Report } from './serve.ts';

export interface EngineSoak {
  readonly engine: 'libmilter' | 'js';
  readonly threads: number;
  readonly messages: number;
  /** The file of another filter than the soak's own. */
  readonly filter?: URL;
  /** Connections at a time. */
  readonly connections: number;
  /** Told after each part how many messages are done. */
  readonly progress?: (done: number) => void;
  /** Ends it before its time; what was done until then is judged. */
  readonly stop?: AbortSignal | undefined;
}

/** What came of it. */
export interface EngineResult {
  readonly tally: Tally;
  readonly stats: ServerStats;
  /** Resident memory of the process. */
  readonly resident: Flatness | undefined;
  /** What JavaScript of the main thread holds. */
  readonly heap: Flatness | undefined;
  /** Resident memory after each part, in bytes. */
  readonly memory: readonly number[];
  /** What is not as it must be, in words; empty when all is well. */
  readonly faults: readonly string[];
}

/** After each of so many parts all connections are gone, and the process is looked at. */
const parts = (messages: number): number => (messages < 50_000 ? 10 : 50);

/** What a closed server of libmilter may leave; docs/production.md says why. The other engine leaves nothing. */
const LEFT = { libmilter: { descriptors: 5, threads: 1 }, js: { descriptors: 0, threads: 0 } };

const MIB = 2 ** 20;

export async function soakEngine(wanted: EngineSoak): Promise<EngineResult> {
  const { engine, threads, messages, connections, progress, stop } = wanted;
  const { href } = wanted.filter ?? new URL('./handlers.ts', import.meta.url);
  const child = fork(join(import.meta.dirname, 'serve.ts'), [engine, `${threads}`, href], {
    execArgv: ['--expose-gc', '--disable-warning=ExperimentalWarning'],
  });
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the filter's process ended: ${code ?? signal}`);
  });
  // At the end nobody waits for it.
  ended.catch(() => {});
  const answer = async (): Promise<unknown> => (await Promise.race([once(child, 'message'), ended]))[0];
  const ask = async (what: 'report' | 'close'): Promise<Report> => {
    child.send(what);
    return (await answer()) as Report;
  };
  try {
    const { address, before } = (await answer()) as {
      readonly address: string;
      readonly before: Pick<Report, 'descriptors' | 'threads'>;
    };
    const faults: string[] = [];
    const tally = newTally();
    const random = randomFrom(20261126);
    const reports: { readonly messages: number; readonly report: Report }[] = [];
    let idleDescriptors: number | undefined;
    for (let part = 1; part <= parts(messages) && stop?.aborted !== true; part++) {
      const more = Math.ceil((messages * part) / parts(messages)) - tally.messages;
      if (more > 0) await soakWith(address, more, connections, random, tally, stop);
      const report = await until('all to be freed', async () => {
        const found = await ask('report');
        return unbalanced(found.stats).length === 0 ? found : undefined;
      }).catch(async () => await ask('report'));
      faults.push(...unbalanced(report.stats).map((what) => `after ${tally.messages} messages: ${what}`));
      if (faults.length > 0) break;
      idleDescriptors ??= report.descriptors;
      reports.push({ messages: tally.messages, report });
      progress?.(tally.messages);
    }
    const samples = (read: (report: Report) => number): Sample[] =>
      reports.map(({ messages, report }) => ({ messages, bytes: read(report) }));
    const warmUp = tally.messages / 5;
    const resident = flatness(
      samples(({ rss }) => rss),
      // Node gives back what it took when it likes; what it leaks shows in the heap, or goes on.
      { warmUp, perMessage: 8, sway: 64 * MIB },
    );
    const heap = flatness(
      samples((report) => report.heap),
      // What V8 keeps of code that it compiles late is as much as a megabyte.
      { warmUp, perMessage: 4, sway: 3 * MIB },
    );
    faults.push(...growth('resident', resident), ...growth('heap', heap));
    const last = reports.at(-1)?.report;
    if (last !== undefined && idleDescriptors !== undefined && last.descriptors > idleDescriptors) {
      faults.push(`${last.descriptors} descriptors are open with no connection, ${idleDescriptors} at first`);
    }
    faults.push(...tally.wrong.slice(0, 10));
    const end = await ask('close');
    faults.push(...miscounted(end.stats, tally));
    const left = LEFT[engine];
    await until('threads and descriptors to be gone', async () => {
      const now = await ask('report');
      return (
        now.threads <= before.threads + left.threads &&
        now.descriptors <= before.descriptors + left.descriptors
      );
    }).catch(async () => {
      const now = await ask('report');
      faults.push(
        `left over: ${now.threads - before.threads} threads, ${now.descriptors - before.descriptors} descriptors`,
      );
    });
    return {
      tally,
      stats: end.stats,
      resident,
      heap,
      memory: reports.map(({ report }) => report.rss),
      faults,
    };
  } finally {
    child.disconnect();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

function unbalanced(stats: ServerStats): string[] {
  return (['sessions', 'messages', 'tickets'] as const)
    .filter((what) => stats[what].created !== stats[what].freed)
    .map((what) => `${what}: ${stats[what].created} created, ${stats[what].freed} freed`);
}

/** Where the server counted otherwise than its MTAs. */
function miscounted({ sessions, messages, failures, deadlines }: ServerStats, tally: Tally): string[] {
  const failed = tally.failures + tally.deadlines;
  const ranges: readonly (readonly [string, number, number, number])[] = [
    ['sessions', sessions.created, tally.connections, tally.connections],
    ['messages', messages.created, tally.messages - tally.unheard, tally.messages],
    // One that was to throw may also have been late, and nobody can tell from the answer.
    ['failures', failures, 0, tally.failures],
    ['failures and deadlines', failures + deadlines, failed, failed + tally.cut],
  ];
  return ranges
    .filter(([, count, least, most]) => count < least || count > most)
    .map(([what, count, least, most]) => `${what}: ${count} counted, ${least} to ${most} made`);
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
