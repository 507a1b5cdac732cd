/** The command `milter quarantine`. */
import { type FileHandle, open } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { MilterError } from '../errors.ts';
import {
  type Config,
  canSend,
  type HeldItem,
  HeldMail,
  makeLogger,
  openStore,
  type QuarantineReport,
  StoreError,
  send,
} from '../filter/index.ts';
import { optionFault, refuseUnknown } from '../options.ts';
import { readChosen } from './config-file.ts';
import { printable, toJson } from './printable.ts';
import { Privileges } from './privileges.ts';
import { type CommandIo, readArguments, wholeNumber } from './usage.ts';

const USAGE = `Usage: milter quarantine list [--owner ADDRESS] [--all] [--limit N]
       milter quarantine show ID
       milter quarantine release [--to FILE] ID…
       milter quarantine delete ID…
       milter quarantine check

Looks after messages that the action "quarantine" keeps. A message is held once for each of its recipients. An ID may
be written as its first digits, as many as it takes to tell it from others. It may run beside the filter.

  list      the newest first: ID, when, for whom, from whom, why, and the subject
  show      what is known of a message, and the message itself
  release   sends a message to its owner through [outgoing], as it came
  delete    lets go of it
  check     compares what is held with the files, and reads each of them

  --owner ADDRESS     only what is held for whom this text is part of
  --all               also what was released or deleted, as long as it is kept
  --limit N           how many are listed (default 50)
  --raw               show: only the message, as it came, to the byte
  --to FILE           release: writes it to a new file in place of sending it; "-" is standard output
  --config FILE       the configuration (default: that of milter run)
  --json              print JSON
  --help              show this

Exit status: 0 when it was done; 1 when there is no such message, it cannot be done, or check finds a message that is
lost; 2 for wrong arguments.
`;

