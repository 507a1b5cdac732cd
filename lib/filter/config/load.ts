/** Reads a configuration: a file or a text becomes values that are checked and made, or all its faults at once. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Config } from './config.ts';
import { dictionariesOf } from './dictionaries.ts';
import { FilterConfigError } from './faults.ts';
import { type FindModule, findModule } from './find-module.ts';
import { ListFiles } from './lists/files.ts';
import { ConfigReader } from './reader.ts';
import type { Ours } from './reading.ts';
import { checkTogether } from './together.ts';
import { parseToml, TomlFault, type TomlText } from './toml.ts';

/** How a configuration is read. */
export interface ReadConfigOptions {
  /** Where relative paths begin. @default that of `file`, else the current folder */
  readonly directory?: string;
  /** What faults call the text. @default 'milter.toml' */
  readonly file?: string;
  /** @default process.env */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Those of the configuration that this one is to follow: lists that both have are not read again. */
  readonly files?: ListFiles;
  /** The folder of stored things, in place of what the configuration says: it stays as it is while a filter runs. */
  readonly data?: string;
  /**
   * To see what would become of a message: all that modules store is below `data`, even what the configuration puts
   * elsewhere. @default false
   */
  readonly trial?: boolean;
  /** @default by name, path or package */
  readonly findModule?: FindModule;
}

/**
 * Reads a configuration file, and all that it names.
 * @throws FilterConfigError with everything that is wrong
 */
export async function loadConfig(
  path: string,
  options: Omit<ReadConfigOptions, 'file'> = {},
): Promise<Config> {
  let text: string;
  try {
    // A pipe that was read once would be waited for in vain.
    if (options.files !== undefined && !(await stat(path)).isFile()) throw new Error('it is no file');
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    const { message } = error as Error;
    const why = error instanceof TypeError ? 'is no text in UTF-8' : `cannot be read: ${message}`;
    throw new FilterConfigError([{ file: path, line: 0, column: 0, key: '', message: why }]);
  }
  return parseConfig(text, { directory: dirname(resolve(path)), ...options, file: path });
}

/**
 * Reads the text of a configuration, and all files that it names.
 * @throws FilterConfigError with everything that is wrong
 */
export async function parseConfig(text: string, options: ReadConfigOptions = {}): Promise<Config> {
  const { file = 'milter.toml', environment = process.env, trial = false } = options;
  const files = new ListFiles(options.files);
  const directory = resolve(options.directory ?? (options.file === undefined ? '.' : dirname(options.file)));
  const toml = readText(text, file);
  const ours: Ours = { has: () => false };
  const data = options.data ?? dataFolder(toml, directory);
  const surroundings = { directory, data, environment, files, ours, trial };
  const reader = new ConfigReader(file, toml, surroundings, options.findModule ?? findModule);
  const settings = reader.settings();
  const modules = await reader.modules(settings?.on_error ?? 'tempfail');
  files.settle();
  checkTogether(settings, modules, reader);
  if (settings === undefined || reader.faults.length > 0) throw new FilterConfigError(reader.faults);
  const dictionaries = dictionariesOf(settings.store.url, trial ? dataFolder(toml, directory) : data);
  return { file, directory, settings, modules, files, ours, dictionaries, text: toml };
}

function readText(text: string, file: string): TomlText {
  try {
    return parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlFault)) throw error;
    throw new FilterConfigError([{ file, ...error.position, key: '', message: error.message }]);
  }
}

/** Stored things are relative to it, so it is needed before anything is read. */
function dataFolder({ values }: TomlText, directory: string): string {
  const { data = '/var/lib/milter' } = values as { readonly data?: unknown };
  return resolve(directory, typeof data === 'string' ? data : '.');
}
