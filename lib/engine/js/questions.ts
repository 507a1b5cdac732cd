/**
 * What a session asks of its filter and what it tells it: hands up what was gathered, keeps the MTA patient while an answer
 * is awaited, and waits no longer than the plan says.
 */
import { type Alarm, setAlarm, stopAlarm } from '../../alarm.ts';
import { progressFrame } from '../../protocol/filter-wire.ts';
import { type Stage, stageIndex } from '../../protocol/stages.ts';
import { type AnswerParts, type EnginePlan, Notice, type Ticket } from '../engine.ts';
import type { Line } from './line.ts';
import { Recorder } from './recorder.ts';

/** Who waits for answers. */
export interface Asker {
  readonly id: number;
  /** False when the ticket was answered already. */
  settle(ticket: number, verdict: number, parts: AnswerParts): boolean;
  lookup(name: string): string | undefined;
}

/** Where questions go. */
export interface QuestionHost {
  take(ticket: Ticket): void;
  /** The number of another ticket; 0 when the server takes none any more. */
  openTicket(asker: Asker): number;
  closeTicket(id: number): void;
}

/** Well under the shortest time-out that an MTA has for the end of a message. */
const PROGRESS_INTERVAL = 5_000;
const NEVER = Number.POSITIVE_INFINITY;

export class Questions {
  /** What was gathered since the last one. */
  readonly recorder = new Recorder();
  plan: EnginePlan;
  readonly #host: QuestionHost;
  readonly #line: Line;
  readonly #asker: Asker;
  readonly #expired: () => void;
  readonly #ring = (): void => this.#look();
  /** The ticket for which an answer is awaited; 0: none. */
  #ticket = 0;
  #expires = NEVER;
  #nextProgress = NEVER;
  /** Rings when the next look is due or sooner, and may outlast the question: it serves the ones that follow. */
  #alarm: Alarm | undefined;
  #wasHeard = false;

  /** @param expired the deadline of the question has passed */
  constructor(host: QuestionHost, line: Line, asker: Asker, plan: EnginePlan, expired: () => void) {
    this.#host = host;
    this.#line = line;
    this.#asker = asker;
    this.plan = plan;
    this.#expired = expired;
  }

  get areOpen(): boolean {
    return this.#ticket !== 0;
  }

  /** Whether the filter knows that there is this session. */
  get wereHeard(): boolean {
    return this.#wasHeard;
  }

  isAbout(ticket: number): boolean {
    return ticket === this.#ticket;
  }

  /** Asks for a verdict. False where nobody takes questions any more. */
  ask(stage: Stage): boolean {
    const records = this.#takeRecords();
    const { plan } = this;
    const id = this.#host.openTicket(this.#asker);
    if (id === 0) return false;
    const number = stageIndex[stage];
    const now = performance.now();
    this.#ticket = id;
    this.#expires = now + (plan.deadlines[number] ?? 0);
    this.#nextProgress = stage === 'eom' ? now + PROGRESS_INTERVAL : NEVER;
    this.#host.take({ id, session: this.#asker.id, plan: plan.id, stage: number, records });
    if (this.#ticket === id) this.#watch();
    return true;
  }

  /** The answer came. Returns whether in time: a handler that kept the event loop to itself is no less late. */
  answered(): boolean {
    this.#close();
    return performance.now() < this.#expires;
  }

  /** The server takes no more answers. Returns whether one was awaited. */
  refuse(): boolean {
    const ticket = this.#ticket;
    if (ticket === 0) return false;
    this.#close();
    this.notify(Notice.refused, ticket);
    return true;
  }

  /** No answer is awaited any more, nor will another be. */
  end(): void {
    if (this.#ticket !== 0) this.#close();
    this.#unwatch();
  }

  /** News with everything gathered so far; nobody waits for an answer. */
  tell(stage: Stage): void {
    const records = this.#takeRecords();
    this.#host.take({
      id: 0,
      session: this.#asker.id,
      plan: this.plan.id,
      stage: stageIndex[stage],
      records,
    });
  }

  /** News of the connection. `about` is a ticket, by default the one that is waited for. */
  notify(notice: number, about: number = this.#ticket): void {
    this.#host.take({
      id: about,
      session: this.#asker.id,
      plan: this.plan.id,
      stage: notice,
      records: NO_RECORDS,
    });
  }

  #takeRecords(): ReturnType<Recorder['take']> {
    this.#wasHeard = true;
    return this.recorder.take();
  }

  #close(): void {
    this.#host.closeTicket(this.#ticket);
    this.#ticket = 0;
    // Where the connection does not hold the process the alarm does, and must not do so for nothing.
    if (!this.#line.holdsProcess) this.#unwatch();
  }

  /** Has the alarm ring in time; a handler may have kept the event loop for too long already. */
  #watch(): void {
    const now = performance.now();
    if (now >= this.#expires) {
      this.#expire();
      return;
    }
    const due = Math.min(this.#expires, this.#nextProgress);
    if (this.#alarm !== undefined && this.#alarm.at <= due) return;
    this.#unwatch();
    this.#alarm = setAlarm(due - now, this.#ring, !this.#line.holdsProcess);
  }

  #unwatch(): void {
    if (this.#alarm === undefined) return;
    stopAlarm(this.#alarm);
    this.#alarm = undefined;
  }

  #look(): void {
    this.#alarm = undefined;
    if (this.#ticket === 0) return;
    const now = performance.now();
    if (now >= this.#nextProgress && now < this.#expires) {
      this.#line.send(progressFrame);
      this.#nextProgress = now + PROGRESS_INTERVAL;
    }
    this.#watch();
    this.#line.goOn();
  }

  #expire(): void {
    const ticket = this.#ticket;
    this.#close();
    this.notify(Notice.expired, ticket);
    this.#expired();
  }
}

const NO_RECORDS = new Recorder().take();
