/**
 * One MTA connection as the protocol sees it, without any input or output: obeys the plan, gathers what need not be asked
 * about, asks what must, and turns verdicts into frames. What native/core/session.cc and libmilter do together.
 */
import type { Action } from '../../milter/replay.ts';
import type { Reject, Tempfail } from '../../milter/verdicts.ts';
import { decodeClient, encodeAgreement, encodeReply, verdictFrames } from '../../protocol/filter-wire.ts';
import { type FrameReader, STAGES, textEnd } from '../../protocol/frames.ts';
import {
  type MacroStage,
  Mode,
  macroStages,
  SMFIF,
  SMFIP,
  type Stage,
  stageIndex,
  type VerdictStage,
  verdictCode,
} from '../../protocol/stages.ts';
import { type AnswerParts, BY_PLAN, type EnginePlan, Notice } from '../engine.ts';
import {
  type Offer,
  possibleSteps,
  stepsOfRefused,
  understood,
  wantedMacros,
  wantedSteps,
} from './agreement.ts';
import type { Line } from './line.ts';
import { MacroLists } from './macros.ts';
import { type Asker, type QuestionHost, Questions } from './questions.ts';
import { actionFrames } from './replay.ts';
import { facts, type StageFacts } from './stage-facts.ts';

/** What a session needs of the server. */
export interface SessionHost extends QuestionHost {
  /** The server closes: no more messages. */
  readonly draining: boolean;
  plan(id: number): EnginePlan | undefined;
  messageBegan(): void;
  messageEnded(): void;
}

const {
  continue: CONTINUE,
  accept: ACCEPT,
  reject: REJECT,
  discard: DISCARD,
  tempfail: TEMPFAIL,
  skip: SKIP,
} = verdictCode;

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

