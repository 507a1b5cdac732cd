/** Logs for programs. */
import type { LogFields, Logger } from '../index.ts';

/** Writes one JSON object for each line: time, level, message and the fields. Debug is left out. */
export function makeJsonLogger(out: NodeJS.WritableStream): Logger {
  const write = (level: string, fields: LogFields, message: string): void => {
    const line = { time: new Date().toISOString(), level, message, ...fields };
    out.write(
      `${JSON.stringify(line, (_, value: unknown) => (value instanceof Error ? plain(value) : value))}\n`,
    );
  };
  return {
    debug: () => {},
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}

/** The properties of an error that JSON would leave out. */
function plain(error: Error): LogFields {
  const { name, message, stack, cause } = error;
  return { ...error, name, message, stack, cause };
}
