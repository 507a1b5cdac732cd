/** The command `milter init`. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MilterError } from '../errors.ts';
import {
  type ConfigFault,
  FilterConfigError,
  ownJsonSchema,
  ownModules,
  parseConfig,
} from '../filter/index.ts';
import { makeFoldersSync } from '../folders.ts';
import type { Draft } from './draft.ts';
import { carryOver, parseOldConfig } from './old-config.ts';
import { printable } from './printable.ts';
import { starterDraft } from './starter.ts';
import { type CommandIo, oneAtMost, readArguments } from './usage.ts';

const USAGE = `Usage: milter init [--from milter.cfg] [FOLDER]

Writes a commented configuration, FOLDER/milter.toml, and beside it the schema that editors check it by. As written it
refuses and changes nothing: all modules only observe. FOLDER is the current one unless given. Nothing is overwritten.

  --from FILE         carry the milter.cfg of a pymilter (bms.py) over, and list what could not be
  --help              show this

Exit status: 0; 1 when a file is there already or cannot be written; 2 for wrong arguments.
`;

const OPTIONS = { from: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;

/** Runs `milter init` with the arguments behind that, and resolves to the exit status. */
export async function runInit(args: readonly string[], { stdout }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    stdout.write(USAGE);
    return 0;
  }
  const folder = oneAtMost('FOLDER', positionals) ?? '.';
  const file = join(folder, 'milter.toml');
  if (existsSync(file)) throw fault(`${file} is there already, and stays as it is`);
  // Who is not root cannot write where the filter of a whole machine does.
  const draft = starterDraft(process.getuid?.() === 0 ? '/var/lib/milter' : 'data');
  const lost = values.from === undefined ? [] : await migrate(values.from, draft, folder);
  const schema = join(folder, 'milter.schema.json');
  const text = `${JSON.stringify(await ownJsonSchema(), null, 2)}\n`;
  write(folder, file, draft.toText());
  // It is ours, and belongs to this version.
  if (!existsSync(schema) || readFileSync(schema, 'utf8') === text) writeFileSync(schema, text);
  else stdout.write(`${schema} is there already, and stays as it is; this version's is in the package\n`);
  stdout.write(`${file} is written. It refuses and changes nothing yet.\n\n`);
  if (lost.length > 0) {
    stdout.write(`Of ${values.from} this could not be carried over:\n`);
    for (const line of lost) stdout.write(`  ${printable(line)}\n`);
    stdout.write('\n');
  }
  stdout.write(`Next: set domains and internal in it, then
  milter check ${file}
  milter run ${file}
`);
  return 0;
}

/** Carries an old configuration over; what the new one refuses is left out, and told. */
async function migrate(from: string, draft: Draft, directory: string): Promise<readonly string[]> {
  let text: string;
  try {
    text = readFileSync(from, 'utf8');
  } catch (cause) {
    throw fault(`cannot read ${from}`, cause);
  }
  const old = parseOldConfig(text);
  if (old.size === 0) throw fault(`${from} is no milter.cfg: it has no [section]`);
  const lost = [...carryOver(old, draft, from, (name) => Object.hasOwn(ownModules, name))];
  for (;;) {
    const faults = await faultsOf(draft.toText(), directory);
    const dropped = faults.flatMap((one) => drop(draft, one));
    if (dropped.length === 0) break;
    lost.push(...dropped);
  }
  draft.remarks.push(...(lost.length > 0 ? [`Of ${printable(from)} could not be carried over:`] : []));
  draft.remarks.push(...lost.map((line) => `  ${printable(line)}`));
  return lost;
}

async function faultsOf(text: string, directory: string): Promise<readonly ConfigFault[]> {
  try {
    await parseConfig(text, { directory });
    return [];
  } catch (error) {
    if (!(error instanceof FilterConfigError)) throw error;
    return error.faults;
  }
}

/** Takes the key out that a fault is about. */
function drop({ top, tables, modules }: Draft, { key, message }: ConfigFault): string[] {
  const [first = '', second = ''] = key.split(/[.[]/);
  for (const [name, table] of [['', top] as const, ...modules]) {
    const value = table.get(first);
    if (value === undefined) continue;
    const index = /\[(\d+)\]/.exec(key)?.[1];
    // Of a list only the entry.
    if (Array.isArray(value) && index !== undefined)
      table.set(
        first,
        value.filter((_, i) => i !== Number(index)),
      );
    else table.delete(first);
    return [`${name === '' ? '' : `${name}.`}${key}: ${message}`];
  }
  return tables.get(first)?.delete(second) === true ? [`${key}: ${message}`] : [];
}

function write(folder: string, file: string, text: string): void {
  try {
    makeFoldersSync(folder, 0o777);
    writeFileSync(file, text, { flag: 'wx', mode: 0o640 });
  } catch (cause) {
    throw fault(`cannot write ${file}`, cause);
  }
}

function fault(message: string, cause?: unknown): MilterError {
  return new MilterError('ERR_MILTER_UNSUPPORTED', message, { cause });
}
