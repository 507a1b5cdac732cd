/**
 * What is poisonous in a message, and why. Nothing is changed here.
 */

import { wrongArgument } from '../errors.ts';
import {
  callback,
  checkOptions,
  checkValue,
  flag,
  iterable,
  type Kind,
  type Kinds,
  object,
  text,
} from '../options.ts';
import type { ArchiveListing, ArchiveMember } from './archive.ts';
import { type ArchiveLimits, type ArchiveProblem, defaultArchiveLimits } from './archive-budget.ts';
import { archiveFormat, SIGNATURE_BYTES } from './archive-formats.ts';
import { listPart } from './archive-part.ts';
import { bannedContentTypes, bannedExtension, bannedExtensions } from './banned.ts';
import { isBodyText } from './body.ts';
import { holdsParts } from './content-fields.ts';
import { aMessage } from './kinds.ts';
import type { MimeMessage } from './message.ts';
import type { Part } from './part.ts';
import { programFormat } from './programs.ts';
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

/** What is poisonous. */
export interface InspectPolicy {
  /** Extensions without dots, in lower case. @default {@link bannedExtensions} */
  readonly extensions?: Iterable<string>;
  /** Content types in lower case. @default {@link bannedContentTypes} */
  readonly contentTypes?: Iterable<string>;
  /** Whether programs are known by their first bytes, whatever they are called. @default true */
  readonly programs?: boolean;
  /**
   * Whether archives are looked into, and how far. All of a message together may take four times as long as one.
   * @default the limits of {@link listArchive}
   */
  readonly archives?: Partial<ArchiveLimits> | false;
  /** Whether messages inside the message are searched. @default true */
  readonly messages?: boolean;
  /** Your own rule for a leaf: a text that says why it is poisonous, or nothing. */
  readonly check?: (part: Part) => string | undefined | Promise<string | undefined>;
}

/** A poisonous part, and every reason for that, the gravest first. */
export interface Poison {
  /** Where it is in the message. */
  readonly part: Part;
  /** Why it is poisonous, at least one. */
  readonly reasons: readonly [PoisonReason, ...PoisonReason[]];
}

const archives: Kind<Partial<ArchiveLimits> | false> = {
  must: 'be an object of limits, or false',
  accepts: (value): value is Partial<ArchiveLimits> | false => value === false || object().accepts(value),
};

/** What the options of {@link inspect} may be. */
export const INSPECT_KINDS: Kinds<InspectPolicy> = {
  extensions: iterable(),
  contentTypes: iterable(),
  programs: flag,
  archives,
  messages: flag,
  check: callback(),
};

/**
 * Finds every poisonous part, in the order of {@link MimeMessage.parts}, and why it is so: names and content types, programs
 * by their bytes, members of archives, and archives that are encrypted, damaged, cannot be looked into here, or hold too much.
 * What is done about it is yours to decide, reason by reason: {@link disarm} makes a part harmless, {@link defang} does all
 * in one go. Changes nothing; the event loop turns between parts and inside archives.
 * @throws TypeError for an unknown option or an impossible value. Rejects with what `check` rejects with.
 */
export async function inspect(message: MimeMessage, policy: InspectPolicy = {}): Promise<readonly Poison[]> {
  checkValue('inspect: the message', message, aMessage, wrongArgument);
  checkOptions('inspect option', policy, INSPECT_KINDS, wrongArgument);
  const inspector = new Inspector(policy);
  const slice = new Slice();
  const found: Poison[] = [];
  const waiting: Part[] = [message.root];
  for (let part = waiting.pop(); part; part = waiting.pop()) {
    if (slice.isOver) await slice.next();
    const [first, ...others] = await inspector.judge(part);
    if (first) found.push({ part, reasons: [first, ...others] });
    if (part.mayHoldUnreadFiles) await part.loadFiles();
    for (const inner of inside(part, policy.messages).toReversed()) waiting.push(inner);
  }
  return found;
}

/**
 * Every part that {@link inspect} looks at, each before those inside it: like {@link MimeMessage.parts}, but large texts that
 * may hold files are decoded in turns of the event loop.
 * @param messages Whether those of messages inside the message are listed.
 * @param most No more than these are looked for.
 */
