/** The command `milter` in a process of its own. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { until } from './wait.ts';

/** The command's own file. */
export const MAIN: string = join(import.meta.dirname, '../../lib/cli/main.ts');

/** What a finished command left. */
export interface Finished {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `milter` to its end. */
export async function milter(args: readonly string[], input: string | Buffer = ''): Promise<Finished> {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: 'pipe' });
  // It may end before it has read everything.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { status: child.exitCode, out, err };
}

/** A `milter run`, or another command that serves, under way. */
export class RunningMilter implements AsyncDisposable {
  readonly child: ChildProcess;
  out = '';
  err = '';

  /** @param args what follows `milter run`, or `milter` and another `command` */
  constructor(args: readonly string[], options: SpawnOptions = {}, command = 'run') {
    this.child = spawn(process.execPath, [MAIN, command, ...args], { stdio: 'pipe', ...options });
    this.child.stdout?.setEncoding('utf8').on('data', (more: string) => (this.out += more));
    this.child.stderr?.setEncoding('utf8').on('data', (more: string) => (this.err += more));
  }

  /** Where it listens, as soon as it says so. */
  address(): Promise<string> {
    return until('milter run to listen', () => {
      if (this.hasEnded) throw new Error(`milter run ended: ${this.err}`);
      return / listens at (\S+)/.exec(this.out)?.[1] ?? /"address":"([^"]+)"/.exec(this.err)?.[1];
    });
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** The exit status, as soon as there is one. */
  async status(): Promise<number | null> {
    if (!this.hasEnded) await once(this.child, 'close');
    return this.child.exitCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL');
    await this.status();
  }
}
