/**
 * The engine that speaks the milter protocol on Node's own sockets, with nothing native. It does what libmilter and the
 * addon do; where libmilter itself is at fault it does the right thing (docs/engines.md).
 */
import type { Duplex } from 'node:stream';
import { setAlarm, stopAlarm } from '../alarm.ts';
import { MilterError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { CHUNK_SIZE } from '../protocol/frames.ts';
import {
  type AnswerParts,
  DEFAULT_CONNECTIONS,
  type EngineOptions,
  type EnginePlan,
  type EngineServer,
  type EngineStats,
  type Ticket,
} from './engine.ts';
import { Connection, type ConnectionHost, LAST_WORDS } from './js/connection.ts';
import type { Line } from './js/line.ts';
import { type Listener, listen } from './js/listener.ts';
import type { Asker } from './js/questions.ts';
import { Session, type SessionHost } from './js/session.ts';

/** The longest that Node's timers take, in milliseconds. */
const LONGEST_TIMER = 0x7fff_ffff;

/** Those that listen. What waits in them is answered also where the process ends. */
const listening = new Set<JsServer>();

function cutOffAll(): void {
  for (const server of listening) server.cutOff();
}

/** Makes a server. It may also be given connections that it did not accept itself. */
export function openJs(options: EngineOptions, take: (ticket: Ticket) => void): JsServer {
  return new JsServer(options, take);
}

class JsServer implements EngineServer, SessionHost, ConnectionHost {
  readonly name = 'js';
  readonly maxConnections: number;
  readonly take: (ticket: Ticket) => void;
  readonly logger: Logger;
  readonly maxDataSize: number;
  readonly timeout: number;
  readonly closed: Promise<MilterError | undefined>;
  draining = false;
  readonly #options: EngineOptions;
  readonly #ending = Promise.withResolvers<MilterError | undefined>();
  readonly #plans = new Map<number, EnginePlan>();
  #plan: EnginePlan | undefined;
  readonly #connections = new Set<Connection>();
  /** Those who wait for an answer, by ticket. */
  readonly #waiting = new Map<number, Asker>();
  #runnable: Connection[] = [];
  #lastSession = 0;
  #lastTicket = 0;
  #served = 0;
  #refusing = false;
  #held = true;
  #listener: Listener | undefined;
  #reason: MilterError | undefined;
  readonly #sessions = { created: 0, freed: 0 };
  readonly #messages = { created: 0, freed: 0 };
  readonly #tickets = { created: 0, freed: 0 };

  constructor(options: EngineOptions, take: (ticket: Ticket) => void) {
    this.#options = options;
    this.take = take;
    this.logger = options.logger;
    this.maxDataSize = options.maxDataSize ?? CHUNK_SIZE;
    this.timeout = options.timeout;
    this.maxConnections = options.maxConnections ?? DEFAULT_CONNECTIONS;
    this.closed = this.#ending.promise;
  }

  async start(): Promise<string> {
    const listener = await listen(this.#options, (socket) => this.accept(socket, listener.isTcp));
    this.#listener = listener;
    listener.server.on('error', (cause) => {
      const { spec } = this.#options.socket;
      this.#reason = new MilterError('ERR_MILTER_SOCKET', `listening at ${spec} failed: ${cause.message}`, {
        cause,
      });
      this.logger.error({ socket: spec }, `${this.#reason.message}; closing`);
      this.close(0);
    });
    this.holdLoop(this.#held);
    // One look at all now and then costs less than a timer for each.
    const sweeper = setInterval(() => this.#sweep(), Math.min(this.timeout / 4, LONGEST_TIMER)).unref();
    if (listening.size === 0) process.on('exit', cutOffAll);
    listening.add(this);
    void this.closed.then(() => {
      clearInterval(sweeper);
      listening.delete(this);
      if (listening.size === 0) process.off('exit', cutOffAll);
    });
    return listener.address;
  }

  /** Serves an MTA on a stream. */
  accept(stream: Duplex, isTcp: boolean): Connection {
    const connection = new Connection(this, stream, isTcp);
    this.#connections.add(connection);
    if (!this.#held) connection.hold(false);
    if (this.draining) connection.hangUp();
    return connection;
  }

  addPlan(plan: EnginePlan): void {
    this.#plans.set(plan.id, plan);
    this.#plan ??= plan;
  }

  removePlan(id: number): void {
    if (id === this.#plan?.id || !this.#plans.delete(id))
      throw new TypeError(`plan ${id} is not there, or in use`);
  }

  usePlan(id: number): void {
    const plan = this.#plans.get(id);
    if (plan === undefined) throw new TypeError(`there is no plan ${id}`);
    this.#plan = plan;
  }

  plan(id: number): EnginePlan | undefined {
    return this.#plans.get(id);
  }

  settle(ticket: number, verdict: number, parts: AnswerParts): boolean {
    return this.#waiting.get(ticket)?.settle(ticket, verdict, parts) ?? false;
  }

  lookup(ticket: number, name: string): string | undefined {
    return this.#waiting.get(ticket)?.lookup(name);
  }

  holdLoop(hold: boolean): void {
    this.#held = hold;
    if (hold) this.#listener?.server.ref();
    else this.#listener?.server.unref();
    for (const connection of this.#connections) connection.hold(hold);
  }

  stats(): EngineStats {
    return {
      sessions: { ...this.#sessions },
      messages: { ...this.#messages },
      tickets: { ...this.#tickets },
    };
  }

  close(grace: number): void {
    if (this.draining) return;
    this.draining = true;
    this.#listener?.close();
    for (const connection of this.#connections) connection.drain();
    this.#after(grace, () => this.cutOff());
    this.#endWhenEmpty();
  }

  // For sessions.

  openTicket(asker: Asker): number {
    if (this.#refusing) return 0;
    // After four billion tickets the numbers begin again. 0 means: waits for no answer.
    do this.#lastTicket = (this.#lastTicket + 1) >>> 0;
    while (this.#lastTicket === 0 || this.#waiting.has(this.#lastTicket));
    this.#waiting.set(this.#lastTicket, asker);
    this.#tickets.created++;
    return this.#lastTicket;
  }

  closeTicket(id: number): void {
    if (this.#waiting.delete(id)) this.#tickets.freed++;
  }

  messageBegan(): void {
    this.#messages.created++;
  }

  messageEnded(): void {
    this.#messages.freed++;
  }

  // For connections.

  openSession(line: Line): Session | undefined {
    if (this.draining || this.#plan === undefined) return undefined;
    const refused = this.#served >= this.maxConnections;
    if (!refused) this.#served++;
    this.#sessions.created++;
    this.#lastSession++;
    return new Session(this, line, this.#lastSession, this.#plan, refused);
  }

  sessionEnded(session: Session): void {
    if (!session.refused) this.#served--;
    this.#sessions.freed++;
  }

  later(connection: Connection): void {
    this.#runnable.push(connection);
    // Behind the promises of handlers that are done at once.
    if (this.#runnable.length === 1) queueMicrotask(() => this.#run());
  }

  gone(connection: Connection): void {
    this.#connections.delete(connection);
    this.#endWhenEmpty();
  }

  #run(): void {
    const runnable = this.#runnable;
    this.#runnable = [];
    for (const connection of runnable) connection.handleMore();
  }

  #sweep(): void {
    const now = performance.now();
    for (const connection of this.#connections) connection.sweep(now);
  }

  /** The grace is over: what waits is answered with tempfail. */
  cutOff(): void {
    this.#refusing = true;
    for (const connection of this.#connections) {
      connection.cutOff();
      connection.handleMore();
    }
    this.#after(LAST_WORDS, () => {
      for (const connection of this.#connections) connection.destroy();
    });
  }

  /** Does something in so many milliseconds, and no sooner, unless all has ended by then. */
  #after(milliseconds: number, act: () => void): void {
    const alarm = setAlarm(milliseconds, act);
    void this.closed.then(() => stopAlarm(alarm));
  }

  #endWhenEmpty(): void {
    if (this.draining && this.#connections.size === 0) this.#ending.resolve(this.#reason);
  }
}
