/** Keeps what Node compiled, so that the command starts faster the next time. */
import { statSync } from 'node:fs';
import nodeModule from 'node:module';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { makeFoldersSync } from '../folders.ts';

/**
 * Has Node keep compiled code in a folder that belongs to whoever runs the command: what lies there is run. It is never the
 * shared folder for temporary files, where others could put code. Where there is no such folder, or it cannot be written,
 * everything works all the same. `NODE_COMPILE_CACHE` and `NODE_DISABLE_COMPILE_CACHE` are Node's own, and come first.
 */
export function keepCompiled(environment: Readonly<Record<string, string | undefined>> = process.env): void {
  const { NODE_COMPILE_CACHE, CACHE_DIRECTORY } = environment;
  // A Node.js that is too old has no such thing, and shall live to say that it is too old.
  if (NODE_COMPILE_CACHE !== undefined || !('enableCompileCache' in nodeModule)) return;
  const folder = cacheFolder(CACHE_DIRECTORY);
  if (folder !== undefined && isOurs(folder)) nodeModule.enableCompileCache(join(folder, 'compiled'));
}

/** What systemd gives (CacheDirectory=), else the account's own: `$HOME` may be that of who called sudo. */
function cacheFolder(directories: string | undefined): string | undefined {
  const [given] = directories?.split(':') ?? [];
  if (given !== undefined && given !== '') return given;
  try {
    return join(userInfo().homedir, '.cache', 'milter');
  } catch {
    return undefined; // An account that is in no list.
  }
}

/** Makes it where it is not there. */
function isOurs(folder: string): boolean {
  try {
    makeFoldersSync(folder, 0o700);
    const { uid, mode } = statSync(folder);
    return uid === process.geteuid?.() && (mode & 0o022) === 0;
  } catch {
    return false;
  }
}
