/** The command `milter access`. */
import { BadValue, type Config, kinds, StoredAccess } from '../filter/index.ts';
import { optionFault } from '../options.ts';
import { readChosen } from './config-file.ts';
import { printable } from './printable.ts';
import { type CommandIo, readArguments } from './usage.ts';
import { withStore } from './with-store.ts';

const USAGE = `Usage: milter access [options] add KEY VALUE
       milter access [options] remove KEY
       milter access [options] list

Exceptions of the postmaster that are kept in the store, beside those of the access map's file, which go first. A
running filter heeds them within seconds. KEY and VALUE are those of an access map, as docs/modules/access.md says:

  milter access add From:spam.example REJECT
  milter access add SPF-Fail:example.com OK
  milter access add Connect:192.0.2.7 'ERROR:5.7.1:550 Not from there'

  --for TIME          how long the entry holds, such as 12h or 7d (default: for ever)
  --config FILE       the configuration (default: that of milter run)
  --help              show this

Exit status: 0; 1 when there is no such entry to remove, or the store is away; 2 for wrong arguments.
`;

const OPTIONS = {
  for: { type: 'string' },
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs `milter access` with the arguments behind that, and resolves to the exit status. */
export async function runAccess(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const [what, key, ...value] = positionals;
  const isSound =
    what === 'add'
      ? value.length > 0
      : what === 'remove'
        ? value.length === 0 && key !== undefined
        : what === 'list' && key === undefined;
  if (!isSound) throw optionFault('expected add KEY VALUE, remove KEY, or list');
  if (values.for !== undefined && what !== 'add') throw optionFault('--for goes with add');
  const keep = values.for === undefined ? undefined : readDuration(values.for);
  const config = await readChosen(values.config);
  const entry = [key, ...value].join(' ');
  return await withStore(config, async (store) => {
    const access = new StoredAccess(store.part(partOf(config)));
    if (what === 'list') {
      for await (const line of access.list()) io.stdout.write(`${printable(line)}\n`);
      return 0;
    }
    try {
      if (what === 'add') await access.add(entry, keep);
      else if (!(await access.remove(entry))) {
        io.stderr.write(`milter access: there is no entry ${printable(entry)}\n`);
        return 1;
      }
    } catch (error) {
      throw error instanceof BadValue ? optionFault(`${entry}: ${error.message}`) : error;
    }
    if (!config.modules.some(isAccess)) {
      io.stderr.write('milter access: no module "access" is configured, so nobody asks for the entries\n');
    }
    return 0;
  });
}

function isAccess({ definition, mode }: Config['modules'][number]): boolean {
  return definition.name === 'access' && mode !== 'off';
}

/** Where the module looks: while it only observes, apart. */
function partOf({ modules }: Config): string {
  const module = modules.find(isAccess);
  if (module === undefined) return 'access';
  return module.mode === 'observe' ? `${module.name}(observed)` : module.name;
}

function readDuration(text: string): number {
  const read = kinds.duration().safeParse(text);
  if (!read.success) throw optionFault(`--for needs a time such as 12h or 7d, got "${text}"`);
  return read.data;
}
