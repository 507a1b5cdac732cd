/** Becoming another user: for a while, and for good. */
import { chownSync, existsSync, mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { MilterError } from '../errors.ts';
import { makeFoldersSync } from '../folders.ts';
import { show } from '../options.ts';

/** A user of /etc/passwd. */
export interface User {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** The user of this name or number; undefined where /etc/passwd has none. */
export function findUser(account: string | number): User | undefined {
  const wanted = String(account);
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name = '', , uid = '', gid = ''] = line.split(':');
    if (name !== '' && (name === wanted || uid === wanted) && /^\d+$/.test(uid) && /^\d+$/.test(gid)) {
      return { name, uid: Number(uid), gid: Number(gid) };
    }
  }
  return undefined;
}

/** What a command that was started by root does as another user. */
export class Privileges {
  readonly #user: User | undefined;

  /**
   * @param account as the configuration says; undefined: nothing changes
   * @throws MilterError where there is no such user, or the process may not become it
   */
  constructor(account: string | number | undefined) {
    if (account === undefined) return;
    const user = findUser(account);
    if (user === undefined) throw fault(`there is no user ${show(account)} in /etc/passwd`);
    const { getuid } = process;
    if (getuid === undefined || getuid() === user.uid) return;
    if (getuid() !== 0)
      throw fault(`only root can become "${user.name}"; start it as root or as ${user.name}`);
    this.#user = user;
  }

  /** Does something with the user's rights, and takes back those of root. */
  async meanwhile<T>(work: () => Promise<T>): Promise<T> {
    if (this.#user === undefined) return await work();
    const groups = process.getgroups?.() ?? [];
    this.#join(this.#user);
    process.setegid?.(this.#user.gid);
    process.seteuid?.(this.#user.uid);
    try {
      return await work();
    } finally {
      process.seteuid?.(0);
      process.setegid?.(0);
      process.setgroups?.(groups);
    }
  }

  /** Becomes the user for good. */
  drop(): void {
    if (this.#user === undefined) return;
    this.#join(this.#user);
    process.setgid?.(this.#user.gid);
    process.setuid?.(this.#user.uid);
  }

  /**
   * Makes the folder `data` for the user, where there is none: it may lie where only root can make one.
   * @throws MilterError where the user can keep nothing in it; a full disk is no reason, for that passes
   */
  async makeData(path: string): Promise<void> {
    try {
      if (!existsSync(path)) {
        makeFoldersSync(path, 0o700);
        if (this.#user !== undefined) chownSync(path, this.#user.uid, this.#user.gid);
      }
      await this.meanwhile(async () => rmdirSync(mkdtempSync(join(path, '.tried-'))));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && FULL.has(cause.code)) return;
      const why = cause instanceof Error ? cause.message : String(cause);
      const who = this.#user === undefined ? 'the filter' : `user ${show(this.#user.name)}`;
      throw new MilterError('ERR_MILTER_FILTER', `data: ${who} can keep nothing in ${show(path)}: ${why}`, {
        cause,
      });
    }
  }

  #join({ name, gid }: User): void {
    // Node's types do not know it.
    const { initgroups } = process as { initgroups?: (user: string, group: number) => void };
    initgroups?.(name, gid);
  }
}

const FULL: ReadonlySet<unknown> = new Set(['ENOSPC', 'EDQUOT']);

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_OPTION', `user: ${message}`);
}
