/**
 * Between the libmilter side and the sessions: hands each ticket of a batch to its session's runner, keeps the
 * plans that were made of filter classes, and counts and logs what fails.
 */
import { MilterError } from '../errors.ts';
import type { LogFields, Logger } from '../logger.ts';
import { checkClass } from '../milter/check-class.ts';
import { membersOfClass } from '../milter/compose.ts';
import { isMilterClass, type Milter, type MilterClass } from '../milter/milter.ts';
import { verdictCode } from '../protocol/stages.ts';
import type { Failure } from './handlers.ts';
import type { NativePlan } from './native.ts';
import { makePlan, type Plan, type PlanSettings } from './plan.ts';
import { readBatch, type Ticket } from './records.ts';
import { type RunnerHost, SessionRunner } from './runner.ts';

/** The libmilter side as the dispatcher needs it: the addon, or what stands in for it in a test. */
export interface Backend {
  addPlan(plan: NativePlan): void;
  settle(ticket: number, verdict: number, packed?: Buffer): boolean;
  lookup(ticket: number, name: string): Buffer | undefined;
}

/** What to run: a class, or a function that makes the instance for each connection. */
export type Filter = MilterClass | (() => Milter);

const verdicts: ReadonlySet<number> = new Set(Object.values(verdictCode));

export class Dispatcher implements RunnerHost {
  readonly factory: (() => Milter) | undefined;
  readonly maxBody: number;
  /** The plan for new connections. */
  readonly initialPlan: number;
  failures = 0;
  deadlines = 0;
  readonly #backend: Backend;
  readonly #settings: PlanSettings;
  readonly #logger: Logger;
  readonly #plans = new Map<number, Plan>();
  readonly #plansOf = new Map<MilterClass, Plan>();
  readonly #runners = new Map<number, SessionRunner>();

  /** @param base the class that stands for a factory until it has chosen */
  constructor(backend: Backend, filter: Filter, base: MilterClass, settings: PlanSettings, logger: Logger) {
    this.#backend = backend;
    this.#settings = settings;
    this.#logger = logger;
    this.maxBody = settings.maxBody;
    this.factory = isMilterClass(filter) ? undefined : filter;
    this.initialPlan = (isMilterClass(filter) ? this.planFor(filter) : this.#addPlan(base, true)).id;
  }

  plan(id: number): Plan {
    const plan = this.#plans.get(id);
    if (plan === undefined) throw new Error(`no plan ${id}`);
    return plan;
  }

  planFor(filter: MilterClass): Plan {
    if (!isMilterClass(filter)) {
      throw new MilterError('ERR_MILTER_FILTER', 'the factory made something that is no Milter');
    }
    const known = this.#plansOf.get(filter);
    if (known !== undefined) return known;
    for (const member of membersOfClass(filter)) checkClass(member);
    const plan = this.#addPlan(filter, false);
    this.#plansOf.set(filter, plan);
    return plan;
  }

  /** Takes a batch as the addon packs it. */
  batch(tickets: Buffer, bodies: readonly Buffer[] | undefined): void {
    readBatch(tickets, bodies, (ticket) => this.#runnerOf(ticket).take(ticket));
  }

  /** The border to the libmilter side: what is no verdict is a tempfail there, for the sender to try again. */
  settle(ticket: number, verdict: number, packed?: Buffer): boolean {
    if (!verdicts.has(verdict)) return this.#backend.settle(ticket, verdictCode.tempfail);
    return packed === undefined
      ? this.#backend.settle(ticket, verdict)
      : this.#backend.settle(ticket, verdict, packed);
  }

  lookup(ticket: number, name: string): Buffer | undefined {
    return this.#backend.lookup(ticket, name);
  }

  failed({ stage, session, queueId, filter, error }: Failure): void {
    const overdue = error.code === 'ERR_MILTER_DEADLINE';
    if (overdue) this.deadlines++;
    else this.failures++;
    const fields = { stage, session, queueId, filter, code: error.code, error: error.cause };
    this.#logger.error(fields, error.message);
  }

  warn(fields: LogFields, message: string): void {
    this.#logger.warn(fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.#logger.info(fields, message);
  }

  ended(session: number): void {
    this.#runners.delete(session);
  }

  #runnerOf(ticket: Ticket): SessionRunner {
    let runner = this.#runners.get(ticket.session);
    if (runner === undefined) {
      runner = new SessionRunner(this, ticket.session, this.plan(ticket.plan));
      this.#runners.set(ticket.session, runner);
    }
    return runner;
  }

  #addPlan(filter: MilterClass, asks: boolean): Plan {
    const plan = makePlan(this.#plans.size + 1, filter, this.#settings, asks);
    this.#plans.set(plan.id, plan);
    this.#backend.addPlan(plan.native);
    return plan;
  }
}
