/**
 * One MTA connection as the protocol sees it, without any input or output: obeys the plan, gathers what need not be asked
 * about, asks what must, and turns verdicts into frames. What native/core/session.cc and libmilter do together.
 */
import { type Alarm, setAlarm, stopAlarm } from '../../alarm.ts';
import type { Action } from '../../milter/replay.ts';
import type { Reject, Tempfail } from '../../milter/verdicts.ts';
import {
  decodeClient,
  encodeAgreement,
  encodeReply,
  progressFrame,
  verdictFrames,
} from '../../protocol/filter-wire.ts';
import { type FrameReader, STAGES, textEnd } from '../../protocol/frames.ts';
import {
  type MacroStage,
  Mode,
  macroStages,
  noReplyOfAll,
  SMFIF,
  SMFIP,
  type Stage,
  scope,
  stageIndex,
  type VerdictStage,
  verdictCode,
} from '../../protocol/stages.ts';
import { type AnswerParts, BY_PLAN, type EnginePlan, Notice, type Ticket } from '../engine.ts';
import { MacroLists } from './macros.ts';
import { Recorder } from './recorder.ts';
import { actionFrames } from './replay.ts';

/** What a session needs of the server. */
export interface SessionHost {
  /** The server closes: no more messages. */
  readonly draining: boolean;
  take(ticket: Ticket): void;
  /** The number of another ticket for this session; 0 when the server takes none any more. */
  openTicket(session: Session): number;
  closeTicket(id: number): void;
  plan(id: number): EnginePlan | undefined;
  messageBegan(): void;
  messageEnded(): void;
}

/** The connection under a session. */
export interface Line {
  /** Whether it is a TCP connection, where a kernel may delay its acknowledgements. */
  readonly isTcp: boolean;
  /** Whether it keeps the process alive by itself, as long as the server is to. */
  readonly holdsProcess: boolean;
  /** Sends a frame soon, with those that follow. */
  send(frame: Buffer): void;
  /** Sends actions soon. `lost` is called if they cannot be sent. */
  sendActions(frames: readonly Buffer[], lost: () => void): void;
  /** An answer came that was waited for: there may be more to handle. */
  goOn(): void;
  /** Lets what is to be sent out, and ends the connection. */
  hangUp(): void;
}

/** What the MTA offers. */
export interface Offer {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
}

/** Well under the shortest time-out that an MTA has for the end of a message. */
const PROGRESS_INTERVAL = 5_000;
/** The newest version of the protocol. */
const VERSION = 6;
/** What an MTA of the first version knows, which offers nothing in numbers. */
const FIRST_ACTIONS = 0xf;
const FIRST_STEPS = 0x3f;

const {
  continue: CONTINUE,
  accept: ACCEPT,
  reject: REJECT,
  discard: DISCARD,
  tempfail: TEMPFAIL,
  skip: SKIP,
} = verdictCode;

/** The order in which the stages of a message come. Some may be left out, and some come again. */
const ORDER = { envfrom: 0, envrcpt: 1, data: 2, header: 3, eoh: 4, body: 5, eom: 6 } as const;
const ONCE: ReadonlySet<Stage> = new Set(['data', 'eoh']);

const commandOf = (stage: VerdictStage): number => STAGES[stage].command.charCodeAt(0);

/** By the byte of the command. */
const macroStageOf: ReadonlyMap<number, MacroStage> = new Map(
  macroStages.map((stage) => [commandOf(stage), stage]),
);

const C = {
  abort: 0x41, // A
  macros: 0x44, // D
  quitForAnother: 0x4b, // K
  quit: 0x51, // Q
  connect: commandOf('connect'),
  helo: commandOf('helo'),
  envfrom: commandOf('envfrom'),
  envrcpt: commandOf('envrcpt'),
  data: commandOf('data'),
  unknown: commandOf('unknown'),
  header: commandOf('header'),
  eoh: commandOf('eoh'),
  body: commandOf('body'),
  eom: commandOf('eom'),
} as const;

