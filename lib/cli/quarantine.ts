/** The command `milter quarantine`. */
import { userInfo } from 'node:os';
import {
  type Config,
  canSend,
  MetricsRegistry,
  makeLogger,
  type OpenQuarantine,
  openConfig,
  openQuarantine,
  ReviewError,
  type Store,
} from '../filter/index.ts';
import { optionFault, refuseUnknown } from '../options.ts';
import { opening, readChosen } from './config-file.ts';
import {
  allow,
  checkAll,
  deleteItems,
  exportItems,
  list,
  listAllowed,
  release,
  show,
  train,
} from './quarantine-deeds.ts';
import { fault, MOST, OPTIONS, type Values, type Work } from './quarantine-work.ts';
import { type CommandIo, readArguments } from './usage.ts';
import { withStore } from './with-store.ts';

const USAGE = `Usage: milter quarantine list [--search TEXT] [--owner ADDRESS] [--all]
       milter quarantine show ID
       milter quarantine release|delete|export [ID…] [--search TEXT] [--owner ADDRESS]
       milter quarantine train spam|ham [ID…] [--search TEXT] [--owner ADDRESS]
       milter quarantine allow ID
       milter quarantine allowed [--owner ADDRESS] [--remove KIND:ADDRESS]
       milter quarantine check

Looks after messages that the action "quarantine" keeps. A message is held once for each of its recipients. An ID may
be written as its first digits, as many as it takes to tell it from others. It may run beside the filter.

  list      the newest first: ID, when, for whom, from whom, why, and the subject
  show      what is known of a message, and the message itself
  release   sends a message to its owner through [outgoing], as it came; asked again until the mail server takes it
  delete    lets go of it
  export    writes messages as an mbox to standard output or a file; they stay as they are
  train     has the modules that learn know what it is
  allow     lets mail of its sender through to its owner from now on, where it is proved to be of that sender
  allowed   lists such senders, or with --remove takes one out
  check     compares what is held with the files, reads each of them, and mends what can be mended

  --search TEXT       whose sender, From, recipient, subject or finding holds this text
  --owner ADDRESS     only what is held for whom this text is part of
  --all               also what was released or deleted, as long as it is kept
  --limit N           how many are listed (default 50), or done at once (default 1000)
  --ham, --spam       release, delete: have it learned as that before
  --again             release: even what may have been delivered already
  --raw               show: only the message, as it came, to the byte
  --to FILE           release, export: writes to a new file in place of sending it; "-" is standard output
  --config FILE       the configuration (default: that of milter run)
  --json              print JSON
  --help              show this

Exit status: 0 when all of it was done, also when the mail server is to be asked again; 1 when there is no such message,
something cannot be done, or check finds a message that is lost; 2 for wrong arguments.
`;

/** One of them, and what it takes. */
interface Subcommand {
  readonly run: (work: Work) => Promise<number>;
  /** The most IDs. */
  readonly ids: number;
  /** Options besides --config and --json. */
  readonly options: readonly (keyof Values)[];
  /** Whether `--search` and `--owner` may stand in place of IDs. */
  readonly bulk?: boolean;
}

const WHICH = ['search', 'owner', 'limit'] as const;

const subcommands: Readonly<Record<string, Subcommand>> = {
  list: { run: list, ids: 0, options: [...WHICH, 'all'] },
  show: { run: show, ids: 1, options: ['raw'] },
  release: { run: release, ids: MOST, options: [...WHICH, 'to', 'again', 'ham', 'spam'], bulk: true },
  delete: { run: deleteItems, ids: MOST, options: [...WHICH, 'ham', 'spam'], bulk: true },
  export: { run: exportItems, ids: MOST, options: [...WHICH, 'to', 'all'], bulk: true },
  train: { run: train, ids: MOST + 1, options: [...WHICH], bulk: true },
  allow: { run: allow, ids: 1, options: [] },
  allowed: { run: listAllowed, ids: 0, options: ['owner', 'remove'] },
  check: { run: checkAll, ids: 0, options: [] },
};

/** Runs `milter quarantine` with the arguments behind that, and resolves to the exit status. */
export async function runQuarantine(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const [name = '', ...rest] = positionals;
  if (name === '') throw optionFault(`say what to do: ${Object.keys(subcommands).join(', ')}`);
  refuseUnknown('subcommand', [name], Object.keys(subcommands), optionFault);
  const subcommand = subcommands[name];
  if (subcommand === undefined) return 2;
  checkArguments(name, subcommand, rest, values);
  const config = await readChosen(values.config);
  if (name === 'release' && values.to === undefined && !canSend(config.settings.outgoing)) {
    throw fault(
      `${config.file}: [outgoing] says neither smtp nor sendmail; say where mail leaves, or take it with --to FILE`,
    );
  }
  const who = { name: whoAmI(), isAdmin: true };
  return await withStore(config, async (store) => {
    const opened = await open(config, store, name === 'train' || values.ham === true || values.spam === true);
    try {
      return await subcommand.run({ ...opened, config, args: rest, who, values, io });
    } catch (error) {
      if (error instanceof ReviewError || isSystemFault(error)) throw fault(error.message);
      throw error;
    } finally {
      await opened.close();
    }
  });
}

/** With those who learn, all modules are set up; they do nothing by themselves. */
async function open(
  config: Config,
  store: Store,
  learns: boolean,
): Promise<OpenQuarantine & { close(): Promise<void> }> {
  const log = makeLogger({ level: 'error', format: 'text' });
  if (!learns) {
    const parts = { store, log, metrics: new MetricsRegistry(), now: Date.now };
    return { ...openQuarantine(config, parts), close: async () => {} };
  }
  const filter = await opening(
    config.file,
    async () => await openConfig(config, { logger: log, idle: true }),
  );
  return { ...filter.quarantine, close: async () => await filter.close() };
}

function checkArguments(
  name: string,
  { ids, options, bulk = false }: Subcommand,
  rest: readonly string[],
  values: Values,
): void {
  const allowed = ['config', 'json', ...options];
  const wrong = Object.keys(values).find((option) => !allowed.includes(option));
  if (wrong !== undefined) throw optionFault(`--${wrong} does not go with ${name}`);
  if (values.ham === true && values.spam === true) throw optionFault('--ham and --spam exclude each other');
  const given = name === 'train' ? rest.slice(1) : rest;
  if (name === 'train' && rest[0] !== 'spam' && rest[0] !== 'ham')
    throw optionFault('train needs spam or ham, and then which messages');
  const isBulk = bulk && (values.search !== undefined || values.owner !== undefined);
  if (isBulk && given.length > 0) throw optionFault('give IDs, or --search and --owner, and not both');
  if (rest.length > ids)
    throw optionFault(
      `${name} takes ${ids === 0 ? 'no ID' : ids === 1 ? 'one ID' : `${MOST} IDs at most`}, got ${rest.slice(0, 10).join(' ')}`,
    );
  if (ids > 0 && given.length === 0 && !isBulk)
    throw optionFault(
      `${name} needs an ID${bulk ? ', --search or --owner' : ''}; milter quarantine list shows them`,
    );
}

/** For the record. */
function whoAmI(): string {
  const { SUDO_USER } = process.env;
  try {
    return SUDO_USER ?? userInfo().username;
  } catch {
    // A user without a name.
    return String(process.getuid?.() ?? '');
  }
}

function isSystemFault(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
