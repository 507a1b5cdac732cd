/**
 * A thread that serves a filter: imports its file, and answers the tickets that the main thread hands over.
 */
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { type AnswerParts, type Backend, type EnginePlan, Notice } from '../../engine/engine.ts';
import { MilterError } from '../../errors.ts';
import { type LogFields, type Logger, logText } from '../../logger.ts';
import type { Filter } from '../../milter/compose.ts';
import { Milter } from '../../milter/milter.ts';
import { Dispatcher, type DispatcherSettings } from '../../run/dispatcher.ts';
import type { Failure } from '../../run/handlers.ts';
import { loadThreadFile, type ThreadFile } from '../filter-file.ts';
import { packAnswer, UnpackedRecords } from './packed.ts';
import {
  Cell,
  type FromThread,
  type Question,
  type Reply,
  type Settling,
  type ThreadTask,
  type ToThread,
  threadsClock,
} from './words.ts';

/** Milliseconds before the deadline from which on the engine is asked whether an answer came in time. */
const NEARLY_DUE = 250;

const { url, cells, answers } = workerData as ThreadTask;

function tell(message: FromThread, given: ArrayBuffer[] = []): void {
  parentPort?.postMessage(message, given);
}

/** Stands still until the main thread has answered. That never runs code of a filter, and is never long busy. */
function ask(question: Question, given: ArrayBuffer[] = []): Reply {
  Atomics.store(cells, Cell.answered, 0);
  tell({ word: 'ask', question }, given);
  Atomics.wait(cells, Cell.answered, 0);
  return receiveMessageOnPort(answers)?.message as Reply;
}

/** The engine, which is in the main thread. */
class FarEngine implements Backend {
  readonly #server: number;
  /** When the deadlines of open tickets pass. */
  readonly #due = new Map<number, number>();
  #graceEnds = Number.POSITIVE_INFINITY;

  constructor(server: number) {
    this.#server = server;
  }

  opened(ticket: number, due: number): void {
    if (ticket !== 0) this.#due.set(ticket, due);
  }

  /** The engine has answered in our place. */
  answered(ticket: number): void {
    this.#due.delete(ticket);
  }

  closing(grace: number): void {
    this.#graceEnds = threadsClock() + grace;
  }

  addPlan(plan: EnginePlan): void {
    tell({ word: 'plan', server: this.#server, plan });
  }

  removePlan(plan: number): void {
    tell({ word: 'remove plan', server: this.#server, plan });
  }

  settle(ticket: number, verdict: number, parts: AnswerParts): boolean {
    const due = this.#due.get(ticket);
    if (due === undefined) return false;
    this.#due.delete(ticket);
    const given: ArrayBuffer[] = [];
    const settling: Settling = { server: this.#server, ticket, verdict, parts: packAnswer(parts, given) };
    if (threadsClock() >= Math.min(due, this.#graceEnds) - NEARLY_DUE) {
      return ask({ about: 'settle', settling }, given) === true;
    }
    tell({ word: 'settle', settling }, given);
    return true;
  }

  lookup(ticket: number, name: string): string | undefined {
    const value = ask({ about: 'macro', server: this.#server, ticket, name });
    return typeof value === 'string' ? value : undefined;
  }
}

/** Tells the main thread what is to be logged. */
function farLogger(server: number): Logger {
  const at =
    (level: keyof Logger): Logger[keyof Logger] =>
    (fields, message) => {
      try {
        tell({ word: 'log', server, level, fields, message });
      } catch {
        // A value that cannot go to another thread.
        tell({ word: 'log', server, level, fields: plain(fields), message });
      }
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

function plain(fields: LogFields): LogFields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, typeof value === 'string' ? value : logText(value)]),
  );
}

class FarDispatcher extends Dispatcher {
  readonly engine: FarEngine;
  readonly #server: number;

  constructor(server: number, engine: FarEngine, filter: Filter, settings: DispatcherSettings) {
    super(engine, filter, Milter, settings, farLogger(server));
    this.engine = engine;
    this.#server = server;
  }

  override failed(failure: Failure): void {
    super.failed(failure);
    const { failures, deadlines } = this;
    tell({ word: 'failed', server: this.#server, failures, deadlines });
  }
}

const dispatchers = new Map<number, FarDispatcher>();

function hear({ filter, close }: ThreadFile, message: ToThread): void {
  switch (message.word) {
    case 'serve': {
      const { server, settings } = message;
      try {
        const dispatcher = new FarDispatcher(server, new FarEngine(server), filter, settings);
        dispatchers.set(server, dispatcher);
        tell({ word: 'serving', server, plan: dispatcher.initialPlan });
      } catch (error) {
        tellFault(error);
      }
      return;
    }
    case 'ticket': {
      const { server, due, records, ...ticket } = message;
      const dispatcher = dispatchers.get(server);
      if (dispatcher === undefined) return;
      if (ticket.stage < Notice.expired) dispatcher.engine.opened(ticket.id, due);
      else if (ticket.stage === Notice.expired || ticket.stage === Notice.refused)
        dispatcher.engine.answered(ticket.id);
      dispatcher.take({ ...ticket, records: new UnpackedRecords(records) });
      return;
    }
    case 'closing': {
      const dispatcher = dispatchers.get(message.server);
      dispatcher?.closing(message.grace);
      dispatcher?.engine.closing(message.grace);
      return;
    }
    case 'closed':
      dispatchers.delete(message.server);
      return;
    case 'end':
      void end(close);
  }
}

/** Has the file close what it opened, and the thread end. */
async function end(close: ThreadFile['close']): Promise<void> {
  try {
    await close?.();
  } finally {
    process.exit();
  }
}

function tellFault(error: unknown): void {
  const code = error instanceof MilterError ? error.code : 'ERR_MILTER_FILTER';
  tell({ word: 'fault', fault: { code, message: error instanceof Error ? error.message : String(error) } });
}

try {
  const file = await loadThreadFile(url);
  parentPort?.on('message', (message: ToThread) => {
    hear(file, message);
    Atomics.add(cells, Cell.done, 1);
  });
  tell({ word: 'ready' });
} catch (error) {
  tellFault(error);
}
