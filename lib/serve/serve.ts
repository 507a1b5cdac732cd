/**
 * Runs a filter on libmilter.
 */
import { MilterError } from '../errors.ts';
import { type Filter, isClass } from '../milter/compose.ts';
import { isMilterClass, Milter } from '../milter/milter.ts';
import { checkOptions, integer, type Kinds, optionFault } from '../options.ts';
import { Dispatcher } from '../run/dispatcher.ts';
import { libmilterInfo, loadAddon, type NativeServer } from '../run/native.ts';
import { clearSocketFile } from '../socket-file.ts';
import { readOptions, type ServeOptions, type Settings } from './options.ts';
import { startFault } from './start-fault.ts';

/** How many of something were made, and how many of them are gone. */
export interface Counter {
  /** How many were made since the start. */
  readonly created: number;
  /** How many of those are gone. The rest is under way. */
  readonly freed: number;
}

/** Counters since the start. */
export interface ServerStats {
  /** Connections from MTAs. */
  readonly sessions: Counter;
  /** Messages begun with MAIL. */
  readonly messages: Counter;
  /** Stages that waited for a handler's verdict. */
  readonly tickets: Counter;
  /** Handlers that threw, rejected, or answered with no verdict. */
  readonly failures: number;
  /** Handlers that overran their deadline. */
  readonly deadlines: number;
}

/** Options of {@link Server.close}. */
export interface CloseOptions {
  /** What is not done after so many milliseconds is answered with tempfail. @default 30 000 */
  readonly deadline?: number;
}

const CLOSE_KINDS: Kinds<CloseOptions> = { deadline: integer(0) };

/** A running server. */
export interface Server extends AsyncDisposable {
  /** Where it listens, as a libmilter spec with the real port. */
  readonly address: string;
  /** What was served so far. */
  stats(): ServerStats;
  /**
   * Refuses new connections, lets running messages finish, ends idle connections, and stops libmilter. May be called
   * again. Rejects with a MilterError `ERR_MILTER_OPTION` for an unknown option or an impossible value.
   */
  close(options?: CloseOptions): Promise<void>;
  /**
   * Resolves when the server has ended, and never rejects: with undefined when it was closed, and with a MilterError
   * `ERR_MILTER_SOCKET` when it ended by itself, because libmilter gave up listening.
   */
  readonly closed: Promise<MilterError | undefined>;
  /** Lets the server keep the process alive, as it does from the start. */
  ref(): this;
  /** Lets the process end although the server runs. */
  unref(): this;
}

const DEFAULT_GRACE = 30_000;

/** What select() can wait for, 1,024, without what else has descriptors. */
const SELECT_CONNECTIONS = 900;

/**
 * Serves a Milter class, or what a factory makes for each connection, and resolves when the socket is listening.
 * @throws MilterError `ERR_MILTER_OPTION`, `ERR_MILTER_SOCKET`, `ERR_MILTER_ADDRESS_IN_USE`, `ERR_MILTER_LIBRARY`,
 *   `ERR_MILTER_FILTER`, `ERR_MILTER_RESOURCE` or `ERR_MILTER_UNSUPPORTED`; nothing is left half-started
 */
export async function serve(filter: Filter, options: ServeOptions): Promise<Server> {
  if (typeof filter !== 'function') {
    throw new MilterError(
      'ERR_MILTER_FILTER',
      'serve() needs a class that extends Milter, or a function that makes one',
    );
  }
  if (!isMilterClass(filter) && isClass(filter)) {
    throw new MilterError('ERR_MILTER_FILTER', `class ${filter.name} does not extend Milter`);
  }
  const settings = fitToLibrary(readOptions(options), options);
  warnOfOpenSocket(settings);
  const { Server: Native } = loadAddon();
  const { socket } = settings;
  if (socket.unixPath !== '') await clearSocketFile(socket.spec, socket.unixPath, settings.removeSocket);
  const starting = new Promise<Server>((resolve, reject) => {
    const ending = Promise.withResolvers<MilterError | undefined>();
    let reason: MilterError | undefined;
    const resume = (): void => native.resume();
    const native: NativeServer = new Native(
      { ...settings, socket: socket.spec, unixPath: socket.unixPath },
      {
        batch: (tickets, bodies) => {
          dispatcher.batch(tickets, bodies);
          // Behind the promises of handlers that are done at once: their answers then go out together.
          queueMicrotask(resume);
        },
        later: () => setImmediate(resume),
        started: (address, code) => {
          if (code !== '') void startFault(socket, code, address).then(reject);
          else resolve(new RunningServer(native, dispatcher, address, ending.promise));
        },
        stopped: (wanted, result) => {
          if (wanted) ending.resolve(reason);
          else reason = cameHome(native, settings, result);
        },
      },
    );
    const dispatcher = new Dispatcher(native, filter, Milter, settings, settings.logger);
    native.usePlan(dispatcher.initialPlan);
    native.start();
  });
  return starting.catch(rethrow);
}

