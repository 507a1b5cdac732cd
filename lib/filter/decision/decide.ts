/**
 * From findings to verdicts. Pure: what is known goes in, what shall be done comes out.
 *
 * Before DATA, findings act at every recipient whom they concern and who is not exempt. At the end of the message those
 * found since then act on the message as a whole, but never on one all of whose recipients are exempt; those of some
 * modules do, unless a person has released it.
 */
import type { Action } from '../findings/action.ts';
import {
  type Finding,
  falls,
  holds,
  type JudgedRecipient,
  type Ruling,
  type TakenOut,
} from '../findings/finding.ts';

/** What overrules findings. */
export interface Rules {
  /** What the postmaster's own exceptions say of a finding; undefined where they say nothing. */
  readonly ruling: (finding: Finding) => Ruling | undefined;
  /**
   * What a refusal becomes, where refusing would have a relay of ours bounce the message to a sender that may be forged.
   * Recipients are refused all the same: the relay can be told who exists.
   */
  readonly insteadOfRefusal: Action | undefined;
}

/** A finding, and what was made of it. */
export interface Ruled {
  readonly finding: Finding;
  /** Its action in force. */
  readonly action: Ruling['action'];
  /** In place of the finding's own. */
  readonly reply: Finding['reply'];
  /** The entry of `access` that overruled it. */
  readonly by: string | undefined;
}

/** What happens at RCPT. */
export type RecipientDecision =
  | { readonly verdict: 'reject' | 'tempfail'; readonly because: Ruled }
  | {
      readonly verdict: 'continue';
      readonly out: { readonly how: TakenOut; readonly finding: Finding } | undefined;
    };

/** What happens at the end of the message. */
export type MessageDecision =
  | {
      readonly verdict: 'reject' | 'tempfail';
      readonly because: Ruled;
      readonly ruled: readonly Ruled[];
      readonly points: number;
    }
  | {
      readonly verdict: 'continue';
      /** What the findings came to. */
      readonly ruled: readonly Ruled[];
      /** Whose copies do not go on. */
      readonly out: readonly {
        readonly address: string;
        readonly how: TakenOut;
        readonly finding: Finding;
      }[];
      /** Why the MTA shall hold the message. */
      readonly hold: Ruled | undefined;
      /** Written into the message. */
      readonly tags: readonly Ruled[];
      readonly points: number;
    };

/** Applies what overrules findings, and leaves out what another finding's `accept` disarms. */
export function rule(findings: readonly Finding[], rules: Rules): readonly Ruled[] {
  const ruled = findings
    .filter((finding) => !finding.observed && holds(finding))
    .map((finding): Ruled => {
      const ruling = rules.ruling(finding);
      const action = ruling?.action ?? finding.action;
      return {
        finding,
        action: (isRefusal(action) && finding.about !== 'recipient' && rules.insteadOfRefusal) || action,
        reply: ruling?.reply ?? finding.reply,
        by: ruling?.by,
      };
    });
  const accepting = new Set(
    ruled.filter(({ action }) => action.word === 'accept').map(({ finding }) => finding.module),
  );
  if (accepting.size === 0) return ruled;
  // Of the one module that accepts, its own findings act.
  const [own] = accepting.size === 1 ? accepting : [];
  return ruled.filter(({ finding }) => finding.unsparing || finding.module === own);
}

function isRefusal({ word }: Ruling['action']): boolean {
  return word === 'reject' || word === 'tempfail';
}

/** Decides about one recipient, before DATA. */
export function decideRecipient(
  findings: readonly Finding[],
  rules: Rules,
  address: string,
  exempt: boolean,
): RecipientDecision {
  if (exempt) return { verdict: 'continue', out: undefined };
  const concerning = findings.filter((finding) => concerns(finding, address));
  const ruled = rule(concerning, rules);
  const refusal = refusalOf(ruled);
  if (refusal !== undefined) return refusal;
  return { verdict: 'continue', out: takenOut(ruled) };
}

/** Decides about the message, at its end. */
export function decideMessage(
  findings: readonly Finding[],
  rules: Rules,
  recipients: readonly JudgedRecipient[],
): MessageDecision {
  const concerned = recipients.filter(({ exempt }) => exempt === false);
  const ruled = rule(ofSomebody(findings, concerned), rules);
  const points = sumUp(ruled);
  // What was found before DATA has acted at each recipient by then; of that only what concerns the message is left.
  const falling = ruled.filter(({ finding }) => recipients.some((recipient) => falls(finding, recipient)));
  const now = falling.filter(({ finding }) => finding.when === 'message');
  const refusal = refusalOf(now);
  if (refusal !== undefined) return { ...refusal, ruled, points };
  const tags = falling.filter(({ action }) => action.word === 'tag');
  const quarantined = now.some(({ action }) => action.word === 'quarantine');
  const hold = quarantined ? undefined : first(falling, 'hold');
  // A message that is held is not dropped.
  const taking = hold === undefined ? now : now.filter(({ action }) => action.word !== 'discard');
  const out = recipients.flatMap(({ address, exempt, out: before }) => {
    const found =
      takenOut(taking.filter(({ finding }) => falls(finding, { exempt }) && concerns(finding, address))) ??
      before;
    return found === undefined ? [] : [{ address, ...found }];
  });
  return { verdict: 'continue', ruled, out, hold, tags, points };
}

/** What the points add up to that concern a recipient. */
export function pointsAt(findings: readonly Finding[], rules: Rules, address: string): number {
  return sumUp(
    rule(
      findings.filter((finding) => concerns(finding, address)),
      rules,
    ),
  );
}

/** Without those that concern only recipients who are exempt or were refused. What is found after DATA is for all. */
function ofSomebody(
  findings: readonly Finding[],
  recipients: readonly JudgedRecipient[],
): readonly Finding[] {
  return findings.filter(
    (finding) =>
      (finding.recipient === undefined && finding.when === 'message' && !sparesAll(finding, recipients)) ||
      recipients.some(({ address }) => concerns(finding, address)),
  );
}

function sparesAll({ spares }: Finding, recipients: readonly JudgedRecipient[]): boolean {
  return spares !== undefined && recipients.every(({ address }) => spares(address));
}

function sumUp(ruled: readonly Ruled[]): number {
  const sum = ruled.reduce(
    (points, { action }) => points + (action.word === 'score' && 'points' in action ? action.points : 0),
    0,
  );
  // Points have a decimal or two; a sum of 4.999999999999999 must not miss 5.
  return Math.round(sum * 1e6) / 1e6;
}

function concerns(finding: Finding, address: string): boolean {
  const { recipient, spares } = finding;
  return (
    (recipient === undefined || recipient === address) &&
    finding.concerns(address) &&
    spares?.(address) !== true
  );
}

function first(ruled: readonly Ruled[], word: string): Ruled | undefined {
  return ruled.find(({ action }) => action.word === word);
}

function refusalOf(
  ruled: readonly Ruled[],
): { readonly verdict: 'reject' | 'tempfail'; readonly because: Ruled } | undefined {
  for (const verdict of ['reject', 'tempfail'] as const) {
    const because = first(ruled, verdict);
    if (because !== undefined) return { verdict, because };
  }
  return undefined;
}

function takenOut(
  ruled: readonly Ruled[],
): { readonly how: TakenOut; readonly finding: Finding } | undefined {
  for (const how of ['quarantine', 'discard'] as const) {
    const because = first(ruled, how);
    if (because !== undefined) return { how, finding: because.finding };
  }
  return undefined;
}
