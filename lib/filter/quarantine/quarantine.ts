/** Where the action `quarantine` puts mail: kept for review, out of the mail's way. */
import type { Milter } from '../../index.ts';
import type { Judgement } from '../findings/judgement.ts';

/** Keeps messages for review. */
export interface Quarantine {
  /**
   * Keeps the message as received, for these recipients. Resolves when it is safe on disk, so that the MTA can be told.
   * Rejects where it cannot be kept: the message is then tempfailed; with QuarantineFull where there is no room for it.
   */
  hold(milter: Milter, judgement: Judgement, recipients: readonly string[]): Promise<void>;
  /** For whom a message was released, as its header says; undefined where the header is not ours, or not good any more. */
  releasedFor(header: string): Promise<string | undefined>;
}

/**
 * What becomes of a held message, once for each owner. `releasing`: somebody is at it; a command that ended in the middle
 * leaves it held again after ten minutes.
 */
export type HeldState = 'held' | 'releasing' | 'released' | 'deleted';

/** A message that is held for one of its recipients. */
export interface HeldItem {
  /** 32 hexadecimal digits, made of the message and its owner: the same message held twice for one is one item. */
  readonly id: string;
  readonly state: HeldState;
  /** When it was held, in milliseconds since 1970. */
  readonly at: number;
  /** Of the message as it was received; its file is called so. */
  readonly sha256: string;
  /** Bytes of the message. */
  readonly size: number;
  /** The machine whose disk it is on. */
  readonly host: string;
  /** What the log and `milter why` call the message. */
  readonly ref: string;
  /** The MTA's name for it, where it had told one. */
  readonly queueId?: string | undefined;
  /** Envelope sender, in angle brackets. */
  readonly sender: string;
  /** Envelope recipient, in angle brackets, as the MTA knows it. */
  readonly recipient: string;
  /** To compare: the recipient without brackets, in lower case. */
  readonly owner: string;
  /** The SMTP client. */
  readonly client: {
    readonly address?: string | undefined;
    readonly hostname: string;
    readonly helo: string;
  };
  /** The header as a person reads it, at most 200 characters. */
  readonly from: string;
  /** The header as a person reads it, at most 200 characters. */
  readonly subject: string;
  /** What was found, at most 50. */
  readonly findings: readonly HeldFinding[];
  /** What the points of all findings came to. */
  readonly points: number;
  /** Who changed the state last. */
  readonly by?: string | undefined;
  /** When, in milliseconds since 1970. */
  readonly changed?: number | undefined;
}

/** One finding in a message that is held. */
export interface HeldFinding {
  /** As everywhere: `<module>-<short>`. */
  readonly name: string;
  /** As it stands in the configuration. */
  readonly action: string;
  /** The domain, address or name in question. */
  readonly subject: string;
  /** More for those who ask. */
  readonly note?: string | undefined;
}

/** What {@link HeldMail.check} finds. */
export interface QuarantineReport {
  /** Messages that are held, one for each owner. */
  readonly held: number;
  /** Files of messages. */
  readonly files: number;
  /** Their compressed bytes. */
  readonly bytes: number;
  /** Items of this machine whose message is missing or damaged, and what is wrong with it. */
  readonly lost: readonly { readonly item: HeldItem; readonly fault: string }[];
  /** Files that no item names: messages whose hold was cut off before the MTA was answered, or whose index is gone. */
  readonly orphans: readonly string[];
}
