/**
 * Between the engine and the sessions: hands each ticket to its session's runner, keeps the plans that were made of
 * filter classes, and counts and logs what fails.
 */
import type { AnswerParts, Backend, Ticket } from '../engine/engine.ts';
import type { Logger } from '../logger.ts';
import { checkClass } from '../milter/check-class.ts';
import { type Filter, membersOfFilter } from '../milter/compose.ts';
import { isMilterClass, type MilterClass } from '../milter/milter.ts';
import { verdictCode } from '../protocol/stages.ts';
import type { Failure } from './handlers.ts';
import { makePlan, type Plan, type PlanSettings } from './plan.ts';
import { type RunnerHost, SessionRunner } from './runner.ts';

/**
 * So many plans are kept that were made for what factories chose and that no session follows any longer: a factory that
 * chooses among a few classes finds them again, and one that makes a class for each connection leaves nothing behind.
 */
const UNUSED_PLANS = 64;

/** A plan that was made of what factories chose. */
interface ChosenPlan {
  readonly key: string;
  readonly plan: Plan;
  /** How many follow it. */
  sessions: number;
}

/** The server's settings on which the dispatcher's work depends. */
export interface DispatcherSettings extends PlanSettings {
  /** Whether to log messages that were not just passed. */
  readonly logVerdicts: boolean;
}

const verdicts: ReadonlySet<number> = new Set(Object.values(verdictCode));

export class Dispatcher implements RunnerHost {
  readonly choices: readonly Filter[] | undefined;
  readonly maxBody: number;
  readonly logger: Logger;
  readonly logVerdicts: boolean;
  /** The plan for new connections. */
  readonly initialPlan: number;
  failures = 0;
  deadlines = 0;
  readonly #backend: Backend;
  readonly #settings: DispatcherSettings;
  readonly #plans = new Map<number, Plan>();
  #lastPlan = 0;
  /** What factories chose, by {@link #keyOf}, the one least lately used first. */
  readonly #chosen = new Map<string, ChosenPlan>();
  readonly #choiceOf = new Map<number, ChosenPlan>();
  readonly #classNumbers = new WeakMap<MilterClass, number>();
  #lastClass = 0;
  readonly #runners = new Map<number, SessionRunner>();
  #graceEnds: number | undefined;

  /** @param base the class that stands for factories until they have chosen */
  constructor(
    backend: Backend,
    filter: Filter,
    base: MilterClass,
    settings: DispatcherSettings,
    logger: Logger,
  ) {
    this.#backend = backend;
    this.#settings = settings;
    this.logger = logger;
    this.logVerdicts = settings.logVerdicts;
    this.maxBody = settings.maxBody;
    const members = membersOfFilter(filter);
    const classes = members.filter(isMilterClass);
    this.choices = classes.length < members.length ? members : undefined;
    for (const member of classes) checkClass(member);
    this.initialPlan = (this.choices === undefined ? this.#addPlan(classes) : this.#addPlan([base], true)).id;
  }

  plan(id: number): Plan {
    const plan = this.#plans.get(id);
    if (plan === undefined) throw new Error(`no plan ${id}`);
    return plan;
  }

  /** The plan for what factories chose for a session. It stays at least until that has ended. */
  choose(session: number, classes: readonly MilterClass[]): Plan {
    const key = this.#keyOf(classes);
    let choice = this.#chosen.get(key);
    if (choice === undefined) {
      for (const chosen of classes) checkClass(chosen);
      choice = { key, plan: this.#addPlan(classes), sessions: 0 };
      this.#chosen.set(key, choice);
    }
    choice.sessions++;
    this.#choiceOf.set(session, choice);
    return choice.plan;
  }

  /** Takes what the engine hands up. */
  take(ticket: Ticket): void {
    this.#runnerOf(ticket).take(ticket);
  }

  /** The border to the engine: what is no verdict is a tempfail there, for the sender to try again. */
  settle(ticket: number, verdict: number, parts: AnswerParts = {}): boolean {
    if (!verdicts.has(verdict)) return this.#backend.settle(ticket, verdictCode.tempfail, {});
    return this.#backend.settle(ticket, verdict, parts);
  }

  lookup(ticket: number, name: string): string | undefined {
    return this.#backend.lookup(ticket, name);
  }

  failed({ stage, session, queueId, filter, error }: Failure): void {
    const overdue = error.code === 'ERR_MILTER_DEADLINE';
    if (overdue) this.deadlines++;
    else this.failures++;
    const fields = { stage, session, queueId, filter, code: error.code, error: error.cause };
    this.logger.error(fields, error.message);
  }

  /** The server closes: what is not done in `grace` milliseconds will be cut off. Only the first call counts. */
  closing(grace: number): void {
    this.#graceEnds ??= performance.now() + grace;
  }

  graceIsOver(): boolean {
    return this.#graceEnds !== undefined && performance.now() >= this.#graceEnds;
  }

  ended(session: number): void {
    this.#runners.delete(session);
    const choice = this.#choiceOf.get(session);
    if (choice === undefined) return;
    this.#choiceOf.delete(session);
    choice.sessions--;
    if (choice.sessions === 0) this.#retire(choice);
  }

  /** Lets go of the plan that was unused for longest when there are too many of them. */
  #retire(choice: ChosenPlan): void {
    this.#chosen.delete(choice.key);
    this.#chosen.set(choice.key, choice);
    const unused = [...this.#chosen.values()].filter(({ sessions }) => sessions === 0);
    const [oldest] = unused;
    if (oldest === undefined || unused.length <= UNUSED_PLANS) return;
    this.#chosen.delete(oldest.key);
    this.#plans.delete(oldest.plan.id);
    this.#backend.removePlan(oldest.plan.id);
  }

  #keyOf(classes: readonly MilterClass[]): string {
    const numbers = classes.map((one) => {
      const known = this.#classNumbers.get(one) ?? ++this.#lastClass;
      this.#classNumbers.set(one, known);
      return known;
    });
    return numbers.join(' ');
  }

  #runnerOf(ticket: Ticket): SessionRunner {
    let runner = this.#runners.get(ticket.session);
    if (runner === undefined) {
      runner = new SessionRunner(this, ticket.session, this.plan(ticket.plan));
      this.#runners.set(ticket.session, runner);
    }
    return runner;
  }

  #addPlan(classes: readonly MilterClass[], asks = false): Plan {
    const plan = makePlan(++this.#lastPlan, classes, this.#settings, asks);
    this.#plans.set(plan.id, plan);
    this.#backend.addPlan(plan.engine);
    return plan;
  }
}
