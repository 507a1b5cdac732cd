/** A real milter to test against: a child process on pymilter and the system's libmilter. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { MacroStage, Stage, StageVerdict } from '../../lib/testing/index.ts';
import { DEBIAN_PYTHON } from './requirements.ts';
import { until } from './wait.ts';

/** What the filter does at one callback. */
export interface ScriptedAnswer {
  readonly verdict?: Exclude<StageVerdict, 'none'>;
  /** The SMTP reply for a refusal, as pymilter's setreply takes it. */
  readonly reply?: readonly [code: string, enhanced: string | null, ...lines: string[]];
  /** Calls of pymilter's context object: `['addheader', 'X-Seen', 'yes']`. */
  readonly actions?: readonly (readonly [method: string, ...args: (string | number | null)[]])[];
}

/** What the filter wants and does. */
export interface MilterScript {
  /** SMFIP_* bits to ask for. @default SMFIS_ALL_OPTS: no flags but skip */
  readonly steps?: number;
  /** Macros to tell with every event. */
  readonly macros?: readonly string[];
  /** Macros to ask the MTA for. */
  readonly symlists?: Readonly<Partial<Record<MacroStage, readonly string[]>>>;
  /** Per stage, answers by the stage's first argument, `*` standing for any other. @default continue */
  readonly stages?: Readonly<Partial<Record<Stage, Readonly<Record<string, ScriptedAnswer>>>>>;
}

/** A callback that libmilter made. */
export interface MilterEvent {
  readonly stage: Stage | 'negotiate' | 'abort' | 'close';
  /** As pymilter has them; bytes are decoded losslessly. */
  readonly args: readonly unknown[];
  readonly macros: Readonly<Record<string, string | null>>;
}

/** A running filter. */
export interface Pymilter extends AsyncDisposable {
  /** Where it listens, in libmilter's words. */
  readonly spec: string;
  /** Every callback so far, in order; those to which the MTA has its answer are all there. */
  events(): Promise<readonly MilterEvent[]>;
  /** Waits until the filter was called for `stage` `count` times. */
  called(stage: MilterEvent['stage'], count?: number): Promise<readonly MilterEvent[]>;
}

/** Starts a filter that follows `script`. @param spec by default a unix socket in a directory of its own */
export async function startPymilter(script: MilterScript = {}, spec?: string): Promise<Pymilter> {
  const directory = spec === undefined ? await mkdtemp(join(tmpdir(), 'pymilter-')) : undefined;
  const address = spec ?? `unix:${directory}/socket`;
  const program = join(import.meta.dirname, 'scripted_milter.py');
  const child = spawn(DEBIAN_PYTHON, [program, address], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.write(`${JSON.stringify(script)}\n`);
  const events: MilterEvent[] = [];
  const echoes = new Map<string, PromiseWithResolvers<void>>();
  const echo = (word: string): Promise<void> => {
    const waiting = Promise.withResolvers<void>();
    echoes.set(word, waiting);
    return waiting.promise;
  };
  child.once('exit', (code) => {
    for (const { reject } of echoes.values())
      reject(new Error(`the filter at ${address} ended with ${code}`));
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    const told = JSON.parse(line) as MilterEvent | { readonly echo: string };
    if ('stage' in told) events.push(told);
    else echoes.get(told.echo)?.resolve();
  });
  await echo('');
  return {
    spec: address,
    async events() {
      // Callbacks are told before they are answered, so they come before an echo asked for now.
      const word = randomUUID();
      child.stdin.write(`${word}\n`);
      await echo(word);
      return events;
    },
    called: (stage, count = 1) =>
      until(`${count} calls of ${stage}`, () => {
        const calls = events.filter((event) => event.stage === stage);
        return calls.length >= count && calls;
      }),
    async [Symbol.asyncDispose]() {
      await kill(child);
      if (directory !== undefined) await rm(directory, { recursive: true });
    },
  };
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}
