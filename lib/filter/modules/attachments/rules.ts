/** The postmaster's own rules about attachments: the first that matches one decides about it. */
import {
  bannedExtensions,
  extensionsOf,
  isBodyText,
  modernBannedExtensions,
  type Part,
} from '../../../mime/index.ts';
import { type Action, type ExtensionList, type GlobList, kinds, z } from '../../kit.ts';

/** Ways to make a part harmless and let the rest go on. */
export const DISARMINGS = ['defang', 'remove', 'rename'] as const;

/** What follows from an attachment. */
export type AttachmentAction = Action | { readonly word: (typeof DISARMINGS)[number] };

const KNOWN: Readonly<Record<'modern' | 'seed', ReadonlySet<string>>> = {
  modern: new Set([...bannedExtensions, ...modernBannedExtensions]),
  seed: new Set(bannedExtensions),
};

/** Extensions: a list, or one of those that are known by a word. */
export const extensionsKind = z
  .union([
    z.enum(['modern', 'seed'], {
      error: 'must be "modern", "seed", or a list of extensions such as ["exe", "scr"]',
    }),
    kinds.extensions().unwrap(),
  ])
  .transform((value): ExtensionList => {
    if (typeof value !== 'string') return value;
    const known = KNOWN[value];
    return { sets: () => [known], has: (extension) => known.has(extension) };
  });

/** What a rule is in the configuration. */
export const ruleSchema = z.strictObject({
  from: kinds.addresses().unwrap().optional().describe('Envelope senders'),
  to: kinds
    .addresses()
    .unwrap()
    .optional()
    .describe('Any recipient; where the action lets the attachment through, all of them'),
  extensions: extensionsKind
    .optional()
    .describe('Of any of its names, or of a member of the archive that it is'),
  types: kinds.contentTypes().unwrap().optional().describe('Content types'),
  larger: kinds.size().optional().describe('Larger than this, decoded'),
  action: kinds.action(undefined, DISARMINGS).describe('What follows'),
});

type ConfiguredRule = z.output<typeof ruleSchema>;

/** A rule that concerns the message at hand: its envelope fits. */
export interface Rule {
  readonly extensions: ExtensionList | undefined;
  readonly types: GlobList | undefined;
  readonly larger: number | undefined;
  readonly action: AttachmentAction;
}

/** The rules for one envelope. */
export class Rules {
  readonly #rules: readonly Rule[];

  constructor(all: readonly ConfiguredRule[], sender: string, recipients: readonly string[]) {
    this.#rules = all
      .filter((rule) => fits(rule, sender, recipients))
      .map(({ extensions, types, larger, action }) => ({ extensions, types, larger, action }));
  }

  /** No rule concerns the message. */
  get empty(): boolean {
    return this.#rules.length === 0;
  }

  /** Whether a rule asks what members of archives are called. */
  get asksForMembers(): boolean {
    return this.#rules.some(({ extensions }) => extensions !== undefined);
  }

  /** The first rule that matches a part as a whole. */
  async forPart(part: Part): Promise<Rule | undefined> {
    const extensions = part.names.flatMap(extensionsOf);
    for (const rule of this.#rules) {
      const isAny = rule.extensions === undefined && rule.types === undefined && rule.larger === undefined;
      // What is to be read at once is no attachment, unless the rule says what it is.
      if (isAny && isBodyText(part)) continue;
      if (matchesExtensions(rule, extensions) && (await matchesPart(rule, part))) return rule;
    }
    return undefined;
  }

  /** The first rule that matches a member of the archive that a part is. */
  async forMember(part: Part, path: string): Promise<Rule | undefined> {
    const extensions = extensionsOf(fileName(path));
    for (const rule of this.#rules) {
      if (rule.extensions === undefined || !matchesExtensions(rule, extensions)) continue;
      if (await matchesPart(rule, part)) return rule;
    }
    return undefined;
  }
}

/** Without the archives and folders around it. */
function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** Whether an attachment reaches its readers as it is. */
export function letsThrough({ word }: AttachmentAction): boolean {
  return word === 'continue' || word === 'accept' || word === 'score' || word === 'tag';
}

function fits({ from, to, action }: ConfiguredRule, sender: string, recipients: readonly string[]): boolean {
  if (from !== undefined && !from.has(sender)) return false;
  if (to === undefined) return true;
  const has = (recipient: string): boolean => to.has(recipient);
  return letsThrough(action) ? recipients.every(has) : recipients.some(has);
}

function matchesExtensions({ extensions: list, action }: Rule, extensions: readonly string[]): boolean {
  if (list === undefined) return true;
  const has = (extension: string): boolean => list.has(extension);
  // Of several names a reader may take any: what is let through under one must be harmless under the others.
  return extensions.some(has) && (!letsThrough(action) || extensions.every(has));
}

async function matchesPart({ types, larger }: Rule, part: Part): Promise<boolean> {
  if (types !== undefined && !part.contentTypes.some((type) => types.matches(type))) return false;
  if (larger === undefined) return true;
  // Nothing becomes longer when it is decoded.
  if (part.bodyBytes().length <= larger) return false;
  return !part.isLeaf || (await part.loadContent()).length > larger;
}

/** Says for people why a rule concerns a part, or a member of it: half a sentence. */
export function explainRule(
  { larger, extensions, types }: Rule,
  part: Part,
  member: string | undefined,
): string {
  if (extensions !== undefined) {
    const names = member === undefined ? part.names : [fileName(member)];
    const extension = names.flatMap(extensionsOf).find((one) => extensions.has(one)) ?? '';
    const inside = member === undefined ? '' : `it contains "${member}", and `;
    const size = larger === undefined ? '' : `larger than ${larger} bytes and `;
    return `${inside}files ${size}ending in .${extension} are not let through`;
  }
  if (larger !== undefined) return `it is larger than ${larger} bytes`;
  if (types !== undefined) return `content of type ${part.contentType} is not let through`;
  return 'attachments are not let through';
}