export async function listParts(
  message: MimeMessage,
  messages = true,
  most = Number.POSITIVE_INFINITY,
): Promise<readonly Part[]> {
  checkValue('listParts: the message', message, aMessage, wrongArgument);
  const slice = new Slice();
  const found: Part[] = [];
  const waiting: Part[] = [message.root];
  for (let part = waiting.pop(); part && found.length < most; part = waiting.pop()) {
    if (slice.isOver) await slice.next();
    found.push(part);
    if (part.mayHoldUnreadFiles) await part.loadFiles();
    for (const inner of inside(part, messages).toReversed()) waiting.push(inner);
  }
  return found;
}

/**
 * The parts inside one that are to be judged too: by every reading, and the files in a text, which are read here unless they
 * were loaded before.
 */
export function inside(part: Part, messages = true): readonly Part[] {
  const { children } = part;
  const isMessage = children.length > 0 && !part.contentType.startsWith('multipart/');
  if (isMessage && !messages) return NONE;
  const { readings } = part;
  return readings.length > 1 ? readings.flat() : children.length > 0 ? children : part.files;
}

const NONE: readonly never[] = [];
const DEFAULT_EXTENSIONS: ReadonlySet<string> = new Set(bannedExtensions);
const DEFAULT_CONTENT_TYPES: ReadonlySet<string> = new Set(bannedContentTypes);

