/** What may stand in a configuration: the keys of the top level and its tables, and those that every module takes. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { createResolver } from '../../dns/index.ts';
import { MilterError } from '../../errors.ts';
import { parseSocket } from '../../index.ts';
import { REDIS_FORMS, redisUrlFault } from '../../redis-url.ts';
import type { AnyModule, FindingDeclaration, When } from '../module.ts';
import { aLabels, isDomain } from './domains.ts';
import { BadValue } from './faults.ts';
import { type Kind, mustBe, textKind, textOrNone, withDefault } from './kind.ts';
import * as kinds from './kinds.ts';
import { reading } from './reading.ts';
import { z } from './zod.ts';

const wholeNumber = (least: number, most: number, otherwise: number) =>
  z.int().min(least).max(most).default(otherwise);

/** One of libmilter's socket specs, checked. */
const socket = textKind(
  'a socket such as "inet:8894@127.0.0.1" or "unix:/run/milter/milter.sock"',
  (text) => {
    try {
      return parseSocket(text).spec;
    } catch (error) {
      if (!(error instanceof MilterError)) throw error;
      throw new BadValue(error.message.replace(/^socket /, ''));
    }
  },
  undefined,
);

/** A list of them is several places to listen at. */
const sockets: Kind<readonly string[], string | readonly string[]> = z
  .union([
    socket,
    z
      .array(socket, { error: mustBe('a socket such as "inet:8894@127.0.0.1", or a list of sockets') })
      .min(1)
      .refine((specs) => specs.every((spec, i) => /^inet6?:0@/.test(spec) || specs.indexOf(spec) === i), {
        error: 'names a socket twice',
      }),
  ])
  .transform((specs) => (typeof specs === 'string' ? [specs] : specs));

/** A user or group of the system. */
const account = z
  .union([z.string().min(1), z.int().min(0).max(0x7fff_ffff)], { error: mustBe('a name or a number') })
  .optional();

/** Where the store is. */
export type StoreUrl =
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'redis'; readonly url: string }
  | { readonly kind: 'memory' };

const HOUR = 3_600_000;

const storeUrl = kinds.secret().transform((text, context): StoreUrl => {
  const path = /^sqlite:(?:\/\/)?([^\0]+)$/.exec(text)?.[1];
  if (path !== undefined) return { kind: 'sqlite', path: resolve(reading().data, path) };
  if (/^memory:(\/\/)?$/.test(text)) return { kind: 'memory' };
  const fault = redisUrlFault(text);
  if (fault === undefined) return { kind: 'redis', url: text };
  // The text itself may hold a password.
  const message = text.startsWith('redis') ? fault : `must be "sqlite:FILE", ${REDIS_FORMS} or "memory:"`;
  context.issues.push({ code: 'custom', message, input: text });
  return z.NEVER;
});

/** Its links and forms begin at the root of their host. */
const pageUrl = textOrNone(
  'the URL of a host name of its own, such as "https://quarantine.example.org", without a path',
  (text): URL | undefined => {
    const url = /^https?:\/\//.test(text) ? URL.parse(text) : null;
    return url !== null && url.href === `${url.origin}/` ? url : undefined;
  },
  '',
);

const nameServer = textKind(
  'a name server such as "192.0.2.1", "192.0.2.1:53" or "[2001:db8::1]:53"',
  (text) => {
    try {
      createResolver({ servers: [text] });
      return text;
    } catch {
      return undefined;
    }
  },
  undefined,
);

const hostName = textKind(
  'the name of a machine, such as "mx.example.org"',
  (text) => {
    const name = text.replace(/\.$/, '');
    return isDomain(aLabels(name)) ? name : undefined;
  },
  undefined,
);

const helpUrl = textOrNone(
  'the URL of a page, such as "https://postmaster.example.org/{finding}"',
  (text) => {
    const other = text.match(/\{[^{}]*\}/g)?.find((place) => place !== '{finding}');
    if (other !== undefined)
      throw new BadValue(`has "${other}", which is not known here; there is {finding}`);
    return /^https?:\/\/[\x21-\x7e]{1,200}$/.test(text) ? text : undefined;
  },
  '',
);

const program = textOrNone(
  'the path of a program, such as "/usr/sbin/sendmail"',
  (text) => (/^\/[^\0]+$/.test(text) ? text : undefined),
  '',
);

const onErrorWords = ['tempfail', 'continue', 'reject', 'accept'] as const;

