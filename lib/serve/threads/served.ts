/**
 * A server whose tickets are answered in threads. The engine is in the main thread, and so is all that must go on
 * whatever a thread does: deadlines, the answers for a thread that died, the end.
 */
import {
  type Counter,
  type EnginePlan,
  type EngineServer,
  Notice,
  type Ticket,
} from '../../engine/engine.ts';
import { MilterError } from '../../errors.ts';
import { tempfail } from '../../milter/verdicts.ts';
import { stageIndex, verdictCode } from '../../protocol/stages.ts';
import type { DispatcherSettings } from '../../run/dispatcher.ts';
import type { Thread } from './member.ts';
import { packRecords, unpackAnswer } from './packed.ts';
import { type Settling, threadsClock } from './words.ts';

/** What one thread did for a server. Where a thread died, what the one in its place does is added. */
export interface ThreadStats {
  /** From 1 on. */
  readonly thread: number;
  /** Connections from MTAs. */
  readonly sessions: Counter;
  /** Stages that waited for a handler's verdict. */
  readonly tickets: Counter;
  /** Handlers that threw, rejected, or answered with no verdict. */
  readonly failures: number;
  /** Handlers that overran their deadline. */
  readonly deadlines: number;
  /** How often the thread died. */
  readonly deaths: number;
}

/** The counters of a thread's place. */
class Counts {
  readonly sessions = { created: 0, freed: 0 };
  readonly tickets = { created: 0, freed: 0 };
  deaths = 0;
  /** Of the threads that died. */
  failuresBefore = 0;
  deadlinesBefore = 0;
  failures = 0;
  deadlines = 0;

  died(): void {
    this.deaths++;
    this.failuresBefore += this.failures;
    this.deadlinesBefore += this.deadlines;
    this.failures = 0;
    this.deadlines = 0;
  }

  read(thread: number): ThreadStats {
    return {
      thread,
      sessions: { ...this.sessions },
      tickets: { ...this.tickets },
      failures: this.failuresBefore + this.failures,
      deadlines: this.deadlinesBefore + this.deadlines,
      deaths: this.deaths,
    };
  }
}

/** A thread's part in a server. */
class Share {
  readonly thread: Thread;
  readonly counts: Counts;
  /** Tickets that it has not answered. */
  readonly waiting = new Set<number>();
  sessions = 0;
  /** Its numbers of plans, and those of the engine. */
  readonly engineIds = new Map<number, number>();
  readonly ownIds = new Map<number, number>();

  constructor(thread: Thread, counts: Counts) {
    this.thread = thread;
    this.counts = counts;
  }
}

/** To an MTA whose session cannot go on: it is to connect again. */
const gone = tempfail(421, '4.3.0', 'Mail filter failed, please connect again');

export class ThreadedServer {
  readonly number: number;
  readonly settings: DispatcherSettings;
  readonly engine: EngineServer;
  readonly #shares = new Map<Thread, Share>();
  /** Of threads that serve. */
  readonly #ready = new Set<Share>();
  readonly #counts = new Map<number, Counts>();
  /** Of those that are under way; undefined: nobody can serve it. */
  readonly #sessions = new Map<number, Share | undefined>();
  readonly #plans = new Map<number, EnginePlan>();
  #first: EnginePlan | undefined;
  #lastPlan = 0;

  constructor(number: number, engine: EngineServer, settings: DispatcherSettings) {
    this.number = number;
    this.engine = engine;
    this.settings = settings;
  }

  /** Has a thread take part; it then tells its plans, and that it serves. */
  join(thread: Thread): void {
    const counts = this.#counts.get(thread.number) ?? new Counts();
    this.#counts.set(thread.number, counts);
    this.#shares.set(thread, new Share(thread, counts));
    thread.tell({ word: 'serve', server: this.number, settings: this.settings });
  }

  /** The thread serves: connections may be given to it. */
  serving(thread: Thread): void {
    const share = this.#shares.get(thread);
    if (share !== undefined) this.#ready.add(share);
  }

