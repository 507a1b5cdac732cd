/** Where the server reports. */
import { inspect } from 'node:util';

/** Fields come first and the sentence second, as in pino. */
export interface Logger {
  /** What only helps to follow the program. */
  debug(fields: LogFields, message: string): void;
  /** What is as it should be: listening, a verdict, closing. */
  info(fields: LogFields, message: string): void;
  /** What works, and may not be meant so. */
  warn(fields: LogFields, message: string): void;
  /** What failed: a handler, a change, the server. */
  error(fields: LogFields, message: string): void;
}

/** What a line of the log is about, by name, such as `session`, `queueId` and `stage`; `error` holds an Error. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Hands lines on to `logger`, each with these fields before its own. */
export function withFields(logger: Logger, fields: () => LogFields): Logger {
  return {
    debug: (own, message) => logger.debug({ ...fields(), ...own }, message),
    info: (own, message) => logger.info({ ...fields(), ...own }, message),
    warn: (own, message) => logger.warn({ ...fields(), ...own }, message),
    error: (own, message) => logger.error({ ...fields(), ...own }, message),
  };
}

/** Writes nothing. */
export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/**
 * Hands lines on to `logger`, whatever comes of that: a line that cannot be written costs no mail. What `logger` throws, or
 * rejects with, goes to standard error with the line.
 */
export function careful(logger: Logger): Logger {
  const at =
    (level: keyof Logger): Logger[keyof Logger] =>
    (fields, message) => {
      const lost = (error: unknown): void =>
        stderrLogger.error({ ...fields, error }, `the logger failed at: ${message}`);
      try {
        const written: unknown = logger[level](fields, message);
        if (written instanceof Promise) written.catch(lost);
      } catch (error) {
        lost(error);
      }
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Writes one line to standard error: level, sentence, fields. Debug is left out. */
export const stderrLogger: Logger = {
  debug: () => {},
  info: (fields, message) => write('info', fields, message),
  warn: (fields, message) => write('warn', fields, message),
  error: (fields, message) => write('error', fields, message),
};

function write(level: string, fields: LogFields, message: string): void {
  const shown = Object.entries(fields ?? {})
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${logText(value)}`);
  process.stderr.write(`milter: ${level}: ${escapeControls([message, ...shown].join(' '))}\n`);
}

/** Causes of causes are shown so far. */
const MAX_CAUSES = 5;

/**
 * Any value as the log has it: an error with its stack, which is where its author looks; a word as it is; else JSON, or where
 * that cannot be, what Node would print.
 */
export function logText(value: unknown): string {
  try {
    return value instanceof Error ? errorText(value, 0) : plainText(value);
  } catch {
    return '(a value that throws when it is read)';
  }
}

function errorText(error: Error, depth: number): string {
  const { stack, message, cause } = error;
  const own = String(stack ?? message);
  if (cause === undefined) return own;
  const isError = cause instanceof Error;
  if (isError && depth === MAX_CAUSES) return `${own}\n    …`;
  return `${own}\n  caused by: ${isError ? errorText(cause, depth + 1) : plainText(cause)}`;
}

function plainText(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:@<>/-]+$/.test(value)) return value;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    // A circle, or a BigInt.
    return inspect(value, { breakLength: Number.POSITIVE_INFINITY });
  }
}

/**
 * What steers a terminal, turns the direction of text, or ends a line, as `\uXXXX`: text from mail does none of that. JSON stays
 * JSON.
 */
export function escapeUnseen(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

/** The same of what an exception may quote too: nothing begins a line that looks like one of ours; only those of a stack stay. */
function escapeControls(text: string): string {
  return text
    .split(/\n(?= {4}(?:at |…)| {2}caused by: )/)
    .map((line) => line.split('\n').map(escapeUnseen).join('\\n'))
    .join('\n');
}