/** The top level but for `[[module]]`. */
export const settingsSchema = z.strictObject({
  $schema: z.string().optional().describe('For editors: where the JSON Schema is'),
  socket: sockets.describe("Where the MTA finds the filter, in libmilter's words; or a list of such"),
  socket_mode: kinds.permissions('0660').describe('Permission bits of a unix socket'),
  socket_group: account.describe('Group of a unix socket, by name or number'),
  engine: z
    .enum(['libmilter', 'js', 'auto'])
    .optional()
    .describe(
      '"js": the protocol is spoken by Node itself; "auto": libmilter\'s where it is installed. ' +
        'Default: $MILTER_ENGINE, or "libmilter"',
    ),
  threads: wholeNumber(1, 256, 1).describe('JavaScript threads that share the connections'),
  hostname: hostName
    .optional()
    .transform((name) => name ?? hostname())
    .describe("This machine's name, for headers, replies and DSNs. Default: what the system says"),
  on_error: z.enum(onErrorWords).default('tempfail').describe('What follows when a module fails or is late'),
  max_body: kinds.size('64MiB').describe('The largest body that is looked into'),
  too_big: z
    .enum(['continue', 'reject'])
    .default('continue')
    .describe('Beyond max_body: modules that need the body skip the message, or it is refused'),
  max_connections: wholeNumber(1, 1_000_000, 1000).describe('Connections served at once'),
  timeout: kinds.wait('2h').describe('How long an MTA may be silent'),
  user: account.describe('Whom the filter becomes when started by root, after the socket is open'),
  data: z
    .string()
    .min(1)
    .default('/var/lib/milter')
    .transform(() => reading().data)
    .describe('The folder that stored things are in'),
  help: helpUrl.describe('A page named in every refusal; {finding} is replaced by the name of the finding'),
  split: z
    .boolean()
    .default(false)
    .describe(
      "A message whose recipients' rules differ is sent again through [outgoing], to those who are exempt",
    ),

  log: z
    .strictObject({
      level: z
        .enum(['debug', 'info', 'warn', 'error'])
        .default('info')
        .describe('The least important that is logged'),
      format: z
        .enum(['auto', 'text', 'json', 'journal'])
        .default('auto')
        .describe('"auto": text on a terminal, else JSON; "journal": with priorities'),
      subjects: z.boolean().default(false).describe('Whether subjects are logged'),
      headers: z.boolean().default(false).describe('Whether headers are logged'),
    })
    .prefault({})
    .describe('What is logged, and how'),
  store: z
    .strictObject({
      url: withDefault(storeUrl, 'sqlite:milter.db').describe(
        '"sqlite:FILE", "redis://HOST:PORT/NUMBER" or "redis+sentinel://HOST:PORT,HOST:PORT/NAME/NUMBER" when several machines share it, "memory:" for tries',
      ),
    })
    .prefault({})
    .describe('What the modules remember'),
  history: z
    .strictObject({
      keep: kinds.duration('14d').describe('For how long'),
      max: wholeNumber(0, 1_000_000_000, 1_000_000).describe('Messages that are remembered; 0: none'),
    })
    .prefault({})
    .describe('The findings of each message, for `milter why` and the status page'),
  http: z
    .strictObject({
      listen: kinds
        .endpoint('')
        .describe(
          'Where, as in "127.0.0.1:8895" or "unix:/run/milter/http.sock"; without it there is no HTTP',
        ),
      review: z.boolean().default(true).describe("The quarantine's web page"),
      accounts: kinds.givenPath('').describe('Who may sign in: a file made by `milter user add`'),
      url: pageUrl.describe(
        'How people reach the page, as in "https://quarantine.example.org": for links in digests',
      ),
    })
    .prefault({})
    .describe('Metrics, health, and the web page'),
  dns: z
    .strictObject({
      servers: z.array(nameServer).default([]).describe('Name servers. Default: those of /etc/resolv.conf'),
      timeout: kinds.wait('5s').describe('Of one question, retries included'),
      cache: wholeNumber(0, 10_000_000, 10_000).describe('Answers that are kept'),
    })
    .prefault({})
    .describe('How DNS is asked'),
  outgoing: z
    .strictObject({
      smtp: kinds.endpoint('').describe('The mail server that takes it, as in "127.0.0.1:10025"'),
      sendmail: program.describe('Or the program that does, as in "/usr/sbin/sendmail"'),
      from: kinds.address('').describe('Whom it is from'),
      alert: kinds.address('').describe('Who is told once a day of what went wrong'),
    })
    .prefault({})
    .describe("How the filter's own mail leaves: digests, releases, DSNs, confirmations"),
  quarantine: z
    .strictObject({
      path: kinds
        .storedPath('quarantine/')
        .refine((path) => path !== undefined && path !== reading().data, 'must be a folder of its own')
        .describe('The folder, below `data` if not absolute'),
      keep: kinds
        .duration('30d')
        .refine((time) => time >= HOUR, 'must be an hour at least: what is accepted and held would be gone')
        .describe('For how long'),
      max_size: kinds.size('10GiB').describe('Beyond it, what would be held is tempfailed'),
      digest: kinds
        .timeOfDay('')
        .describe('When each owner gets a mail with what is new, as in "07:00"; "": never'),
    })
    .prefault({})
    .describe('Where the action "quarantine" puts mail'),
  dns_server: z
    .strictObject({
      listen: kinds.endpoint('').describe('Where, as in "127.0.0.1:5353"'),
      zone: kinds.domain('').describe('The zone that is answered for'),
      patterns: kinds.givenPath('').describe('A file of patterns: "ded[0-9]+.com  127.0.0.2  reason"'),
      ses: z.boolean().default(false).describe('Answers whether a signature of a sender is ours, and unused'),
      ttl: kinds.duration('5m').describe('How long answers may be kept, seven days at most'),
      name_servers: z
        .array(z.string().transform((name) => name.toLowerCase().replace(/\.$/, '')))
        .default([])
        .describe('The hosts in the NS records of the zone. Default: hostname'),
      rate_limit: wholeNumber(0, 1_000_000, 200).describe(
        'Answers a second over UDP to one network, an IPv4 /24 or IPv6 /56; 0: no limit',
      ),
      unlimited: kinds
        .networks([])
        .describe(
          'Addresses for which rate_limit does not count: your own resolvers. This machine never counts',
        ),
    })
    .prefault({})
    .describe('For `milter dns`, a process of its own: a name server for lists made of patterns'),
});

