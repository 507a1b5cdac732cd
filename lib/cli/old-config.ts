/** Carries a `milter.cfg` of pymilter's bms.py over. */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Draft, DraftValue } from './draft.ts';

/** Sections and their options, as Python's ConfigParser reads them. */
export type OldConfig = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Reads the text: `[section]`, `name = value` or `name: value`, lines that go on with white space, comments. */
export function parseOldConfig(text: string): OldConfig {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  let name: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    if (/^\s*([#;]|$)/.test(line)) continue;
    const [, title] = /^\[([^\]]+)\]/.exec(line) ?? [];
    const [, option = '', value = ''] = /^([^\s=:][^=:]*?)\s*[=:]\s*(.*)$/.exec(line) ?? [];
    if (title !== undefined) {
      section = sections.get(title.toLowerCase()) ?? new Map<string, string>();
      sections.set(title.toLowerCase(), section);
      name = undefined;
    } else if (/^\s/.test(line) && name !== undefined) {
      section.set(name, `${section.get(name) ?? ''} ${withoutComment(line.trim())}`.trim());
    } else if (option !== '') {
      name = option.toLowerCase();
      section.set(name, withoutComment(value.trim()));
    }
  }
  return sections;
}

function withoutComment(value: string): string {
  return value.replace(/\s;.*$/, '').trim();
}

/** What one option becomes. */
type Carry = (value: string, migration: Migration) => void;

/** Options that nothing is made of, and why. */
const later = (module: string) => `belongs to module ${module}, which is not there yet`;

/** Carries one configuration over. */
class Migration {
  readonly draft: Draft;
  readonly old: OldConfig;
  readonly folder: string;
  readonly has: (module: string) => boolean;
  /** What could not be carried over, a line each. */
  readonly lost: string[] = [];
  /** What `where` names at the moment. */
  where = '';

  constructor(draft: Draft, old: OldConfig, file: string, has: (module: string) => boolean) {
    this.draft = draft;
    this.old = old;
    this.folder = dirname(resolve(file));
    this.has = has;
  }

  lose(why: string): void {
    this.lost.push(`${this.where}: ${why}`);
  }

  /** Sets a key of a module, if there is such a module. */
  set(module: string, key: string, value: DraftValue): void {
    if (this.has(module)) this.draft.module(module).set(key, value);
    else this.lose(later(module));
  }

  /** Adds to a list. */
  add(module: string, key: string, values: readonly DraftValue[]): void {
    const before = this.draft.modules.get(module)?.get(key);
    this.set(module, key, [...(Array.isArray(before) ? before : []), ...values]);
  }

  /** Entries of a list; those that name files are made to name them from anywhere. */
  list(value: string): string[] {
    const entries = value
      .split(',')
      .map((entry) => entry.trim())
      .filter((entry) => entry !== '');
    return entries.flatMap((entry) => {
      if (!entry.startsWith('file:')) return [entry];
      const path = resolve(this.folder, entry.slice('file:'.length));
      if (existsSync(path)) return [`file:${path}`];
      this.lose(`there is no file ${path}`);
      return [];
    });
  }
}

const isYes = (value: string): boolean => /^(1|yes|true|on)$/i.test(value);

const list =
  (module: string, key: string, change: (entry: string) => string = (entry) => entry): Carry =>
  (value, migration) =>
    migration.add(module, key, migration.list(value).map(change));

const flag =
  (module: string, key: string): Carry =>
  (value, migration) =>
    migration.set(module, key, isYes(value));

/** `192.168.*.*` and `192.168.` as networks; names stay. */
function toNetwork(glob: string): string {
  const parts = glob
    .replace(/(\.\*)+$/, '')
    .replace(/\.$/, '')
    .split('.');
  const isPrefix = parts.length < 4 && parts.every((part) => /^\d{1,3}$/.test(part));
  return isPrefix ? `${[...parts, '0', '0', '0'].slice(0, 4).join('.')}/${8 * parts.length}` : glob;
}

/** Below a domain, but not it: as the globs of old. */
function toDomain(glob: string): string {
  return glob.startsWith('*.') ? `*@${glob}` : glob;
}

const lost =
  (why: string): Carry =>
  (_, migration) =>
    migration.lose(why);

/** Shorter ones are refused. */
const LEAST_SECRET = 8;

function hasSecret({ old }: Migration): boolean {
  return (old.get('srs')?.get('secret') ?? '').length >= LEAST_SECRET;
}

/** Domains whose senders are signed. */
const signedBy =
  (way: string): Carry =>
  (value, migration) => {
    if (!hasSecret(migration)) {
      migration.lose('needs a secret');
      return;
    }
    migration.set('bounces', 'sign', way);
    migration.add('bounces', 'domains', migration.list(value));
  };

const words: Carry = (value, migration) => {
  migration.add('headers', 'subject_words', migration.list(value));
  if (migration.has('headers')) migration.set('headers', 'words_action', 'reject');
};

const defang: Readonly<Record<string, Carry>> = {
  scan_rfc822: flag('attachments', 'attached_messages'),
  scan_zip: flag('attachments', 'archives'),
  scan_html: (value, migration) => migration.set('html', 'scripts', isYes(value) ? 'remove' : 'continue'),
  block_chinese: (value, migration) => {
    if (isYes(value)) migration.set('headers', 'charsets', ['gb2312', 'gbk', 'gb18030', 'big5']);
  },
  block_forward: list('recipients', 'no_forwards'),
  porn_words: words,
  spam_words: words,
  from_words: list('headers', 'from_words'),
  banned_exts: list('attachments', 'extensions', (entry) => entry.replace(/^\./, '')),
};

const CARRIED: Readonly<Record<string, Readonly<Record<string, Carry>>>> = {
  milter: {
    socket: (value, { draft }) => {
      draft.top.set(
        'socket',
        /^(unix|local|inet6?|fd):/.test(value) ? value.replace(/^local:/, 'unix:') : `unix:${value}`,
      );
    },
    tempdir: (value, migration) => migration.set('attachments', 'save', value),
    timeout: (value, migration) => {
      if (/^\d+$/.test(value)) migration.draft.top.set('timeout', `${value}s`);
      else migration.lose('is no number of seconds');
    },
    log_headers: (value, { draft }) => {
      draft.table('log').set('headers', isYes(value));
    },
    internal_connect: list('networks', 'internal', toNetwork),
    internal_domains: list('networks', 'domains', toDomain),
    trusted_relay: list('networks', 'relays', toNetwork),
    private_relay: list('networks', 'private', toDomain),
    internal_mta: list('networks', 'null_senders', toNetwork),
    hello_blacklist: list('helo', 'block'),
    check_user: (value, migration) => {
      const users = migration.list(value);
      migration.add('recipients', 'users', users);
      const domains = users.flatMap((user) =>
        user.startsWith('file:') ? [] : [user.slice(user.lastIndexOf('@') + 1)],
      );
      migration.add('recipients', 'complete', [...new Set(domains)]);
      if (users.some((user) => user.startsWith('file:'))) {
        migration.lose(
          'lists in files must hold whole addresses, and their domains belong into recipients.complete',
        );
      }
    },
    errors_url: (value, { draft }) => {
      draft.top.set('help', `${value.replace(/\/$/, '')}/{finding}`);
    },
    ...defang,
  },
  defang,
  spf: {
    delegate: (value, migration) => migration.set('spf', 'delegate', value),
    best_guess: flag('spf', 'best_guess'),
    reject_noptr: flag('spf', 'reject_noptr'),
    reject_neutral: list('spf', 'reject_neutral', toDomain),
    accept_softfail: list('spf', 'accept_softfail', toDomain),
    accept_fail: list('spf', 'accept_fail', toDomain),
    trusted_forwarder: list('spf', 'forwarders'),
    access_file: (value, migration) =>
      migration.set('access', 'map', `file:${resolve(migration.folder, value)}`),
  },
  scrub: {
    hide_path: list('headers', 'strip_received', toDomain),
    reject_virus_from: list('attachments', 'senders_rejected', toDomain),
    internal_policy: flag('spf', 'internal_policy'),
  },
  wiretap: {
    users: (value, migration) => {
      const wiretap = migration.old.get('wiretap');
      const destinations = migration.list(wiretap?.get('dest') ?? '');
      const isBlind = isYes(wiretap?.get('blind') ?? 'yes');
      if (destinations.length === 0) migration.lose('names nobody to copy to (dest)');
      for (const to of destinations) {
        migration.add('copies', 'copy', [
          { of: 'all', from: migration.list(value), [isBlind ? 'bcc' : 'cc']: to },
        ]);
      }
    },
    // With users.
    dest: () => {},
    blind: () => {},
    discard: lost('put into an access map: From:ADDRESS DISCARD'),
    discard_users: lost('put into an access map: From:ADDRESS DISCARD'),
    archive: (value, migration) => migration.add('copies', 'copy', [{ of: 'all', mbox: value }]),
    mail_archive: (value, migration) => migration.add('copies', 'copy', [{ of: 'all', mbox: value }]),
    smart_alias: (value, migration) => {
      for (const name of migration.list(value)) {
        const alias = migration.list(migration.old.get('wiretap')?.get(name.toLowerCase()) ?? '');
        const [from, to, ...send] = alias;
        if (from === undefined || to === undefined) migration.lose(`"${name}" has no sender and recipient`);
        else
          migration.add('recipients', 'alias', [
            { from: fromOf(from), to, send: send.length > 0 ? send : [name] },
          ]);
      }
    },
  },
  greylist: {
    dbfile: (_, migration) => {
      if (migration.has('greylist')) migration.draft.module('greylist');
      else migration.lose(later('greylist'));
    },
    time: (value, migration) => migration.set('greylist', 'delay', `${value}m`),
    expire: (value, migration) => migration.set('greylist', 'expire', `${value}h`),
    retain: (value, migration) => migration.set('greylist', 'retain', `${value}d`),
  },
  srs: {
    secret: (value, migration) => {
      if (hasSecret(migration)) migration.set('srs', 'secrets', value);
      else migration.lose(`can be guessed; make one of ${LEAST_SECRET} characters or more`);
    },
    fwdomain: (value, migration) => {
      if (hasSecret(migration)) migration.set('srs', 'domain', value);
      else migration.lose('needs a secret');
    },
    maxage: (value, migration) => migration.set('srs', 'max_age', `${value}d`),
    hashlength: (value, migration) => migration.set('srs', 'hash_length', Number(value)),
    separator: (value, migration) => migration.set('srs', 'separator', value),
    sign: signedBy('srs'),
    ses: signedBy('ses'),
    reject_spoofed: (value, migration) => {
      if (isYes(value)) migration.set('bounces', 'unsigned', 'reject');
    },
    config: lost('is a file of its own: put what is in it into module srs'),
  },
};

/** `@example.com` stood for all senders of a domain. */
function fromOf(sender: string): string {
  return sender.replace(/^@/, '');
}

/** Sections whose modules do not exist yet. */
const LATER: Readonly<Record<string, string>> = { dspam: 'bayes', dkim: 'auth', gossip: 'known' };

/**
 * Fills the draft, and says what could not be carried over, a line each.
 * @param has whether there is a module of that name
 */
export function carryOver(
  old: OldConfig,
  draft: Draft,
  file: string,
  has: (module: string) => boolean,
): readonly string[] {
  const migration = new Migration(draft, old, file, has);
  if (has('attachments') && !old.has('defang') && old.get('milter')?.get('banned_exts') === undefined) {
    draft.module('attachments').set('extensions', 'seed');
  }
  const aliases = migration
    .list(old.get('wiretap')?.get('smart_alias') ?? '')
    .map((name) => name.toLowerCase());
  for (const [section, options] of old) {
    for (const [option, value] of options) {
      migration.where = `[${section}] ${option}`;
      const carry = CARRIED[section]?.[option];
      if (carry !== undefined) carry(value, migration);
      else if (section === 'wiretap' && aliases.includes(option)) continue;
      else migration.lose(LATER[section] === undefined ? 'has no counterpart' : later(LATER[section]));
    }
  }
  return migration.lost;
}
