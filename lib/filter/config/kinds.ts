/**
 * The kinds of values that recur in the options of modules. Each is made with what holds where the key is not given,
 * written as in the file; made without, the key must be given.
 */
import { resolve } from 'node:path';
import { show } from '../../options.ts';
import type { Action, ActionWord } from '../findings/action.ts';
import { aLabels, isDomain } from './domains.ts';
import { BadValue, wrongWord } from './faults.ts';
import { textKind, textOrNone, type WithDefault } from './kind.ts';
import { readNow } from './lists/files.ts';
import { type SecretList, secretList } from './lists/secrets.ts';
import { compilePattern, type Pattern } from './pattern.ts';
import { reading } from './reading.ts';
import { Template } from './template.ts';

export { addressEntry, addresses } from './lists/addresses.ts';
export { addressGroups } from './lists/groups.ts';
export { entriesFile } from './lists/list.ts';
export { networks } from './lists/networks.ts';
export { contentTypes, domains, extensions, globs, words } from './lists/words.ts';

type Maybe = string | undefined;

/** Fields that a message has of its own, and that mail servers and lists write. */
const MAILS_OWN =
  /^(from|sender|reply-to|to|cc|bcc|subject|date|message-id|in-reply-to|references|received(-spf)?|return-path|mime-version|content-.*|list-.*|resent-.*|dkim-signature|arc-.*|authentication-results|auto-submitted)$/i;

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
/** Longer than any mail server waits for anything, and exact in milliseconds. */
const MAX_DAYS = 36_500;

/** A duration, `"300ms" "8s" "5m" "6h" "36d"`: milliseconds. */
export function duration<D extends Maybe = undefined>(otherwise?: D): WithDefault<number, string, D> {
  return textKind(DURATION, readDuration, otherwise as D, DURATION_SHOWN);
}

/** A duration that something waits for: there is some, and a timer of Node can hold it. */
export function wait<D extends Maybe = undefined>(otherwise?: D): WithDefault<number, string, D> {
  const read = (text: string): number | undefined => {
    const time = readDuration(text);
    if (time === 0 || (time ?? 0) > LONGEST_WAIT) throw new BadValue('must be from "1ms" to "24d"');
    return time;
  };
  return textKind(DURATION, read, otherwise as D, DURATION_SHOWN);
}

const DURATION = 'a duration such as "300ms", "8s", "5m", "6h" or "36d"';
const DURATION_SHOWN = {
  pattern: '^\\d{1,12}(ms|s|m|h|d)$',
  examples: ['300ms', '8s', '5m', '6h', '36d'],
};
/** A longer timer would end at once. */
const LONGEST_WAIT = 2 ** 31 - 1;

function readDuration(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text) ?? [];
  const milliseconds = Number(digits) * (UNITS[unit] ?? Number.NaN);
  return milliseconds <= MAX_DAYS * 86_400_000 ? milliseconds : undefined;
}

const SIZES: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** A size, `"180kB" "64MiB"` (kB = 1000, KiB = 1024): bytes. */
export function size<D extends Maybe = undefined>(otherwise?: D): WithDefault<number, string, D> {
  return textKind(
    'a size such as "180kB" or "64MiB" (kB = 1000, KiB = 1024)',
    (text) => {
      const [, digits, unit = ''] = /^(\d{1,15})([kKMGT]?i?B)$/.exec(text) ?? [];
      const bytes = Number(digits) * (SIZES[unit] ?? Number.NaN);
      return Number.isSafeInteger(bytes) ? bytes : undefined;
    },
    otherwise as D,
    { pattern: '^\\d{1,15}(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$', examples: ['180kB', '64MiB'] },
  );
}

const ACTIONS = [
  'continue',
  'reject',
  'tempfail',
  'discard',
  'hold',
  'quarantine',
  'tag',
  'accept',
] as const satisfies ActionWord[];