export class Session {
  readonly id: number;
  readonly #host: SessionHost;
  readonly #line: Line;
  /** One connection too many: it is answered with tempfail, and no filter hears of it. */
  readonly refused: boolean;
  readonly #recorder = new Recorder();
  readonly #macros = new MacroLists();
  #plan: EnginePlan;
  /** What was agreed on, with the no-reply flags that the MTA does not know. */
  #steps = 0;
  /** What the MTA knows of that. */
  #mtaSteps = 0;
  /** Something was said after which no connect can come. */
  #connected = false;
  /** The ticket on which this session waits; 0: on none. */
  #ticket = 0;
  #stage: Stage = 'negotiate';
  #offer: Offer = { version: 0, actions: 0, steps: 0 };
  #alarm: Alarm | undefined;
  #expires = 0;
  #known = false;
  #messageKnown = false;
  #inMessage = false;
  #at = 0;
  /** Accepted before eom with actions recorded: the rest is ours. */
  #accepted = false;
  #actions: readonly Action[] = [];
  /** The verdict on what comes without a message: what ended the last one, should the MTA go on with it. */
  #final: number = TEMPFAIL;
  /** The body's last chunk came with the end of the message. */
  #bodyWithEom = false;
  #ended = false;

  constructor(host: SessionHost, line: Line, id: number, plan: EnginePlan, refused: boolean) {
    this.#host = host;
    this.#line = line;
    this.id = id;
    this.#plan = plan;
    this.refused = refused;
  }

  /** It waits for an answer: no frame may be handled till then. */
  get waits(): boolean {
    return this.#ticket !== 0;
  }

  get inMessage(): boolean {
    return this.#inMessage;
  }

  /** Whether it is over; the connection is to be closed. */
  get ended(): boolean {
    return this.#ended;
  }

  negotiate({ version, actions, steps }: Offer): void {
    if (version < 2) {
      this.#line.hangUp();
      return;
    }
    const offer = {
      version: Math.min(version, VERSION),
      actions: actions === 0 ? FIRST_ACTIONS : actions,
      steps: steps === 0 ? FIRST_STEPS : steps,
    };
    this.#offer = offer;
    if (this.refused) {
      // Only connect is wanted: its tempfail is what the client gets to see.
      let off = 0;
      for (const wire of Object.values(STAGES)) off |= wire.off;
      this.#agree(offer.actions, off & offer.steps & ~SMFIP.NOCONNECT);
      return;
    }
    if (!this.#plan.asksAtNegotiate) {
      this.#agree(offer.actions, this.#wantedSteps());
      return;
    }
    this.#recorder.negotiation({ actions: offer.actions, steps: (offer.steps | noReplyOfAll) >>> 0 });
    this.#ask('negotiate');
  }

