/** What of a message is dangerous to open, and what follows from that. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  inspect,
  listPart,
  listParts,
  type MimeMessage,
  type Part,
  type PoisonReason,
} from '../../../mime/index.ts';
import type { AddressList, ExtensionList, GlobList } from '../../kit.ts';
import {
  type AttachmentAction,
  DISARMINGS,
  explainRule,
  letsThrough,
  type Rule,
  type Rules,
} from './rules.ts';

/** The findings of the module that are about a part. */
export type Short =
  | 'extensions'
  | 'programs'
  | 'types'
  | 'encrypted-archive'
  | 'unread-archive'
  | 'broken-archive'
  | 'rules'
  | 'max-parts';

/** One reason why a part is not just let through. */
export interface Fault {
  readonly part: Part;
  readonly short: Short;
  readonly action: AttachmentAction;
  readonly reason: PoisonReason;
}

/** The options of the module that say what is dangerous. */
export interface JudgeOptions {
  readonly extensions: ExtensionList;
  readonly extension_action: AttachmentAction;
  readonly programs: AttachmentAction;
  readonly types: GlobList;
  readonly type_action: AttachmentAction;
  readonly archives: boolean;
  readonly encrypted_archive: AttachmentAction;
  readonly unread_archive: AttachmentAction;
  readonly broken_archive: AttachmentAction;
  readonly attached_messages: boolean;
  readonly senders_rejected: AddressList;
  readonly max_parts: number;
}

/** Whose mail it is, and the rules for it. */
export interface Envelope {
  readonly sender: string;
  readonly rules: Rules;
}

/** Milliseconds for which rules are compared before others may work. */
const TURN = 5;

class Turns {
  #since = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#since > TURN;
  }

  async next(): Promise<void> {
    await nextTurn();
    this.#since = performance.now();
  }
}

/** Judges all parts, in their order. Changes nothing. */
export async function judge(
  tree: MimeMessage,
  options: JudgeOptions,
  envelope: Envelope,
): Promise<readonly Fault[]> {
  const faults = await judgeParts(tree, options, envelope.rules);
  if (!options.senders_rejected.has(envelope.sender)) return faults;
  return faults.map((fault) =>
    isDisarming(fault.action) ? { ...fault, action: { word: 'reject' } } : fault,
  );
}

/** Whether a part is made harmless, and the rest goes on. */
export function isDisarming(
  action: AttachmentAction,
): action is { readonly word: (typeof DISARMINGS)[number] } {
  return DISARMINGS.some((word) => word === action.word);
}

async function judgeParts(tree: MimeMessage, options: JudgeOptions, rules: Rules): Promise<readonly Fault[]> {
  const { attached_messages: messages, max_parts, extensions, types } = options;
  const parts = await listParts(tree, messages, max_parts + 1);
  const tooMany: Fault = {
    part: tree.root,
    short: 'max-parts',
    action: { word: 'reject' },
    reason: { kind: 'check', text: `it has more than ${max_parts} parts, or is nested too deeply` },
  };
  if (parts.length > max_parts) return [tooMany];
  const poisons = await inspect(tree, {
    extensions: union(extensions.sets()),
    contentTypes: [],
    messages,
    ...(options.archives ? {} : { archives: false }),
  });
  const reasons = new Map<Part, readonly PoisonReason[]>(
    poisons.map((poison) => [poison.part, poison.reasons]),
  );
  const faults: Fault[] = [];
  const isIntricate = tree.problems.some(({ kind }) => kind === 'limit');
  if (isIntricate) faults.push(tooMany);
  if (reasons.size === 0 && types.empty && rules.empty) return faults;
  const turns = new Turns();
  for (const part of parts) {
    if (turns.isOver) await turns.next();
    if (part.contentTypes.every((type) => type.startsWith('multipart/'))) continue;
    const own = [...(reasons.get(part) ?? []), ...typeReasons(part, types)];
    faults.push(
      ...(rules.empty
        ? own.map((reason) => usual(part, reason, options))
        : await ruled(part, own, options, rules, turns)),
    );
  }
  return faults;
}

/** One set as it is: it is asked about every message. */
function union(sets: readonly ReadonlySet<string>[]): ReadonlySet<string> {
  const [first = new Set<string>(), ...others] = sets.filter(({ size }) => size > 0);
  return others.length === 0 ? first : new Set(sets.flatMap((set) => [...set]));
}

function typeReasons(part: Part, types: GlobList): readonly PoisonReason[] {
  if (types.empty) return [];
  const found = part.contentTypes.filter((type) => types.matches(type));
  return found.map((contentType) => ({ kind: 'content-type', contentType }));
}

/** What follows where no rule says otherwise. */
function usual(part: Part, reason: PoisonReason, options: JudgeOptions): Fault {
  switch (reason.kind) {
    case 'extension':
      return { part, reason, short: 'extensions', action: options.extension_action };
    case 'program':
      return { part, reason, short: 'programs', action: options.programs };
    case 'content-type':
    case 'check':
      return { part, reason, short: 'types', action: options.type_action };
    case 'archive':
      switch (reason.problem.kind) {
        case 'encrypted':
          return { part, reason, short: 'encrypted-archive', action: options.encrypted_archive };
        case 'unread':
          return { part, reason, short: 'unread-archive', action: options.unread_archive };
        default:
          return { part, reason, short: 'broken-archive', action: options.broken_archive };
      }
  }
}

/** The same with rules: one about the part decides about all of it, others about single members of the archive that it is. */
async function ruled(
  part: Part,
  reasons: readonly PoisonReason[],
  options: JudgeOptions,
  rules: Rules,
  turns: Turns,
): Promise<readonly Fault[]> {
  const rule = await rules.forPart(part);
  if (rule !== undefined) return byRule(rule, part, undefined);
  const faults: Fault[] = [];
  const members = new Set<string>();
  for (const reason of reasons) {
    if (turns.isOver) await turns.next();
    const member = 'member' in reason ? reason.member : undefined;
    const found = member === undefined ? undefined : await rules.forMember(part, member);
    if (member === undefined || found === undefined) faults.push(usual(part, reason, options));
    else {
      members.add(member);
      faults.push(...byRule(found, part, member));
    }
  }
  if (!options.archives || !rules.asksForMembers) return faults;
  for (const { members: listed } of await listPart(part)) {
    for (const { path } of listed) {
      if (members.has(path)) continue;
      if (turns.isOver) await turns.next();
      const found = await rules.forMember(part, path);
      if (found !== undefined && !letsThrough(found.action)) faults.push(...byRule(found, part, path));
    }
  }
  return faults;
}

function byRule(rule: Rule, part: Part, member: string | undefined): readonly Fault[] {
  const { action } = rule;
  if (action.word === 'continue') return [];
  return [{ part, short: 'rules', action, reason: { kind: 'check', text: explainRule(rule, part, member) } }];
}

/** What a part is called where it is spoken of: the name that is dangerous, if it is one. */
export function nameOf({ part, reason }: Fault): string {
  const bad = reason.kind === 'extension' && reason.member === undefined ? reason.name : undefined;
  return bad ?? part.names[0] ?? part.contentType;
}
