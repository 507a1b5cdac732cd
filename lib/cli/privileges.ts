/** Becoming another user: for a while, and for good. */
import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { MilterError } from '../errors.ts';
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

  /** Makes a folder for the user, where there is none: it may lie where only root can make one. */
  makeFolder(path: string): void {
    if (this.#user === undefined || existsSync(path)) return;
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chownSync(path, this.#user.uid, this.#user.gid);
  }

  #join({ name, gid }: User): void {
    // Node's types do not know it.
    const { initgroups } = process as { initgroups?: (user: string, group: number) => void };
    initgroups?.(name, gid);
  }
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_OPTION', `user: ${message}`);
}
