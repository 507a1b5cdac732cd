/**
 * `npm run fuzz`: the tests with random cases at length, each with a seed of its own. Ends with 0 when nothing was found, with 1
 * when something was, with 2 for a wrong argument.
 */
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';

const HELP = `npm run fuzz -- [options]

Throws random bytes at everything that reads what strangers write, and says where that breaks a promise.

  --only NAME      only this target, or these: --only wire --only mime
  --runs N         so many times the cases of npm test in each round; 100 sends a million frames
                   to each engine (default 100; with --minutes 5)
  --minutes N      rounds with ever new seeds until so much time is over (default: one round)
  --seed N         begin with this seed, to repeat a finding (default: by chance)
  --list           the names of all targets
  --help           this

A finding is shown with its seed and its smallest case. CONTRIBUTING.md says what to do with it.
`;

const root = join(import.meta.dirname, '../..');

/** The files with random cases, by name. */
const targets = new Map(
  ['test/fuzz/*.test.ts', 'test/integration/engines.test.ts']
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .toSorted()
    .map((file) => [basename(file, '.test.ts'), file]),
);

class WrongArgument extends Error {}

function number(option: string, text: string, least: number): number {
  const value = Number(text);
  if (!(value >= least)) throw new WrongArgument(`--${option} ${text}: must be a number from ${least} on`);
  return value;
}

function readArguments() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [...targets.keys()] },
      runs: { type: 'string' },
      minutes: { type: 'string' },
      seed: { type: 'string' },
      list: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  for (const name of values.only) {
    if (!targets.has(name))
      throw new WrongArgument(`--only ${name}: there is no such target; --list tells them all`);
  }
  const minutes = values.minutes === undefined ? undefined : number('minutes', values.minutes, 0);
  const seed = values.seed === undefined ? randomInt(2 ** 31) : number('seed', values.seed, 0);
  if (!Number.isSafeInteger(seed)) throw new WrongArgument(`--seed ${seed}: must be a whole number`);
  return {
    ...values,
    minutes,
    seed,
    runs: number('runs', values.runs ?? (minutes === undefined ? '100' : '5'), 0.01),
  };
}

/** One line that is written over, on terminals only. */
function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

/** Runs one target. Resolves to what it wrote where it found something. */
async function run(file: string, seed: number, runs: number): Promise<string | undefined> {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const child = spawn(
    process.execPath,
    // A hang is a finding too.
    [vitest, 'run', file, '--testTimeout=7200000', '--hookTimeout=600000'],
    {
      cwd: root,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', FUZZ_SEED: String(seed), FUZZ_RUNS: String(runs) },
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  const [status] = await once(child, 'close');
  return status === 0 ? undefined : output;
}

async function fuzz({ only, runs, minutes, seed: first }: ReturnType<typeof readArguments>): Promise<number> {
  const began = performance.now();
  const end = began + (minutes ?? 0) * 60_000;
  let found = 0;
  console.log(`seed ${first}, ${runs} times the usual cases`);
  for (let seed = first; seed === first || performance.now() < end; seed++) {
    for (const name of only) {
      const started = performance.now();
      progress(`seed ${seed}: ${name} …`);
      const finding = await run(targets.get(name) ?? '', seed, runs);
      progress('');
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`${finding === undefined ? 'ok    ' : 'FOUND '}${name} (seed ${seed}, ${seconds} s)`);
      if (finding === undefined) continue;
      found++;
      console.log(
        `${finding}\nto see it again: npm run fuzz -- --only ${name} --seed ${seed} --runs ${runs}`,
      );
    }
  }
  console.log(found === 0 ? 'nothing was found' : `${found} found`);
  return found === 0 ? 0 : 1;
}

try {
  const wanted = readArguments();
  if (wanted.help === true) console.log(HELP.trimEnd());
  else if (wanted.list === true) console.log([...targets.keys()].join('\n'));
  else process.exitCode = await fuzz(wanted);
} catch (error) {
  const isWrong =
    error instanceof WrongArgument || String((error as { code?: unknown }).code).startsWith('ERR_PARSE_ARGS');
  if (!isWrong) throw error;
  console.error(`fuzz: ${(error as Error).message} (--help shows all options)`);
  process.exitCode = 2;
}
