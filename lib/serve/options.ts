/**
 * The options of serve(): their defaults, and one clear line for each thing wrong with them.
 */
import { MilterError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { stderrLogger } from '../logger.ts';
import type { OnError } from '../milter/milter.ts';
import { refuseUnknown } from '../options.ts';
import { parseSocket, type Socket } from '../protocol/socket.ts';
import type { DeadlineStage, Deadlines } from '../run/plan.ts';

/** Options of {@link serve}. Durations are in milliseconds. */
export interface ServeOptions {
  /** Where to listen, in libmilter's words: `unix:/path`, `inet:port@host`, `inet6:port@host`, `fd:3`. */
  readonly socket: string;
  /** Permission bits of a unix socket, such as `0o660`. @default what the umask leaves */
  readonly socketMode?: number;
  /** Group id of a unix socket. @default the process's */
  readonly socketGroup?: number;
  /** Whether to remove a socket file at which nobody listens any more. @default true */
  readonly removeSocket?: boolean;
  /** How many connections may wait to be accepted (smfi_setbacklog). @default libmilter's */
  readonly backlog?: number;
  /** How long an MTA may be silent (smfi_settimeout), rounded up to seconds. @default 7 210 000 */
  readonly timeout?: number;
  /** How long handlers may take, by stage. @default 8 000; eom, with the batch it carries, 120 000 */
  readonly deadlines?: Partial<Deadlines>;
  /** What a failing handler is answered with. @default 'tempfail' */
  readonly onError?: OnError;
  /** Bytes of a body that are kept. @default 64 MiB */
  readonly maxBody?: number;
  /** Connections served at once; those beyond are answered with tempfail. @default 1 000 */
  readonly maxConnections?: number;
  /** Where to report. @default one line each on standard error */
  readonly logger?: Logger;
  /** libmilter's own debugging output on standard output, 0 to 6 (smfi_setdbg). @default 0 */
  readonly debug?: number;
  /** The largest packet taken from an MTA, in bytes (smfi_setmaxdatasize). @default 65 535 */
  readonly maxDataSize?: number;
}

/** The options with everything filled in. */
export interface Settings {
  readonly socket: Socket;
  readonly socketMode: number;
  readonly socketGroup: number;
  readonly removeSocket: boolean;
  readonly backlog: number;
  readonly timeoutSeconds: number;
  readonly deadlines: Deadlines;
  readonly onError: OnError;
  readonly maxBody: number;
  readonly maxConnections: number;
  readonly logger: Logger;
  readonly debug: number;
  readonly maxDataSize: number;
}

/** Under the 10 s that Sendmail waits for a reply; eom keeps the MTA patient with progress. */
const defaultDeadlines: Deadlines = {
  connect: 8_000,
  helo: 8_000,
  envfrom: 8_000,
  envrcpt: 8_000,
  data: 8_000,
  unknown: 8_000,
  header: 8_000,
  eoh: 8_000,
  body: 8_000,
  eom: 120_000,
};

const known: Readonly<Record<keyof ServeOptions, true>> = {
  socket: true,
  socketMode: true,
  socketGroup: true,
  removeSocket: true,
  backlog: true,
  timeout: true,
  deadlines: true,
  onError: true,
  maxBody: true,
  maxConnections: true,
  logger: true,
  debug: true,
  maxDataSize: true,
};

const MAX_INT = 0x7fff_ffff;

/**
 * Fills in the defaults.
 * @throws MilterError `ERR_MILTER_OPTION` for an unknown option or an impossible value, `ERR_MILTER_SOCKET` for
 *   the socket
 */
export function readOptions(options: ServeOptions): Settings {
  if (typeof options !== 'object' || options === null)
    throw fault('serve() needs options, at least { socket }');
  refuseUnknown('option', Object.keys(options), Object.keys(known));
  if (options.socket === undefined)
    throw fault('option "socket" is missing, as in { socket: "inet:8894@127.0.0.1" }');
  const number = (name: keyof ServeOptions, least: number, most: number, otherwise: number): number =>
    readNumber(name, options[name], least, most, otherwise);
  return {
    socket: parseSocket(options.socket),
    socketMode: number('socketMode', 0, 0o777, -1),
    socketGroup: number('socketGroup', 0, MAX_INT, -1),
    removeSocket: readFlag('removeSocket', options.removeSocket, true),
    backlog: number('backlog', 1, MAX_INT, 0),
    timeoutSeconds: Math.ceil(number('timeout', 1, MAX_INT, 0) / 1000),
    deadlines: readDeadlines(options.deadlines),
    onError: readOnError(options.onError),
    maxBody: number('maxBody', 0, MAX_INT, 64 * 1024 * 1024),
    maxConnections: number('maxConnections', 1, MAX_INT, 1_000),
    logger: readLogger(options.logger),
    debug: number('debug', 0, 6, 0),
    maxDataSize: number('maxDataSize', 1, MAX_INT, 0),
  };
}

function readNumber(name: string, value: unknown, least: number, most: number, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw fault(`option "${name}" must be an integer from ${least} to ${most}, got ${show(value)}`);
}

function readFlag(name: string, value: unknown, otherwise: boolean): boolean {
  if (value === undefined) return otherwise;
  if (typeof value === 'boolean') return value;
  throw fault(`option "${name}" must be true or false, got ${show(value)}`);
}

function readDeadlines(value: Partial<Deadlines> | undefined): Deadlines {
  if (value === undefined) return defaultDeadlines;
  if (typeof value !== 'object' || value === null)
    throw fault(`option "deadlines" must be an object, got ${show(value)}`);
  const names = Object.keys(defaultDeadlines) as DeadlineStage[];
  refuseUnknown('stage in option "deadlines"', Object.keys(value), names);
  const read = names.map((stage) => [
    stage,
    readNumber(`deadlines.${stage}`, value[stage], 1, MAX_INT, defaultDeadlines[stage]),
  ]);
  return Object.fromEntries(read) as Deadlines;
}

function readOnError(value: unknown): OnError {
  if (value === undefined) return 'tempfail';
  if (value === 'tempfail' || value === 'reject' || value === 'accept' || value === 'continue') return value;
  throw fault(`option "onError" must be tempfail, reject, accept or continue, got ${show(value)}`);
}

function readLogger(value: Logger | undefined): Logger {
  if (value === undefined) return stderrLogger;
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof value?.[level] !== 'function') throw fault(`option "logger" must have a function "${level}"`);
  }
  return value;
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_OPTION', message);
}
