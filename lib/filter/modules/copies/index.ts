/** Copies of mail: to other people, hidden or seen, and into files. */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { type Message, Milter, parseAddress } from '../../../index.ts';
import {
  type AddressList,
  aLabels,
  asMboxEntry,
  comparableAddress,
  type Direction,
  defineModule,
  directionFact,
  fromLine,
  kinds,
  readMailboxes,
  type Services,
  whoRole,
  withLineFeeds,
  z,
} from '../../kit.ts';
import { addressTemplate, type Person, pathTemplate, type Values } from './destination.ts';
import { writeToMaildir } from './maildir.ts';
import { appendToMbox } from './mbox.ts';
import { accountOf, type PlaceRights } from './place.ts';

/** Bytes that are hashed before other work gets its turn. */
const CHUNK = 1024 * 1024;

const copySchema = z
  .strictObject({
    of: z
      .enum(['outgoing', 'incoming', 'local', 'all'], {
        error: 'must be "outgoing", "incoming", "local" or "all"',
      })
      .describe('Which mail, by its direction'),
    from: kinds.addresses().unwrap().optional().describe('Whose mail, by the envelope sender'),
    for: kinds.addresses().unwrap().optional().describe('Mail to whom: any recipient is in it'),
    bcc: addressTemplate.optional().describe('Gets it without being seen'),
    cc: addressTemplate.optional().describe('Gets it, and is seen in the Cc header'),
    maildir: pathTemplate.optional().describe('A maildir, below `data` if not absolute'),
    mbox: pathTemplate.optional().describe('An mbox, below `data` if not absolute'),
    mode: kinds.permissions('0600').describe('Permission bits of its files'),
    owner: z
      .string()
      .regex(/^[^:\s]+(:[^:\s]+)?$/, 'must be "user" or "user:group", names or numbers')
      .optional()
      .describe('Whom its files belong to, "user" or "user:group"; only root can give files away'),
  })
  .refine(({ bcc, cc, maildir, mbox }) => [bcc, cc, maildir, mbox].some((place) => place !== undefined), {
    error: 'says not where the copy goes: bcc, cc, maildir or mbox',
  });

type Copy = z.output<typeof copySchema>;

/** A copy, with what is found out when the module is set up. */
interface PreparedCopy extends Copy {
  readonly rights: PlaceRights;
}

export default defineModule({
  name: 'copies',
  about: 'Copies mail to other addresses and into files',
  once: true,
  changes: ['edit', 'copy'],
  options: z.strictObject({ copy: z.array(copySchema).default([]).describe('What is copied, and where to') }),
  findings: {},
  folders: ({ copy }) =>
    copy.flatMap(({ maildir, mbox }) =>
      [maildir, mbox].flatMap((path) => (path === undefined ? [] : [['copy', path.base] as const])),
    ),
  setup: async ({ options, services }) => {
    const copies: readonly PreparedCopy[] = await Promise.all(
      options.copy.map(async (copy) => ({
        ...copy,
        rights: {
          mode: copy.mode,
          owner: copy.owner === undefined ? undefined : await accountOf(copy.owner),
        },
      })),
    );
    return class Copies extends Milter {
      override eom(): void {
        const direction = directionFact.get(this);
        const concerned = copies.filter(
          ({ of, from }) =>
            (of === 'all' || of === direction) && (from === undefined || from.has(this.message.sender)),
        );
        if (concerned.length === 0) return;
        const plan = (message: Message, recipients: readonly string[]): readonly Planned[] =>
          concerned.flatMap((copy) => {
            const people = peopleOf(direction, message, recipients, copy.for, services);
            return people.map((person) => ({ copy, values: valuesOf(person, direction, services) }));
          });
        // Later it is what other modules made of it.
        const received = this.message.bodyComplete ? this.message.body : Buffer.alloc(0);
        services.change(
          this,
          async (message, recipients) => await address(message, recipients, plan(message, recipients)),
          'edit',
        );
        services.change(
          this,
          async (message, recipients) => {
            await write(message, received, plan(message, recipients), services);
          },
          'copy',
        );
      }
    };
  },
});

interface Planned {
  readonly copy: PreparedCopy;
  readonly values: Values;
}

