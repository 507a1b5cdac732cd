/**
 * Making a message harmless: poisonous parts become a warning that names what was there, or go, or are renamed; HTML loses
 * what acts.
 */

import { wrongArgument } from '../errors.ts';
import { callback, checkOptions, checkValue, flag, type Kind, type Kinds, oneOf } from '../options.ts';
import type { ArchiveProblem } from './archive-budget.ts';
import type { HtmlRemoval } from './html.ts';
import { cleanHtmlPart, isMarkup } from './html-part.ts';
import {
  explainPoison,
  INSPECT_KINDS,
  Inspector,
  type InspectPolicy,
  inside,
  type PoisonReason,
  quoted,
} from './inspect.ts';
import { aMessage, aPart } from './kinds.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';
import { isNamedMessage } from './readings.ts';
import { Slice } from './slice.ts';

/** A part as it was before it was made harmless. */
export interface PoisonousPart {
  /** The reason why it is dealt with. */
  readonly reason: PoisonReason;
  /** Type and subtype, lower case. */
  readonly contentType: string;
  /** All that it may be called: readers differ in which of several they take. */
  readonly names: readonly string[];
  /** The decoded content: what a virus scanner or a quarantine wants. */
  readonly content: Buffer;
  /** The part as it came, header section and all. */
  readonly bytes: Buffer;
}

/**
 * How a part is made harmless: `defang` puts a warning in its place, `remove` takes it out, `rename` appends `.defang` to its
 * name and says that it is nothing but bytes.
 */
export type Disarming = 'defang' | 'remove' | 'rename';

/** What is poisonous, and what happens to it. */
export interface DefangPolicy extends InspectPolicy {
  /** What is done with archives whose members cannot be read for want of a password. Their names are checked in any case. @default 'keep' */
  readonly encryptedArchives?: 'keep' | 'remove';
  /** What is done with archives of formats that cannot be looked into here. @default 'keep' */
  readonly unreadArchives?: 'keep' | 'remove';
  /** Whether scripts and their like are taken out of HTML and SVG. @default true */
  readonly html?: boolean;
  /** How poisonous parts are made harmless, or for which reason: `keep` leaves the part. @default 'defang' */
  readonly action?: Disarming | ((reason: PoisonReason, part: Part) => Disarming | 'keep');
  /** Keeps the original; what it answers, such as a quarantine number, is named in the warning. A rejection stops the defanging. */
  readonly save?: (part: PoisonousPart) => string | undefined | void | Promise<string | undefined | void>;
  /** The text that stands where the part was. @default {@link defaultWarning} */
  readonly warning?: (part: PoisonousPart, saved: string | undefined) => string;
}

/** What was done to a message. */
export interface DefangReport {
  /** Whether anything was changed. */
  readonly modified: boolean;
  /** Parts that were replaced by a warning, taken out or renamed. */
  readonly removed: readonly PoisonousPart[];
  /** What was taken out of HTML and SVG. */
  readonly html: readonly HtmlRemoval[];
  /** What was wrong with archives that stayed. */
  readonly problems: readonly ArchiveProblem[];
}

const DISARMINGS = ['defang', 'remove', 'rename'] as const;

const action: Kind<Exclude<DefangPolicy['action'], undefined>> = {
  must: `be ${oneOf(...DISARMINGS).must.slice(3)}, or a function`,
  accepts: (value): value is Exclude<DefangPolicy['action'], undefined> =>
    oneOf(...DISARMINGS).accepts(value) || typeof value === 'function',
};

const KINDS: Kinds<DefangPolicy> = {
  ...INSPECT_KINDS,
  encryptedArchives: oneOf('keep', 'remove'),
  unreadArchives: oneOf('keep', 'remove'),
  html: flag,
  action,
  save: callback(),
  warning: callback(),
};

/**
 * Searches every part, those of messages inside the message and files in its text included, and replaces the poisonous ones by a
 * text part called WARNING.TXT. Corrupt archives and those that reach a limit are poisonous: nobody can tell what is in
 * them.
 *
 * A message that has more parts than its parse limits allow is searched as far as they go: look at `message.problems`.
 * Edits `message`; the event loop turns between parts and inside archives.
 * @throws TypeError for an unknown option or an impossible value. Rejects with what `check` or `save` reject with.
 */
export async function defang(message: MimeMessage, policy: DefangPolicy = {}): Promise<DefangReport> {
  checkValue('defang: the message', message, aMessage, wrongArgument);
  checkOptions('defang option', policy, KINDS, wrongArgument);
  return await new Defanger(policy).run(message);
}

/**
 * Makes one part harmless. A part that cannot be taken out, being the message itself or all that is in a multipart or message,
 * is replaced by the warning instead.
 * A text that is called like a message (`.eml`) goes with the file in it.
 * @param warning The text that stands in its place.
 */
