/** Where the server reports. */

/** Fields come first and the sentence second, as in pino. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

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
