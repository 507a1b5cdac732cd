/** Where the filter logs: text for people, JSON for machines, or lines with a priority for systemd's journal. */
import type { LogFields, Logger } from '../index.ts';

/** The levels, the most talkative first. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof logLevels)[number];

/** What `[log]` says of it. */
export interface LogSettings {
  readonly level: Level;
  /** `auto` is text on a terminal, and JSON elsewhere. */
  readonly format: 'auto' | 'text' | 'json' | 'journal';
}

/** syslog's numbers (RFC 5424 section 6.2.1), as the journal reads them before each line. */
const priorities: Readonly<Record<Level, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/** A field longer than this is cut: some come from mail. */
const MAX_FIELD = 2_000;

/** Makes a logger that writes one line for each message to standard error. */
export function makeLogger({ level, format }: LogSettings): Logger {
  const shape = format === 'auto' ? (process.stderr.isTTY ? 'text' : 'json') : format;
  const least = logLevels.indexOf(level);
  const at =
    (own: Level) =>
    (fields: LogFields, message: string): void => {
      if (logLevels.indexOf(own) >= least) process.stderr.write(`${toLine(shape, own, fields, message)}\n`);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function toLine(
  shape: 'text' | 'json' | 'journal',
  level: Level,
  fields: LogFields,
  message: string,
): string {
  if (shape === 'json') {
    const line = { time: new Date().toISOString(), level, message, ...plainFields(fields) };
    return JSON.stringify(line);
  }
  const shown = Object.entries(plainFields(fields)).map(([name, value]) => `${name}=${asText(value)}`);
  const text = [message, ...shown].join(' ');
  return shape === 'journal' ? `<${priorities[level]}>${text}` : `milter: ${level}: ${text}`;
}

/** Errors become text, undefined fields vanish, long ones are cut. */
function plainFields(fields: LogFields): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (value instanceof Error) plain[name] = errorText(value);
    else
      plain[name] =
        typeof value === 'string' && value.length > MAX_FIELD ? `${value.slice(0, MAX_FIELD)}…` : value;
  }
  return plain;
}

function errorText(error: Error): string {
  const cause = error.cause instanceof Error ? `; caused by: ${errorText(error.cause)}` : '';
  return `${error.message}${cause}`;
}

/** One word as it is, anything else quoted: control characters and line ends of mail stay visible and harmless. */
function asText(value: unknown): string {
  return typeof value === 'string' && /^[\w.:@<>/,+=-]+$/.test(value) ? value : JSON.stringify(value);
}
