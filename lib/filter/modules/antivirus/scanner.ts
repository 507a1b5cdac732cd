/** Who scans: clamd, or a command. So many at once, and none for a while where it is down. */
import { availableParallelism } from 'node:os';
import {
  Clamd,
  type ClamdScan,
  type CommandLine,
  isDown,
  type ScannerAddress,
  scanByCommand,
} from '../../../scanners/index.ts';
import { type AskOptions, Backend, type Services } from '../../kit.ts';

/** Messages that clamd scans at once: as many as it has threads unless told otherwise (MaxThreads). */
const CLAMD_SCANS = 10;
/** Milliseconds, where nobody says. */
export const SCAN_TIME = 60_000;

/** Scans messages. */
export interface VirusScanner {
  /** Has `work` scan what it wants of one message, several pieces at once if it likes. */
  scan<T>(work: (scan: ClamdScan) => Promise<T>, options: AskOptions): Promise<T>;
  close(): void;
}

/** Opens the one that the options name; none where they name none. */
export function openScanner(
  clamd: ScannerAddress | undefined,
  command: CommandLine | undefined,
  services: Services,
): VirusScanner | undefined {
  const backend = (name: string, concurrency: number): Backend =>
    new Backend({
      name,
      concurrency,
      timeout: SCAN_TIME,
      isDown,
      now: services.now,
      counted: { metrics: services.metrics, labels: { module: services.name, backend: name } },
    });
  if (clamd !== undefined) return byClamd(new Clamd(clamd), backend('clamd', CLAMD_SCANS));
  if (command !== undefined) return byCommand(command, backend('command', availableParallelism()));
  return undefined;
}

/** One session for each message. */
function byClamd(clamd: Clamd, backend: Backend): VirusScanner {
  return {
    scan: async (work, options) => await backend.ask((signal) => clamd.scan(signal, work), options),
    close: () => clamd.close(),
  };
}

/** One process for each piece; all of a message's share its time. */
function byCommand(command: CommandLine, backend: Backend): VirusScanner {
  return {
    scan: async (work, { timeout = SCAN_TIME, ...options }) => {
      const end = performance.now() + timeout;
      return await work((pieces) =>
        backend.ask((signal) => scanByCommand(command, pieces, signal), {
          ...options,
          timeout: Math.max(0, end - performance.now()),
        }),
      );
    },
    close: () => {},
  };
}
