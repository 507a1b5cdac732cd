/**
 * Everything that is known of one message's fate, from MAIL to its end. Modules add findings and changes to it; the
 * decision reads it, and the history keeps what it says in the end.
 */
import { randomFillSync } from 'node:crypto';
import { type Message, type Milter, slot } from '../../index.ts';
import type { Ruled } from '../decision/decide.ts';
import type { ChangeStep } from '../module.ts';
import type { Finding, JudgedRecipient } from './finding.ts';

/** No letters or digits that look like another. */
const ALPHABET = 'ABCDEFGHJKLMNPQRSTUVWXYZ23456789';

const REF_LENGTH = 6;

/** Drawn for many references at once: the call costs more than the bytes. */
const random = new Uint8Array(256 * REF_LENGTH);
let drawn = random.length;

/** A new name for a message: what every refusal ends with. 6 characters, one in a thousand million. */
function makeRef(): string {
  if (drawn === random.length) {
    randomFillSync(random);
    drawn = 0;
  }
  let ref = '';
  for (const end = drawn + REF_LENGTH; drawn < end; drawn++) {
    ref += ALPHABET[(random[drawn] ?? 0) % ALPHABET.length];
  }
  return ref;
}

/** What was said to one recipient. */
export interface RecipientOutcome {
  readonly address: string;
  readonly verdict: 'accept' | 'reject' | 'tempfail' | 'discard' | 'quarantine';
  readonly reply?: string;
  readonly finding?: string;
}

/** A change of a message that goes on to these recipients, in angle brackets: those whose copy the decision has not taken out. */
export type Change = (message: Message, recipients: readonly string[]) => void | Promise<void>;

/** What became of a message or of a recipient: refused by us, taken out of the mail flow, or on its way. */
export type Fate = 'refused' | 'dropped' | 'accepted';

/**
 * What is done when that is known.
 * @param ruled what the decision made of the findings
 */
export type Settling = (fate: Fate, ruled: readonly Ruled[]) => void | Promise<void>;

/** One message, while it is judged. */
export class Judgement {
  readonly ref: string = makeRef();
  /** Milliseconds since 1970. */
  readonly began: number;
  readonly findings: Finding[] = [];
  /** Those that were not refused. */
  readonly recipients: JudgedRecipient[] = [];
  /** What became of every recipient, the refused among them. */
  readonly outcomes: RecipientOutcome[] = [];
  /** What is to be changed, by the name of the module that wants it. */
  readonly changes: Map<string, { readonly step: ChangeStep; readonly change: Change }[]> = new Map();
  /** Findings that come with a change. */
  readonly edits: Finding[] = [];
  /** Recipients who are sent a copy apart, and are none of the message any more. */
  apart: readonly string[] = [];
  /** Who waits to hear what became of the message, or of a recipient. */
  readonly waiting: {
    readonly module: string;
    readonly work: Settling;
    readonly recipient: string | undefined;
  }[] = [];
  /** Modules that have nothing to do with this message, by its sender and client. */
  readonly excluded: Set<string> = new Set();
  phase: 'envelope' | 'message' | 'decided' = 'envelope';
  /** When handlers of this stage must have answered, by performance.now(). */
  stageEnd = 0;
  /** What the decision made of the findings. */
  ruled: readonly Ruled[] = [];
  points = 0;

  constructor(now: number) {
    this.began = now;
  }
}

/** The judgement of the message under way; undefined where MAIL did not reach the filter. */
export const judgementFact = slot<Judgement | undefined>('filter.judgement', 'message', () => undefined);

const served = new WeakMap<Milter, Judgement>();

/** A handler of this module's begins to work for the message. */
export function serve(milter: Milter, judgement: Judgement): void {
  served.set(milter, judgement);
}

/**
 * The judgement that a module may add to: undefined where it is over, or where a handler that was late for an earlier
 * message has only now come to its findings.
 */
export function openJudgement(milter: Milter): Judgement | undefined {
  const judgement = judgementFact.get(milter);
  const isOpen = judgement?.phase !== 'decided' && (served.get(milter) ?? judgement) === judgement;
  return isOpen ? judgement : undefined;
}