/** What follows from a finding; `more` are words that this key alone knows. */
export function action<More extends string = never, D extends Maybe = undefined>(
  otherwise?: D,
  more: readonly More[] = [],
): WithDefault<Action | { readonly word: More }, string, D> {
  const words: readonly string[] = [...ACTIONS, ...more];
  const expected = `an action, ${[...words, 'score N'].map((word) => `"${word}"`).join(' ')}`;
  return textKind(
    expected,
    (text): Action | { readonly word: More } => {
      const plain = ACTIONS.find((word) => word === text);
      if (plain !== undefined) return { word: plain };
      const special = more.find((word) => word === text);
      if (special !== undefined) return { word: special };
      const [, digits] = /^score ([+-]?\d{1,6}(?:\.\d{1,6})?)$/.exec(text) ?? [];
      if (digits !== undefined) return { word: 'score', points: Number(digits) };
      throw new BadValue(wrongWord(expected, text, words));
    },
    otherwise as D,
    {
      description: 'What follows from it',
      anyOf: [{ enum: [...words] }, { pattern: '^score [+-]?\\d{1,6}(\\.\\d{1,6})?$' }],
    },
  );
}

/** A text with `%{…}`; `more` are variables besides {@link templateVariables}. The text may be `file:PATH`. */
export function template<D extends Maybe = undefined>(
  otherwise?: D,
  more: readonly string[] = [],
): WithDefault<Template, string, D> {
  return textKind('a text', (text) => new Template(literal(text), more), otherwise as D);
}

/** A text, or `file:PATH` for what is in that file when the configuration is read. */
export function text<D extends Maybe = undefined>(otherwise?: D): WithDefault<string, string, D> {
  return textKind('a text', literal, otherwise as D);
}

/** A secret: itself, or `env:NAME`, `credential:NAME` (systemd), `file:PATH`. The final end of line is no part of it. */
export function secret<D extends Maybe = undefined>(otherwise?: D): WithDefault<string, string, D> {
  return textKind('a secret, or "env:NAME", "credential:NAME", "file:PATH"', readSecret, otherwise as D, {
    writeOnly: true,
  });
}

/**
 * Secrets, one a line, the newest first, {@link SecretList}; empty for none. Those of `"file:PATH"` are read anew when the
 * file changes.
 * @param least characters of each
 */
export function secrets<D extends string | undefined = undefined>(
  otherwise?: D,
  least = 1,
): WithDefault<SecretList, string, D> {
  return secretList(readSecret, otherwise, least);
}

/** The path of something that the filter stores: absolute, or below `data`. Empty for none. */
export function storedPath<D extends Maybe = undefined>(
  otherwise?: D,
): WithDefault<string | undefined, string, D> {
  return textOrNone(
    'a path',
    (text) => {
      const { data, trial = false } = reading();
      return resolve(data, trial ? `.${resolve('/', noNul(text))}` : noNul(text));
    },
    otherwise as D,
  );
}

/** The path of something that is given, `file:PATH` or a plain path: absolute, or beside the configuration. Empty for none. */
export function givenPath<D extends Maybe = undefined>(
  otherwise?: D,
): WithDefault<string | undefined, string, D> {
  return textOrNone(
    'a path such as "file:keys/2026.pem"',
    (text) => {
      const path = noNul(text.replace(/^file:/, ''));
      return path === '' ? undefined : resolve(reading().directory, path);
    },
    otherwise as D,
  );
}

/** Permission bits of a file, `"0660"`. */
export function permissions<D extends Maybe = undefined>(otherwise?: D): WithDefault<number, string, D> {
  return textKind(
    'permission bits such as "0660"',
    (text) => (/^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined),
    otherwise as D,
    { pattern: '^0?[0-7]{3}$', examples: ['0600', '0660'] },
  );
}

/** One domain, as A-labels; empty for none. */
export function domain<D extends Maybe = undefined>(
  otherwise?: D,
): WithDefault<string | undefined, string, D> {
  return textOrNone(
    'a domain such as "example.org"',
    (text) => {
      const name = aLabels(text);
      return isDomain(name) ? name : undefined;
    },
    otherwise as D,
  );
}

