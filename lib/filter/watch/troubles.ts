/** The last warnings and errors, kept in memory for the status page; all of them are in the log. */
import type { LogFields, Logger } from '../../index.ts';
import { fieldsText } from './log.ts';

/** One of them. */
export interface Trouble {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly level: 'warn' | 'error';
  readonly message: string;
  /** What it is about, as the log writes it. */
  readonly about: string;
}

const MOST = 50;

/** Keeps what passes it on its way to a logger. */
export class Troubles {
  readonly #kept: Trouble[] = [];

  /** The newest last. */
  get kept(): readonly Trouble[] {
    return this.#kept;
  }

  /** A logger that keeps troubles, and hands everything on. */
  watching(logger: () => Logger): Logger {
    return watching(logger, (level, fields, message) => {
      this.#kept.push({ at: Date.now(), level, message, about: fieldsText(fields) });
      if (this.#kept.length > MOST) this.#kept.shift();
    });
  }
}

/** A logger that hands everything on, and tells of warnings and errors. */
export function watching(
  logger: () => Logger,
  keep: (level: Trouble['level'], fields: LogFields, message: string) => void,
): Logger {
  return {
    debug: (fields, message) => logger().debug(fields, message),
    info: (fields, message) => logger().info(fields, message),
    warn: (fields, message) => {
      keep('warn', fields, message);
      logger().warn(fields, message);
    },
    error: (fields, message) => {
      keep('error', fields, message);
      logger().error(fields, message);
    },
  };
}
