/**
 * Runs a filter on an engine.
 */
import type { Counter, EngineServer, OpenEngine, Ticket } from '../engine/engine.ts';
import { openJs } from '../engine/js.ts';
import { libmilterInfo } from '../engine/libmilter/addon.ts';
import { openLibmilter } from '../engine/libmilter.ts';
import type { MilterError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { checkFilter, type Filter } from '../milter/compose.ts';
import { Milter } from '../milter/milter.ts';
import { checkOptions, integer, type Kinds, optionFault } from '../options.ts';
import { Dispatcher } from '../run/dispatcher.ts';
import { clearSocketFile } from '../socket-file.ts';
import { readOptions, type ServeOptions, type Settings } from './options.ts';
import { watchRoom } from './room.ts';
import type { ThreadedServer, ThreadStats } from './threads/served.ts';
import { FilterThreads } from './threads/threads.ts';

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
  /** Where threads serve: what each of them did. */
  readonly threads?: readonly ThreadStats[];
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
  /** Who speaks the milter protocol. */
  readonly engine: 'libmilter' | 'js';
  /** What was served so far. */
  stats(): ServerStats;
  /**
   * Refuses new connections, lets running messages finish, ends idle connections, and stops. May be called
   * again. Rejects with a MilterError `ERR_MILTER_OPTION` for an unknown option or an impossible value.
   */
  close(options?: CloseOptions): Promise<void>;
  /**
   * Resolves when the server has ended, and never rejects: with undefined when it was closed, and with a MilterError
   * `ERR_MILTER_SOCKET` when it ended by itself, because the engine gave up listening.
   */
  readonly closed: Promise<MilterError | undefined>;
  /** Lets the server keep the process alive, as it does from the start. */
  ref(): this;
  /** Lets the process end although the server runs. */
  unref(): this;
}

const DEFAULT_GRACE = 30_000;

/**
 * Serves a Milter class, or what a factory makes for each connection, and resolves when the socket is listening. The
 * `file:` URL of a module is served in threads of their own, so many as {@link ServeOptions.threads} says: each imports
 * the module, whose default export is the class or the factory, and which may export a function `close` for the end.
 * @throws MilterError `ERR_MILTER_OPTION`, `ERR_MILTER_SOCKET`, `ERR_MILTER_ADDRESS_IN_USE`, `ERR_MILTER_LIBRARY`,
 *   `ERR_MILTER_FILTER`, `ERR_MILTER_RESOURCE` or `ERR_MILTER_UNSUPPORTED`; nothing is left half-started
 */
export async function serve(filter: Filter | URL | FilterThreads, options: ServeOptions): Promise<Server> {
  if (filter instanceof URL) {
    const { threads, logger } = readOptions(options);
    const started = await FilterThreads.start(filter, threads, logger);
    try {
      return await serveInThreads(started, options, async () => await started.close());
    } catch (error) {
      await started.close();
      throw error;
    }
  }
  if (filter instanceof FilterThreads) return await serveInThreads(filter, options, async () => {});
  checkFilter(
    'serve()',
    filter,
    'a class that extends Milter, a function that makes one, or the URL of a file',
  );
  const settings = readOptions(options);
  if (settings.threads > 1) {
    throw optionFault(
      'option "threads": threads import the filter themselves, so serve() needs the URL of its file, as in new URL("./filter.ts", import.meta.url)',
    );
  }
  const engine = await openEngine(settings, (ticket) => dispatcher.take(ticket));
  const dispatcher = new Dispatcher(engine, filter, Milter, settings, settings.logger);
  engine.usePlan(dispatcher.initialPlan);
  return new RunningServer(engine, new OwnThread(dispatcher), await engine.start(), settings.logger);
}

