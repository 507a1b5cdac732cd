/**
 * Making a message harmless: poisonous parts become a warning that names what was there, HTML loses what acts.
 */
import { wrongArgument } from '../errors.ts';
import { callback, checkOptions, flag, iterable, type Kind, type Kinds, object, oneOf } from '../options.ts';
import { type ArchiveListing, type ArchiveMember, archiveFormat, listArchive } from './archive.ts';
import type { ArchiveLimits, ArchiveProblem } from './archive-budget.ts';
import { bannedContentTypes, bannedExtension, bannedExtensions, programFormat } from './banned.ts';
import type { HtmlRemoval } from './html.ts';
import { cleanHtmlPart, isHtml } from './html-part.ts';
import { holdsMessage } from './layout.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';
import { Slice } from './slice.ts';

/** Why a part is poisonous. `member` is the path inside an archive, undefined for the part itself. */
export type PoisonReason =
  | {
      readonly kind: 'extension';
      readonly name: string;
      readonly extension: string;
      readonly member: string | undefined;
    }
  | { readonly kind: 'content-type'; readonly contentType: string }
  | { readonly kind: 'program'; readonly format: string; readonly member: string | undefined }
  | { readonly kind: 'archive'; readonly problem: ArchiveProblem }
  | { readonly kind: 'check'; readonly text: string };

/** A part as it was before it was replaced. */
export interface PoisonousPart {
  readonly reason: PoisonReason;
  readonly contentType: string;
  readonly names: readonly string[];
  /** The decoded content: what a virus scanner or a quarantine wants. */
  readonly content: Buffer;
  /** The part as it came, header section and all. */
  readonly bytes: Buffer;
}

/** What is poisonous, and what happens to it. */
export interface DefangPolicy {
  /** Extensions without dots, in lower case. @default {@link bannedExtensions} */
  readonly extensions?: Iterable<string>;
  /** Content types in lower case. @default {@link bannedContentTypes} */
  readonly contentTypes?: Iterable<string>;
  /** Whether programs are known by their first bytes, whatever they are called. @default true */
  readonly programs?: boolean;
  /** Whether archives are looked into, and how far. @default the limits of {@link listArchive} */
  readonly archives?: Partial<ArchiveLimits> | false;
  /** What is done with archives whose members cannot be read for want of a password. Their names are checked in any case. @default 'keep' */
  readonly encryptedArchives?: 'keep' | 'remove';
  /** What is done with archives of formats that cannot be opened here. @default 'keep' */
  readonly unsupportedArchives?: 'keep' | 'remove';
  /** Whether scripts and their like are taken out of HTML. @default true */
  readonly html?: boolean;
  /** Whether messages inside the message are searched. @default true */
  readonly messages?: boolean;
  /** Your own rule for a leaf: a text that says why it is poisonous, or nothing. */
  readonly check?: (part: Part) => string | undefined | Promise<string | undefined>;
  /** Keeps the original; what it answers, such as a quarantine number, is named in the warning. A rejection stops the defanging. */
  readonly save?: (part: PoisonousPart) => string | undefined | void | Promise<string | undefined | void>;
  /** The text that stands where the part was. @default names, reason and where it was saved, in English */
  readonly warning?: (part: PoisonousPart, saved: string | undefined) => string;
}

/** What was done to a message. */
export interface DefangReport {
  /** Whether anything was changed. */
  readonly modified: boolean;
  /** Parts that were replaced. */
  readonly removed: readonly PoisonousPart[];
  /** What was taken out of HTML. */
  readonly html: readonly HtmlRemoval[];
  /** What was wrong with archives that stayed. */
  readonly problems: readonly ArchiveProblem[];
}

const DEFAULT_EXTENSIONS: ReadonlySet<string> = new Set(bannedExtensions);
const DEFAULT_CONTENT_TYPES: ReadonlySet<string> = new Set(bannedContentTypes);

const archives: Kind<Partial<ArchiveLimits> | false> = {
  must: 'be an object of limits, or false',
  accepts: (value): value is Partial<ArchiveLimits> | false => value === false || object().accepts(value),
};

const KINDS: Kinds<DefangPolicy> = {
  extensions: iterable(),
  contentTypes: iterable(),
  programs: flag,
  archives,
  encryptedArchives: oneOf('keep', 'remove'),
  unsupportedArchives: oneOf('keep', 'remove'),
  html: flag,
  messages: flag,
  check: callback(),
  save: callback(),
  warning: callback(),
};

/**
 * Searches every part, those of messages inside the message included, and replaces the poisonous ones by a text part called
 * WARNING.TXT. Corrupt archives and those that reach a limit are poisonous: nobody can tell what is in them.
 *
 * A message that has more parts than its parse limits allow is searched as far as they go: look at `message.problems`.
 * Edits `message`; the event loop turns between parts and inside archives.
 * @throws TypeError for an unknown option or an impossible value. Rejects with what `check` or `save` reject with.
 */
export async function defang(message: MimeMessage, policy: DefangPolicy = {}): Promise<DefangReport> {
  checkOptions('defang option', policy, KINDS, wrongArgument);
  return await new Defanger(policy).run(message);
}

class Defanger {
  readonly #policy: DefangPolicy;
  readonly #extensions: ReadonlySet<string>;
  readonly #contentTypes: ReadonlySet<string>;
  readonly #removed: PoisonousPart[] = [];
  readonly #html: HtmlRemoval[] = [];
  readonly #problems: ArchiveProblem[] = [];

  constructor(policy: DefangPolicy) {
    this.#policy = policy;
    this.#extensions = policy.extensions ? new Set(policy.extensions) : DEFAULT_EXTENSIONS;
    this.#contentTypes = policy.contentTypes ? new Set(policy.contentTypes) : DEFAULT_CONTENT_TYPES;
  }