  /**
   * A thread made a plan. The first is for all connections, and must be the same in each thread.
   * @throws MilterError `ERR_MILTER_FILTER`
   */
  addPlan(thread: Thread, plan: EnginePlan): void {
    const share = this.#shares.get(thread);
    if (share === undefined) return;
    const isFirst = share.engineIds.size === 0;
    if (isFirst && this.#first !== undefined) {
      const { id } = this.#first;
      if (JSON.stringify(this.#first) !== JSON.stringify({ ...plan, id })) {
        throw new MilterError(
          'ERR_MILTER_FILTER',
          'the filter handles other stages in one thread than in another; has its file changed? Restart the server',
        );
      }
      this.#name(share, plan.id, id);
      return;
    }
    this.#lastPlan++;
    const named = { ...plan, id: this.#lastPlan };
    this.#plans.set(named.id, named);
    this.#name(share, plan.id, named.id);
    this.engine.addPlan(named);
    if (isFirst) {
      this.#first = named;
      this.engine.usePlan(named.id);
    }
  }

  removePlan(thread: Thread, own: number): void {
    const share = this.#shares.get(thread);
    const id = share?.engineIds.get(own);
    if (share === undefined || id === undefined) return;
    share.engineIds.delete(own);
    share.ownIds.delete(id);
    this.#plans.delete(id);
    this.engine.removePlan(id);
  }

  #name(share: Share, own: number, id: number): void {
    share.engineIds.set(own, id);
    share.ownIds.set(id, own);
  }

  /** Takes what the engine hands up. */
  take(ticket: Ticket): void {
    const { id, session, stage } = ticket;
    const isNotice = stage >= Notice.expired;
    if (!this.#sessions.has(session)) {
      if (isNotice) return;
      this.#sessions.set(session, this.#assign());
    }
    const share = this.#sessions.get(session);
    if (share?.thread.isAlive === true) this.#pass(share, ticket, isNotice);
    else if (id !== 0 && !isNotice) this.engine.settle(id, verdictCode.tempfail, { reply: gone });
    if (stage !== stageIndex.close) return;
    this.#sessions.delete(session);
    if (share === undefined) return;
    share.sessions--;
    share.counts.sessions.freed++;
  }

  #pass(share: Share, { id, session, plan, stage, records }: Ticket, isNotice: boolean): void {
    const { waiting, counts, thread } = share;
    if (isNotice) {
      if ((stage === Notice.expired || stage === Notice.refused) && waiting.delete(id))
        counts.tickets.freed++;
    } else if (id !== 0) {
      waiting.add(id);
      counts.tickets.created++;
    }
    const followed = this.#plans.get(plan);
    if (followed === undefined) throw new Error(`no plan ${plan}`);
    const given: ArrayBuffer[] = [];
    const packed = packRecords(records, followed, given);
    const due = threadsClock() + (followed.deadlines[stage] ?? Number.POSITIVE_INFINITY);
    const own = share.ownIds.get(plan) ?? 0;
    thread.tell(
      { word: 'ticket', server: this.number, id, session, plan: own, stage, records: packed, due },
      given,
    );
  }

  /** The thread that does not hang, that has the least to do, and of those the one with the fewest connections. */
  #assign(): Share | undefined {
    const burden = ({ thread, waiting, sessions }: Share): readonly number[] => [
      thread.hanging,
      waiting.size + thread.behind,
      sessions,
    ];
    let best: { readonly share: Share; readonly burden: readonly number[] } | undefined;
    for (const share of this.#ready) {
      const one = { share, burden: burden(share) };
      if (best === undefined || isLess(one.burden, best.burden)) best = one;
    }
    if (best === undefined) return undefined;
    const { share } = best;
    share.sessions++;
    share.counts.sessions.created++;
    return share;
  }

  /** Returns false where the engine has answered in the thread's place. */
  settle(thread: Thread, { ticket, verdict, parts }: Settling): boolean {
    const share = this.#shares.get(thread);
    if (share === undefined || !share.waiting.delete(ticket)) return false;
    share.counts.tickets.freed++;
    const { plan, ...answer } = unpackAnswer(parts);
    if (plan === undefined) return this.engine.settle(ticket, verdict, answer);
    const id = share.engineIds.get(plan.id) ?? 0;
    return this.engine.settle(ticket, verdict, { ...answer, plan: { ...plan, id } });
  }

  failed(thread: Thread, failures: number, deadlines: number): void {
    const counts = this.#shares.get(thread)?.counts;
    if (counts !== undefined) Object.assign(counts, { failures, deadlines });
  }

  /** Answers all that a dead thread owes; its sessions cannot go on. Returns how many answers that were. */
  died(thread: Thread): number {
    const share = this.#shares.get(thread);
    if (share === undefined) return 0;
    this.#shares.delete(thread);
    this.#ready.delete(share);
    const { waiting, counts } = share;
    const owed = waiting.size;
    for (const ticket of waiting) {
      counts.tickets.freed++;
      this.engine.settle(ticket, verdictCode.tempfail, { reply: gone });
    }
    waiting.clear();
    counts.died();
    for (const id of share.ownIds.keys()) {
      if (id === this.#first?.id) continue;
      this.#plans.delete(id);
      this.engine.removePlan(id);
    }
    return owed;
  }

  /** Milliseconds after which nobody waits for what was asked of a thread. */
  get longestDeadline(): number {
    return Math.max(0, ...[...this.#plans.values()].flatMap(({ deadlines }) => deadlines));
  }

  /** By thread. */
  stats(): readonly ThreadStats[] {
    return [...this.#counts].map(([thread, counts]) => counts.read(thread));
  }
}

/** By the first number in which they differ. */
function isLess(a: readonly number[], b: readonly number[]): boolean {
  const place = a.findIndex((number, i) => number !== b[i]);
  return (a[place] ?? 0) < (b[place] ?? 0);
}
