/**
 * The options of serve(): their defaults, and one clear line for each thing wrong with them.
 */

import { groupId } from '../group.ts';
import type { Logger } from '../logger.ts';
import { careful, stderrLogger } from '../logger.ts';
import type { OnError } from '../milter/milter.ts';
import {
  checkOptions,
  checkValue,
  flag,
  having,
  integer,
  type Kinds,
  object,
  oneOf,
  optionFault,
  refuseUnknown,
  show,
  text,
} from '../options.ts';
import { parseSocket, type Socket } from '../protocol/socket.ts';
import type { DeadlineStage, Deadlines } from '../run/plan.ts';

/** Who speaks the milter protocol. */
export type EngineName = 'libmilter' | 'js' | 'auto';

/** Options of {@link serve}. Durations are in milliseconds. */
export interface ServeOptions {
  /** Where to listen, in libmilter's words: `unix:/path`, `inet:port@host`, `inet6:port@host`, `fd:3`. */
  readonly socket: string;
  /** Permission bits of a unix socket, such as `0o660`. @default what the umask leaves */
  readonly socketMode?: number;
  /** Group of a unix socket: its id, or its name in /etc/group. @default the process's */
  readonly socketGroup?: number | string;
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
  /**
   * Whether to log a line, at level info, for each message that the filter did not just pass: its verdict and reply, the
   * recipients refused, or why it is held; likewise for connections refused. @default false
   */
  readonly logVerdicts?: boolean;
  /** Where to report. @default one line each on standard error */
  readonly logger?: Logger;
  /**
   * Who speaks the milter protocol: `libmilter`, which is Sendmail's own and needs it on this machine; `js`, which is
   * Node.js alone; `auto`, libmilter where it can be loaded, else `js`. @default `$MILTER_ENGINE`, or `libmilter`
   */
  readonly engine?: EngineName;
  /**
   * How many threads of this process serve the connections, where `serve` is given the URL of the filter's file: each with
   * an event loop, and instances of the filter, of its own. @default 1
   */
  readonly threads?: number;
  /** libmilter's own debugging output on standard output, 0 to 6 (smfi_setdbg); the engine `js` has none. @default 0 */
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
  readonly timeout: number;
  readonly deadlines: Deadlines;
  readonly onError: OnError;
  readonly maxBody: number;
  /** Undefined: not asked for. */
  readonly maxConnections: number | undefined;
  readonly logVerdicts: boolean;
  readonly logger: Logger;
  readonly debug: number;
  readonly maxDataSize: number | undefined;
  readonly engine: EngineName;
  readonly threads: number;
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

/** Every duration is held by a C int. */
const duration = integer(1);

const groupIds = integer(0);

const engineName = oneOf('libmilter', 'js', 'auto');

/** For the checker of options. */
export const SERVE_KINDS: Kinds<ServeOptions> = {
  socket: text,
  socketMode: integer(0, 0o777),
  socketGroup: {
    must: 'be a group id or the name of a group',
    accepts: (value): value is number | string => groupIds.accepts(value) || text.accepts(value),
  },
  removeSocket: flag,
  backlog: integer(1),
  timeout: duration,
  deadlines: object(),
  onError: oneOf('tempfail', 'reject', 'accept', 'continue'),
  maxBody: integer(0),
  maxConnections: integer(1),
  logVerdicts: flag,
  logger: having<Logger>('debug', 'info', 'warn', 'error'),
  engine: engineName,
  threads: integer(1, 256),
  debug: integer(0, 6),
  maxDataSize: integer(1),
};

/**
 * Fills in the defaults.
 * @throws MilterError `ERR_MILTER_OPTION` for an unknown option or an impossible value, `ERR_MILTER_SOCKET` for
 *   the socket
 */
export function readOptions(options: ServeOptions): Settings {
  if (typeof options !== 'object' || options === null)
    throw optionFault('serve() needs options, at least { socket }');
  checkOptions('option', options, SERVE_KINDS, optionFault);
  if (options.socket === undefined)
    throw optionFault('option "socket" is missing, as in { socket: "inet:8894@127.0.0.1" }');
  return {
    socket: parseSocket(options.socket),
    socketMode: options.socketMode ?? -1,
    socketGroup: options.socketGroup === undefined ? -1 : readGroup(options.socketGroup),
    removeSocket: options.removeSocket ?? true,
    backlog: options.backlog ?? 0,
    timeout: options.timeout ?? 7_210_000,
    deadlines: readDeadlines(options.deadlines),
    onError: options.onError ?? 'tempfail',
    maxBody: options.maxBody ?? 64 * 1024 * 1024,
    maxConnections: options.maxConnections,
    logVerdicts: options.logVerdicts ?? false,
    logger: careful(options.logger ?? stderrLogger),
    debug: options.debug ?? 0,
    maxDataSize: options.maxDataSize,
    engine: options.engine ?? engineOfEnvironment(),
    threads: options.threads ?? 1,
  };
}

function engineOfEnvironment(): EngineName {
  const { MILTER_ENGINE: name = '' } = process.env;
  if (name === '') return 'libmilter';
  checkValue('MILTER_ENGINE', name, engineName, optionFault);
  return name as EngineName;
}

function readGroup(group: number | string): number {
  const id = groupId(group);
  if (id === undefined) throw optionFault(`option "socketGroup": /etc/group has no group ${show(group)}`);
  return id;
}

function readDeadlines(given: Partial<Deadlines> = {}): Deadlines {
  const stages = Object.keys(defaultDeadlines) as DeadlineStage[];
  refuseUnknown('stage in option "deadlines"', Object.keys(given), stages, optionFault);
  const read = stages.map((stage) => {
    const { [stage]: deadline = defaultDeadlines[stage] } = given;
    checkValue(`option "deadlines.${stage}"`, deadline, duration, optionFault);
    return [stage, deadline];
  });
  return Object.fromEntries(read) as Deadlines;
}