/** The top level with all defaults, under the names of the file. */
export type Settings = z.output<typeof settingsSchema>;

const CLIENT_WORDS = ['external', 'internal', 'authenticated'] as const satisfies When[];
const DIRECTION_WORDS = ['incoming', 'outgoing', 'local'] as const satisfies When[];

const match = z
  .strictObject({
    from: kinds.addresses().unwrap().optional().describe('Whose mail'),
    to: kinds.addresses().unwrap().optional().describe('Any recipient is in it'),
    client: kinds.networks().unwrap().optional().describe('From which clients'),
    not_from: kinds.addresses().unwrap().optional().describe('Whose mail not'),
    not_to: kinds.addresses().unwrap().optional().describe('No recipient is in it'),
  })
  .prefault({});

/** Says of a direction that this module works too early for it; of other words zod says enough. */
function whenFault({ input }: { readonly input?: unknown }): string | undefined {
  if (!DIRECTION_WORDS.some((word) => word === input)) return undefined;
  return `"${input}" is known only after the last recipient, and this module works before`;
}

/** The keys that every module takes, besides its options. */
export function moduleSchema(definition: AnyModule) {
  const { stage, when = [], onError, findings } = definition;
  const known: readonly When[] = stage === 'envelope' ? CLIENT_WORDS : [...CLIENT_WORDS, ...DIRECTION_WORDS];
  const texts = Object.entries(findings).map(([short, declared]) => {
    const { text, values = [] }: Pick<FindingDeclaration, 'text' | 'values'> =
      typeof declared === 'string' ? { text: declared } : declared;
    return [short, kinds.template(undefined, values).optional().describe(text)] as const;
  });
  return z.strictObject({
    use: z.string().describe("The module's name, the path of a file that exports one, or a package"),
    name: z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/, {
        error: 'must be letters, digits, hyphens and underscores, 40 at most',
      })
      .optional()
      .describe('For logs, metrics, headers and findings. Default: `use`'),
    mode: z
      .enum(['enforce', 'observe', 'off'])
      .default('enforce')
      .describe('"observe": finds, logs and counts, but does nothing'),
    when: z
      .array(z.enum(known, { error: whenFault }))
      .min(1, { error: 'names no mail at all; to switch the module off write mode = "off"' })
      .optional()
      .transform((words): readonly When[] => words ?? when)
      .describe(`Which mail. Default: ${when.length === 0 ? 'all' : when.join(', ')}`),
    match: match.describe('Which mail, more exactly'),
    on_error: z
      .enum(onErrorWords)
      .optional()
      .describe(`It fails or is late. Default: ${onError ?? "the top level's"}`),
    deadline: kinds.wait().optional().describe("Bounds its own work. Default: the stage's end"),
    mark: z
      .string()
      .max(100)
      .regex(/^[^\p{Cc}]*$/u, { error: 'must have no control characters' })
      .default('')
      .describe('Put before the subject by its "tag"'),
    texts: z.strictObject(Object.fromEntries(texts)).prefault({}).describe('Reply texts of findings'),
  });
}
