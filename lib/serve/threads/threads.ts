/**
 * Threads that answer what MTAs ask: each imports the filter's file for itself. One that dies is replaced.
 */
import type { EngineServer } from '../../engine/engine.ts';
import { MilterError } from '../../errors.ts';
import type { Logger } from '../../logger.ts';
import type { DispatcherSettings } from '../../run/dispatcher.ts';
import { LOOK_EVERY, Thread, type ThreadHost } from './member.ts';
import { ThreadedServer } from './served.ts';
import type { FromThread, Question, Reply } from './words.ts';

export type { ThreadStats } from './served.ts';

/** The longest pause before a thread is started that died at its start, in milliseconds. */
const LONGEST_PAUSE = 60_000;
const FIRST_PAUSE = 1_000;
/** How much longer than the longest deadline a thread may hang before it is ended, in milliseconds. */
const HANGS_BEYOND = 5_000;

/** A server in these threads. */
interface Attached {
  readonly served: ThreadedServer;
  readonly logger: Logger;
}

/**
 * Threads that several servers share: give them to {@link serve} in place of a filter. Where one server is all,
 * `serve(url, { socket, threads })` does the same.
 */
export class FilterThreads {
  readonly #url: URL;
  readonly #logger: Logger;
  readonly #host: ThreadHost = {
    heard: (thread, message) => this.#heard(thread, message),
    died: (thread, cause) => this.#died(thread, cause),
  };
  readonly #threads = new Set<Thread>();
  readonly #starting = new Set<Thread>();
  readonly #servers = new Map<number, Attached>();
  /** What is awaited of a thread: that it serves a server. */
  readonly #awaited = new Map<string, PromiseWithResolvers<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #watch: NodeJS.Timeout | undefined;
  #lastServer = 0;
  #isOpen = false;
  #isClosing = false;

  private constructor(url: URL, logger: Logger) {
    this.#url = url;
    this.#logger = logger;
  }

  /**
   * Starts `count` threads, each of which imports the file at `url`: its default export is a Milter class, or a function
   * that makes an instance for each connection. If it exports a function `close`, that is awaited when the thread ends.
   * @throws MilterError `ERR_MILTER_FILTER` when the file cannot be imported or exports no filter; nothing is left started
   */
  static async start(url: URL, count: number, logger: Logger): Promise<FilterThreads> {
    if (url.protocol !== 'file:') {
      throw new MilterError('ERR_MILTER_FILTER', `the filter's address must be a file: URL, not ${url.href}`);
    }
    const threads = new FilterThreads(url, logger);
    try {
      // Alone, so that a fault is told once.
      await threads.#start(1);
      await Promise.all(Array.from({ length: count - 1 }, async (_, i) => await threads.#start(i + 2)));
    } catch (error) {
      threads.#isClosing = true;
      await Promise.all([...threads.#threads].map((thread) => thread.terminate()));
      throw error;
    }
    threads.#isOpen = true;
    threads.#watch = setInterval(() => threads.#look(), LOOK_EVERY).unref();
    return threads;
  }

  /** Ends the threads. Servers should be closed by then. May be called again. */
  async close(): Promise<void> {
    this.#isClosing = true;
    clearInterval(this.#watch);
    for (const timer of this.#timers) clearTimeout(timer);
    await Promise.all([
      ...[...this.#threads].map((thread) => thread.end()),
      ...[...this.#starting].map((thread) => thread.terminate()),
    ]);
  }

  /**
   * Has the threads answer the tickets of a server.
   * @internal
   */
  async attach(engine: EngineServer, settings: DispatcherSettings, logger: Logger): Promise<ThreadedServer> {
    const served = new ThreadedServer(++this.#lastServer, engine, settings);
    this.#servers.set(served.number, { served, logger });
    try {
      await Promise.all([...this.#threads].map((thread) => this.#join(thread, served)));
    } catch (error) {
      this.detach(served);
      throw error;
    }
    return served;
  }

  /**
   * The server has ended.
   * @internal
   */
  detach(served: ThreadedServer): void {
    this.#servers.delete(served.number);
    for (const thread of this.#threads) thread.tell({ word: 'closed', server: served.number });
  }

  /**
   * The server closes.
   * @internal
   */
  closing({ number: server }: ThreadedServer, grace: number): void {
    for (const thread of this.#threads) thread.tell({ word: 'closing', server, grace });
  }

  /** Ends threads that hang for good: by then all that waited for them has been answered, as its deadline has passed. */
  #look(): void {
    let longest = 0;
    for (const { served } of this.#servers.values()) longest = Math.max(longest, served.longestDeadline);
    for (const thread of this.#threads) thread.look(longest + HANGS_BEYOND);
  }

  #heard(thread: Thread, message: FromThread): void {
    switch (message.word) {
      case 'ready':
        return;
      case 'fault':
        this.#refuse(thread, new MilterError(message.fault.code, message.fault.message));
        return;
      case 'ask':
        thread.reply(this.#answer(thread, message.question));
        return;
      case 'settle':
        this.#servers.get(message.settling.server)?.served.settle(thread, message.settling);
        return;
    }
    const server = this.#servers.get(message.server);
    if (server === undefined) return;
    switch (message.word) {
      case 'plan':
        try {
          server.served.addPlan(thread, message.plan);
        } catch (error) {
          this.#refuse(thread, error);
        }
        return;
      case 'remove plan':
        server.served.removePlan(thread, message.plan);
        return;
      case 'serving':
        server.served.serving(thread);
        this.#awaited.get(joining(thread, server.served))?.resolve();
        return;
      case 'failed':
        server.served.failed(thread, message.failures, message.deadlines);
        return;
      case 'log':
        server.logger[message.level]({ thread: thread.number, ...message.fields }, message.message);
    }
  }

  #died(thread: Thread, cause: unknown): void {
    const wasServing = this.#threads.delete(thread);
    let owed = 0;
    for (const { served } of this.#servers.values()) owed += served.died(thread);
    this.#refuse(thread, cause);
    if (this.#isClosing || !this.#isOpen || !wasServing) return;
    this.#logger.error(
      { thread: thread.number, owed, error: cause },
      'a thread died: what waited for it was told to come again, and another takes its place',
    );
    this.#replace(thread.number, 0);
  }

  /** Starts a thread, which then takes part in all servers. */
  async #start(number: number): Promise<void> {
    const thread = new Thread(number, this.#url, this.#host);
    this.#starting.add(thread);
    try {
      await thread.started();
      for (const { served } of this.#servers.values()) await this.#join(thread, served);
      if (!thread.isAlive) throw new MilterError('ERR_MILTER_FILTER', 'the thread died');
      this.#threads.add(thread);
    } catch (error) {
      await thread.terminate();
      throw error;
    } finally {
      this.#starting.delete(thread);
    }
  }

  #replace(number: number, pause: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#start(number).catch((error: unknown) => {
        if (this.#isClosing) return;
        const next = Math.min(Math.max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE);
        this.#logger.error(
          { thread: number, error, again: next },
          'a thread could not be started, and is tried again',
        );
        this.#replace(number, next);
      });
    }, pause);
    this.#timers.add(timer.unref());
  }

  async #join(thread: Thread, served: ThreadedServer): Promise<void> {
    const key = joining(thread, served);
    const awaited = Promise.withResolvers<void>();
    this.#awaited.set(key, awaited);
    try {
      thread.hold(true);
      served.join(thread);
      await awaited.promise;
    } finally {
      thread.hold(false);
      this.#awaited.delete(key);
    }
  }

  /** Whatever is awaited of a thread will not come. */
  #refuse(thread: Thread, why: unknown): void {
    for (const { served } of this.#servers.values()) {
      this.#awaited.get(joining(thread, served))?.reject(why);
    }
  }

  #answer(thread: Thread, question: Question): Reply {
    if (question.about === 'settle') {
      return this.#servers.get(question.settling.server)?.served.settle(thread, question.settling) ?? false;
    }
    return this.#servers.get(question.server)?.served.engine.lookup(question.ticket, question.name);
  }
}

function joining(thread: Thread, served: ThreadedServer): string {
  return `${thread.number} ${served.number}`;
}
