/** Where the filter logs: text for people, JSON for machines, or lines with a priority for systemd's journal. */
import type { LogFields, Logger } from '../../index.ts';
import { escapeUnseen } from '../../logger.ts';

/** The levels, the most talkative first. */
const logLevels = ['debug', 'info', 'warn', 'error'] as const;
type Level = (typeof logLevels)[number];

/** What `[log]` says of it. */
export interface LogSettings {
  readonly level: Level;
  /** `auto` is text on a terminal, and JSON elsewhere. */
  readonly format: 'auto' | 'text' | 'json' | 'journal';
}

/** syslog's numbers (RFC 5424 section 6.2.1), as the journal reads them before each line. */
const priorities: Readonly<Record<Level, number>> = { debug: 7, info: 6, warn: 4, error: 3 };

/** What comes from mail may be long, wide and deep; so much of it is logged. */
const MAX_TEXT = 2_000;
const MAX_ITEMS = 100;
const MAX_DEPTH = 3;

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
  const plain = plainFields(fields);
  if (shape === 'json') {
    const time = new Date().toISOString();
    return asJson({ time, level, message: cut(message), ...Object.fromEntries(plain) });
  }
  const text = [escapeUnseen(cut(message)), ...plain.map(asPair)].join(' ');
  return shape === 'journal' ? `<${priorities[level]}>${text}` : `milter: ${level}: ${text}`;
}

/** Fields in one line, as the log writes them. */
export function fieldsText(fields: LogFields): string {
  return plainFields(fields).map(asPair).join(' ');
}

function plainFields(fields: LogFields): readonly (readonly [name: string, value: unknown])[] {
  return Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : [[name.replace(/[^\w.-]/g, '_'), toPlain(value, 1)] as const],
  );
}

function asPair([name, value]: readonly [name: string, value: unknown]): string {
  return `${name}=${asWord(value)}`;
}

/** What JSON can say of it, and not too much: errors become text. */
function toPlain(value: unknown, depth: number): unknown {
  if (value instanceof Error) return cut(errorText(value, 0));
  if (value === null || typeof value === 'number' || typeof value === 'boolean') return value;
  if (typeof value !== 'object') return cut(String(value));
  if (depth > MAX_DEPTH) return '…';
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => toPlain(item, depth + 1));
  const entries = Object.entries(value).slice(0, MAX_ITEMS);
  return Object.fromEntries(entries.map(([name, item]) => [cut(name), toPlain(item, depth + 1)]));
}

function errorText({ message, cause }: Error, depth: number): string {
  return cause instanceof Error && depth < MAX_DEPTH
    ? `${message}; caused by: ${errorText(cause, depth + 1)}`
    : message;
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
}

/** One word as it is, anything else as JSON. */
function asWord(value: unknown): string {
  return typeof value === 'string' && /^[\w.:@<>/,+=-]+$/.test(value) ? value : asJson(value);
}

function asJson(value: unknown): string {
  return escapeUnseen(JSON.stringify(value));
}
