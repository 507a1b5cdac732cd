/** The command `milter explain`. */
import { configuredValues, type OpenedFilter } from '../filter/index.ts';
import { shownValue } from './config-diff.ts';
import { chooseConfig, readChosen } from './config-file.ts';
import { printable } from './printable.ts';
import { openTrial } from './trial.ts';
import { type CommandIo, oneAtMost, readArguments } from './usage.ts';

const USAGE = `Usage: milter explain [options] [FILE.toml]

Prints all values in force and where each comes from, a line of the file or the default; then which stages of a message
come to the filter, which module works at which of them, and in which order the modules judge and change messages.
Without FILE.toml it is the configuration that milter run would take.

  --set               only what the file sets, and no defaults
  --json              print JSON
  --help              show this

Exit status: 0; 1 when the configuration has faults; 2 for wrong arguments.
`;

const OPTIONS = {
  set: { type: 'boolean' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Where the filter itself works: it opens the judgement of a message at MAIL, and decides at RCPT and at the end. */
const OWN_STAGES: readonly string[] = ['envfrom', 'envrcpt', 'eom'];

/** Runs `milter explain` with the arguments behind that, and resolves to the exit status. */
export async function runExplain(args: readonly string[], { stdout }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    stdout.write(USAGE);
    return 0;
  }
  const file = oneAtMost('FILE.toml', positionals);
  const config = await readChosen(file);
  const { filter } = await openTrial(file);
  const shown = configuredValues(config).filter(({ origin }) => values.set !== true || origin !== 'default');
  const { judges } = filter;
  const isEnforced = (name: string): boolean =>
    config.modules.some((module) => module.name === name && module.mode === 'enforce');
  const changers = filter.changers.filter(isEnforced);
  const stages = [...new Set([...OWN_STAGES, ...judges.flatMap((judge) => judge.stages)])];
  if (values.json === true) {
    stdout.write(
      `${JSON.stringify({ file: chooseConfig(file).name, values: shown, stages, judges, changers }, null, 2)}\n`,
    );
  } else {
    stdout.write(`${formatValues(shown)}\n${formatOrder(stages, judges, changers)}`);
  }
  await filter.close();
  return 0;
}

function formatValues(shown: ReturnType<typeof configuredValues>): string {
  const lines: string[] = [];
  let section = '';
  for (const value of shown) {
    if (value.section !== section) lines.push('', `[${value.section}]`);
    section = value.section;
    const origin = value.origin === 'default' ? 'default' : `line ${value.origin}`;
    lines.push(`${`${value.key} = ${printable(shownValue(value.value))}`.padEnd(60)}  # ${origin}`);
  }
  return `${lines.join('\n')}\n`;
}

function formatOrder(
  stages: readonly string[],
  judges: OpenedFilter['judges'],
  changers: readonly string[],
): string {
  const table = judges.map(({ name, stages: own }) => `  ${name.padEnd(20)} ${own.join(' ')}`);
  return [
    `Stages that come to the filter: ${stages.join(' ')}`,
    '',
    'Modules that judge, in this order, and at which stages:',
    ...(table.length === 0 ? ['  none'] : table),
    '',
    `Then it is decided. Those that change messages then do so in this order: ${changers.join(' ') || 'none does'}`,
    '',
  ].join('\n');
}