const OPTIONS = {
  owner: { type: 'string' },
  all: { type: 'boolean' },
  limit: { type: 'string' },
  raw: { type: 'boolean' },
  to: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

type Values = ReturnType<typeof readArguments<typeof OPTIONS>>['values'];

/** What a subcommand works with. */
interface Work {
  readonly quarantine: HeldMail;
  readonly config: Config;
  readonly ids: readonly string[];
  /** Who does it. */
  readonly by: string;
  readonly values: Values;
  readonly io: CommandIo;
}

const subcommands: Readonly<Record<string, (work: Work) => Promise<number>>> = {
  list,
  show,
  release,
  delete: deleteItems,
  check,
};

/** Which of them take ids, and how many. */
const MOST_IDS: Readonly<Record<string, number>> = {
  list: 0,
  show: 1,
  release: 1_000,
  delete: 1_000,
  check: 0,
};

/** Runs `milter quarantine` with the arguments behind that, and resolves to the exit status. */
export async function runQuarantine(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const [name = '', ...ids] = positionals;
  if (name === '') throw optionFault(`say what to do: ${Object.keys(subcommands).join(', ')}`);
  refuseUnknown('subcommand', [name], Object.keys(subcommands), optionFault);
  const most = MOST_IDS[name] ?? 0;
  if (ids.length > most)
    throw optionFault(`${name} takes ${most === 0 ? 'no ID' : 'one ID'}, got ${ids.join(' ')}`);
  if (ids.length === 0 && most > 0)
    throw optionFault(`${name} needs an ID; milter quarantine list shows them`);
  const config = await readChosen(values.config);
  const { settings, file } = config;
  const by = whoAmI();
  if (settings.store.url.kind === 'memory') {
    throw fault(`${file}: store.url is "memory:", which nobody but the running filter can look into`);
  }
  const log = makeLogger({ level: 'error', format: 'text' });
  return await new Privileges(settings.user).meanwhile(async () => {
    const store = await openStore(settings.store.url, { now: Date.now, log });
    try {
      const quarantine = new HeldMail(settings.quarantine, settings.data, {
        store: store.part('quarantine'),
        log,
        now: Date.now,
        hostname: settings.hostname,
      });
      return (await subcommands[name]?.({ quarantine, config, ids, by, values, io })) ?? 2;
    } catch (error) {
      if (error instanceof StoreError || isSystemFault(error)) throw fault(error.message);
      throw error;
    } finally {
      await store.close();
    }
  });
}

async function list({ quarantine, values, io }: Work): Promise<number> {
  const limit = wholeNumber('limit', values.limit) ?? 50;
  const wanted = values.owner?.toLowerCase() ?? '';
  const items: HeldItem[] = [];
  for await (const item of quarantine.list()) {
    const isListed = values.all === true || item.state === 'held' || item.state === 'releasing';
    if (isListed && item.owner.includes(wanted)) items.push(item);
  }
  const shown = items.sort((a, b) => b.at - a.at || a.owner.localeCompare(b.owner)).slice(0, limit);
  if (values.json === true) {
    io.stdout.write(toJson(shown));
    return 0;
  }
  for (const item of shown) io.stdout.write(`${formatLine(item)}\n`);
  if (items.length === 0) io.stdout.write('Nothing is held.\n');
  else if (shown.length < items.length)
    io.stdout.write(`… and ${items.length - shown.length} older ones (--limit)\n`);
  return 0;
}

async function show({ quarantine, ids, values, io }: Work): Promise<number> {
  const item = await find(quarantine, ids[0] ?? '');
  const message = isThere(item) ? await quarantine.read(item) : undefined;
  if (values.raw === true) {
    if (message === undefined) throw fault(`${item.id} is ${item.state}, and its message is gone`);
    io.stdout.write(message);
  } else if (values.json === true) {
    io.stdout.write(toJson({ ...item, message: message?.toString('latin1') }));
  } else {
    io.stdout.write(`${formatItem(item)}\n`);
    // One line of the message is one of the output; what could steer a terminal is shown as it is.
    for (const line of message?.toString('utf8').split(/\r?\n/) ?? [])
      io.stdout.write(`${printable(line)}\n`);
  }
  return 0;
}

async function release({ quarantine, config, ids, by, values, io }: Work): Promise<number> {
  const { settings, file } = config;
  if (values.to === undefined && !canSend(settings.outgoing)) {
    throw fault(
      `${file}: [outgoing] says neither smtp nor sendmail; say where mail leaves, or take it with --to FILE`,
    );
  }
  if (values.to !== undefined && ids.length > 1) throw optionFault('--to takes one message');
  const items = await findAll(quarantine, ids);
  for (const item of items) {
    const done = await quarantine.release(item, by, async ({ sender, recipient }, message) => {
      if (values.to === undefined) await send(settings, { sender, recipient, message });
      // A file is for a person, or for a mail server that does not pass the filter.
      else await writeOut(values.to, await quarantine.read(item), io);
    });
    if (!done) throw fault(`${item.id} is not held any more`);
    if (values.to !== '-') io.stdout.write(`released ${item.id} to ${printable(values.to ?? item.owner)}\n`);
  }
  return 0;
}

async function deleteItems({ quarantine, ids, by, io }: Work): Promise<number> {
  for (const item of await findAll(quarantine, ids)) {
    if (!(await quarantine.delete(item, by))) throw fault(`${item.id} is not held any more`);
    io.stdout.write(`deleted ${item.id} of ${printable(item.owner)}\n`);
  }
  return 0;
}

async function check({ quarantine, config, values, io }: Work): Promise<number> {
  const report = await quarantine.check();
  if (values.json === true) io.stdout.write(toJson(report));
  else io.stdout.write(formatReport(report, config));
  return report.lost.length === 0 ? 0 : 1;
}

function formatReport({ held, files, bytes, lost, orphans }: QuarantineReport, config: Config): string {
  const { path = '', max_size: most } = config.settings.quarantine;
  const lines = [
    `${held} held, in ${files} files of ${bytes} bytes, ${Math.round((100 * bytes) / most)} % of max_size`,
    ...lost.map(({ item, fault: wrong }) => `lost: ${item.id} for ${item.owner}: ${wrong}`),
    ...orphans.map((name) => `nobody's: ${path}/${name}`),
  ];
  if (orphans.length > 0) {
    lines.push(
      'Files that are nobody’s are left by crashes before the MTA was answered; they go when they are as old as `keep`.',
    );
  }
  return `${lines.map(printable).join('\n')}\n`;
}

/** All of them, before anything is done to the first. */
async function findAll(quarantine: HeldMail, ids: readonly string[]): Promise<readonly HeldItem[]> {
  const items: HeldItem[] = [];
  for (const id of ids) items.push(await find(quarantine, id));
  return items;
}

async function find(quarantine: HeldMail, id: string): Promise<HeldItem> {
  const [item, ...others] = await quarantine.find(id);
  if (item === undefined) throw fault(`there is no message "${printable(id)}"`);
  if (others.length > 0) {
    throw fault(
      `${others.length + 1} messages begin with ${id}: ${[item, ...others].map((one) => one.id).join(' ')}`,
    );
  }
  return item;
}

function isThere({ state }: HeldItem): boolean {
  return state === 'held' || state === 'releasing';
}

async function writeOut(path: string, message: Buffer, { stdout }: CommandIo): Promise<void> {
  if (path === '-') {
    await new Promise((resolve) => stdout.write(message, resolve));
    return;
  }
  let file: FileHandle;
  try {
    file = await open(path, 'wx', 0o600);
  } catch (error) {
    if (isSystemFault(error)) throw fault(`--to: ${error.message}`);
    throw error;
  }
  try {
    await file.writeFile(message);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Enough of the id for a person. */
function formatLine(item: HeldItem): string {
  const { id, at, state, owner, sender, findings, subject } = item;
  const why = findings
    .filter(({ action }) => action === 'quarantine')
    .map(({ name }) => name)
    .join(',');
  const fields = [
    id.slice(0, 12),
    toTime(at),
    ...(state === 'held' ? [] : [state]),
    owner,
    sender,
    why,
    subject,
  ];
  return fields.map(printable).join('  ');
}

function formatItem(item: HeldItem): string {
  const { client, findings, changed, by } = item;
  const lines: readonly (readonly [string, string])[] = [
    ['id', item.id],
    ['state', changed === undefined ? item.state : `${item.state} by ${by ?? '?'}, ${toTime(changed)}`],
    ['held', toTime(item.at)],
    ['ref', item.ref],
    ['owner', item.owner],
    ['sender', item.sender],
    ['client', `${client.hostname} [${client.address ?? 'local'}], HELO ${client.helo}`],
    ['points', String(item.points)],
    ['size', `${item.size} bytes`],
    ['file', `${item.sha256}.eml.gz on ${item.host}`],
    ...findings.map(({ name, action, subject, note }): readonly [string, string] => [
      'found',
      [name, `(${action})`, subject, note ?? ''].filter((text) => text !== '').join(' '),
    ]),
  ];
  return `${lines.map(([name, text]) => printable(`${`${name}:`.padEnd(8)}${text}`)).join('\n')}\n`;
}

function toTime(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z');
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