export class Session implements Asker {
  readonly id: number;
  /** One connection too many: it is answered with tempfail, and no filter hears of it. */
  readonly refused: boolean;
  readonly #host: SessionHost;
  readonly #line: Line;
  readonly #questions: Questions;
  readonly #macros = new MacroLists();
  /** What was agreed on, with the no-reply flags that the MTA does not know. */
  #steps = 0;
  /** What the MTA knows of that. */
  #mtaSteps = 0;
  /** Something was said after which no connect can come. */
  #connected = false;
  /** What was last asked about; undefined: what to agree on. */
  #asked: StageFacts | undefined;
  #offer: Offer = { version: 0, actions: 0, steps: 0 };
  #messageKnown = false;
  #inMessage = false;
  /** The place of the last stage of the message. */
  #place = 0;
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
    this.refused = refused;
    this.#questions = new Questions(host, line, this, plan, () => this.#applyPolicy());
  }

  /** It waits for an answer: no frame may be handled till then. */
  get waits(): boolean {
    return this.#questions.areOpen;
  }

  get inMessage(): boolean {
    return this.#inMessage;
  }

  negotiate(offered: Offer): void {
    const offer = understood(offered);
    if (offer === undefined) {
      this.#line.hangUp();
      return;
    }
    this.#offer = offer;
    if (this.refused) {
      this.#agree(offer.actions, stepsOfRefused(offer));
    } else if (this.#plan.asksAtNegotiate) {
      this.#questions.recorder.negotiation({ actions: offer.actions, steps: possibleSteps(offer) });
      this.#ask(undefined);
    } else {
      this.#agree(offer.actions, wantedSteps(this.#plan, offer, this.#line.isTcp));
    }
  }

  /** Takes the frame that `reader` has found. False where it is none of the protocol: the connection is to be ended. */
  handle(reader: FrameReader): boolean {
    const { command, bytes, start, end } = reader;
    const { recorder } = this.#questions;
    switch (command) {
      case C.macros:
        return this.#takeMacros(bytes, start, end);
      case C.header: {
        if (start === end || bytes[end - 1] !== 0) return false;
        const nameEnd = textEnd(bytes, start, end);
        if (nameEnd >= end - 1) return false;
        if (this.#comes(facts.header)) {
          recorder.header(bytes, start, nameEnd, end);
          this.#recorded(facts.header);
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
        const stage = command === C.envfrom ? facts.envfrom : facts.envrcpt;
        if (stage === facts.envfrom && !this.#begin()) return true;
        if (this.#comes(stage)) {
          recorder.texts(stage.index, bytes, start, end, this.#news(stage.index));
          this.#recorded(stage);
        }
        return true;
      }
      case C.data:
      case C.eoh: {
        const stage = command === C.data ? facts.data : facts.eoh;
        if (this.#comes(stage)) {
          recorder.plain(stage.index, this.#news(stage.index));
          this.#recorded(stage);
        }
        return true;
      }
      case C.connect: {
        const client = decodeClient(bytes, start, end);
        if (client === undefined) return false;
        if (this.#connected) {
          if (this.#inMessage) this.#abort();
          this.#reply(facts.connect, TEMPFAIL);
        } else if (this.#comes(facts.connect)) {
          recorder.connect(client, this.#news(facts.connect.index));
          this.#recorded(facts.connect);
        }
        return true;
      }
      case C.helo:
        if (start === end || bytes[end - 1] !== 0) return false;
        if (this.#inMessage) this.#abort();
        if (this.#comes(facts.helo)) {
          recorder.helo(bytes, start, end, this.#news(facts.helo.index));
          this.#recorded(facts.helo);
        }
        return true;
      case C.unknown:
        if (this.#comes(facts.unknown)) {
          recorder.texts(facts.unknown.index, bytes, start, end, undefined);
          this.#recorded(facts.unknown);
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

  settle(ticket: number, verdict: number, parts: AnswerParts): boolean {
    if (!this.#questions.isAbout(ticket)) return false;
    const inTime = this.#questions.answered();
    if (inTime) this.#apply(verdict, parts);
    else this.#applyPolicy();
    this.#line.goOn();
    return inTime;
  }

  lookup(name: string): string | undefined {
    return this.#macros.get(name);
  }

  /** The server takes no more answers. */
  refuse(): void {
    if (!this.#questions.refuse()) return;
    this.#apply(TEMPFAIL, {});
    this.#line.goOn();
  }

  /** The MTA has closed the connection while an answer is awaited. */
  hungUp(): void {
    if (this.#questions.areOpen) this.#questions.notify(Notice.hangup);
  }

  /** The connection is over. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#questions.end();
    if (this.#inMessage) this.#abort();
    if (this.refused || !(this.#questions.wereHeard || this.#mode('close') === Mode.wait)) return;
    this.#questions.recorder.plain(stageIndex.close, undefined);
    this.#questions.tell('close');
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
      this.#reply(facts.envfrom, TEMPFAIL);
      return false;
    }
    if (this.#inMessage) this.#abort();
    if (this.#host.draining && this.#mode('envfrom') === Mode.wait) {
      this.#final = TEMPFAIL;
      this.#reply(facts.envfrom, TEMPFAIL);
      return false;
    }
    this.#inMessage = true;
    this.#place = facts.envfrom.place;
    this.#final = CONTINUE;
    this.#host.messageBegan();
    return true;
  }

  /** Whether a stage is to be recorded; else it has been answered. */
  #comes(stage: StageFacts): boolean {
    this.#connected = true;
    if (this.refused) {
      this.#reply(stage, TEMPFAIL);
      return false;
    }
    if (stage.isOfMessage) {
      if (!this.#inMessage) {
        this.#reply(stage, this.#final);
        return false;
      }
      if (stage.place < this.#place || (stage.place === this.#place && stage.comesOnce)) {
        // Whoever loses his way within a message has lost the message.
        this.#abort();
        this.#reply(stage, TEMPFAIL);
        return false;
      }
      this.#place = stage.place;
    }
    if (stage.macros !== undefined) this.#macros.came(stage.macros);
    if ((stage.isOfMessage && this.#accepted) || this.#modes[stage.index] === Mode.off) {
      this.#reply(stage, CONTINUE);
      return false;
    }
    return true;
  }

  /** A stage was recorded: its verdict is asked for where one is wanted. */
  #recorded(stage: StageFacts): void {
    if (this.#modes[stage.index] === Mode.wait) this.#ask(stage);
    else this.#reply(stage, CONTINUE);
  }

  #body(bytes: Buffer, start: number, end: number): void {
    if (!this.#comes(facts.body)) return;
    this.#questions.recorder.body(bytes.subarray(start, end), this.#plan);
    this.#recorded(facts.body);
  }

  #eom(): void {
    this.#connected = true;
    if (this.refused || !this.#inMessage) {
      this.#reply(facts.eom, this.refused ? TEMPFAIL : this.#final);
      return;
    }
    this.#macros.came('eom');
    const { recorder } = this.#questions;
    if (!this.#accepted && this.#mode('eom') === Mode.wait) {
      recorder.eom(this.#news(facts.eom.index));
      this.#ask(facts.eom);
      return;
    }
    const tells = this.#messageKnown;
    const verdict = this.#endWithReplay(this.#accepted ? ACCEPT : CONTINUE);
    if (tells) {
      recorder.eom(undefined);
      this.#questions.tell('eom');
    }
    this.#reply(facts.eom, verdict);
  }

  #abort(): void {
    if (this.#messageKnown || this.#mode('abort') === Mode.wait) {
      this.#questions.recorder.plain(stageIndex.abort, this.#news(stageIndex.abort));
      this.#questions.tell('abort');
    }
    this.#endMessage(this.#withoutMail);
  }

  /** What is said to a message of which MAIL was not told: where MAIL is switched off, that the filter has no objection. */
  get #withoutMail(): number {
    return (this.#steps & SMFIP.NOMAIL) !== 0 ? CONTINUE : TEMPFAIL;
  }

  // What is asked, and what comes of it.

  #ask(stage: StageFacts | undefined): void {
    this.#asked = stage;
    if (this.#inMessage) this.#messageKnown = true;
    if (!this.#questions.ask(stage?.stage ?? 'negotiate')) this.#apply(TEMPFAIL, {});
  }

  #applyPolicy(): void {
    const { verdict, reply } = this.#plan.onError;
    this.#apply(verdict, { reply });
  }

  #apply(given: number, { reply, actions, plan }: AnswerParts): void {
    const stage = this.#asked;
    if (stage === undefined) {
      this.#negotiated(given, plan);
      return;
    }
    if (actions !== undefined) this.#actions = actions;
    const verdict = this.#clamped(given, stage);
    if (stage.isOfMessage) this.#applyToMessage(stage, verdict, reply);
    else this.#reply(stage, verdict, reply);
  }

  #clamped(verdict: number, stage: StageFacts): number {
    if (!verdictFrames.has(verdict)) return TEMPFAIL;
    if (verdict === SKIP && (stage !== facts.body || (this.#steps & SMFIP.SKIP) === 0)) return CONTINUE;
    // A policy may say so, but it is none of this stage's verdicts.
    return verdict === ACCEPT && stage === facts.unknown ? CONTINUE : verdict;
  }

  #applyToMessage(stage: StageFacts, given: number, reply: Reject | Tempfail | undefined): void {
    let verdict = given;
    const refuses = verdict === REJECT || verdict === TEMPFAIL;
    if (verdict === ACCEPT && stage !== facts.eom && this.#actions.length > 0) {
      // The MTA never comes to eom after an accept, and the actions would be lost.
      this.#accepted = true;
      this.#questions.recorder.dropMessage();
      verdict = CONTINUE;
    } else if (stage === facts.eom && (verdict === CONTINUE || verdict === ACCEPT)) {
      verdict = this.#endWithReplay(verdict);
    } else if (refuses || verdict === DISCARD || verdict === ACCEPT) {
      // A refusal of a recipient concerns that one only.
      if (!(refuses && stage === facts.envrcpt)) this.#endMessage(verdict);
    }
    this.#reply(stage, verdict, reply);
  }

  #endWithReplay(verdict: number): number {
    if (this.#actions.length > 0) {
      const lost = (): void => this.#questions.notify(Notice.replayFailed, 0);
      this.#line.sendActions(actionFrames(this.#actions), lost);
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
    this.#questions.recorder.dropMessage();
    this.#macros.endMessage();
    this.#host.messageEnded();
  }

  /** Answers the MTA, where it waits for an answer. */
  #reply(stage: StageFacts, verdict: number, reply?: Reject | Tempfail): void {
    const { noReply } = stage;
    const isSilent = (this.#steps & noReply) !== 0;
    if (this.#bodyWithEom && stage === facts.body) {
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
    this.#questions.plan = plan;
    const offer = this.#offer;
    const steps =
      chosen.steps === BY_PLAN
        ? wantedSteps(plan, offer, this.#line.isTcp)
        : possibleSteps(offer) & chosen.steps;
    this.#agree(offer.actions & chosen.actions, steps);
  }

  #agree(granted: number, wanted: number): void {
    const offer = this.#offer;
    const actions = granted >>> 0;
    this.#steps = wanted >>> 0;
    this.#mtaSteps = (wanted & offer.steps) >>> 0;
    this.#final = this.#withoutMail;
    const asksForMacros = !this.refused && (offer.actions & SMFIF.SETSYMLIST) !== 0;
    if (!this.refused) this.#questions.recorder.negotiation({ actions, steps: this.#steps });
    const lists = asksForMacros ? wantedMacros(this.#plan) : {};
    this.#line.send(encodeAgreement(offer.version, actions, this.#mtaSteps, lists));
  }

  // What the plan says.

  get #plan(): EnginePlan {
    return this.#questions.plan;
  }

  get #modes(): readonly number[] {
    return this.#questions.plan.modes;
  }

  #mode(stage: Stage): number {
    return this.#modes[stageIndex[stage]] ?? Mode.off;
  }

  #news(index: number): ReturnType<MacroLists['news']> {
    return this.#macros.news(this.#plan.stageMacros[index] ?? []);
  }
}
