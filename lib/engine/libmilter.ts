/**
 * The engine over the addon: Sendmail's libmilter, loaded when a server is made. What crosses is packed bytes, and only
 * here and in libmilter/ is anything known of them.
 */
import { MilterError } from '../errors.ts';
import { decodeText } from '../text.ts';
import {
  type AnswerParts,
  DEFAULT_CONNECTIONS,
  type EngineOptions,
  type EnginePlan,
  type EngineServer,
  type EngineStats,
  type Ticket,
} from './engine.ts';
import { libmilterInfo, loadAddon, type NativeServer } from './libmilter/addon.ts';
import { packAnswer } from './libmilter/answers.ts';
import { readBatch } from './libmilter/records.ts';
import { startFault } from './start-fault.ts';

/** What select() can wait for, 1,024, without what else has descriptors. */
const SELECT_CONNECTIONS = 900;

/**
 * Makes a server on the user's libmilter.
 * @throws MilterError `ERR_MILTER_LIBRARY`, `ERR_MILTER_UNSUPPORTED`
 */
export function openLibmilter(options: EngineOptions, take: (ticket: Ticket) => void): EngineServer {
  try {
    return new LibmilterServer(options, take);
  } catch (error) {
    throw coded(error);
  }
}

class LibmilterServer implements EngineServer {
  readonly name = 'libmilter';
  readonly maxConnections: number;
  readonly closed: Promise<MilterError | undefined>;
  readonly #options: EngineOptions;
  readonly #native: NativeServer;
  readonly #starting = Promise.withResolvers<string>();
  #reason: MilterError | undefined;

  constructor(options: EngineOptions, take: (ticket: Ticket) => void) {
    this.#options = options;
    const { socket, socketMode, socketGroup, backlog, timeout, debug, maxDataSize } = options;
    const { Server } = loadAddon();
    this.maxConnections = connectionsFor(options);
    const ending = Promise.withResolvers<MilterError | undefined>();
    this.closed = ending.promise;
    const resume = (): void => this.#native.resume();
    this.#native = new Server(
      {
        socket: socket.spec,
        unixPath: socket.unixPath,
        socketMode,
        socketGroup,
        backlog,
        timeoutSeconds: Math.ceil(timeout / 1000),
        debug,
        maxDataSize: maxDataSize ?? 0,
        maxConnections: this.maxConnections,
      },
      {
        batch: (tickets, bodies) => {
          readBatch(tickets, bodies, take);
          // Behind the promises of handlers that are done at once: their answers then go out together.
          queueMicrotask(resume);
        },
        later: () => setImmediate(resume),
        started: (address, code) => {
          if (code === '') this.#starting.resolve(address);
          else void startFault(socket, code, address).then(this.#starting.reject);
        },
        stopped: (wanted, result) => {
          if (wanted) ending.resolve(this.#reason);
          else this.#cameHome(result);
        },
      },
    );
  }

  async start(): Promise<string> {
    this.#native.start();
    return await this.#starting.promise;
  }

  addPlan(plan: EnginePlan): void {
    const { verdict, reply } = plan.onError;
    this.#native.addPlan({ ...plan, onError: { verdict, packed: packAnswer({ reply }) } });
  }

  removePlan(id: number): void {
    this.#native.removePlan(id);
  }

  usePlan(id: number): void {
    this.#native.usePlan(id);
  }

  settle(ticket: number, verdict: number, parts: AnswerParts): boolean {
    const packed = packAnswer(parts);
    return packed === undefined
      ? this.#native.settle(ticket, verdict)
      : this.#native.settle(ticket, verdict, packed);
  }

  lookup(ticket: number, name: string): string | undefined {
    const value = this.#native.lookup(ticket, name);
    return value === undefined ? undefined : decodeText(value);
  }

  close(grace: number): void {
    this.#native.close(grace);
  }

  holdLoop(hold: boolean): void {
    this.#native.holdLoop(hold);
  }

  stats(): EngineStats {
    return this.#native.stats();
  }

  /** smfi_main() came home by itself. */
  #cameHome(result: number): void {
    const { logger, socket } = this.#options;
    if (result === 0) {
      // libmilter's own signal thread took a signal that was meant for this process: raise it again.
      logger.warn({}, 'libmilter stopped on a signal');
      process.kill(process.pid, 'SIGTERM');
      return;
    }
    this.#reason = new MilterError(
      'ERR_MILTER_SOCKET',
      `libmilter gave up listening at ${socket.spec} (the mail log says why)`,
    );
    logger.error({ socket: socket.spec }, `${this.#reason.message}; closing`);
    this.#native.close(0);
  }
}

/** Takes into account what the library at hand cannot do. */
function connectionsFor({ maxConnections, logger }: EngineOptions): number {
  const { path, mendsMacros, usesSelect } = libmilterInfo();
  if (!mendsMacros) {
    logger.debug({ library: path }, "the library's lists of macros are unknown, and not mended");
  }
  const most = usesSelect ? SELECT_CONNECTIONS : Number.POSITIVE_INFINITY;
  if (maxConnections !== undefined && maxConnections > most) {
    logger.warn(
      { maxConnections: most, library: path },
      'the library is built with select(): fewer connections',
    );
  }
  return Math.min(maxConnections ?? DEFAULT_CONNECTIONS, most);
}

/** The addon throws plain errors that carry a code. */
function coded(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  if (error instanceof MilterError || !(error instanceof Error)) return error;
  if (code !== 'ERR_MILTER_LIBRARY' && code !== 'ERR_MILTER_UNSUPPORTED') return error;
  return new MilterError(code, error.message);
}
