/**
 * What a module found in a message, and everything that is known of one message's fate.
 */
import type { Action } from './action.ts';

/** What a finding is about. It decides what an entry of the access map is compared with. */
export type About = 'client' | 'helo' | 'sender' | 'recipient' | 'from' | 'dkim' | 'message';

/** The SMTP reply that a finding leads to, before its reference is added. */
export interface FindingReply {
  /** For a reject; a tempfail takes the 4xx beside it. */
  readonly code: number;
  /** Of the same class as the code (RFC 3463), or null for none. */
  readonly enhanced: string | null;
  readonly text: string;
}

/** One thing that a module found in one message. */
export interface Finding {
  /** `<module>-<short>`, its name everywhere. */
  readonly name: string;
  /** The configured module's name. */
  readonly module: string;
  readonly about: About;
  /** The domain, address or name in question. */
  readonly subject: string;
  /** What the configuration says to do. */
  readonly action: Action | { readonly word: string };
  /** Found by a module in observe mode: it is only counted. */
  readonly observed: boolean;
  /** Before DATA, or at the end of the message. */
  readonly when: 'envelope' | 'message';
  /** In angle brackets, where the finding concerns this recipient alone. */
  readonly recipient: string | undefined;
  /** Acts although another finding says `accept`. */
  readonly unsparing: boolean;
  /** Acts on mail to exempt recipients too, if it was found after DATA. */
  readonly concernsExempt: boolean;
  readonly reply: FindingReply;
  /** Put before the subject by `tag`. */
  readonly mark: string;
  /** More for the log and `milter why`. */
  readonly note: string | undefined;
  /** Asked when it is decided: the finding is void where it says so. */
  readonly unless: (() => boolean) | undefined;
  /** Recipients whom it does not concern; asked when it is decided. */
  readonly spares?: ((recipient: string) => boolean) | undefined;
  /** Whether the finding's module works for this recipient (its `match`). */
  readonly concerns: (recipient: string) => boolean;
}

/** Whether it is not void by what has been found since. */
export function holds({ unless }: Finding): boolean {
  return unless?.() !== true;
}

/** Whether what follows from a finding of the message falls on this recipient. */
export function falls(
  { concernsExempt, unsparing }: Finding,
  { exempt }: Pick<JudgedRecipient, 'exempt'>,
): boolean {
  switch (exempt) {
    case false:
      return true;
    case true:
      return concernsExempt;
    case 'allowed':
      return concernsExempt || unsparing;
    case 'released':
      return false;
  }
}

/** What is done with a recipient's copy, where not what is done with the message. */
export type TakenOut = 'discard' | 'quarantine';

/** What is known of one recipient that was not refused. */
export interface JudgedRecipient {
  /** In angle brackets, as the MTA knows it. */
  readonly address: string;
  /**
   * Whom no finding concerns, but for those that concern the exempt too. `released`: a person has judged, and none does. `allowed`:
   * always wants the mail of this sender, which is proved to be of it; findings that nothing spares concern them too.
   */
  readonly exempt: boolean | 'released' | 'allowed';
  /** Set before DATA. */
  readonly out: { readonly how: TakenOut; readonly finding: Finding } | undefined;
}

/** Why what a finding says is done, or is not. */
export interface Ruling {
  readonly action: Action | { readonly word: string };
  /** The reply in place of the finding's, if the ruling brings one. */
  readonly reply?: FindingReply;
  /** For log and `milter why`: the entry that decided. */
  readonly by: string;
}
