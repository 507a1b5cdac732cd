/**
 * The filter's side of the protocol without libmilter: what native/core/session.cc does, in TypeScript, so that a
 * Milter class can be tested with no addon. It plays by the same plan and feeds the same dispatcher.
 */
import type { Duplex } from 'node:stream';
import type { Negotiated } from '../protocol/exchange.ts';
import {
  type MacroStage,
  Mode,
  SMFIF,
  SMFIP,
  type Stage,
  scope,
  stageIndex,
  verdictCode,
} from '../protocol/stages.ts';
import { encodeFrame, type Frame, FrameReader, STAGES, splitTexts } from '../protocol/wire.ts';
import { BY_PLAN } from '../run/answers.ts';
import type { Backend } from '../run/dispatcher.ts';
import type { NativePlan } from '../run/native.ts';
import { Notice } from '../run/native.ts';
import { decodeText } from '../text.ts';
import { packRecord, packText, packTicket, u32, unpackAnswer } from './packing.ts';

/** A verdict as the dispatcher settles it. */
interface Answer {
  readonly verdict: number;
  readonly packed: Buffer | undefined;
}

/** The macro groups, from the one sent first; a command forgets those behind its own. */
const groups: readonly MacroStage[] = ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'eoh', 'eom'];
const forgets: readonly Stage[] = ['connect', 'helo', 'envfrom', 'envrcpt'];

type WireStage = keyof typeof STAGES;

const stageOf = new Map<string, WireStage>(
  Object.entries(STAGES).map(([stage, { command }]) => [command, stage as WireStage]),
);
const verdictFrames = new Map<number, string>([
  [verdictCode.continue, 'c'],
  [verdictCode.accept, 'a'],
  [verdictCode.reject, 'r'],
  [verdictCode.discard, 'd'],
  [verdictCode.tempfail, 't'],
  [verdictCode.skip, 's'],
]);
const actionFrames = ['h', 'i', 'm', 'e', '+', '-', 'b', 'q'];

const CHUNK = 65_535;
const SESSION = 1;

export class FakeFilter implements Backend {
  /** Takes batches; set right after construction, for the dispatcher needs us first. */
  batch: (tickets: Buffer) => void = () => {};
  readonly #plans = new Map<number, NativePlan>();
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  readonly #macros = new Map<MacroStage, Map<string, string>>();
  /** Whose macros came since the last command. */
  readonly #freshMacros = new Set<Stage>();
  #plan: NativePlan | undefined;
  #negotiated = { actions: 0, steps: 0 };
  #nextTicket = 1;
  #records: Buffer[] = [];
  #headers: Buffer[] = [];
  #chunks: Buffer[] = [];
  #known = false;
  #messageKnown = false;
  #inMessage = false;
  #accepted = false;
  #actions: Buffer | undefined;
  #final: number = verdictCode.continue;

  addPlan(plan: NativePlan): void {
    this.#plans.set(plan.id, plan);
  }

  removePlan(id: number): void {
    this.#plans.delete(id);
  }

  settle(ticket: number, verdict: number, packed?: Buffer): boolean {
    const answer = this.#waiting.get(ticket);
    if (answer === undefined) return false;
    this.#waiting.delete(ticket);
    answer({ verdict, packed });
    return true;
  }