  /** Takes the frame that `reader` has found. False where it is none of the protocol: the connection is to be ended. */
  handle(reader: FrameReader): boolean {
    const { command, bytes, start, end } = reader;
    switch (command) {
      case C.macros:
        return this.#takeMacros(bytes, start, end);
      case C.header: {
        if (start === end || bytes[end - 1] !== 0) return false;
        const nameEnd = textEnd(bytes, start, end);
        if (nameEnd >= end - 1) return false;
        if (this.#comes('header')) {
          this.#recorder.header(bytes, start, nameEnd, end);
          this.#recorded('header');
        }
        return true;
      }
      case C.body:
        if (start === end) return false;
        this.#body(bytes, start, end);
        return true;
      case C.eom:
        if (start === end) {
          this.#eom();
        } else {
          this.#bodyWithEom = true;
          this.#body(bytes, start, end);
        }
        return true;
      case C.envrcpt:
      case C.envfrom: {
        if (start === end || bytes[end - 1] !== 0) return false;
        const stage = command === C.envfrom ? 'envfrom' : 'envrcpt';
        if (stage === 'envfrom' && !this.#begin()) return true;
        if (this.#comes(stage)) {
          this.#recorder.texts(stage, bytes, start, end, this.#news(stage));
          this.#recorded(stage);
        }
        return true;
      }
      case C.data:
      case C.eoh: {
        const stage = command === C.data ? 'data' : 'eoh';
        if (this.#comes(stage)) {
          this.#recorder.plain(stage, this.#news(stage));
          this.#recorded(stage);
        }
        return true;
      }
      case C.connect: {
        const client = decodeClient(bytes, start, end);
        if (client === undefined) return false;
        if (this.#connected) {
          if (this.#inMessage) this.#abort();
          this.#reply('connect', TEMPFAIL);
        } else if (this.#comes('connect')) {
          this.#recorder.connect(client, this.#news('connect'));
          this.#recorded('connect');
        }
        return true;
      }
      case C.helo:
        if (start === end || bytes[end - 1] !== 0) return false;
        if (this.#inMessage) this.#abort();
        if (this.#comes('helo')) {
          this.#recorder.helo(bytes, start, end, this.#news('helo'));
          this.#recorded('helo');
        }
        return true;
      case C.unknown:
        if (this.#comes('unknown')) {
          this.#recorder.texts('unknown', bytes, start, end, undefined);
          this.#recorded('unknown');
        }
        return true;
      case C.abort:
        this.#connected = true;
        if (this.#inMessage) this.#abort();
        return true;
      case C.quit:
      case C.quitForAnother:
        this.#line.hangUp();
        return true;
      default:
        return false;
    }
  }

  /** False when the ticket was answered already. */
  settle(ticket: number, verdict: number, parts: AnswerParts): boolean {
    if (this.#ticket !== ticket) return false;
    this.#answered();
    // A handler that kept the event loop to itself is no less late.
    const isLate = performance.now() >= this.#expires;
    if (isLate) this.#applyPolicy();
    else this.#apply(verdict, parts);
    this.#line.goOn();
    return !isLate;
  }

  lookup(name: string): string | undefined {
    return this.#macros.get(name);
  }

  /** The server takes no more answers. */
  refuse(): void {
    const ticket = this.#ticket;
    if (ticket === 0) return;
    this.#answered();
    this.#tell(Notice.refused, ticket);
    this.#apply(TEMPFAIL, {});
    this.#line.goOn();
  }

  /** The MTA has closed the connection while an answer is awaited. */
  hungUp(): void {
    if (this.#ticket !== 0) this.#tell(Notice.hangup, this.#ticket);
  }

  /** The connection is over. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#ticket !== 0) this.#answered();
    if (this.#inMessage) this.#abort();
    if (this.refused || !(this.#known || this.#mode('close') === Mode.wait)) return;
    this.#recorder.plain('close', undefined);
    this.#tellWithRecords('close');
  }

  // What the MTA says.

  #takeMacros(bytes: Buffer, start: number, end: number): boolean {
    if (start === end) return false;
    const stage = macroStageOf.get(bytes[start] ?? 0);
    // An empty list is as good as none.
    if (stage !== undefined && end - start > 1) this.#macros.took(stage, bytes.subarray(start + 1, end));
    return true;
  }

  /** MAIL: a message begins. False where it must not. */
  #begin(): boolean {
    if (this.refused) {
      this.#reply('envfrom', TEMPFAIL);
      return false;
    }
    if (this.#inMessage) this.#abort();
    if (this.#host.draining && this.#mode('envfrom') === Mode.wait) {
      this.#final = TEMPFAIL;
      this.#reply('envfrom', TEMPFAIL);
      return false;
    }
    this.#inMessage = true;
    this.#at = ORDER.envfrom;
    this.#final = CONTINUE;
    this.#host.messageBegan();
    return true;
  }

  /** Whether a stage is to be recorded; else it has been answered. */
  #comes(stage: Exclude<VerdictStage, 'eom'>): boolean {
    this.#connected = true;
    if (this.refused) {
      this.#reply(stage, TEMPFAIL);
      return false;
    }
    if (scope[stage] === 'message') {
      if (!this.#inMessage) {
        this.#reply(stage, this.#final);
        return false;
      }
      const place = ORDER[stage as keyof typeof ORDER];
      if (place < this.#at || (place === this.#at && ONCE.has(stage))) {
        // Whoever loses his way within a message has lost the message.
        this.#abort();
        this.#reply(stage, TEMPFAIL);
        return false;
      }
      this.#at = place;
    }
    if (stage in macrosComeWith) this.#macros.came(stage as MacroStage);
    if ((scope[stage] === 'message' && this.#accepted) || this.#mode(stage) === Mode.off) {
      this.#reply(stage, CONTINUE);
      return false;
    }
    return true;
  }

  /** A stage was recorded: its verdict is asked for where one is wanted. */
  #recorded(stage: Exclude<VerdictStage, 'eom'>): void {
    if (this.#mode(stage) === Mode.wait) this.#ask(stage);
    else this.#reply(stage, CONTINUE);
  }

  #body(bytes: Buffer, start: number, end: number): void {
    if (!this.#comes('body')) return;
    this.#recorder.body(bytes.subarray(start, end), this.#plan);
    this.#recorded('body');
  }

  #eom(): void {
    this.#connected = true;
    if (this.refused || !this.#inMessage) {
      this.#reply('eom', this.refused ? TEMPFAIL : this.#final);
      return;
    }
    this.#macros.came('eom');
    if (!this.#accepted && this.#mode('eom') === Mode.wait) {
      this.#recorder.eom(this.#news('eom'));
      this.#ask('eom');
      return;
    }
    const tells = this.#messageKnown;
    const verdict = this.#endWithReplay(this.#accepted ? ACCEPT : CONTINUE);
    if (tells) {
      this.#recorder.eom(undefined);
      this.#tellWithRecords('eom');
    }
    this.#reply('eom', verdict);
  }

  #abort(): void {
    if (this.#messageKnown || this.#mode('abort') === Mode.wait) {
      this.#recorder.plain('abort', this.#news('abort'));
      this.#tellWithRecords('abort');
    }
    this.#endMessage(this.#withoutMail);
  }

  /** What is said to a message of which MAIL was not told: where MAIL is switched off, that the filter has no objection. */
  get #withoutMail(): number {
    return (this.#steps & SMFIP.NOMAIL) !== 0 ? CONTINUE : TEMPFAIL;
  }

  // What is asked, and what comes of it.

  #ask(stage: Stage): void {
    const records = this.#takeRecords();
    const plan = this.#plan;
    const id = this.#host.openTicket(this);
    this.#stage = stage;
    if (id === 0) {
      this.#apply(TEMPFAIL, {});
      return;
    }
    this.#ticket = id;
    this.#expires = performance.now() + (plan.deadlines[stageIndex[stage]] ?? 0);
    this.#host.take({ id, session: this.id, plan: plan.id, stage: stageIndex[stage], records });
    if (this.#ticket === id) this.#watch();
  }

  /** Keeps the MTA patient at the end of a message, and waits no longer than the plan says. */
  #watch(): void {
    const left = this.#expires - performance.now();
    if (left <= 0) {
      this.#expire();
      return;
    }
    const next = this.#stage === 'eom' ? Math.min(left, PROGRESS_INTERVAL) : left;
    const ring = (): void => {
      if (performance.now() < this.#expires) this.#line.send(progressFrame);
      this.#watch();
      this.#line.goOn();
    };
    this.#alarm = setAlarm(next, ring, !this.#line.holdsProcess);
  }

  #expire(): void {
    const ticket = this.#ticket;
    this.#answered();
    this.#tell(Notice.expired, ticket);
    this.#applyPolicy();
  }

  #applyPolicy(): void {
    const { verdict, reply } = this.#plan.onError;
    this.#apply(verdict, { reply });
  }

  #answered(): void {
    if (this.#alarm !== undefined) {
      stopAlarm(this.#alarm);
      this.#alarm = undefined;
    }
    this.#host.closeTicket(this.#ticket);
    this.#ticket = 0;
  }

  #apply(given: number, { reply, actions, plan }: AnswerParts): void {
    const stage = this.#stage;
    if (stage === 'negotiate') {
      this.#negotiated(given, plan);
      return;
    }
    if (actions !== undefined) this.#actions = actions;
    const verdict = this.#clamped(given);
    if (scope[stage] === 'message') this.#applyToMessage(stage as VerdictStage, verdict, reply);
    else this.#reply(stage as VerdictStage, verdict, reply);
  }

  #clamped(verdict: number): number {
    if (!verdictFrames.has(verdict)) return TEMPFAIL;
    if (verdict === SKIP && (this.#stage !== 'body' || (this.#steps & SMFIP.SKIP) === 0)) return CONTINUE;
    // A policy may say so, but it is none of this stage's verdicts.
    return verdict === ACCEPT && this.#stage === 'unknown' ? CONTINUE : verdict;
  }

  #applyToMessage(stage: VerdictStage, given: number, reply: Reject | Tempfail | undefined): void {
    let verdict = given;
    const refuses = verdict === REJECT || verdict === TEMPFAIL;
    if (verdict === ACCEPT && stage !== 'eom' && this.#actions.length > 0) {
      // The MTA never comes to eom after an accept, and the actions would be lost.
      this.#accepted = true;
      this.#recorder.dropMessage();
      verdict = CONTINUE;
    } else if (stage === 'eom' && (verdict === CONTINUE || verdict === ACCEPT)) {
      verdict = this.#endWithReplay(verdict);
    } else if (refuses || verdict === DISCARD || verdict === ACCEPT) {
      // A refusal of a recipient concerns that one only.
      if (!(refuses && stage === 'envrcpt')) this.#endMessage(verdict);
    }
    this.#reply(stage, verdict, reply);
  }

  #endWithReplay(verdict: number): number {
    if (this.#actions.length > 0) {
      this.#line.sendActions(actionFrames(this.#actions), () => this.#tell(Notice.replayFailed, 0));
    }
    // What was said of this message holds for nothing that comes after it.
    this.#endMessage(this.#withoutMail);
    return verdict;
  }

