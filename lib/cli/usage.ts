/** What the subcommands share: where they write, and how they read their arguments. */
import { type ParseArgsConfig, parseArgs } from 'node:util';
import { MilterError } from '../errors.ts';
import type { Deadlines } from '../index.ts';
import { optionFault, refuseUnknown } from '../options.ts';

/** Where a command writes. */
export interface CommandIo {
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

type OptionsConfig = NonNullable<ParseArgsConfig['options']>;
type Parsed<T extends OptionsConfig> = ReturnType<
  typeof parseArgs<{ args: string[]; options: T; allowPositionals: true }>
>;

/**
 * Reads options and positional arguments.
 * @throws MilterError `ERR_MILTER_OPTION`; an unknown option names the nearest known one
 */
export function readArguments<const T extends OptionsConfig>(args: readonly string[], options: T): Parsed<T> {
  const config = { args: [...args], options, allowPositionals: true } as const;
  const { tokens } = parseArgs({ ...config, strict: false, tokens: true });
  const given = tokens.flatMap((token) => (token.kind === 'option' ? [token.rawName] : []));
  const names = Object.entries(options).flatMap(([name, { short }]) =>
    short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`],
  );
  refuseUnknown('option', given, names, optionFault);
  try {
    return parseArgs(config);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new MilterError('ERR_MILTER_OPTION', error.message);
  }
}

/**
 * The one argument that may stand beside the options.
 * @throws MilterError `ERR_MILTER_OPTION` where there are more
 */
export function oneAtMost(what: string, positionals: readonly string[]): string | undefined {
  if (positionals.length > 1) throw optionFault(`one ${what} at most, got ${positionals.join(' ')}`);
  return positionals[0];
}

/**
 * Reads `NAME=VALUE`.
 * @throws MilterError `ERR_MILTER_OPTION` when it lacks the `=` or the name
 */
export function readPair(option: string, text: string, example: string): readonly [string, string] {
  const equals = text.indexOf('=');
  if (equals > 0) return [text.slice(0, equals), text.slice(equals + 1)];
  throw new MilterError('ERR_MILTER_OPTION', `${option} is written like ${example}, got "${text}"`);
}

/** What no MTA takes for an envelope address would be judged as nothing that comes by mail. */
export function checkAddress(option: string, text: string): void {
  if (/\p{Cc}/u.test(text) || /\s/.test(text.trim().replace(/"(?:[^"\\]|\\.)*"/g, ''))) {
    throw optionFault(`${option} needs one address, got ${JSON.stringify(text)}`);
  }
}

/** Reads a number that is written in digits; undefined stays undefined. */
export function wholeNumber(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw optionFault(`--${option} needs a whole number, got "${text}"`);
}

/** Reads each `--deadline STAGE=MS`. What is no stage is for serve() to refuse. */
export function readDeadlines(texts: readonly string[] | undefined): Partial<Deadlines> | undefined {
  if (texts === undefined) return undefined;
  const pairs = texts.map((text) => {
    const [stage, time] = readPair('--deadline', text, 'eom=60000');
    return [stage, wholeNumber('deadline', time)] as const;
  });
  return Object.fromEntries(pairs);
}

/** The options that were given. */
export function given<T>(options: { readonly [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}
