/** Where copies are, and who may read them. */
import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import { sep } from 'node:path';
import { promisify } from 'node:util';
import type { FileRights } from '../../kit.ts';

/** Rights of the files of one place. */
export interface PlaceRights extends FileRights {
  readonly mode: number;
}

/** Who may read a file may enter its folder. */
export function folderRights({ mode }: PlaceRights): number {
  return mode | 0o700 | ((mode & 0o444) >> 2);
}

/**
 * Whether a folder is where its name says: below `base`, and not where a symbolic link leads.
 * @throws Error where it is not
 */
export async function staysBelow(base: string, folder: string): Promise<void> {
  const [top, real] = await Promise.all([realpath(base), realpath(folder)]);
  if (real !== top && !real.startsWith(top === sep ? sep : top + sep)) {
    throw new Error(`${folder} leads out of ${base}, to ${real}`);
  }
}

const run = promisify(execFile);

/**
 * The numbers of a user, or of `user:group`; both may be numbers already.
 * @throws Error where there is no such user or group
 */
export async function accountOf(text: string): Promise<NonNullable<FileRights['owner']>> {
  const [user = '', group] = text.split(':');
  const uid = await numberOf(user, 'user', 'id', ['-u', user]);
  const gid =
    group === undefined
      ? await numberOf(/^\d+$/.test(user) ? `${process.getgid?.() ?? 0}` : user, 'user', 'id', ['-g', user])
      : await numberOf(group, 'group', 'getent', ['group', group]);
  return { uid, gid };
}

async function numberOf(
  name: string,
  what: string,
  program: string,
  args: readonly string[],
): Promise<number> {
  if (/^\d+$/.test(name)) return Number(name);
  try {
    const { stdout } = await run(program, [...args]);
    const digits = /^(?:[^:\n]*:[^:\n]*:)?(\d+)/.exec(stdout)?.[1];
    if (digits !== undefined) return Number(digits);
  } catch {
    // Said below.
  }
  throw new Error(`there is no ${what} "${name}"`);
}
