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
  if (typeof value === 'string' && /^[\w.:@<>/-]+$/.test(value)) return value;
  // JSON leaves some characters that steer a terminal or turn the direction of text.
  const json = JSON.stringify(value) ?? String(value);
  return json.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character.replace(/./gs, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}
