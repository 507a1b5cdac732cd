/** Logs for programs. */
import type { LogFields, Logger } from '../index.ts';
import { escapeUnseen, logText } from '../logger.ts';

/** Writes one JSON object for each line: time, level, message and the fields. Debug is left out. */
export function makeJsonLogger(out: NodeJS.WritableStream): Logger {
  const write = (level: string, fields: LogFields, message: string): void => {
    const line = { time: new Date().toISOString(), level, message, ...fields };
    out.write(`${escapeUnseen(toJson(line))}\n`);
  };
  return {
    debug: () => {},
    info: (fields, message) => write('info', fields, message),
    warn: (fields, message) => write('warn', fields, message),
    error: (fields, message) => write('error', fields, message),
  };
}

function toJson(line: LogFields): string {
  try {
    return JSON.stringify(line, (_, value: unknown) => (value instanceof Error ? plain(value) : value));
  } catch {
    // JSON has neither circles nor BigInts: what is no text becomes text then.
    const texts = Object.entries(line).map(([name, value]) => [
      name,
      typeof value === 'string' ? value : logText(value),
    ]);
    return JSON.stringify(Object.fromEntries(texts));
  }
}

/** The properties of an error that JSON would leave out. */
function plain(error: Error): LogFields {
  const { name, message, stack, cause } = error;
  return { ...error, name, message, stack, cause };
}