export function disarm(part: Part, how: Disarming, warning: string): void {
  checkValue('disarm: the part', part, aPart, wrongArgument);
  const { parent } = part;
  if (how === 'rename') {
    const name = `${part.names[0] ?? 'attachment'}.defang`;
    part.retype('application/octet-stream');
    part.rename(name);
  } else if (part.isFileInText && parent && isNamedMessage(parent.names)) {
    // Without what is in front of it, or with a warning there, the rest of the text might be a message.
    disarm(parent, how, warning);
  } else if (how === 'remove' && isOneOfSeveral(part)) part.remove();
  else {
    for (const name of DESCRIBING) part.headers.remove(name);
    part.retype('text/plain', { charset: 'utf-8', name: 'WARNING.TXT' });
    part.replaceContent(warning);
  }
}

/** Fields that tell of what was there. */
const DESCRIBING = [
  'Content-Transfer-Encoding',
  'Content-Disposition',
  'Content-MD5',
  'Content-Name',
  'X-Sun-Data-Name',
];

function isOneOfSeveral(part: Part): boolean {
  const { parent, isFileInText } = part;
  if (!parent) return false;
  return isFileInText || parent.readings.some((parts) => parts.length > 1 && parts.includes(part));
}

class Defanger {
  readonly #policy: DefangPolicy;
  readonly #inspector: Inspector;
  readonly #removed: PoisonousPart[] = [];
  readonly #html: HtmlRemoval[] = [];
  readonly #problems: ArchiveProblem[] = [];

  constructor(policy: DefangPolicy) {
    this.#policy = policy;
    this.#inspector = new Inspector(policy);
  }

  async run(message: MimeMessage): Promise<DefangReport> {
    const { html = true } = this.#policy;
    const slice = new Slice();
    const waiting: Part[] = [message.root];
    for (let part = waiting.pop(); part; part = waiting.pop()) {
      if (slice.isOver) await slice.next();
      // Another reading of what it stood in was settled on.
      if (!part.parent && part !== message.root) continue;
      const found = this.#choose(
        part,
        await this.#inspector.judge(part, typeof this.#policy.action !== 'function'),
      );
      if (found) {
        await this.#disarm(part, found.reason, found.how);
        continue;
      }
      if (html && isMarkup(part)) for (const removal of await cleanHtmlPart(part)) this.#html.push(removal);
      if (part.mayHoldUnreadFiles) await part.loadFiles();
      for (const inner of inside(part, this.#policy.messages).toReversed()) waiting.push(inner);
    }
    return {
      modified: message.changed && (this.#removed.length > 0 || this.#html.length > 0),
      removed: this.#removed,
      html: this.#html,
      problems: this.#problems,
    };
  }

  /** The first reason to do anything, and what. */
  #choose(
    part: Part,
    reasons: readonly PoisonReason[],
  ): { readonly reason: PoisonReason; readonly how: Disarming } | undefined {
    const { encryptedArchives = 'keep', unreadArchives = 'keep', action: wanted = 'defang' } = this.#policy;
    for (const reason of reasons) {
      const isKept =
        reason.kind === 'archive' &&
        ((reason.problem.kind === 'encrypted' && encryptedArchives === 'keep') ||
          (reason.problem.kind === 'unread' && unreadArchives === 'keep'));
      const how = isKept ? 'keep' : typeof wanted === 'function' ? wanted(reason, part) : wanted;
      if (how !== 'keep') return { reason, how };
    }
    for (const reason of reasons) if (reason.kind === 'archive') this.#problems.push(reason.problem);
    return undefined;
  }

  async #disarm(part: Part, reason: PoisonReason, how: Disarming): Promise<void> {
    const poisonous: PoisonousPart = {
      reason,
      contentType: part.contentType,
      names: part.names,
      content: await part.loadContent(),
      bytes: part.toBytes(),
    };
    const saved = (await this.#policy.save?.(poisonous)) ?? undefined;
    disarm(part, how, (this.#policy.warning ?? defaultWarning)(poisonous, saved));
    this.#removed.push(poisonous);
  }
}

const aWarnedOf: Kind<Pick<PoisonousPart, 'names'>> = {
  must: 'be the part that was removed',
  accepts: (value): value is PoisonousPart =>
    Array.isArray((value as Partial<PoisonousPart> | null | undefined)?.names),
};

/** The warning that {@link defang} writes unless told otherwise: names, reason, and where the original was kept, in English. */
export function defaultWarning(
  part: Pick<PoisonousPart, 'reason' | 'contentType' | 'names'>,
  saved: string | undefined,
): string {
  checkValue('defaultWarning: the part', part, aWarnedOf, wrongArgument);
  const what = part.names[0] === undefined ? `of type ${part.contentType}` : quoted(part.names[0]);
  const lines = [
    `WARNING: an attachment of this message was removed: ${what}`,
    `Reason: ${explainPoison(part.reason)}.`,
    ...(saved === undefined ? [] : [`The original was kept as: ${saved}`]),
    'If you need it, ask your postmaster, or ask the sender to send it in another way.',
  ];
  return `${lines.join('\n')}\n`;
}
