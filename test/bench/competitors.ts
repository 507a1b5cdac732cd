/** Who is measured, how each is started, and what ours are to reach. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Form } from './filters.ts';

/** Who speaks the protocol for ours. */
type Engine = 'libmilter' | 'js';

/** What one of our filters is to reach, as a ratio of messages per second. */
export interface Goal {
  /** Against pymilter with every stage. */
  readonly pymilter: number;
  /** Against the C no-op that negotiated the same steps. */
  readonly c?: number;
  /** The numbers of connections the goal is set for. */
  readonly connections: readonly number[];
}

/** One filter process that takes part. */
export interface Competitor {
  readonly id: string;
  readonly name: string;
  /** Ours are answered through IPC, and measured against a C no-op with the same steps. */
  readonly ours: boolean;
  readonly goal?: Goal;
  /** The command line that serves on this socket. */
  readonly command: (socket: string) => readonly [string, ...string[]];
  /** Why it cannot take part here, if it cannot. */
  readonly missing?: string | undefined;
}

const python = '/usr/bin/python3';
const root = join(import.meta.dirname, '../..');

/** The C no-op with these protocol steps. */
export function noop(tools: string, steps: number): Competitor {
  const hex = `0x${steps.toString(16)}`;
  return {
    id: `c-${hex}`,
    name: steps === 0 ? 'C no-op, every stage answered' : `C no-op, steps ${hex}`,
    ours: false,
    command: (socket) => [join(tools, 'noop'), socket, hex],
  };
}

function pymilter(form: 'all' | 'noreply', name: string, missing: string | undefined): Competitor {
  return {
    id: form === 'all' ? 'pymilter' : 'pymilter-noreply',
    name,
    ours: false,
    missing,
    command: (socket) => [python, join(import.meta.dirname, 'pymilter_noop.py'), socket, form],
  };
}

function ours(form: Form, engine: Engine, name: string, missing: string | undefined, goal: Goal): Competitor {
  return {
    id: engine === 'js' ? `js-${form}` : form,
    name: `${engine === 'js' ? 'ours, js' : 'ours'}: ${name}`,
    ours: true,
    goal,
    missing,
    command: (socket) => [process.execPath, join(import.meta.dirname, 'serve.ts'), form, socket, engine],
  };
}

/** Everybody; the C no-ops with our steps are added once those are known. */
export function competitors(tools: string): Competitor[] {
  const noPymilter =
    spawnSync(python, ['-c', 'import Milter']).status === 0
      ? undefined
      : `pymilter is not installed for ${python} (Debian: apt-get install python3-milter)`;
  const noBuild = existsSync(join(root, 'dist/index.js'))
    ? undefined
    : 'dist/index.js is missing: run "npm run build:all" first';
  return [
    noop(tools, 0),
    pymilter('all', 'pymilter, every stage', noPymilter),
    pymilter('noreply', 'pymilter, @noreply but envelope, eom', noPymilter),
    ours('form1', 'libmilter', 'eom', noBuild, { pymilter: 4.5, c: 0.7, connections: [16] }),
    ours('form2', 'libmilter', 'envfrom, envrcpt, eom', noBuild, {
      pymilter: 2.5,
      c: 0.6,
      connections: [16],
    }),
    ours('form3', 'libmilter', 'every stage, async', noBuild, { pymilter: 1.8, connections: [16] }),
    ours('form4', 'libmilter', 'every stage, async, early', noBuild, { pymilter: 1, connections: [16, 50] }),
    ours('form1', 'js', 'eom', noBuild, { pymilter: 8, c: 1.7, connections: [16] }),
    ours('form2', 'js', 'envfrom, envrcpt, eom', noBuild, { pymilter: 2.5, c: 1.3, connections: [16] }),
    ours('form3', 'js', 'every stage, async', noBuild, { pymilter: 1.8, connections: [16] }),
    ours('form4', 'js', 'every stage, async, early', noBuild, { pymilter: 1, connections: [16, 50] }),
  ];
}
