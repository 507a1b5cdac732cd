/** What is agreed on with an MTA before anything else: what it offers, and what the plan makes of that. */
import { STAGES } from '../../protocol/frames.ts';
import {
  type MacroStage,
  Mode,
  macroStages,
  noReplyOfAll,
  SMFIP,
  stageIndex,
  type VerdictStage,
} from '../../protocol/stages.ts';
import type { EnginePlan } from '../engine.ts';

/** What an MTA offers. */
export interface Offer {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
}

/** The newest version of the protocol. */
const VERSION = 6;
/** What an MTA of the first version knows, which offers nothing in numbers. */
const FIRST_ACTIONS = 0xf;
const FIRST_STEPS = 0x3f;

const stageWires = Object.entries(STAGES) as [VerdictStage, (typeof STAGES)[VerdictStage]][];

/** The offer as it is to be understood; undefined where the MTA is too old. */
export function understood({ version, actions, steps }: Offer): Offer | undefined {
  if (version < 2) return undefined;
  return {
    version: Math.min(version, VERSION),
    actions: actions === 0 ? FIRST_ACTIONS : actions,
    steps: steps === 0 ? FIRST_STEPS : steps,
  };
}

/** The steps that may be asked of an MTA: libmilter, too, gives no reply where an MTA does not know of that. */
export function possibleSteps(offer: Offer): number {
  return (offer.steps | noReplyOfAll) >>> 0;
}

/** What the plan does not need is switched off, what it only gathers gets no reply. */
export function wantedSteps({ modes, rejectedRecipients }: EnginePlan, offer: Offer, isTcp: boolean): number {
  let steps: number = SMFIP.SKIP | SMFIP.HDR_LEADSPC;
  if (rejectedRecipients) steps |= SMFIP.RCPT_REJ;
  for (const [stage, { off, noReply }] of stageWires) {
    const mode = modes[stageIndex[stage]];
    if (mode === Mode.off) steps |= off;
    if (mode !== Mode.wait) steps |= noReply;
  }
  // Postfix flushes its stream at DATA. Without an answer Nagle keeps the content back until the kernel's delayed
  // acknowledgement, 40 ms later; our answer brings that along.
  if (isTcp && modes[stageIndex.data] === Mode.record) steps &= ~SMFIP.NR_DATA;
  return steps & possibleSteps(offer);
}

/** For a connection that is refused only connect is wanted: its tempfail is what the client gets to see. */
export function stepsOfRefused(offer: Offer): number {
  let off = 0;
  for (const [, wire] of stageWires) off |= wire.off;
  return off & offer.steps & ~SMFIP.NOCONNECT;
}

/** The macros to ask for, by stage. */
export function wantedMacros({ requestedMacros }: EnginePlan): { [stage in MacroStage]?: string } {
  const lists: { [stage in MacroStage]?: string } = {};
  for (const stage of macroStages) {
    const names = requestedMacros[stageIndex[stage]] ?? '';
    if (names !== '') lists[stage] = names;
  }
  return lists;
}