  #endMessage(verdict: number): void {
    this.#final = verdict;
    this.#inMessage = false;
    this.#messageKnown = false;
    this.#accepted = false;
    this.#actions = [];
    this.#recorder.dropMessage();
    this.#macros.endMessage();
    this.#host.messageEnded();
  }

  /** Answers the MTA, where it waits for an answer. */
  #reply(stage: VerdictStage, verdict: number, reply?: Reject | Tempfail): void {
    const { noReply } = STAGES[stage];
    const isSilent = (this.#steps & noReply) !== 0;
    if (this.#bodyWithEom && stage === 'body') {
      this.#bodyWithEom = false;
      if (isSilent || verdict === CONTINUE || verdict === SKIP) {
        this.#eom();
        return;
      }
    }
    // An MTA that does not know that it gets no reply gets one that means nothing.
    if (!isSilent || (this.#mtaSteps & noReply) === 0) {
      const said = isSilent ? CONTINUE : verdict;
      const refuses = said === REJECT || said === TEMPFAIL;
      const frame = refuses && reply !== undefined ? encodeReply(reply) : verdictFrames.get(said);
      if (frame !== undefined) this.#line.send(frame);
    }
    if (this.#host.draining && !this.#inMessage) this.#line.hangUp();
  }

  // What is agreed on.

  #negotiated(verdict: number, chosen: AnswerParts['plan']): void {
    const plan = chosen && this.#host.plan(chosen.id);
    if (verdict !== CONTINUE || chosen === undefined || plan === undefined) {
      this.#line.hangUp();
      return;
    }
    this.#plan = plan;
    const steps =
      chosen.steps === BY_PLAN ? this.#wantedSteps() : (this.#offer.steps | noReplyOfAll) & chosen.steps;
    this.#agree(this.#offer.actions & chosen.actions, steps);
  }

  /** What the plan does not need is switched off, what it only gathers gets no reply. */
  #wantedSteps(): number {
    const { modes, rejectedRecipients } = this.#plan;
    let steps: number = SMFIP.SKIP | SMFIP.HDR_LEADSPC;
    if (rejectedRecipients) steps |= SMFIP.RCPT_REJ;
    for (const [stage, { off, noReply }] of stageWires) {
      const mode = modes[stageIndex[stage]];
      if (mode === Mode.off) steps |= off;
      if (mode !== Mode.wait) steps |= noReply;
    }
    // Postfix flushes its stream at DATA. Without an answer Nagle keeps the content back until the kernel's delayed
    // acknowledgement, 40 ms later; our answer brings that along.
    if (this.#line.isTcp && modes[stageIndex.data] === Mode.record) steps &= ~SMFIP.NR_DATA;
    return steps & (this.#offer.steps | noReplyOfAll);
  }

  #agree(granted: number, wanted: number): void {
    const offer = this.#offer;
    const actions = granted >>> 0;
    this.#steps = wanted >>> 0;
    this.#mtaSteps = (wanted & offer.steps) >>> 0;
    this.#final = this.#withoutMail;
    const symlists: { [stage in MacroStage]?: string } = {};
    if (!this.refused && (offer.actions & SMFIF.SETSYMLIST) !== 0) {
      for (const stage of macroStages) {
        const names = this.#plan.requestedMacros[stageIndex[stage]] ?? '';
        if (names !== '') symlists[stage] = names;
      }
    }
    if (!this.refused) this.#recorder.negotiation({ actions, steps: this.#steps });
    this.#line.send(encodeAgreement(offer.version, actions, this.#mtaSteps, symlists));
  }

  // What is told.

  #takeRecords(): ReturnType<Recorder['take']> {
    this.#known = true;
    if (this.#inMessage) this.#messageKnown = true;
    return this.#recorder.take();
  }

  /** News with everything gathered so far; nobody waits for an answer. */
  #tellWithRecords(stage: Stage): void {
    const records = this.#takeRecords();
    this.#host.take({ id: 0, session: this.id, plan: this.#plan.id, stage: stageIndex[stage], records });
  }

  #tell(notice: number, about: number): void {
    this.#host.take({ id: about, session: this.id, plan: this.#plan.id, stage: notice, records: NO_RECORDS });
  }

  #news(stage: Stage): ReturnType<MacroLists['news']> {
    return this.#macros.news(this.#plan.stageMacros[stageIndex[stage]] ?? []);
  }

  #mode(stage: Stage): number {
    return this.#plan.modes[stageIndex[stage]] ?? Mode.off;
  }
}

const NO_RECORDS = new Recorder().take();
const stageWires = Object.entries(STAGES) as [VerdictStage, (typeof STAGES)[VerdictStage]][];
const macrosComeWith = Object.fromEntries(macroStages.map((stage) => [stage, true]));