/** One mail address without brackets; empty for none. */
export function address<D extends Maybe = undefined>(
  otherwise?: D,
): WithDefault<string | undefined, string, D> {
  return textOrNone(
    'an address such as "postmaster@example.org"',
    (text) => {
      const at = text.lastIndexOf('@');
      const isSound = at > 0 && !/[\s<>,;\p{Cc}]/u.test(text) && isDomain(aLabels(text.slice(at + 1)));
      return isSound ? text : undefined;
    },
    otherwise as D,
  );
}

/** Where a service is: a path, or a host and its port. */
export type Endpoint =
  | { readonly path: string; readonly host?: undefined }
  | { readonly host: string; readonly port: number; readonly path?: undefined };

/** Where a service is, `"unix:/run/x.sock"`, `"tcp:127.0.0.1:3310"` or `"127.0.0.1:3310"`; empty for nowhere. */
export function endpoint<D extends Maybe = undefined>(
  otherwise?: D,
): WithDefault<Endpoint | undefined, string, D> {
  return textOrNone(
    'an address such as "127.0.0.1:8895", "[::1]:8895" or "unix:/run/milter/http.sock"',
    (text): Endpoint | undefined => {
      const [, path] = /^unix:(\/[^\0]+)$/.exec(text) ?? [];
      if (path !== undefined) return { path };
      const [, six, plain, digits] =
        /^(?:tcp:)?(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text) ?? [];
      const port = Number(digits);
      return port >= 1 && port <= 65_535 ? { host: six ?? plain ?? '', port } : undefined;
    },
    otherwise as D,
  );
}

/** The URL of a service, `"http://127.0.0.1:11333"`; empty for none. */
export function url<D extends Maybe = undefined>(otherwise?: D): WithDefault<URL | undefined, string, D> {
  return textOrNone(
    'a URL such as "http://127.0.0.1:11333"',
    (text) => (/^https?:\/\//.test(text) ? (URL.parse(text) ?? undefined) : undefined),
    otherwise as D,
  );
}

/** A time of day, `"07:00"`: minutes after midnight. Empty for never. */
export function timeOfDay<D extends Maybe = undefined>(
  otherwise?: D,
): WithDefault<number | undefined, string, D> {
  return textOrNone(
    'a time of day such as "07:00"',
    (text) => {
      const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? [];
      return hours === undefined ? undefined : Number(hours) * 60 + Number(minutes);
    },
    otherwise as D,
    { pattern: '^(([01]\\d|2[0-3]):[0-5]\\d)?$' },
  );
}

/** A regular expression that cannot run away. */
export function pattern<D extends Maybe = undefined>(otherwise?: D): WithDefault<Pattern, string, D> {
  return textKind('a regular expression', (text) => compilePattern(text), otherwise as D);
}

function literal(text: string): string {
  return text.startsWith('file:') ? readText(text.slice(5)) : text;
}

function readText(name: string): string {
  return readNow(resolve(reading().directory, name)).text;
}

function readSecret(text: string): string {
  const [, scheme, name = ''] = /^(env|credential|file):(.*)$/s.exec(text) ?? [];
  const { environment } = reading();
  if (scheme === 'env') {
    const value = environment[name];
    if (value === undefined)
      throw new BadValue(`names the environment variable ${show(name)}, which is not set`);
    return value;
  }
  if (scheme === 'file') return readText(name).replace(/\r?\n$/, '');
  if (scheme !== 'credential') return text;
  const { CREDENTIALS_DIRECTORY: folder } = environment;
  if (folder === undefined) throw new BadValue('names a credential, but systemd gave none (LoadCredential=)');
  if (!/^[\w.-]+$/.test(name) || name === '..')
    throw new BadValue(`has ${show(name)}, which is no credential's name`);
  return readNow(resolve(folder, name)).text.replace(/\r?\n$/, '');
}

function noNul(text: string): string {
  if (text.includes('\0')) throw new BadValue('holds a NUL');
  return text;
}

/** The name of a header field that a module writes into mail, and that only the filter may write; empty for none. */
export function ownHeader(otherwise: string): WithDefault<string, string, string> {
  return textKind(
    'the name of a header field that nobody else writes, such as "X-Spam-Report"',
    (text) => (/^[!-9;-~]{0,100}$/.test(text) && !MAILS_OWN.test(text) ? text : undefined),
    otherwise,
  );
}