  async run(message: MimeMessage): Promise<DefangReport> {
    const { html = true, messages = true } = this.#policy;
    const slice = new Slice();
    const waiting: Part[] = [message.root];
    for (let part = waiting.pop(); part; part = waiting.pop()) {
      if (slice.isOver) await slice.next();
      const reason = await this.#judge(part);
      if (reason) await this.#replace(part, reason);
      else if (part.children.length === 0) {
        if (html && isHtml(part)) for (const removal of await cleanHtmlPart(part)) this.#html.push(removal);
      } else if (messages || !holdsMessage(part.contentType)) {
        for (const child of part.children.toReversed()) waiting.push(child);
      }
    }
    return {
      modified: this.#removed.length > 0 || this.#html.length > 0,
      removed: this.#removed,
      html: this.#html,
      problems: this.#problems,
    };
  }

  async #judge(part: Part): Promise<PoisonReason | undefined> {
    const { contentType } = part;
    // A multipart is never saved under a name; a message may be.
    const isLeaf = part.children.length === 0;
    if (!isLeaf && contentType.startsWith('multipart/')) return undefined;
    const { names } = part;
    for (const name of names) {
      const extension = bannedExtension(name, this.#extensions);
      if (extension !== undefined) return { kind: 'extension', name, extension, member: undefined };
    }
    const banned = part.contentTypes.find((type) => this.#contentTypes.has(type));
    if (banned !== undefined) return { kind: 'content-type', contentType: banned };
    if (!isLeaf) return undefined;
    const text = await this.#policy.check?.(part);
    if (text !== undefined) return { kind: 'check', text };
    const { programs = true, archives = {} } = this.#policy;
    const head = part.contentHead(512);
    const format = programs ? programFormat(head) : undefined;
    if (format !== undefined) return { kind: 'program', format, member: undefined };
    if (archives === false || archiveFormat(head, names) === undefined) return undefined;
    const listing = await listArchive(await part.loadContent(), names, archives);
    return listing && this.#judgeArchive(listing);
  }

  #judgeArchive({ members, problems }: ArchiveListing): PoisonReason | undefined {
    for (const member of members) {
      const reason = this.#judgeMember(member);
      if (reason) return reason;
    }
    const { encryptedArchives = 'keep', unsupportedArchives = 'keep' } = this.#policy;
    for (const problem of problems) {
      const isKept =
        (problem.kind === 'encrypted' && encryptedArchives === 'keep') ||
        (problem.kind === 'unsupported' && unsupportedArchives === 'keep');
      if (!isKept) return { kind: 'archive', problem };
    }
    for (const problem of problems) this.#problems.push(problem);
    return undefined;
  }

  #judgeMember({ name, path, head }: ArchiveMember): PoisonReason | undefined {
    const extension = bannedExtension(name, this.#extensions);
    if (extension !== undefined) return { kind: 'extension', name, extension, member: path };
    const format = (this.#policy.programs ?? true) ? programFormat(head) : undefined;
    return format === undefined ? undefined : { kind: 'program', format, member: path };
  }

  async #replace(part: Part, reason: PoisonReason): Promise<void> {
    const poisonous: PoisonousPart = {
      reason,
      contentType: part.contentType,
      names: part.names,
      content: await part.loadContent(),
      bytes: part.toBytes(),
    };
    const saved = (await this.#policy.save?.(poisonous)) ?? undefined;
    const text = (this.#policy.warning ?? defaultWarning)(poisonous, saved);
    part.rename(undefined);
    for (const name of ['Content-Transfer-Encoding', 'Content-Disposition', 'Content-MD5'])
      part.headers.remove(name);
    part.retype('text/plain', { charset: 'utf-8', name: 'WARNING.TXT' });
    part.replaceContent(text);
    this.#removed.push(poisonous);
  }
}

/** A name as it may stand in a warning: on one line, and not for ever. */
function quoted(name: string): string {
  const shown = name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
  return `"${shown.length > 200 ? `${shown.slice(0, 200)}…` : shown}"`;
}

function explain(reason: PoisonReason): string {
  switch (reason.kind) {
    case 'extension': {
      const { extension, member } = reason;
      return member === undefined
        ? `files ending in .${extension} are not let through`
        : `it contains ${quoted(member)}, and files ending in .${extension} are not let through`;
    }
    case 'content-type':
      return `content of type ${reason.contentType} is not let through`;
    case 'program': {
      const { format, member } = reason;
      return member === undefined
        ? `it is a ${format}`
        : `it contains ${quoted(member)}, which is a ${format}`;
    }
    case 'archive':
      return explainProblem(reason.problem);
    case 'check':
      return reason.text;
  }
}

function explainProblem(problem: ArchiveProblem): string {
  const path = quoted(problem.path);
  switch (problem.kind) {
    case 'corrupt':
      return `the archive ${path} is damaged: ${problem.reason}`;
    case 'encrypted':
      return `the archive ${path} is encrypted`;
    case 'unsupported':
      return `the archive ${path} (${problem.format}) cannot be examined`;
    case 'limit':
      return `the archive ${path} holds too much to be examined`;
  }
}

function defaultWarning(part: PoisonousPart, saved: string | undefined): string {
  const what = part.names[0] === undefined ? `of type ${part.contentType}` : quoted(part.names[0]);
  const lines = [
    `WARNING: an attachment of this message was removed: ${what}`,
    `Reason: ${explain(part.reason)}.`,
    ...(saved === undefined ? [] : [`The original was kept as: ${saved}`]),
    'If you need it, ask your postmaster, or ask the sender to send it in another way.',
  ];
  return `${lines.join('\n')}\n`;
}
