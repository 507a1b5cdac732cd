/** What is dangerous to open: judged by names, bytes, and what is inside; made harmless, or whatever the configuration says. */
import { Milter } from '../../../index.ts';
import { defaultWarning, disarm, explainPoison, type Part, plainName } from '../../../mime/index.ts';
import { type Change, defineModule, type FindingDeclaration, kinds, z } from '../../kit.ts';
import { type Envelope, type Fault, isDisarming, judge, nameOf, type Short } from './judge.ts';
import { DISARMINGS, extensionsKind, Rules, ruleSchema } from './rules.ts';
import { SavedParts } from './saved.ts';

/** Milliseconds. */
const EXPIRE_EVERY = 10 * 60_000;
const HOUR = 60 * 60_000;
/** Parts that a note names. */
const MAX_NAMED = 5;
/** Characters of a name in a reply. */
const MAX_NAME = 60;

const follows = (otherwise: string) => kinds.action(otherwise, DISARMINGS);

const options = z.strictObject({
  extensions: extensionsKind
    .prefault('modern')
    .describe('File names that are dangerous: "modern", "seed" (those of 2005), or a list'),
  extension_action: follows('defang').describe('What follows from such a name'),
  programs: follows('defang').describe(
    'What follows from a program, known by its bytes, whatever its name is',
  ),
  types: kinds.contentTypes().describe('Content types that are dangerous'),
  type_action: follows('defang').describe('What follows from such a type'),
  archives: z
    .boolean()
    .default(true)
    .describe('Whether zip, tar, gz and winmail.dat are looked into, nested too'),
  encrypted_archive: follows('score 2').describe('An archive that wants a password'),
  unread_archive: follows('continue').describe('An archive of a format that is not looked into here'),
  broken_archive: follows('defang').describe(
    'An archive that is damaged, or holds too much to be looked into',
  ),
  attached_messages: z
    .boolean()
    .default(true)
    .describe('Whether messages inside the message are looked into'),
  warning: kinds
    .template('', ['reason', 'saved'])
    .describe('What stands where a part was; "": a text in English'),
  save: kinds
    .storedPath('')
    .describe('The folder where originals go, below `data` if not absolute; "": nowhere'),
  save_keep: kinds
    .duration('30d')
    .refine((time) => time >= HOUR, 'must be an hour at least: what is saved would be gone')
    .describe('For how long'),
  save_max: kinds.size('1GiB').describe('Beyond it the module fails (on_error)'),
  senders_rejected: kinds
    .addresses()
    .describe('From these the message is rejected in place of being made harmless'),
  rules: z
    .array(ruleSchema)
    .max(200)
    .default([])
    .describe('Exceptions and more: the first that matches decides'),
  max_parts: z.int().min(1).max(50_000).default(1_000).describe('A message of more parts is rejected'),
});

const VALUES = ['reason'];

function part(text: string): FindingDeclaration {
  return {
    about: 'sender',
    text,
    enhanced: '5.7.1',
    reply: 'We do not take the attachment "%{name}": %{reason}',
    values: VALUES,
  };
}

