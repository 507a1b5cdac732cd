/** A process of its own that serves, and the MTAs that keep it busy while it ends. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { connectMta, type WireConnection } from '../../lib/testing/index.ts';

/** What to run, and what happens to it from outside. */
export interface Life {
  /** The body of an ES module, behind {@link PRELUDE}. */
  readonly script: string;
  /** How many MTAs send a MAIL once the child has said where it listens, and then wait. @default 0 */
  readonly mtas?: number;
  /** Sent when the child says `waiting`. */
  readonly signal?: NodeJS.Signals;
  /** The child's program and arguments go behind these. */
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds after which a child that still lives is killed. @default 25 000 */
  readonly deadline?: number;
}

/** What came of it. */
export interface Death {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Lines of standard output that the child meant for the test. */
  readonly said: readonly string[];
  readonly stderr: string;
  /** What each MTA got for its MAIL: a verdict, or `gone` when the connection ended without one. */
  readonly verdicts: readonly string[];
}

/** Long, because the machine may be busy; a child that ends as it should is never waited for that long. */
const DEADLINE = 25_000;

/**
 * What every script has: the library, `say`, and filters whose handlers never come home (`Waits`, saying `waiting`
 * when as many wait as there are MTAs), go on at once (`Quick`), or answer after a while (`Slow`).
 */
const PRELUDE = `
  import { writeSync } from 'node:fs';
  import { Milter, serve } from '${new URL('../../lib/index.ts', import.meta.url).href}';
  import { connectMta } from '${new URL('../../lib/testing/index.ts', import.meta.url).href}';
  const say = (line) => writeSync(1, line + '\\n');
  const socket = 'inet:0@127.0.0.1';
  const mtas = Number(process.env.TEST_MTAS);
  let waiting = 0;
  let onWaiting = () => say('waiting');
  class Waits extends Milter {
    envfrom() {
      if (++waiting === mtas) setImmediate(() => onWaiting());
      return new Promise(() => {});
    }
  }
  class Quick extends Milter { envfrom() { return 'reject'; } }
  class Slow extends Milter { envfrom() { return new Promise((done) => setTimeout(done, 5, 'reject')); } }
  const listening = (server) => { say('listening ' + server.address); return server; };
  /** One MAIL to a server of this process. */
  const mail = async (server) => {
    const mta = await connectMta(server.address);
    await mta.connect('client.test', { family: 'inet', address: '192.0.2.7', port: 4711 });
    const { verdict } = await mta.envfrom('<ann@one.test>');
    await mta.close();
    return verdict;
  };
`;

/** Runs a life to its end. */
export async function live(life: Life): Promise<Death> {
  const { script, mtas = 0, signal, command = [], env = {}, deadline = DEADLINE } = life;
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '--eval'];
  const [program = process.execPath, ...args] = [...command, ...node, PRELUDE + script];
  const child = spawn(program, args, {
    env: { ...process.env, ...env, TEST_MTAS: String(mtas) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: string[] = [];
  const verdicts: Promise<string>[] = [];
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  createInterface(child.stdout).on('line', (line) => {
    said.push(line);
    const [word, address] = line.split(' ');
    if (word === 'listening' && address !== undefined) {
      for (let i = 0; i < mtas; i++) verdicts.push(mailTo(address));
    }
    if (word === 'waiting' && signal !== undefined) child.kill(signal);
  });
  const overdue = setTimeout(() => {
    stderr += `still alive after ${deadline} ms\n`;
    child.kill('SIGKILL');
  }, deadline);
  await once(child, 'close');
  clearTimeout(overdue);
  return {
    code: child.exitCode,
    signal: child.signalCode,
    said: said.filter((line) => !/^(listening|waiting)/.test(line)),
    stderr,
    verdicts: await Promise.all(verdicts),
  };
}

async function mailTo(address: string): Promise<string> {
  let mta: WireConnection | undefined;
  try {
    mta = await connectMta(address);
    await mta.connect('client.test', { family: 'inet', address: '192.0.2.7', port: 4711 });
    return (await mta.envfrom('<ann@one.test>')).verdict;
  } catch {
    return 'gone';
  } finally {
    await mta?.close().catch(() => undefined);
  }
}