/** @param ended what is to be done when the server has ended */
async function serveInThreads(
  threads: FilterThreads,
  options: ServeOptions,
  ended: () => Promise<void>,
): Promise<Server> {
  const settings = readOptions(options);
  const { logger, deadlines, onError, maxBody, logVerdicts } = settings;
  const engine = await openEngine(settings, (ticket) => served.take(ticket));
  const served = await threads
    .attach(engine, { deadlines, onError, maxBody, logVerdicts }, logger)
    .catch((error: unknown) => {
      engine.holdLoop(false);
      throw error;
    });
  try {
    const answering = new OtherThreads(threads, served, ended);
    return new RunningServer(engine, answering, await engine.start(), logger);
  } catch (error) {
    threads.detach(served);
    throw error;
  }
}

async function openEngine(settings: Settings, take: (ticket: Ticket) => void): Promise<EngineServer> {
  const { socket, removeSocket } = settings;
  warnOfOpenSocket(settings);
  const open = chooseEngine(settings);
  if (socket.unixPath !== '') await clearSocketFile(socket.spec, socket.unixPath, removeSocket);
  return open(settings, take);
}

function chooseEngine({ engine, debug, logger }: Settings): OpenEngine {
  if (engine === 'libmilter') return openLibmilter;
  if (engine === 'auto') {
    try {
      libmilterInfo();
      return openLibmilter;
    } catch (error) {
      logger.info(
        { engine: 'js', reason: (error as Error).message },
        'libmilter cannot be loaded: Node.js speaks for it',
      );
    }
  }
  if (debug > 0) logger.warn({ debug }, 'debug is about libmilter, which is not in use');
  return openJs;
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

/** Who answers a server's tickets. */
interface Answering {
  stats(): Pick<ServerStats, 'failures' | 'deadlines' | 'threads'>;
  closing(grace: number): void;
  ended(): Promise<void>;
}

class OwnThread implements Answering {
  readonly #dispatcher: Dispatcher;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  stats(): Pick<ServerStats, 'failures' | 'deadlines'> {
    const { failures, deadlines } = this.#dispatcher;
    return { failures, deadlines };
  }

  closing(grace: number): void {
    this.#dispatcher.closing(grace);
  }

  async ended(): Promise<void> {}
}

class OtherThreads implements Answering {
  readonly #threads: FilterThreads;
  readonly #served: ThreadedServer;
  readonly #ended: () => Promise<void>;

  constructor(threads: FilterThreads, served: ThreadedServer, ended: () => Promise<void>) {
    this.#threads = threads;
    this.#served = served;
    this.#ended = ended;
  }

  stats(): Pick<ServerStats, 'failures' | 'deadlines' | 'threads'> {
    const threads = this.#served.stats();
    const sum = (read: (one: ThreadStats) => number): number =>
      threads.reduce((total, one) => total + read(one), 0);
    return { failures: sum((one) => one.failures), deadlines: sum((one) => one.deadlines), threads };
  }

  closing(grace: number): void {
    this.#threads.closing(this.#served, grace);
  }

  async ended(): Promise<void> {
    this.#threads.detach(this.#served);
    await this.#ended();
  }
}

class RunningServer implements Server {
  readonly address: string;
  readonly engine: Server['engine'];
  readonly closed: Promise<MilterError | undefined>;
  readonly #engine: EngineServer;
  readonly #answering: Answering;

  constructor(engine: EngineServer, answering: Answering, address: string, logger: Logger) {
    this.#engine = engine;
    this.#answering = answering;
    this.address = address;
    this.engine = engine.name;
    watchRoom(engine, logger);
    this.closed = engine.closed.then(async (reason) => {
      await answering.ended();
      return reason;
    });
  }

  stats(): ServerStats {
    return { ...this.#engine.stats(), ...this.#answering.stats() };
  }

  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions('close option', options, CLOSE_KINDS, optionFault);
    const { deadline = DEFAULT_GRACE } = options;
    this.#answering.closing(deadline);
    this.#engine.close(deadline);
    await this.closed;
  }

  ref(): this {
    this.#engine.holdLoop(true);
    return this;
  }

  unref(): this {
    this.#engine.holdLoop(false);
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
