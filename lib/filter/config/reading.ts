/**
 * What values are read with: zod hands nothing to a schema but the value, so the surroundings are set for as long as
 * one parse takes, which is synchronous.
 */
import { ListFiles } from './lists/files.ts';

/** The surroundings of a configuration. */
export interface Reading {
  /** The folder that `file:` paths begin at. */
  readonly directory: string;
  /** The folder that stored things are in. */
  readonly data: string;
  /** For `env:NAME`, and for `credential:NAME` its CREDENTIALS_DIRECTORY. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The files of lists, which are read anew when they change. */
  readonly files: ListFiles;
  /** Which domains are ours; asked when a list is, since it is known only when all modules are set up. */
  readonly ours: Ours;
  /** Stored things are below `data` wherever the configuration puts them. */
  readonly trial?: boolean;
}

/** Whether a domain, as {@link aLabels} writes it, is ours. Settable once, by who knows. */
export interface Ours {
  has: (domain: string) => boolean;
}

/** For schemas that are used by themselves, as tests of a module do: this folder, and no domain is ours. */
function ownReading(): Reading {
  const directory = process.cwd();
  const ours: Ours = { has: () => false };
  return { directory, data: directory, environment: process.env, files: new ListFiles(), ours };
}

let current: Reading | undefined;

/** The surroundings of the parse under way. */
export function reading(): Reading {
  return current ?? ownReading();
}

/** Runs one parse in its surroundings. */
export function readWith<T>(surroundings: Reading, parse: () => T): T {
  const before = current;
  current = surroundings;
  try {
    return parse();
  } finally {
    current = before;
  }
}
