/** Where the action `quarantine` puts mail: kept for review, out of the mail's way. */
import type { Milter } from '../../index.ts';
import type { Direction } from '../facts.ts';
import type { Judgement } from '../findings/judgement.ts';
import type { Identity } from './allowed.ts';

/** Keeps messages for review. */
export interface Quarantine {
  /**
   * Keeps the message as received, for these recipients. Resolves when it is safe on disk, so that the MTA can be told.
   * Rejects where it cannot be kept: the message is then tempfailed; with QuarantineFull where there is no room for it.
   */
  hold(milter: Milter, judgement: Judgement, recipients: readonly string[]): Promise<void>;
  /** For which of these owners the filter's mark is good: what was released for them, or what the filter wrote itself. */
  sparedBy(header: string, owners: readonly string[]): Promise<string | undefined>;
}

/**
 * What becomes of a held message, once for each owner.
 *
 * - `held`: it waits for somebody.
 * - `requested`: the same, and its owner asks an administrator to release it.
 * - `releasing`: it is on its way to the mail server, which is asked again until it takes it.
 * - `released`, `deleted`: it is over.
 * - `lost`: its file is missing or damaged; `milter quarantine check` has found that.
 */
export type HeldState = 'held' | 'requested' | 'releasing' | 'released' | 'deleted' | 'lost';

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
  /** As it came: what is outgoing has owners who are not ours. */
  readonly direction?: Direction | undefined;
  /** Envelope sender, in angle brackets. */
  readonly sender: string;
  /** Envelope recipient, in angle brackets, as the MTA knows it. */
  readonly recipient: string;
  /** To compare: the recipient without brackets, in lower case, its domain as A-labels. Empty for a message of which nobody knows whose it is. */
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
  /** Something dangerous was found: only an administrator may release it. */
  readonly guarded?: boolean | undefined;
  /** Who the sender was, as far as that was proved; the best first. "Always allow this sender" goes by the first. */
  readonly proved?: readonly Identity[] | undefined;
  /** As what somebody had it learned last. */
  readonly learned?: 'spam' | 'ham' | undefined;
  /** Who changed the state last. */
  readonly by?: string | undefined;
  /** When, in milliseconds since 1970. */
  readonly changed?: number | undefined;
  /** How far its release is; while it is `releasing`. */
  readonly sending?: Sending | undefined;
  /** Why it could not be released. */
  readonly fault?: string | undefined;
  /**
   * It may have been delivered already: whoever sent it died, or lost the connection, while the mail server took it. It is not sent
   * again unless a person says so.
   */
  readonly doubtful?: boolean | undefined;
}

/** A release that is under way. */
export interface Sending {
  /** When somebody asked for it, in milliseconds since 1970. */
  readonly since: number;
  /** How often the mail server has been asked. */
  readonly tries: number;
  /** When it is asked next, in milliseconds since 1970. */
  readonly due: number;
  /** Who is at it; nobody else may until then. `handed`: the mail server has all of it but the end. */
  readonly attempt?: { readonly id: string; readonly until: number; readonly handed: boolean } | undefined;
}

/** One finding in a message that is held. */
export interface HeldFinding {
  /** As everywhere: `<module>-<short>`. */
  readonly name: string;
  /** As it stands in the configuration. */
  readonly action: string;
  /** The domain, address or name in question. */
  readonly subject: string;
  /** In words. */
  readonly text?: string | undefined;
  /** More for those who ask. */
  readonly note?: string | undefined;
}

/** Which items are wanted, the newest first; all that is given must fit. */
export interface HeldQuery {
  /** Exactly these; `@example.com` for all of a domain, as A-labels. @default everybody's */
  readonly owners?: readonly string[];
  /** Those of owners of whom this is true. @default all */
  readonly owns?: (owner: string) => boolean;
  /** Part of the sender, From, recipient, subject or the name of a finding; without case. */
  readonly text?: string;
  /** Those that wait (`held`, `requested`, `releasing`), those that are over, or all. @default 'open' */
  readonly which?: 'open' | 'over' | 'all';
  /** {@link HeldPage.next} of the page before. */
  readonly after?: string;
  /** @default 50 */
  readonly limit?: number;
}

/** Some items. */
export interface HeldPage {
  readonly items: readonly HeldItem[];
  /** Where the next page begins; undefined: this was the last. */
  readonly next: string | undefined;
}

/** What `check` found, and mended. */
export interface QuarantineReport {
  /** Messages that wait, one for each owner. */
  readonly held: number;
  /** Files of messages. */
  readonly files: number;
  /** Their compressed bytes. */
  readonly bytes: number;
  /** Items of this machine whose message is missing or damaged, and what is wrong with it. They are `lost` now. */
  readonly lost: readonly { readonly item: HeldItem; readonly fault: string }[];
  /** Items that were lost, and whose message is there again. They are `held` now. */
  readonly found: readonly HeldItem[];
  /** Items for files that no item named. They have no owner. */
  readonly adopted: readonly HeldItem[];
  /** Files that no item names, and that are no sound messages: they stay until they are as old as `keep`. */
  readonly unusable: readonly string[];
  /** Files that were never finished, and are removed. */
  readonly removed: readonly string[];
  /** Items that lists did not show, and show now. */
  readonly listed: number;
}