/** A host left out is easily forgotten, and whoever reaches the port can use the filter. `@0.0.0.0` is on purpose. */
function warnOfOpenSocket({ socket: { spec }, logger }: Settings): void {
  const [, scheme, port] = /^(inet6?):([^@]+)$/.exec(spec) ?? [];
  if (scheme === undefined) return;
  const loopback = scheme === 'inet6' ? '::1' : '127.0.0.1';
  logger.warn(
    { socket: spec },
    `listening on all addresses, for whoever can reach them; for this machine alone write ${scheme}:${port}@${loopback}`,
  );
}

/** Takes into account what the library at hand cannot do. */
function fitToLibrary(settings: Settings, { maxConnections: asked }: ServeOptions): Settings {
  const { path, mendsMacros, usesSelect } = libmilterInfo();
  const { logger } = settings;
  if (!mendsMacros) {
    logger.debug({ library: path }, "the library's lists of macros are unknown, and not mended");
  }
  const most = usesSelect ? SELECT_CONNECTIONS : Number.POSITIVE_INFINITY;
  if (asked !== undefined && asked > most) {
    logger.warn(
      { maxConnections: most, library: path },
      'the library is built with select(): fewer connections',
    );
  }
  return { ...settings, maxConnections: Math.min(settings.maxConnections, most) };
}

/** The addon throws plain errors that carry a code. */
function rethrow(error: unknown): never {
  const { code } = error as { code?: unknown };
  if (error instanceof MilterError || !(error instanceof Error)) throw error;
  if (code !== 'ERR_MILTER_LIBRARY' && code !== 'ERR_MILTER_UNSUPPORTED') throw error;
  throw new MilterError(code, error.message);
}

class RunningServer implements Server {
  readonly address: string;
  readonly closed: Promise<MilterError | undefined>;
  readonly #native: NativeServer;
  readonly #dispatcher: Dispatcher;

  constructor(
    native: NativeServer,
    dispatcher: Dispatcher,
    address: string,
    closed: Promise<MilterError | undefined>,
  ) {
    this.#native = native;
    this.#dispatcher = dispatcher;
    this.address = address;
    this.closed = closed;
  }

  stats(): ServerStats {
    const { failures, deadlines } = this.#dispatcher;
    return { ...this.#native.stats(), failures, deadlines };
  }

  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions('close option', options, CLOSE_KINDS, optionFault);
    const { deadline = DEFAULT_GRACE } = options;
    this.#dispatcher.closing(deadline);
    this.#native.close(deadline);
    await this.closed;
  }

  ref(): this {
    this.#native.holdLoop(true);
    return this;
  }

  unref(): this {
    this.#native.holdLoop(false);
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** smfi_main() came home by itself. Returns why the server ends, if it does. */
function cameHome(native: NativeServer, settings: Settings, result: number): MilterError | undefined {
  if (result === 0) {
    // libmilter's own signal thread took a signal that was meant for this process: raise it again.
    settings.logger.warn({}, 'libmilter stopped on a signal');
    process.kill(process.pid, 'SIGTERM');
    return undefined;
  }
  const { spec } = settings.socket;
  const reason = new MilterError(
    'ERR_MILTER_SOCKET',
    `libmilter gave up listening at ${spec} (the mail log says why)`,
  );
  settings.logger.error({ socket: spec }, `${reason.message}; closing`);
  native.close(0);
  return reason;
}