/** Whose copy it is: the sender's, of incoming mail each of our recipients'. */
function peopleOf(
  direction: Direction,
  { sender }: Message,
  recipients: readonly string[],
  list: AddressList | undefined,
  services: Services,
): readonly Person[] {
  const meant = list === undefined ? recipients : recipients.filter((recipient) => list.has(recipient));
  if (meant.length === 0) return [];
  if (direction !== 'incoming') return [personOf(sender, services)];
  const who = services.role(whoRole);
  const ours = meant.filter((recipient) => who?.isOurs(recipient) === true);
  return (ours.length === 0 ? meant : ours).map((recipient) => personOf(recipient, services));
}

/** Bounces come from this machine, and so do users without a domain. */
function personOf(address: string, { hostname }: Services): Person {
  const { local, domain } = parseAddress(address);
  return { user: local === '' ? 'mailer-daemon' : local, domain: domain === '' ? hostname : aLabels(domain) };
}

function valuesOf(person: Person, direction: Direction, services: Services): Values {
  const date = new Date(services.now()).toISOString().slice(0, 10);
  return { ...person, direction, date, hostname: services.hostname };
}

/** Adds recipients who are none yet, and makes known those who shall be. */
async function address(
  message: Message,
  recipients: readonly string[],
  planned: readonly Planned[],
): Promise<void> {
  const known = new Set(recipients.map(comparableAddress));
  for (const { copy, values } of planned) {
    for (const [template, isSeen] of [
      [copy.bcc, false],
      [copy.cc, true],
    ] as const) {
      if (template === undefined) continue;
      const { address: to } = parseAddress(template.fill(values));
      if (isSeen) await show(message, to);
      if (known.has(comparableAddress(to))) continue;
      known.add(comparableAddress(to));
      message.addRcpt(to);
    }
  }
}

/** Puts an address into the Cc header, unless it can be seen already. */
async function show(message: Message, to: string): Promise<void> {
  const { headers } = (await message.mime()).root;
  const isIn = (value: string): boolean =>
    readMailboxes(value).some(({ address: one }) => comparableAddress(one) === comparableAddress(to));
  const present = headers.getAll('Cc');
  if ([...headers.getAll('To'), ...present].some(({ value }) => isIn(value))) return;
  const [only] = present;
  const joined = only === undefined || only.value.trim() === '' ? to : `${only.value.trimEnd()},\n\t${to}`;
  // In a header with an open quote or comment it would not be seen.
  if (present.length < 2 && isIn(joined) && quotesIn(joined) % 2 === 0) headers.set('Cc', joined);
  else headers.add('Cc', to);
}

function quotesIn(value: string): number {
  return value.replace(/\\./gs, '').split('"').length - 1;
}

/** Writes the files, each once, with the message as it will be delivered. */
async function write(
  message: Message,
  received: Buffer,
  planned: readonly Planned[],
  services: Services,
): Promise<void> {
  const done = new Set<string>();
  const files = planned.filter(({ copy: { maildir, mbox } }) => maildir !== undefined || mbox !== undefined);
  if (files.length === 0) return;
  const pieces = (await message.mime()).pieces();
  const name = await nameOf(message, received);
  for (const { copy, values } of files) {
    const { maildir, mbox, rights } = copy;
    if (maildir !== undefined) {
      const { path, base } = maildir.fill(values, services.data);
      if (!done.has(path)) await writeToMaildir(path, base, name, withLineFeeds(pieces), rights);
      done.add(path);
    }
    if (mbox !== undefined) {
      const { path, base } = mbox.fill(values, services.data);
      const entry = asMboxEntry(pieces, fromLine(message.sender, services.now()));
      if (!done.has(path)) await appendToMbox(path, base, entry, rights);
      done.add(path);
    }
  }
}

/** The same when the MTA sends the message again: made of it as it was received. */
async function nameOf(message: Message, body: Buffer): Promise<string> {
  const hash = createHash('sha256').update(`${message.sender}\n`);
  for (const { name, raw } of message.headers) hash.update(`${name}:`).update(raw).update('\n');
  for (let at = 0; at < body.length; at += CHUNK) {
    hash.update(body.subarray(at, at + CHUNK));
    await turn();
  }
  return `${hash.digest('hex').slice(0, 40)}.milter`;
}
