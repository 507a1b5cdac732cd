/**
 * Runs a filter on libmilter.
 */
import { MilterError } from '../errors.ts';
import { type Filter, isClass } from '../milter/compose.ts';
import { isMilterClass, Milter } from '../milter/milter.ts';
import { checkOptions, integer, type Kinds, optionFault } from '../options.ts';
import { Dispatcher } from '../run/dispatcher.ts';
import { libmilterInfo, loadAddon, type NativeServer } from '../run/native.ts';
import { readOptions, type ServeOptions, type Settings } from './options.ts';
import { removeStaleSocket } from './stale-socket.ts';

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
  const { Server: Native } = loadAddon();
  const { socket } = settings;
  if (settings.removeSocket && socket.unixPath !== '') await removeStaleSocket(socket);
  const starting = new Promise<Server>((resolve, reject) => {
    const ending = Promise.withResolvers<void>();
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
          if (code === '') resolve(new RunningServer(native, dispatcher, address, ending.promise));
          else reject(startFault(settings, code, address));
        },
        stopped: (wanted, result) => {
          if (wanted) ending.resolve();
          else cameHome(native, settings, result);
        },
      },
    );
    const dispatcher = new Dispatcher(native, filter, Milter, settings, settings.logger);
    native.usePlan(dispatcher.initialPlan);
    native.start();
  });
  return starting.catch(rethrow);
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
  readonly #native: NativeServer;
  readonly #dispatcher: Dispatcher;
  readonly #ended: Promise<void>;

  constructor(native: NativeServer, dispatcher: Dispatcher, address: string, ended: Promise<void>) {
    this.#native = native;
    this.#dispatcher = dispatcher;
    this.address = address;
    this.#ended = ended;
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
    await this.#ended;
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

function startFault(settings: Settings, code: string, reason: string): MilterError {
  const { spec } = settings.socket;
  if (code === 'ERR_MILTER_UNSUPPORTED' || code === 'ERR_MILTER_RESOURCE')
    return new MilterError(code, reason);
  if (code === 'ERR_MILTER_ADDRESS_IN_USE') {
    return new MilterError(
      'ERR_MILTER_ADDRESS_IN_USE',
      `${spec}: another program listens there; stop it first`,
    );
  }
  const hint = spec.startsWith('fd:')
    ? ' (not every libmilter knows fd:, and the descriptor must be listening)'
    : '';
  return new MilterError('ERR_MILTER_SOCKET', `cannot listen at ${spec}: ${reason}${hint}`);
}

/** smfi_main() came home by itself. */
function cameHome(native: NativeServer, settings: Settings, result: number): void {
  if (result === 0) {
    // libmilter's own signal thread took a signal that was meant for this process: raise it again.
    settings.logger.warn({}, 'libmilter stopped on a signal');
    process.kill(process.pid, 'SIGTERM');
    return;
  }
  settings.logger.error(
    { socket: settings.socket.spec },
    'libmilter gave up listening (see the mail log); closing',
  );
  native.close(0);
}
