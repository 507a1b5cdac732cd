/** A configuration that is being written: keys and modules, and the commented text that they make. */

/** What can stand behind a key. */
export type DraftValue =
  | string
  | number
  | boolean
  | readonly DraftValue[]
  | { readonly [key: string]: DraftValue };

/** The keys of one table. */
export type DraftTable = Map<string, DraftValue>;

/** What each module is for, and what to do with it next. */
const ABOUT: Readonly<Record<string, string>> = {
  networks: 'Who is inside, and what is ours. Set `domains` and `internal` first.',
  access: 'Exceptions of the postmaster.',
  helo: 'What the client calls itself.',
  ptr: "The client's name in DNS.",
  spf: "Whether the sender's domain allows the client to send in its name.",
  dnsbl: 'Lists in DNS.',
  recipients: 'Who exists.',
  headers: 'What the headers say: words, dates, what is broken.',
  attachments: 'Programs and other dangerous parts are replaced by a warning.',
  html: 'Scripts in HTML are taken out.',
  score: 'Adds up the points of `score N`. It marks from 5 on, and refuses from 15 on.',
  srs: 'Mail that is sent on, and its bounces.',
  bounces: 'Whether bounces are of mail that was sent from here.',
  greylist: 'Who comes for the first time is told to try later.',
  copies: 'Copies of messages.',
};

/** Keys that are worth a thought, as comments. */
const HINTS: Readonly<Record<string, readonly string[]>> = {
  ptr: ['# dynamic = "score 1"                    # names as dial-up lines have'],
  spf: ['# softfail = "score 2"                   # the domain says: probably not ours'],
  headers: ['# subject_words = ["file:words"]         # a word or phrase a line'],
};

const KEYS: Readonly<Record<string, string>> = {
  socket: 'where the MTA finds the filter; or "unix:/var/spool/postfix/milter/milter.sock"',
  data: 'what the filter remembers',
  'networks.internal': 'who may send out through us: add your own networks',
  'networks.domains': 'what is ours, such as ["example.org", ".example.org"]',
  'networks.relays': 'secondary MX and forwarding machines that are trusted',
};

const HEAD = `#:schema ./milter.schema.json

# The mail filter's configuration. All keys: man milter.toml, or docs/configuration.md.
#
# As it stands, the filter refuses nothing and changes nothing: every module has mode = "observe". It says in its log what
# it finds, and \`milter why\` explains what became of a message, and what would have become of it.
#
#   1. Set \`domains\` and \`internal\` in module "networks".
#   2. milter check FILE                 is it right, and wise?
#      milter run FILE                   and tell the MTA of the socket, as it prints
#   3. Look for some days at what is found:   milter why --since 1d
#      or play mail that you have:            milter replay Maildir/
#   4. Where a module finds only what it should, remove its line mode = "observe", and reload (SIGHUP).
`;

/** A configuration that is being written. */
export class Draft {
  readonly top: DraftTable = new Map();
  /** Tables such as `log`, by their names. */
  readonly tables = new Map<string, DraftTable>();
  /** Modules in file order. */
  readonly modules = new Map<string, DraftTable>();
  /** What is said at the end, a line each. */
  readonly remarks: string[] = [];

  /** The table of that name, made where there is none. */
  table(name: string): DraftTable {
    return made(this.tables, name);
  }

  /** The module of that name, put last where there is none. */
  module(name: string): DraftTable {
    return made(this.modules, name);
  }

  toText(): string {
    const parts = [
      HEAD,
      formatTable('', this.top),
      ...[...this.tables].map(([name, table]) => `[${name}]\n${formatTable(name, table)}`),
      ...[...this.modules].map(([name, table]) => {
        const about = ABOUT[name] === undefined ? '' : `# ${ABOUT[name]}\n`;
        const hints = (HINTS[name] ?? []).map((hint) => `${hint}\n`).join('');
        return `${about}[[module]]\nuse = "${name}"\nmode = "observe"\n${formatTable(name, table)}${hints}`;
      }),
    ];
    if (this.remarks.length > 0) parts.push(`${this.remarks.map((remark) => `# ${remark}`).join('\n')}\n`);
    return parts.join('\n');
  }
}

function made(tables: Map<string, DraftTable>, name: string): DraftTable {
  const table = tables.get(name) ?? new Map<string, DraftValue>();
  tables.set(name, table);
  return table;
}

function formatTable(name: string, table: DraftTable): string {
  return [...table]
    .map(([key, value]) => {
      const line = `${key} = ${formatValue(value)}`;
      const comment = KEYS[name === '' ? key : `${name}.${key}`];
      return `${comment === undefined ? line : `${line.padEnd(40)} # ${comment}`}\n`;
    })
    .join('');
}

/** A value in TOML: that of JSON, but for tables. */
function formatValue(value: DraftValue): string {
  if (typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(formatValue).join(', ')}]`;
  return `{ ${Object.entries(value)
    .map(([key, own]) => `${key} = ${formatValue(own)}`)
    .join(', ')} }`;
}
