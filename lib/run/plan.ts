/**
 * From a Milter class to what the engine shall do: overriding a method is the negotiation.
 */
import type { EnginePlan } from '../engine/engine.ts';
import { MilterError } from '../errors.ts';
import { defaultMacros, type MacroWishes, macroName, namesAt } from '../milter/macros.ts';
import { type MilterClass, type OnError, overrides } from '../milter/milter.ts';
import { type Reject, reject, type Tempfail, tempfail } from '../milter/verdicts.ts';
import { readWishes, type Wishes } from '../milter/wishes.ts';
import {
  isMacroStage,
  type MacroStage,
  Mode,
  macroStages,
  type Stage,
  scope,
  stages,
  verdictCode,
} from '../protocol/stages.ts';

/** The longest a handler may take, in milliseconds, by stage. */
export type Deadlines = Readonly<Record<DeadlineStage, number>>;
export type DeadlineStage = Exclude<Stage, 'negotiate' | 'abort' | 'close'>;

/** The server's settings on which a plan depends. */
export interface PlanSettings {
  readonly deadlines: Deadlines;
  readonly onError: OnError;
  /** Bytes. */
  readonly maxBody: number;
}

/** One class of a filter, and which of its methods are to be called. */
export interface MemberPlan {
  readonly filter: MilterClass;
  readonly handles: ReadonlySet<Stage>;
  /** Its own wish, or else the server's; one that is only observed must not stop the mail. */
  readonly onError: OnError;
  readonly wishes: Wishes;
}

/** What was made of a filter. */
export interface Plan {
  readonly id: number;
  readonly members: readonly MemberPlan[];
  /** Stages whose handlers run in the batch of a later one. */
  readonly late: ReadonlySet<Stage>;
  /** Not all members are only observed. */
  readonly decides: boolean;
  readonly macroNames: readonly string[];
  /** What a stage that overran as a whole is answered with. */
  readonly onError: OnError;
  readonly engine: EnginePlan;
}

const contentStages: readonly Stage[] = ['header', 'eoh', 'body', 'eom'];
const lateable = ['header', 'eoh', 'body'] as const;

/** What a handler's failure is answered with. */
export function failureReply(onError: OnError): Reject | Tempfail | undefined {
  if (onError === 'tempfail') return tempfail(451, '4.3.0', 'Mail filter failed, please try again later');
  if (onError === 'reject') return reject(554, '5.3.0', 'Mail filter failed');
  return undefined;
}

/** The plan for the classes of a filter. `asks` makes negotiation cross, for factories to choose the classes. */
export function makePlan(
  id: number,
  filters: readonly MilterClass[],
  settings: PlanSettings,
  asks: boolean,
): Plan {
  const members = filters.map((member) => planMember(member, settings.onError));
  const wants = (stage: Stage): boolean => members.some((member) => member.handles.has(stage));
  const early = new Set(members.flatMap((member) => member.wishes.early));
  const noBody = members.every((member) => member.wishes.body === 'none');
  const late = new Set<Stage>(lateable.filter((stage) => wants(stage) && !early.has(stage)));
  if (noBody) late.delete('body');

  const modeOf = (stage: Stage): Mode => {
    if (stage === 'negotiate') return Mode.off;
    if (stage === 'body' && noBody) return Mode.off;
    if (stage === 'eom') return wants('eom') || late.size > 0 ? Mode.wait : Mode.record;
    if (wants(stage) && !late.has(stage)) return Mode.wait;
    if (stage === 'unknown') return Mode.off;
    if (contentStages.includes(stage)) return contentStages.some(wants) ? Mode.record : Mode.off;
    const later = stages.slice(stages.indexOf(stage) + 1);
    const relevant =
      scope[stage] === 'message'
        ? later.filter((next) => scope[next] === 'message' || next === 'close')
        : later;
    return relevant.some(wants) ? Mode.record : Mode.off;
  };

  const wishes = mergeWishes(members);
  const perStage = new Map<Stage, readonly string[]>(
    macroStages.map((stage) => [stage, namesAt(stage, wishes)]),
  );
  const macroNames = [...new Set([...perStage.values()].flat())];
  const indexesOf = (names: readonly string[]): number[] => names.map((name) => macroNames.indexOf(name));
  const stageMacros = stages.map((stage) => {
    // What came with connect or helo holds for the session, whichever stage it was wished for.
    if (stage === 'connect' || stage === 'helo') return indexesOf(macroNames);
    return indexesOf(perStage.get(stage) ?? []);
  });
  if (macroNames.length > 255) {
    throw new MilterError(
      'ERR_MILTER_FILTER',
      `${filters.map(({ name }) => name).join(', ')}: more than 255 macros are wished for`,
    );
  }

  const onError = strictest(members);
  return {
    id,
    members,
    late,
    decides: members.some((member) => !member.wishes.observe),
    macroNames,
    onError,
    engine: {
      id,
      modes: stages.map(modeOf),
      deadlines: stages.map((stage) => deadlineOf(stage, settings.deadlines, members)),
      asksAtNegotiate: asks || wants('negotiate'),
      rejectedRecipients: members.some((member) => member.wishes.rejectedRecipients),
      bodyChunks: late.has('body'),
      maxBody: settings.maxBody,
      onError: { verdict: verdictCode[onError], reply: failureReply(onError) },
      macros: macroNames,
      stageMacros,
      requestedMacros: stages.map((stage) =>
        isMacroStage(stage) && wishes[stage] !== undefined
          ? [...new Set([...defaultMacros[stage], ...wishes[stage].map(macroName)])].join(' ')
          : '',
      ),
    },
  };
}

function planMember(filter: MilterClass, onError: OnError): MemberPlan {
  const wishes = readWishes(filter);
  return {
    filter,
    wishes,
    handles: new Set(stages.filter((stage) => overrides(filter, stage))),
    onError: wishes.observe ? 'continue' : (wishes.onError ?? onError),
  };
}

/** When the whole stage overran, the member that would lose no mail and let none through has the word. */
function strictest(members: readonly MemberPlan[]): OnError {
  const policies = members.map((member) => member.onError);
  const order: readonly OnError[] = ['tempfail', 'reject', 'accept', 'continue'];
  return order.find((policy) => policies.includes(policy)) ?? 'tempfail';
}

function mergeWishes(members: readonly MemberPlan[]): MacroWishes {
  const merged: { [Place in MacroStage]?: string[] } = {};
  for (const { wishes } of members) {
    for (const stage of macroStages) {
      const names = wishes.macros[stage];
      if (names === undefined) continue;
      const list = merged[stage] ?? [];
      list.push(...names);
      merged[stage] = list;
    }
  }
  return merged;
}

/** That of the server; a filter of one member may want less. Several share it (deadline.ts). */
function deadlineOf(stage: Stage, deadlines: Deadlines, members: readonly MemberPlan[]): number {
  if (stage === 'abort' || stage === 'close') return 0; // Nobody waits for these.
  // Negotiation is answered by code of ours and a constructor; it gets what connect gets.
  if (stage === 'negotiate') return deadlines.connect;
  const own = members.length === 1 ? members[0]?.wishes.deadlines[stage] : undefined;
  return Math.min(deadlines[stage], own ?? Number.POSITIVE_INFINITY);
}
