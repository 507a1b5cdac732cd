/** Where the server reports. */

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

/** Writes one line to standard error: level, sentence, fields. Debug is left out. */
export const stderrLogger: Logger = {
  debug: () => {},
  info: (fields, message) => write('info', fields, message),
  warn: (fields, message) => write('warn', fields, message),
  error: (fields, message) => write('error', fields, message),
};

function write(level: string, fields: LogFields, message: string): void {
  const shown = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${show(value)}`);
  process.stderr.write(`milter: ${level}: ${[message, ...shown].join(' ')}\n`);
}

/** An error with its stack, which is where its author looks; anything else in one line. */
function show(value: unknown): string {
  if (value instanceof Error) {
    const cause = value.cause === undefined ? '' : `\n  caused by: ${show(value.cause)}`;
    return `${value.stack ?? value.message}${cause}`;
  }
  return typeof value === 'string' && /^[\w.:@<>/-]+$/.test(value) ? value : JSON.stringify(value);
}
