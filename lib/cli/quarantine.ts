/** The command `milter quarantine`. */
import { userInfo } from 'node:os';
import { MilterError } from '../errors.ts';
import {
  asMboxEntry,
  type Config,
  canSend,
  comparableAddress,
  fromLine,
  type HeldItem,
  MetricsRegistry,
  makeLogger,
  type OpenQuarantine,
  openConfig,
  openQuarantine,
  ReviewError,
  type Reviewer,
  type Store,
  type Trained,
} from '../filter/index.ts';
import { optionFault, refuseUnknown } from '../options.ts';
import { opening, readChosen } from './config-file.ts';
import { printable, toJson } from './printable.ts';
import { formatItem, formatLine, formatReport } from './quarantine-text.ts';
import { type CommandIo, readArguments, wholeNumber } from './usage.ts';
import { withStore } from './with-store.ts';
import { openSink } from './write-out.ts';

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

const OPTIONS = {
  search: { type: 'string' },
  owner: { type: 'string' },
  all: { type: 'boolean' },
  limit: { type: 'string' },
  ham: { type: 'boolean' },
  spam: { type: 'boolean' },
  again: { type: 'boolean' },
  raw: { type: 'boolean' },
  to: { type: 'string' },
  remove: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof readArguments<typeof OPTIONS>>['values'];

/** What a subcommand works with. */
interface Work extends OpenQuarantine {
  readonly config: Config;
  /** What stands behind the subcommand. */
  readonly args: readonly string[];
  /** Who does it. */
  readonly who: Reviewer;
  readonly values: Values;
  readonly io: CommandIo;
}

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

const MOST = 1_000;
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

async function list({ review, who, values, io }: Work): Promise<number> {
  const limit = wholeNumber('limit', values.limit) ?? 50;
  const which = values.all === true ? 'all' : 'open';
  const { items, isMore } = await select({ review, who, values }, which, limit);
  if (values.json === true) {
    io.stdout.write(toJson(items));
    return 0;
  }
  for (const item of items) io.stdout.write(`${formatLine(item)}\n`);
  if (items.length === 0) io.stdout.write('Nothing is held.\n');
  else if (isMore) io.stdout.write('… and older ones (--limit)\n');
  return 0;
}

async function show({ review, held, who, args, values, io }: Work): Promise<number> {
  const item = await find(held, args[0] ?? '');
  const isThere = item.state !== 'released' && item.state !== 'deleted' && item.state !== 'lost';
  if (values.raw === true) {
    if (!isThere) throw fault(`${item.id} is ${item.state}, and its message is gone`);
    io.stdout.write(await review.read(who, item.id));
    return 0;
  }
  const message = isThere ? await review.read(who, item.id) : undefined;
  if (values.json === true) {
    io.stdout.write(toJson({ ...item, message: message?.toString('latin1') }));
    return 0;
  }
  io.stdout.write(`${formatItem(item)}\n`);
  // One line of the message is one of the output; what could steer a terminal is shown as it is.
  for (const line of message?.toString('utf8').split(/\r?\n/) ?? []) io.stdout.write(`${printable(line)}\n`);
  return 0;
}

async function release(work: Work): Promise<number> {
  const { review, who, values, io } = work;
  const items = await chosen(work);
  const { to, again = false } = values;
  if (to !== undefined && items.length > 1) throw optionFault('--to takes one message');
  return await each(work, items, async (item) => {
    await trainBefore(work, item);
    if (to !== undefined) {
      const { outcome, ...rest } = await review.release(who, item.id, {
        again,
        deliver: async (_, handing) => {
          await using sink = await openSink(to, io);
          await handing();
          // A file is for a person, or for a mail server that does not pass the filter.
          await sink.write(await work.held.read(item));
          await sink.finish();
        },
      });
      if (outcome === 'failed') throw fault(rest.item.fault ?? 'it could not be written');
      return to === '-' ? undefined : `released ${item.id} to ${printable(to)}`;
    }
    const released = await review.release(who, item.id, { again });
    switch (released.outcome) {
      case 'released':
        return `released ${item.id} to ${printable(item.owner)}`;
      case 'waiting':
        return `releasing ${item.id} to ${printable(item.owner)}: ${printable(released.fault ?? `another process sends it, on ${item.host}`)}; the filter that runs asks again`;
      case 'failed':
        throw fault(
          `${item.id} ${released.item.doubtful === true ? 'may have been delivered, or not' : 'could not be released'}: ${released.fault}`,
        );
    }
  });
}

async function deleteItems(work: Work): Promise<number> {
  return await each(work, await chosen(work), async (item) => {
    await trainBefore(work, item);
    await work.review.delete(work.who, item.id);
    return `deleted ${item.id} of ${printable(item.owner)}`;
  });
}

async function train(work: Work): Promise<number> {
  const [as = ''] = work.args;
  return await each(work, await chosen({ ...work, args: work.args.slice(1) }), async (item) => {
    const trained = await work.review.train(work.who, item.id, as === 'spam' ? 'spam' : 'ham');
    return trainedLine(item, as, trained);
  });
}

async function exportItems(work: Work): Promise<number> {
  const { review, who, values, io } = work;
  const items = await chosen(work, values.all === true ? 'all' : 'open');
  await using sink = await openSink(values.to ?? '-', io);
  let status = 0;
  let written = 0;
  // As they came, the oldest first.
  for (const item of items.toReversed()) {
    try {
      const message = await review.read(who, item.id);
      for (const piece of asMboxEntry([message], fromLine(item.sender, item.at))) await sink.write(piece);
      written++;
    } catch (error) {
      if (!(error instanceof ReviewError)) throw error;
      io.stderr.write(`milter quarantine: ${item.id}: ${printable(error.message)}\n`);
      status = 1;
    }
  }
  await sink.finish();
  if ((values.to ?? '-') !== '-') {
    const said = `${written} ${written === 1 ? 'message is' : 'messages are'} in ${printable(values.to ?? '')}`;
    io.stdout.write(values.json === true ? toJson({ messages: written, to: values.to }) : `${said}\n`);
  }
  return status;
}

async function allow({ review, held, who, args, io }: Work): Promise<number> {
  const item = await find(held, args[0] ?? '');
  const { kind, address, owner } = await review.allow(who, item.id);
  io.stdout.write(`${printable(owner)} always allows ${kind}:${printable(address)}\n`);
  return 0;
}

async function listAllowed({ review, allowed, who, values, io }: Work): Promise<number> {
  const owner = values.owner === undefined ? undefined : comparableAddress(values.owner);
  if (values.remove === undefined) {
    const entries = [];
    for await (const entry of allowed.list(owner)) entries.push(entry);
    if (values.json === true) io.stdout.write(toJson(entries));
    else if (entries.length === 0) io.stdout.write('Nobody is allowed.\n');
    else
      for (const { owner: whose, kind, address, by } of entries)
        io.stdout.write(`${printable(`${whose}  ${kind}:${address}  by ${by}`)}\n`);
    return 0;
  }
  const [, kind, address = ''] = /^(from|sender):(.+)$/.exec(values.remove) ?? [];
  if (owner === undefined || (kind !== 'from' && kind !== 'sender'))
    throw optionFault('--remove takes from:ADDRESS or sender:ADDRESS, and needs --owner');
  if (!(await review.disallow(who, { owner, kind, address: comparableAddress(address) })))
    throw fault(`${owner} does not allow ${values.remove}`);
  if (values.json !== true) io.stdout.write(`${printable(`${owner} no longer allows ${values.remove}`)}\n`);
  return 0;
}

async function checkAll(work: Work): Promise<number> {
  const { held, config, values, io } = work;
  const report = await work.check();
  if (values.json === true) io.stdout.write(toJson(report));
  else io.stdout.write(formatReport(report, held.folder.path, config.settings.quarantine.max_size));
  return report.lost.length === 0 ? 0 : 1;
}

/** Does it with each; one that cannot be done is told, and the others are. */
async function each(
  { io, values }: Work,
  items: readonly HeldItem[],
  work: (item: HeldItem) => Promise<string | undefined>,
): Promise<number> {
  let status = 0;
  const results: { id: string; done: boolean; text: string }[] = [];
  for (const item of items) {
    let text: string | undefined;
    let done = true;
    try {
      text = await work(item);
    } catch (error) {
      if (!(error instanceof ReviewError || error instanceof MilterError)) throw error;
      text = error.message.includes(item.id) ? error.message : `${item.id}: ${error.message}`;
      done = false;
      status = 1;
    }
    if (values.json === true) results.push({ id: item.id, done, text: text ?? '' });
    else if (!done) io.stderr.write(`milter quarantine: ${printable(text ?? '')}\n`);
    else if (text !== undefined) io.stdout.write(`${text}\n`);
  }
  if (values.json === true && values.to !== '-') io.stdout.write(toJson(results));
  return status;
}

async function trainBefore({ review, who, values, io }: Work, item: HeldItem): Promise<void> {
  if (values.ham !== true && values.spam !== true) return;
  const as = values.ham === true ? 'ham' : 'spam';
  const line = trainedLine(item, as, await review.train(who, item.id, as));
  if (values.to !== '-' && values.json !== true) io.stdout.write(`${line}\n`);
}

function trainedLine(item: HeldItem, as: string, { learned, failed }: Trained): string {
  if (learned.length === 0)
    throw fault(
      `${item.id} was not learned: ${failed.map(({ name, fault }) => `${name}: ${fault}`).join('; ')}`,
    );
  const but = failed.map(({ name, fault }) => `; but ${name} failed: ${fault}`).join('');
  return printable(`${item.id} is ${as}: ${learned.join(', ')} learned it${but}`);
}

/** What the arguments name: IDs, or all that fits. All are found before anything is done to the first. */
async function chosen(work: Work, which: 'open' | 'all' = 'open'): Promise<readonly HeldItem[]> {
  const { held, args, values, io } = work;
  if (args.length > 0) {
    const items: HeldItem[] = [];
    for (const id of args) items.push(await find(held, id));
    return items;
  }
  const { items, isMore } = await select(work, which, wholeNumber('limit', values.limit) ?? MOST);
  if (items.length === 0) throw fault('there is no such message');
  if (isMore)
    io.stderr.write(`milter quarantine: the newest ${items.length} only; there are more (--limit)\n`);
  return items;
}

async function select(
  { review, who, values }: Pick<Work, 'review' | 'who' | 'values'>,
  which: 'open' | 'all',
  limit: number,
): Promise<{ readonly items: readonly HeldItem[]; readonly isMore: boolean }> {
  // Without a domain only its case can be written in two ways.
  const { owner = '' } = values;
  const part = owner.includes('@') ? comparableAddress(owner) : owner.normalize('NFC').toLowerCase();
  const whose = part === '' ? who : { ...who, isAdmin: false, owns: (owner: string) => owner.includes(part) };
  const items: HeldItem[] = [];
  let after: string | undefined;
  do {
    const page = await review.list(whose, {
      // What is searched holds the owner too.
      text: values.search ?? part,
      which,
      limit: Math.min(MOST, limit - items.length),
      ...(after === undefined ? {} : { after }),
    });
    items.push(...page.items);
    after = page.next;
  } while (after !== undefined && items.length < limit);
  return { items, isMore: after !== undefined };
}

async function find(held: OpenQuarantine['held'], id: string): Promise<HeldItem> {
  const [item, ...others] = await held.find(id);
  if (item === undefined) throw fault(`there is no message "${printable(id)}"`);
  if (others.length > 0) {
    throw fault(
      `${others.length + 1} messages begin with ${id}: ${[item, ...others].map((one) => one.id).join(' ')}`,
    );
  }
  return item;
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

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_UNSUPPORTED', message);
}