const EXTENSION: Kind<string> = {
  must: 'name extensions in lower case and without dots, such as exe',
  accepts: (value): value is string => isLowerCase(value) && /^[^\s.*]+$/.test(value),
};
const CONTENT_TYPE: Kind<string> = {
  must: 'name content types in lower case, such as text/html',
  accepts: (value): value is string => isLowerCase(value) && /^[^\s/*]+\/[^\s/*]+$/.test(value),
};

function isLowerCase(value: unknown): value is string {
  return typeof value === 'string' && value === value.toLowerCase();
}

/** Lists that were found right, as what. */
const checked = new WeakMap<ReadonlySet<string>, Kind<string>>();

/**
 * A list of the policy, a set as it is: nobody wants a hundred extensions copied for each message. What is written otherwise
 * would match nothing, and let everything pass.
 */
function readList(
  name: keyof InspectPolicy,
  given: Iterable<string> | undefined,
  kind: Kind<string>,
): ReadonlySet<string> | undefined {
  if (given === undefined) return undefined;
  const list = given instanceof Set ? given : new Set(given);
  if (checked.get(list) === kind) return list;
  for (const word of list) checkValue(`option "${name}"`, word, kind, wrongArgument);
  checked.set(list, kind);
  return list;
}

/** How many times as long as one archive all archives of a message may take. */
const ARCHIVES_TIME = 4;

/** Judges parts one by one. */
export class Inspector {
  readonly #policy: InspectPolicy;
  readonly #extensions: ReadonlySet<string>;
  readonly #contentTypes: ReadonlySet<string>;
  /** Milliseconds that archives have taken. */
  #archiveTime = 0;

  constructor(policy: InspectPolicy) {
    this.#policy = policy;
    this.#extensions = readList('extensions', policy.extensions, EXTENSION) ?? DEFAULT_EXTENSIONS;
    this.#contentTypes = readList('contentTypes', policy.contentTypes, CONTENT_TYPE) ?? DEFAULT_CONTENT_TYPES;
  }

  /**
   * Every reason why this part, apart from those inside it, is poisonous.
   * @param isOneEnough Whether its content need not be looked at if its names or types are bad.
   */
  async judge(part: Part, isOneEnough = false): Promise<readonly PoisonReason[]> {
    const { contentTypes, isLeaf } = part;
    // A multipart is never saved under a name, unless some reader takes it for something else; a message may be.
    if (!isLeaf && contentTypes.every((type) => type.startsWith('multipart/'))) return NONE;
    const { names } = part;
    const reasons: PoisonReason[] = [];
    for (const name of names) {
      const extension = bannedExtension(name, this.#extensions);
      if (extension !== undefined) reasons.push({ kind: 'extension', name, extension, member: undefined });
    }
    for (const contentType of contentTypes) {
      if (this.#contentTypes.has(contentType)) reasons.push({ kind: 'content-type', contentType });
    }
    if (isOneEnough && reasons.length > 0) return reasons;
    if (!isLeaf && contentTypes.every(holdsParts)) return reasons;
    const { check, programs = true, archives: limits } = this.#policy;
    const text = check && (await check(part));
    if (text !== undefined) reasons.push({ kind: 'check', text });
    // Where several encodings are declared readers decode one or another.
    const start = part.contentHead(512);
    const head = mayBeImage(part, start) ? part.contentHead(SIGNATURE_BYTES) : start;
    const heads = [head, ...part.otherContents()];
    for (const head of heads) {
      const format = programs ? programFormat(head) : undefined;
      if (format !== undefined && !isProse(part, head))
        reasons.push({ kind: 'program', format, member: undefined });
    }
    if (limits !== false && heads.some((head) => archiveFormat(head, names) !== undefined))
      reasons.push(...(await this.#judgeArchive(part, limits)));
    return reasons;
  }

  /** As {@link listPart}, until all archives of the message have taken too long together. */
  async #list(
    part: Part,
    limits?: Partial<ArchiveLimits>,
  ): Promise<readonly Pick<ArchiveListing, 'members' | 'problems'>[]> {
    const { time } = { ...defaultArchiveLimits, ...limits };
    if (this.#archiveTime > ARCHIVES_TIME * time) {
      const path = part.names[0] ?? part.contentType;
      return [
        { members: [], problems: [{ kind: 'limit', path, limit: 'time', value: ARCHIVES_TIME * time }] },
      ];
    }
    const start = performance.now();
    const listings = await listPart(part, limits);
    this.#archiveTime += performance.now() - start;
    return listings;
  }

  async #judgeArchive(part: Part, limits?: Partial<ArchiveLimits>): Promise<readonly PoisonReason[]> {
    const reasons: PoisonReason[] = [];
    for (const { members, problems } of await this.#list(part, limits)) {
      const bad = members.flatMap((member) => this.#judgeMember(member) ?? []);
      // Of a file's several names a bad one tells more than what its bytes are.
      reasons.push(
        ...bad.filter(({ kind }) => kind === 'extension'),
        ...bad.filter(({ kind }) => kind !== 'extension'),
      );
      for (const problem of problems) reasons.push({ kind: 'archive', problem });
    }
    return reasons;
  }

  #judgeMember({ name, path, program }: ArchiveMember): PoisonReason | undefined {
    const extension = bannedExtension(name, this.#extensions);
    if (extension !== undefined) return { kind: 'extension', name, extension, member: path };
    if (program === undefined || this.#policy.programs === false) return undefined;
    return { kind: 'program', format: program, member: path };
  }
}

/** Disk images show only far behind their beginning what they are: whether a part may be one, and this beginning tells nothing. */
function mayBeImage({ contentTypes }: Part, head: Buffer): boolean {
  if (head.length < 512) return false;
  if (!contentTypes.some((type) => /^application\/(?:octet-stream$|.*(?:iso|cd|disk|udf))/.test(type)))
    return false;
  return (
    archiveFormat(head) === undefined && !/^(?:%PDF|.PNG|GIF8|RIFF)/s.test(head.toString('latin1', 0, 4))
  );
}

/** Whether this is what somebody wrote to be read: it may start with any letters. */
function isProse(part: Part, head: Buffer): boolean {
  return isBodyText(part) && !head.includes(0);
}

/** A name from mail as it may stand in a text: on one line, without characters that show nothing, and not for ever. */
export function plainName(name: string): string {
  checkValue('plainName: the name', name, text, wrongArgument);
  const shown = name.slice(0, 201).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
  return shown.length > 200 ? `${shown.slice(0, 200)}…` : shown;
}

const aReason: Kind<PoisonReason> = {
  must: 'be a reason that inspect() gave',
  accepts: (value): value is PoisonReason =>
    typeof (value as Partial<PoisonReason> | null | undefined)?.kind === 'string',
};

/** Such a name in quotes. */
export function quoted(name: string): string {
  return `"${plainName(name)}"`;
}

/** Says for people why a part is poisonous: half a sentence in English. */
export function explainPoison(reason: PoisonReason): string {
  checkValue('explainPoison: the reason', reason, aReason, wrongArgument);
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
    case 'unread':
      return `the archive ${path} (${problem.format}) cannot be examined`;
    case 'limit':
      return `the archive ${path} holds too much to be examined`;
  }
}
