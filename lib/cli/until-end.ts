/** How `milter run` and `milter dns` end: by a signal, by itself, or by code of a filter that gets out of hand. */
import { constants } from 'node:os';
import type { CloseOptions, LogFields, Logger } from '../index.ts';

/** Two signals within this time count as one: npm passes on the Ctrl-C which the terminal has sent to all already. */
const SAME_SIGNAL_MS = 500;

/** A server, whatever it serves. */
export interface Ending {
  readonly address: string;
  close(grace: CloseOptions): Promise<unknown>;
  /** Resolves when it has ended, to why, if that was by itself. */
  readonly closed?: Promise<unknown>;
}

/** What runs until then. */
export interface Lifetime {
  readonly servers: readonly Ending[];
  readonly grace: CloseOptions;
  readonly logger: Logger;
  /** What SIGHUP does. @default it ends the command as SIGTERM does */
  readonly reload?: () => void;
  /** Told when the end begins. */
  readonly closing?: () => void;
  /** What is to be done when the servers are closed. */
  readonly closed?: () => Promise<void>;
}

/** Closes the servers on a signal, or when one of them ends, and resolves to the exit status. */
export function untilEnd({ servers, grace, logger, reload, closing, closed }: Lifetime): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<number>();
  const address = servers.map((server) => server.address).join(' ');
  let closingSince: number | undefined;
  const closeAll = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close(grace)));
    await closed?.();
  };
  const close = (status: number, why: LogFields): void => {
    closingSince ??= performance.now();
    logger.info({ ...why, address }, 'closing');
    closing?.();
    closeAll().then(
      () => resolve(status),
      (error: unknown) => {
        logger.error({ error }, 'closing failed');
        resolve(1);
      },
    );
  };
  const onEnd = (signal: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): void => {
    if (closingSince === undefined) close(0, { signal });
    else if (performance.now() - closingSince > SAME_SIGNAL_MS) process.exit(128 + constants.signals[signal]);
  };
  process.on('SIGTERM', onEnd);
  process.on('SIGINT', onEnd);
  process.on('SIGHUP', reload ?? onEnd);
  process.on('unhandledRejection', (error) => {
    logger.error({ error }, 'a promise was rejected outside of every handler');
  });
  process.on('uncaughtException', (error) => {
    logger.error({ error }, 'an error was thrown outside of every handler');
    close(1, {});
  });
  for (const server of servers) {
    // An end by itself has been logged.
    void server.closed?.then((reason) => {
      if (reason !== undefined && closingSince === undefined) close(1, {});
    });
  }
  return promise;
}
