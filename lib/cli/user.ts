/** The command `milter user`. */
import { stat } from 'node:fs/promises';
import { MilterError } from '../errors.ts';
import {
  type Account,
  accountAddresses,
  accountName,
  BadValue,
  hashPassword,
  MAX_PASSWORD,
  MIN_PASSWORD,
  readAccounts,
  writeAccounts,
} from '../filter/index.ts';
import { optionFault, refuseUnknown } from '../options.ts';
import { readChosen } from './config-file.ts';
import { readHidden } from './password.ts';
import { printable } from './printable.ts';
import { findUser } from './privileges.ts';
import { type CommandIo, readArguments } from './usage.ts';

const USAGE = `Usage: milter user add NAME [--address LIST] [--admin]
       milter user passwd NAME
       milter user remove NAME
       milter user list

Who may sign in to the quarantine's web page: the file that [http] accounts names. A password is asked for twice on a
terminal, and otherwise read as one line from standard input; it is never an argument. A running filter heeds a change
at once, and whoever got another password has to sign in anew.

  add      makes an account, or changes the addresses and rights of one; its password then stays
  passwd   gives an account another password
  remove   takes an account away, and ends its sessions
  list     shows names, rights and addresses

  --address LIST      whose held mail it sees: "a@example.com,b@example.com", "example.com" for all of a domain
  --admin             sees everybody's mail, the status, and the configuration
  --config FILE       the configuration (default: that of milter run)
  --help              show this

Exit status: 0; 1 when there is no such account, or the file cannot be written; 2 for wrong arguments.
`;

const OPTIONS = {
  address: { type: 'string', multiple: true },
  admin: { type: 'boolean' },
  config: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

const SUBCOMMANDS = ['add', 'passwd', 'remove', 'list'];

/** Runs `milter user` with the arguments behind that, and resolves to the exit status. */
export async function runUser(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const [what = '', given = '', ...more] = positionals;
  if (what === '') throw optionFault(`say what to do: ${SUBCOMMANDS.join(', ')}`);
  refuseUnknown('subcommand', [what], SUBCOMMANDS, optionFault);
  if (more.length > 0) throw optionFault(`one NAME, got ${positionals.slice(1).join(' ')}`);
  if ((given === '') !== (what === 'list'))
    throw optionFault(what === 'list' ? 'list takes no NAME' : `${what} needs a NAME`);
  if (what !== 'add' && (values.address !== undefined || values.admin === true))
    throw optionFault('--address and --admin go with add');
  const name = what === 'list' ? '' : checked('NAME', given, accountName);
  const addresses = checked('--address', values.address?.join(',') ?? '', accountAddresses);
  const { settings, file } = await readChosen(values.config);
  const { accounts: path } = settings.http;
  if (path === undefined) {
    throw fault(`${file}: [http] names no accounts; write accounts = "file:accounts" there`);
  }
  const known = new Map<string, Account>((await read(path)).entries());
  const account = known.get(name);
  const write = async (): Promise<void> => await writing(path, settings.user, known.values());
  if (what === 'list') {
    for (const one of known.values()) io.stdout.write(`${printable(formatLine(one))}\n`);
    if (known.size === 0) io.stdout.write('There is no account.\n');
    return 0;
  }
  if (what === 'add') {
    const isAdmin = values.admin === true;
    if (addresses.length === 0 && !isAdmin) {
      throw optionFault(
        name.includes('@')
          ? `say whose mail ${name} sees: --address ${name}`
          : 'say whose mail it is: --address user@example.com, or --admin',
      );
    }
    const password = account?.password ?? (await newPassword(name));
    known.set(name, { name, isAdmin, addresses, password });
    await write();
    io.stdout.write(`${account === undefined ? 'added' : 'changed'} ${formatLine(known.get(name))}\n`);
    return 0;
  }
  if (account === undefined) throw fault(`${path} has no account "${name}"; milter user list shows them`);
  if (what === 'remove') known.delete(name);
  else known.set(name, { ...account, password: await newPassword(name) });
  await write();
  io.stdout.write(what === 'remove' ? `removed ${name}\n` : `${name} has a new password\n`);
  return 0;
}

async function read(path: string): Promise<ReadonlyMap<string, Account>> {
  try {
    return (await readAccounts(path)).accounts;
  } catch (error) {
    throw fault(error instanceof BadValue ? `${path}: ${error.message}` : messageOf(error));
  }
}

/** The file is its user's, as the filter reads it; who is not root can only make it his own. */
async function writing(
  path: string,
  user: string | number | undefined,
  accounts: Iterable<Account>,
): Promise<void> {
  const isRoot = process.getuid?.() === 0;
  const before = await stat(path).catch(() => undefined);
  const wanted = user === undefined ? before : findUser(user);
  if (user !== undefined && wanted === undefined) throw fault(`there is no user "${user}" in /etc/passwd`);
  const owner = isRoot && wanted !== undefined ? { uid: wanted.uid, gid: wanted.gid } : undefined;
  try {
    await writeAccounts(path, accounts, owner);
  } catch (error) {
    throw fault(messageOf(error));
  }
}

async function newPassword(name: string): Promise<string> {
  const password = await readHidden(`Password for ${name}: `);
  if (password.length < MIN_PASSWORD) throw fault(`a password has ${MIN_PASSWORD} characters at least`);
  if (password.length > MAX_PASSWORD) throw fault(`a password has ${MAX_PASSWORD} characters at most`);
  if (process.stdin.isTTY && (await readHidden('Once more: ')) !== password) {
    throw fault('the two are not the same; nothing was changed');
  }
  return await hashPassword(password);
}

function formatLine(account: Account | undefined): string {
  if (account === undefined) return '';
  const { name, isAdmin, addresses } = account;
  return [name, ...(isAdmin ? ['(admin)'] : []), addresses.join(',')].join('  ').trimEnd();
}

function checked<T>(what: string, text: string, check: (text: string) => T): T {
  try {
    return check(text);
  } catch (error) {
    throw error instanceof BadValue ? optionFault(`${what}: ${error.message}`) : error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_UNSUPPORTED', message);
}
