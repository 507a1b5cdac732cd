/**
 * Who may sign in: a file with a line for each, `NAME ROLE ADDRESSES PASSWORD`, written by `milter user` and read anew when
 * it has changed.
 */
import { randomUUID } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BadValue } from '../config/faults.ts';
import { addresses } from '../config/kinds.ts';
import type { AddressList } from '../config/lists/addresses.ts';
import { type FileRights, writeSafely } from '../safe-file.ts';
import { isPasswordHash } from './passwords.ts';

/** One who may sign in. */
export interface Account {
  readonly name: string;
  /** Sees all mail, the status and the configuration. */
  readonly isAdmin: boolean;
  /** Whose mail it is, in lower case: addresses, domains, globs, as in an address list. */
  readonly addresses: readonly string[];
  /** As {@link hashPassword} makes it. */
  readonly password: string;
}

/** An account whose addresses can be asked. */
export interface KnownAccount extends Account {
  readonly owned: AddressList;
}

const MAX_FILE = 4 * 1024 * 1024;
const HEAD = '# Who may sign in to the page of the quarantine; written by `milter user`.\n';

/**
 * The name of an account, as it is compared.
 * @throws BadValue for what cannot be one
 */
export function accountName(text: string): string {
  const name = text.normalize('NFC').toLowerCase();
  if (/^[\p{L}\p{N}][\p{L}\p{N}\p{M}_.@+-]{0,127}$/u.test(name)) return name;
  throw new BadValue('must be letters, digits and _ . @ + -, 128 at most');
}

/**
 * The addresses of an account, from `a@example.com,b@example.com`.
 * @throws BadValue for what is no list of addresses
 */
export function accountAddresses(text: string): readonly string[] {
  const entries = text
    .split(',')
    .map((entry) => entry.trim().normalize('NFC').toLowerCase())
    .filter((entry) => entry !== '');
  readList(entries);
  return entries;
}

function readList(entries: readonly string[]): AddressList {
  for (const entry of entries) {
    if (/\s/.test(entry)) throw new BadValue(`"${entry}" has a blank in it`);
    if (entry.startsWith('file:')) throw new BadValue(`"${entry}": files cannot be named here`);
  }
  const read = addresses().safeParse([...entries]);
  if (!read.success) throw new BadValue(read.error.issues.map(({ message }) => message).join('; '));
  return read.data;
}

/**
 * Reads a file of accounts.
 * @throws BadValue with the number of the line that has a fault
 */
export function parseAccounts(text: string): ReadonlyMap<string, KnownAccount> {
  const accounts = new Map<string, KnownAccount>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const fault = (why: string): BadValue => new BadValue(`line ${index + 1} ${why}`);
    const [given = '', role = '', list = '', password = '', ...more] = line.trim().split(/ +/);
    if (more.length > 0 || password === '') throw fault('is not "NAME ROLE ADDRESSES PASSWORD"');
    if (role !== 'admin' && role !== 'user') throw fault('has a role that is neither "admin" nor "user"');
    if (!isPasswordHash(password)) throw fault('has a password that `milter user` did not make');
    try {
      const name = accountName(given);
      const entries = list === '-' ? [] : accountAddresses(list);
      if (accounts.has(name)) throw new BadValue(`names ${name} a second time`);
      const isAdmin = role === 'admin';
      accounts.set(name, { name, isAdmin, addresses: entries, password, owned: readList(entries) });
    } catch (error) {
      throw error instanceof BadValue ? fault(`is damaged: ${error.message}`) : error;
    }
  }
  return accounts;
}

function formatAccounts(accounts: Iterable<Account>): string {
  const lines = [...accounts]
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, isAdmin, addresses: list, password }) => {
      const owned = list.length === 0 ? '-' : list.join(',');
      return `${name} ${isAdmin ? 'admin' : 'user'} ${owned} ${password}\n`;
    });
  return `${HEAD}${lines.join('')}`;
}

/** What an opened file of accounts is. */
interface Opened {
  readonly file: FileHandle;
  readonly stat: BigIntStats;
}

async function openFile(path: string): Promise<Opened | undefined> {
  let file: FileHandle;
  try {
    // Whatever lies there: nobody waits for a pipe.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return { file, stat: await file.stat({ bigint: true }) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function readOpened({ file, stat }: Opened): Promise<string> {
  if (!stat.isFile()) throw new BadValue('is no file');
  if (stat.size > MAX_FILE) throw new BadValue('is too large');
  return await file.readFile('utf8');
}

function versionOf({ mtimeNs, size, ino }: BigIntStats): string {
  return `${mtimeNs} ${size} ${ino}`;
}

/** What is known of a file of accounts. */
export interface AccountsFile {
  readonly accounts: ReadonlyMap<string, KnownAccount>;
  /** Permission bits; undefined where there is no file yet. */
  readonly mode: number | undefined;
}

/**
 * Reads the file now; without one there are no accounts.
 * @throws BadValue for what is wrong in it, and what the system says where it cannot be read
 */
export async function readAccounts(path: string): Promise<AccountsFile> {
  const opened = await openFile(path);
  if (opened === undefined) return { accounts: new Map(), mode: undefined };
  try {
    return { accounts: parseAccounts(await readOpened(opened)), mode: Number(opened.stat.mode) & 0o777 };
  } finally {
    await opened.file.close();
  }
}

/** Writes the file, whole or not at all, for its owner's eyes alone. */
export async function writeAccounts(
  path: string,
  accounts: Iterable<Account>,
  owner?: FileRights['owner'],
): Promise<void> {
  const temporary = join(dirname(path), `.accounts-${randomUUID()}`);
  await writeSafely([Buffer.from(formatAccounts(accounts))], temporary, () => path, { mode: 0o600, owner });
}

/** The accounts as they are at the moment. */
export class Accounts {
  readonly #path: string;
  readonly #complain: (error: unknown) => void;
  #version = '';
  #known: ReadonlyMap<string, KnownAccount> = new Map();
  #reading: Promise<ReadonlyMap<string, KnownAccount>> | undefined;

  /** @param complain told once of each version that cannot be read; the one before stays */
  constructor(path: string, complain: (error: unknown) => void) {
    this.#path = path;
    this.#complain = complain;
  }

  /** Where they are. */
  get path(): string {
    return this.#path;
  }

  /** The account of that name, undefined where there is none. Never rejects. */
  async find(name: string): Promise<KnownAccount | undefined> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    return (await this.#reading).get(name);
  }

  async #read(): Promise<ReadonlyMap<string, KnownAccount>> {
    let opened: Opened | undefined;
    let version = 'none';
    try {
      opened = await openFile(this.#path);
      if (opened !== undefined) version = versionOf(opened.stat);
      if (version !== this.#version) {
        this.#known = opened === undefined ? new Map() : parseAccounts(await readOpened(opened));
      }
    } catch (error) {
      if (version === 'none') version = `failed: ${error instanceof Error ? error.message : String(error)}`;
      if (version !== this.#version) this.#complain(error);
    } finally {
      await opened?.file.close();
    }
    this.#version = version;
    return this.#known;
  }
}
