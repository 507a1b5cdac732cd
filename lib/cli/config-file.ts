/** Which configuration a command is about. */

import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { MilterError } from '../errors.ts';
import { type Config, loadConfig, parseConfig, type ReadConfig } from '../filter/index.ts';
import { starterText } from './starter.ts';

const DEFAULT_FILE = '/etc/milter/milter.toml';

/** A configuration that can be read again and again. */
export interface ChosenConfig {
  /** Undefined for the built-in starter configuration. */
  readonly path: string | undefined;
  /** As a sentence calls it. */
  readonly name: string;
  readonly read: ReadConfig;
}

/** The file that was given, or else that of `$MILTER_CONFIG`, or /etc/milter/milter.toml if there is one, or the starter. */
export function chooseConfig(given?: string): ChosenConfig {
  const { MILTER_CONFIG = '' } = process.env;
  const path =
    given ?? (MILTER_CONFIG !== '' ? MILTER_CONFIG : existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined);
  if (path !== undefined)
    return { path, name: path, read: async (options) => await loadConfig(path, options) };
  return {
    path: undefined,
    name: 'the starter configuration',
    read: async (options) =>
      await parseConfig(starterText({ data: ownData() }), {
        ...options,
        file: 'starter configuration (no file is named)',
      }),
  };
}

/** For commands that only look: the text of the configuration may be that of a filter that runs elsewhere. */
export async function readChosen(given?: string, options: Parameters<ReadConfig>[0] = {}): Promise<Config> {
  return await chooseConfig(given).read(options);
}

/** Where the starter configuration remembers things: an administrator who tries it may be root or not. */
function ownData(): string {
  const { XDG_STATE_HOME = '' } = process.env;
  if (XDG_STATE_HOME.startsWith('/')) return join(XDG_STATE_HOME, 'milter');
  return process.getuid?.() === 0 ? '/var/lib/milter' : join(homedir(), '.local/state/milter');
}

/** Opens the filter of a configuration: what hinders a module is a sentence, and not a stack. */
export async function opening<T>(name: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof Error) || error instanceof MilterError) throw error;
    throw new MilterError('ERR_MILTER_FILTER', `${name} cannot be opened: ${error.message}`, {
      cause: error,
    });
  }
}