  lookup(ticket: number, name: string): Buffer | undefined {
    if (!this.#waiting.has(ticket)) return undefined;
    const value = this.#macro(name);
    return value === undefined ? undefined : Buffer.from(value);
  }

  /** Agrees on flags. A `negotiate` that answers with a promise needs a real connection. */
  negotiate(offer: { version: number; actions: number; steps: number }, plan: number): Negotiated {
    let current = this.#planOf(plan);
    // libmilter offers every no-reply flag and sends the reply itself where the MTA knows none.
    const offered = { actions: offer.actions, steps: offer.steps | noReplyFlags() };
    let wanted = { actions: offered.actions, steps: wantedSteps(current, offered.steps) };
    if (current.asksAtNegotiate) {
      let answer: Answer | undefined;
      const records = packRecord('negotiate', new Map(), u32(offered.actions), u32(offered.steps));
      this.#send(stageIndex.negotiate, records, current.id, (settled) => {
        answer = settled;
      });
      const chosen = answer?.verdict === verdictCode.continue ? unpackAnswer(answer.packed).plan : undefined;
      if (chosen === undefined)
        throw new Error('the filter did not negotiate (a fake session cannot wait for it)');
      current = this.#planOf(chosen.id);
      const steps =
        chosen.steps === BY_PLAN ? wantedSteps(current, offered.steps) : offered.steps & chosen.steps;
      wanted = { actions: offered.actions & chosen.actions, steps };
    }
    this.#plan = current;
    this.#negotiated = wanted;
    this.#records.push(packRecord('negotiate', new Map(), u32(wanted.actions), u32(wanted.steps)));
    const symlists: { [stage in MacroStage]?: readonly string[] } = {};
    for (const stage of groups) {
      const names = current.requestedMacros[stageIndex[stage]] ?? '';
      if (names !== '' && (offer.actions & SMFIF.SETSYMLIST) !== 0) symlists[stage] = names.split(' ');
    }
    return { version: offer.version, actions: wanted.actions, steps: wanted.steps & offer.steps, symlists };
  }

  /** Answers the frames that come through `stream`, until it ends. */
  async serve(stream: Duplex, mtaSteps: number): Promise<void> {
    const reader = new FrameReader();
    for await (const bytes of stream) {
      reader.push(bytes as Buffer);
      for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
        if (frame.command === 'Q') {
          stream.end();
          break;
        }
        const reply = await this.#handle(frame, mtaSteps);
        if (reply !== undefined) stream.write(reply);
      }
    }
    if (this.#inMessage) this.#abort();
    if (this.#known || this.#mode('close') === Mode.wait) this.#tell('close');
  }

  /** The reply to one frame; undefined where none is due. */
  async #handle({ command, payload }: Frame, mtaSteps: number): Promise<Buffer | undefined> {
    if (command === 'D') {
      this.#takeMacros(payload);
      return undefined;
    }
    if (command === 'A') {
      if (this.#inMessage) this.#abort();
      return undefined;
    }
    const stage = stageOf.get(command);
    if (stage === undefined) return undefined;
    if ((stage === 'helo' || stage === 'envfrom') && this.#inMessage) this.#abort();
    if (forgets.includes(stage)) {
      for (const group of groups.slice(groups.indexOf(stage as MacroStage) + 1)) this.#macros.delete(group);
    }
    // What came with an earlier greeting or recipient must be sent anew.
    if ((stage === 'helo' || stage === 'envrcpt') && !this.#freshMacros.has(stage))
      this.#macros.delete(stage);
    this.#freshMacros.clear();
    const reply = stage === 'eom' ? await this.#eom() : await this.#stage(stage, payload);
    return (mtaSteps & STAGES[stage].noReply) !== 0 ? undefined : reply;
  }

  async #stage(stage: Exclude<WireStage, 'eom'>, payload: Buffer): Promise<Buffer> {
    const ofMessage = scope[stage] === 'message';
    if (stage === 'envfrom') {
      this.#inMessage = true;
      this.#final = verdictCode.continue;
    }
    if (ofMessage && !this.#inMessage) return verdictFrame(this.#final, undefined);
    if (ofMessage && this.#accepted) return encodeFrame('c');
    const mode = this.#mode(stage);
    if (mode === Mode.off) return encodeFrame('c');
    this.#record(stage, payload);
    if (mode === Mode.record) return encodeFrame('c');
    return this.#ask(stage);
  }

  async #eom(): Promise<Buffer> {
    if (!this.#inMessage) return verdictFrame(this.#final, undefined);
    if (!this.#accepted && this.#mode('eom') === Mode.wait) {
      this.#record('eom', Buffer.alloc(0));
      return this.#ask('eom');
    }
    return this.#endWithReplay(this.#accepted ? verdictCode.accept : verdictCode.continue);
  }

  #record(stage: Stage, payload: Buffer): void {
    if (stage !== 'header') this.#flushHeaders();
    if (stage !== 'body') this.#flushBody();
    const macros = this.#macrosAt(stage);
    switch (stage) {
      case 'connect':
        this.#records.push(packRecord(stage, macros, packClient(payload)));
        break;
      case 'helo':
      case 'unknown':
        this.#records.push(packRecord(stage, macros, packText(payload.subarray(0, -1))));
        break;
      case 'envfrom':
      case 'envrcpt': {
        const texts = splitTexts(payload);
        this.#records.push(packRecord(stage, macros, u32(texts.length), ...texts.map(packText)));
        break;
      }
      case 'header':
        this.#headers.push(...splitTexts(payload).slice(0, 2).map(packText));
        break;
      case 'body':
        this.#chunks.push(payload);
        break;
      default:
        this.#records.push(packRecord(stage, macros));
    }
  }

  #flushHeaders(): void {
    if (this.#headers.length === 0) return;
    const packed = packText(Buffer.concat(this.#headers));
    this.#records.push(packRecord('header', new Map(), u32(this.#headers.length / 2), packed));
    this.#headers = [];
  }

  #flushBody(): void {
    if (this.#chunks.length === 0) return;
    const bytes = Buffer.concat(this.#chunks);
    const complete = bytes.length <= (this.#plan?.maxBody ?? 0);
    const lengths =
      this.#plan?.bodyChunks === true && complete ? this.#chunks.map((chunk) => u32(chunk.length)) : [];
    const rest = [Buffer.of(complete ? 1 : 0, 0), u32(lengths.length), ...lengths];
    this.#records.push(packRecord('body', new Map(), ...rest, packText(complete ? bytes : Buffer.alloc(0))));
    this.#chunks = [];
  }

  async #ask(stage: Stage): Promise<Buffer> {
    const answer = await this.#await(stage);
    const { reply, actions } = unpackAnswer(answer.packed);
    if (actions !== undefined) this.#actions = answer.packed;
    let { verdict } = answer;
    const refusal = verdict === verdictCode.reject || verdict === verdictCode.tempfail;
    if (verdict === verdictCode.skip && (stage !== 'body' || (this.#negotiated.steps & SMFIP.SKIP) === 0)) {
      verdict = verdictCode.continue;
    }
    const ofMessage = scope[stage] === 'message';
    if (ofMessage) {
      if (stage === 'eom' && !refusal && verdict !== verdictCode.discard) return this.#endWithReplay(verdict);
      if (verdict === verdictCode.accept && this.#actions !== undefined) {
        this.#accepted = true;
        return encodeFrame('c');
      }
      const goesOn = verdict === verdictCode.continue || verdict === verdictCode.skip;
      if (!goesOn && !(refusal && stage === 'envrcpt')) this.#endMessage(verdict);
    }
    return verdictFrame(verdict, refusal ? reply : undefined);
  }

  /** The answer, or at the deadline what the plan says. */
  async #await(stage: Stage): Promise<Answer> {
    const plan = this.#plan;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const id = this.#send(stageIndex[stage], this.#takeRecords(), plan?.id ?? 0, resolve);
    if (plan === undefined || !this.#waiting.has(id)) return promise;
    const timer = setTimeout(() => {
      this.#waiting.delete(id);
      resolve(plan.onError);
      this.batch(packTicket(id, SESSION, plan.id, Notice.expired));
    }, plan.deadlines[stageIndex[stage]]);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  #send(stage: number, records: Buffer, plan: number, answered: (answer: Answer) => void): number {
    const id = this.#nextTicket++;
    this.#waiting.set(id, answered);
    this.batch(packTicket(id, SESSION, plan, stage, records));
    return id;
  }

  #takeRecords(): Buffer {
    this.#flushHeaders();
    this.#flushBody();
    const records = Buffer.concat(this.#records);
    this.#records = [];
    this.#known = true;
    if (this.#inMessage) this.#messageKnown = true;
    return records;
  }

  /** News for which nobody waits. */
  #tell(stage: Stage): void {
    this.#record(stage, Buffer.alloc(0));
    this.batch(packTicket(0, SESSION, this.#plan?.id ?? 0, stageIndex[stage], this.#takeRecords()));
  }

  #abort(): void {
    if (this.#messageKnown || this.#mode('abort') === Mode.wait) this.#tell('abort');
    this.#endMessage(verdictCode.tempfail);
  }

  #endWithReplay(verdict: number): Buffer {
    const { actions = [] } = unpackAnswer(this.#actions);
    const frames = actions.flatMap(({ kind, index, first, second }) => {
      const frame = actionFrames[kind] ?? '';
      const nul = Buffer.alloc(1);
      const at = Buffer.alloc(4);
      at.writeUInt32BE(index);
      if (frame === 'h') return [encodeFrame(frame, first, nul, second, nul)];
      if (frame === 'i' || frame === 'm') return [encodeFrame(frame, at, first, nul, second, nul)];
      if (frame === 'b') return bodyFrames(first);
      if (second.length === 0) return [encodeFrame(frame, first, nul)];
      return [encodeFrame(frame === '+' ? '2' : frame, first, nul, second, nul)];
    });
    const tell = this.#messageKnown && (this.#accepted || this.#mode('eom') !== Mode.wait);
    this.#accepted = false;
    if (tell) this.#tell('eom');
    this.#endMessage(verdict);
    return Buffer.concat([...frames, verdictFrame(verdict, undefined)]);
  }

  #endMessage(verdict: number): void {
    this.#final = verdict;
    this.#inMessage = false;
    this.#messageKnown = false;
    this.#accepted = false;
    this.#actions = undefined;
    this.#headers = [];
    this.#chunks = [];
    for (const group of groups) {
      // Those that came already are the next message's.
      const stays = group === 'connect' || group === 'helo' || this.#freshMacros.has(group);
      if (!stays) this.#macros.delete(group);
    }
    // What was gathered of a message of which nobody has heard goes; the connection's own records stay.
    this.#records = this.#records.filter((record) => (record[0] ?? 0) <= stageIndex.helo);
  }

  #takeMacros(payload: Buffer): void {
    const stage = stageOf.get(payload.toString('latin1', 0, 1));
    if (stage === undefined) return;
    const texts = splitTexts(payload.subarray(1)).map((text) => decodeText(text));
    const values = new Map<string, string>();
    for (let i = 0; i + 1 < texts.length; i += 2) values.set(texts[i] ?? '', texts[i + 1] ?? '');
    this.#macros.set(stage as MacroStage, values);
    this.#freshMacros.add(stage);
  }

  #macrosAt(stage: Stage): ReadonlyMap<number, string | undefined> {
    const indexes = this.#plan?.stageMacros[stageIndex[stage]] ?? [];
    return new Map(indexes.map((index) => [index, this.#macro(this.#plan?.macros[index] ?? '')]));
  }

  #macro(name: string): string | undefined {
    const other = name.length === 1 ? `{${name}}` : name;
    for (const group of groups.toReversed()) {
      const values = this.#macros.get(group);
      const value = values?.get(name) ?? values?.get(other);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  #mode(stage: Stage): number {
    return this.#plan?.modes[stageIndex[stage]] ?? Mode.off;
  }

  #planOf(id: number): NativePlan {
    const plan = this.#plans.get(id);
    if (plan === undefined) throw new Error(`no plan ${id}`);
    return plan;
  }
}

function noReplyFlags(): number {
  return Object.values(STAGES).reduce((flags, { noReply }) => flags | noReply, 0);
}

/** As Session::WantedSteps() in native/core/session.cc. */
function wantedSteps(plan: NativePlan, offered: number): number {
  let steps: number = SMFIP.SKIP | SMFIP.HDR_LEADSPC;
  if (plan.rejectedRecipients) steps |= SMFIP.RCPT_REJ;
  for (const [stage, { off, noReply }] of Object.entries(STAGES)) {
    const mode = plan.modes[stageIndex[stage as Stage]];
    if (mode === Mode.off) steps |= off;
    if (mode !== Mode.wait) steps |= noReply;
  }
  return steps & offered;
}

function verdictFrame(verdict: number, reply: ReturnType<typeof unpackAnswer>['reply']): Buffer {
  if (reply === undefined) return encodeFrame(verdictFrames.get(verdict) ?? 't');
  const lines = reply.lines.map((line, i) => {
    const separator = i < reply.lines.length - 1 ? '-' : ' ';
    const enhanced = reply.enhanced.length > 0 ? `${reply.enhanced.toString()} ` : '';
    return Buffer.concat([Buffer.from(`${reply.code.toString()}${separator}${enhanced}`), line]);
  });
  const text = lines.flatMap((line, i) => (i === 0 ? [line] : [Buffer.from('\r\n'), line]));
  return encodeFrame('y', ...text, Buffer.alloc(1));
}

function bodyFrames(body: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at === 0 || at < body.length; at += CHUNK)
    frames.push(encodeFrame('b', body.subarray(at, at + CHUNK)));
  return frames;
}

/** From the wire's form of a client to the record's. */
function packClient(payload: Buffer): Buffer {
  const nameEnd = payload.indexOf(0);
  const family = payload[nameEnd + 1] ?? 0x55;
  const port = family === 0x55 ? 0 : payload.readUInt16BE(nameEnd + 2);
  const address = family === 0x55 ? Buffer.alloc(0) : payload.subarray(nameEnd + 4, -1);
  return Buffer.concat([
    packText(payload.subarray(0, nameEnd)),
    Buffer.of(family, port & 0xff, port >> 8),
    packText(address),
  ]);
}
