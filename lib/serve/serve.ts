/**
 * Runs a filter on an engine.
 */
import type { Counter, EngineServer, OpenEngine } from '../engine/engine.ts';
import { openJs } from '../engine/js.ts';
import { libmilterInfo } from '../engine/libmilter/addon.ts';
import { openLibmilter } from '../engine/libmilter.ts';
import { MilterError } from '../errors.ts';
import { type Filter, isClass } from '../milter/compose.ts';
import { isMilterClass, Milter } from '../milter/milter.ts';
import { checkOptions, integer, type Kinds, optionFault } from '../options.ts';
import { Dispatcher } from '../run/dispatcher.ts';
import { clearSocketFile } from '../socket-file.ts';
import { readOptions, type ServeOptions, type Settings } from './options.ts';

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
  const settings = readOptions(options);
  const { socket, logger } = settings;
  warnOfOpenSocket(settings);
  const open = chooseEngine(settings);
  if (socket.unixPath !== '') await clearSocketFile(socket.spec, socket.unixPath, settings.removeSocket);
  const engine = open(settings, (ticket) => dispatcher.take(ticket));
  const dispatcher = new Dispatcher(engine, filter, Milter, settings, logger);
  engine.usePlan(dispatcher.initialPlan);
  return new RunningServer(engine, dispatcher, await engine.start());
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

class RunningServer implements Server {
  readonly address: string;
  readonly engine: Server['engine'];
  readonly closed: Promise<MilterError | undefined>;
  readonly #engine: EngineServer;
  readonly #dispatcher: Dispatcher;

  constructor(engine: EngineServer, dispatcher: Dispatcher, address: string) {
    this.#engine = engine;
    this.#dispatcher = dispatcher;
    this.address = address;
    this.engine = engine.name;
    this.closed = engine.closed;
  }

  stats(): ServerStats {
    const { failures, deadlines } = this.#dispatcher;
    return { ...this.#engine.stats(), failures, deadlines };
  }

  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions('close option', options, CLOSE_KINDS, optionFault);
    const { deadline = DEFAULT_GRACE } = options;
    this.#dispatcher.closing(deadline);
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