export default defineModule({
  name: 'attachments',
  about: 'Attachments that are dangerous to open',
  unsparing: true,
  options,
  findings: {
    extensions: part('an attachment whose name is dangerous'),
    programs: part('a program'),
    types: part('an attachment of a dangerous type'),
    'encrypted-archive': part('an archive that wants a password'),
    'unread-archive': part('an archive that cannot be looked into here'),
    'broken-archive': part('an archive that is damaged, or holds too much'),
    rules: part('an attachment that a rule is about'),
    'max-parts': {
      about: 'sender',
      text: 'more parts than are looked into',
      enhanced: '5.6.0',
      reply: 'Your message is too intricate: %{reason}',
      values: VALUES,
    },
    'too-big': { about: 'sender', text: 'beyond max_body: attachments were not looked at' },
  },
  folders: ({ save }) => (save === undefined ? [] : [['save', save]]),
  setup: ({ options, services }) => {
    const { save, save_keep, save_max, warning } = options;
    const saved = save === undefined ? undefined : new SavedParts(save, save_keep, save_max, services.now);
    if (saved !== undefined) services.every(EXPIRE_EVERY, () => saved.expire());

    return class Attachments extends Milter {
      override async eom(): Promise<void> {
        const { message } = this;
        if (!message.bodyComplete) {
          services.found(this, 'too-big', { word: 'continue' });
          return;
        }
        const { sender } = message;
        const recipients = message.recipients.map(({ address }) => address);
        const envelope = { sender, rules: new Rules(options.rules, sender, recipients) };
        const faults = await judge(await message.mime(), options, envelope);
        if (faults.length > 0) this.#report(faults, envelope);
      }

      /** One finding for all parts of which the same is found, and from which the same follows. */
      #report(faults: readonly Fault[], envelope: Envelope): void {
        const groups = Map.groupBy(faults, ({ short, action }) => `${short} ${JSON.stringify(action)}`);
        const handled = new Set<Part>();
        for (const group of [...groups.values()].toSorted(byGravity)) {
          const [first] = group;
          if (first === undefined) continue;
          const { short, action } = first;
          services.found(this, short, action, {
            note: noteOf(group),
            values: { name: plainName(nameOf(first)).slice(0, MAX_NAME), reason: reasonOf(first) },
            ...(isDisarming(action)
              ? { change: this.#disarming(short, action.word, envelope, handled) }
              : {}),
          });
        }
      }

      /** Looks anew, since other modules may have changed the message; a part is made harmless once. */
      #disarming(
        short: Short,
        how: (typeof DISARMINGS)[number],
        envelope: Envelope,
        handled: Set<Part>,
      ): Change {
        return async (message) => {
          const tree = await message.mime();
          for (const fault of await judge(tree, options, envelope)) {
            const { part } = fault;
            const isMeant = fault.short === short && fault.action.word === how;
            // What was around it, or another reading of it, may have gone meanwhile.
            if (!isMeant || handled.has(part) || !tree.has(part)) continue;
            handled.add(part);
            if (how === 'rename' && isRenamed(part)) continue;
            // A file in a text is no part by itself, for whoever opens it later.
            const whole = (part.isFileInText ? part.parent : undefined) ?? part;
            const name = how === 'rename' ? undefined : await saved?.save(whole.toBytes());
            disarm(part, how, this.#warning(fault, name));
          }
        };
      }

      #warning(fault: Fault, saved: string | undefined): string {
        const { part, reason, short } = fault;
        if (warning.source === '') {
          const { contentType, names } = part;
          return defaultWarning({ reason, contentType, names }, saved);
        }
        return services.fill(this, warning, short, {
          name: plainName(nameOf(fault)),
          reason: reasonOf(fault),
          saved: saved ?? '',
        });
      }
    };
  },
});

/** The gravest comes first: of several that concern one part it is the one that is done. */
function byGravity([one]: readonly Fault[], [other]: readonly Fault[]): number {
  const place = (fault: Fault | undefined): number =>
    ['rename', 'defang', 'remove'].indexOf(fault?.action.word ?? '');
  return place(other) - place(one);
}

/** By a filter on its way here. */
function isRenamed({ names, contentTypes }: Part): boolean {
  const isPlain = contentTypes.every((type) => type === 'application/octet-stream');
  return isPlain && names.length > 0 && names.every((name) => name.endsWith('.defang'));
}

/** Half a sentence on one line. */
function reasonOf({ reason }: Fault): string {
  return plainName(explainPoison(reason));
}

function noteOf(group: readonly Fault[]): string {
  const named = group.slice(0, MAX_NAMED).map((fault) => `${plainName(nameOf(fault))}: ${reasonOf(fault)}`);
  const more = group.length - named.length;
  return [...named, ...(more > 0 ? [`${more} more`] : [])].join('; ');
}
