/**
 * One entry of an access map, as Sendmail writes them (cf/README, "Anti-spam configuration control"): a key, white space,
 * and what shall happen.
 *
 *     From:spam.example     ERROR:5.7.1:550 No mail from you
 *     Connect:192.0.2       REJECT
 *     SPF-Fail:example.com  OK
 */
import { isIP } from 'node:net';
import { type Action, aLabels, BadValue, type FindingReply, isDomain, wrongWord } from '../../kit.ts';

/** What an entry says. */
export type Value =
  | { readonly word: 'ok' }
  /** As if there were no entry, nor a shorter one. */
  | { readonly word: 'skip' }
  | {
      readonly word: 'act';
      readonly action: Action | { readonly word: 'callout' };
      /** In place of the standard one. */
      readonly reply?: FindingReply;
    };

/** One entry. */
export interface AccessEntry {
  /** As it is looked up: tag and what it is about, in lower case; `from:spam.example`, `:192.0.2` without a tag. */
  readonly key: string;
  readonly value: Value;
  /** As it was written, with one space. */
  readonly text: string;
}

/** Tags that are about a part of the envelope. An entry without a tag is one of Connect: and From:. */
export const ENVELOPE_TAGS = ['connect', 'helo', 'from', 'to', 'auth'] as const;
export type EnvelopeTag = (typeof ENVELOPE_TAGS)[number];

/** Other tags of Sendmail's, which mean nothing to a filter: they may stand there all the same. */
const SENDMAILS =
  /^(?:authinfo|cert(?:issuer|subject)|client(?:conn|rate)|greetpause|spam|srv_features|clt_features|tls_(?:clt|srv|rcpt)_?(?:features)?|tls_(?:clt|srv)_features|try_tls)$/;

/** The seed of this filter called some findings otherwise. */
const OLD_NAMES: Readonly<Record<string, string>> = { 'helo-fail': 'spf-helo-fail' };

const MAX_REPLY = 500;

/**
 * Reads one line. Undefined for one that only Sendmail itself needs.
 * @throws BadValue for what is no entry
 */
export function readEntry(line: string): AccessEntry | undefined {
  const [, written = '', rest = ''] = /^(\S+)\s+(\S.*)$/s.exec(line.trim()) ?? [];
  if (written === '')
    throw new BadValue(`needs a key and what shall happen, as in "From:spam.example REJECT"`);
  const key = readKey(written);
  return key === undefined
    ? undefined
    : { key, value: readValue(rest.trim()), text: `${written} ${rest.trim()}` };
}

/**
 * The key as it is looked up. Undefined for one that only Sendmail itself needs.
 * @throws BadValue for what is no key
 */
export function readKey(written: string): string | undefined {
  const colon = /^ipv6:/i.test(written) ? -1 : written.indexOf(':');
  const tag = written.slice(0, Math.max(colon, 0)).toLowerCase();
  const about = written.slice(colon + 1);
  if (SENDMAILS.test(tag)) return undefined;
  if (tag === 'auth' && about !== '') return `auth:${about.toLowerCase()}`;
  const isEnvelopes = tag === '' || ENVELOPE_TAGS.some((known) => known === tag);
  if (isEnvelopes) {
    if (about === '') throw new BadValue(`"${written}" is about nobody`);
  } else if (!/^[a-z0-9][a-z0-9_-]*-[a-z0-9-]+$/.test(tag)) {
    throw new BadValue(
      wrongWord('Connect:, HELO:, From:, To:, Auth: or the name of a finding', tag, ENVELOPE_TAGS),
    );
  }
  return `${OLD_NAMES[tag] ?? tag}:${about === '' ? '' : readAbout(about)}`;
}

/** An address, a domain, an IP address or the beginning of one, in the form in which they are looked up. */
function readAbout(about: string): string {
  if (about === '<>') return about;
  const at = about.lastIndexOf('@');
  if (at > 0) {
    const domain = aLabels(about.slice(at + 1));
    if (domain === '' || isDomain(domain)) return `${about.slice(0, at).toLowerCase()}@${domain}`;
    throw new BadValue(`"${about}" is no address`);
  }
  if (/^\d{1,3}(\.\d{1,3}){0,3}$/.test(about)) {
    if (about.split('.').every((octet) => Number(octet) < 256)) return about;
    throw new BadValue(`"${about}" is no IP address, nor the beginning of one`);
  }
  if (about.includes('/'))
    throw new BadValue(`"${about}": write the beginning of the addresses, as in 192.0.2`);
  if (about.includes(':')) return readIp6(about);
  const domain = aLabels(about.replace(/^\./, ''));
  if (!isDomain(domain))
    throw new BadValue(`"${about}" is neither a domain, nor an address, nor the beginning of one`);
  return about.startsWith('.') ? `.${domain}` : domain;
}

function readIp6(about: string): string {
  const text = about.replace(/^ipv6:/i, '').toLowerCase();
  if (isIP(text) === 6) return groupsOf(text).join(':');
  if (/^[0-9a-f]{1,4}(:[0-9a-f]{1,4}){0,6}$/.test(text)) return text.split(':').map(plainGroup).join(':');
  throw new BadValue(`"${about}" is no IPv6 address, nor the beginning of one`);
}

/** The eight groups of an IPv6 address, without leading zeros. */
export function groupsOf(address: string): readonly string[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  const hex = (high: string, low: string): string => (Number(high) * 256 + Number(low)).toString(16);
  const [, before = '', a = '', b = '', c = '', d = ''] = dotted ?? [];
  const plain = dotted === null ? address : `${before}${hex(a, b)}:${hex(c, d)}`;
  const [head = '', tail] = plain.replace(/%.*$/, '').split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - first.length - last.length;
  return [...first, ...Array<string>(Math.max(0, missing)).fill('0'), ...last].map(plainGroup);
}

function plainGroup(group: string): string {
  return group.toLowerCase().replace(/^0+(?=.)/, '');
}

const WORDS: Readonly<Record<string, Value>> = {
  OK: { word: 'ok' },
  RELAY: { word: 'ok' },
  WHITELIST: { word: 'ok' },
  SKIP: { word: 'skip' },
  REJECT: { word: 'act', action: { word: 'reject' } },
  TEMPFAIL: { word: 'act', action: { word: 'tempfail' } },
  DISCARD: { word: 'act', action: { word: 'discard' } },
  QUARANTINE: { word: 'act', action: { word: 'quarantine' } },
  HOLD: { word: 'act', action: { word: 'hold' } },
  CALLOUT: { word: 'act', action: { word: 'callout' } },
  CBV: { word: 'act', action: { word: 'callout' } },
  DSN: { word: 'act', action: { word: 'callout' } },
};

const EXPECTED =
  'OK, REJECT, DISCARD, TEMPFAIL, QUARANTINE, HOLD, SCORE:N, CALLOUT, RELAY, ERROR:5.7.1:550 text, or 550 5.7.1 text';

/** @throws BadValue for what is none */
function readValue(written: string): Value {
  const text = /^"(.*)"$/s.exec(written)?.[1] ?? written;
  const upper = text.toUpperCase();
  const word = Object.hasOwn(WORDS, upper) ? WORDS[upper] : undefined;
  if (word !== undefined) return word;
  // Sendmail's own quarantine has a reason behind it.
  if (upper.startsWith('QUARANTINE:')) return { word: 'act', action: { word: 'quarantine' } };
  const points = /^SCORE:([+-]?\d{1,6}(?:\.\d{1,6})?)$/i.exec(text)?.[1];
  if (points !== undefined) return { word: 'act', action: { word: 'score', points: Number(points) } };
  const [, dsn, coded] = /^ERROR:(?:(\d\.\d{1,3}\.\d{1,3}):)?"?(.*?)"?$/is.exec(text) ?? [
    undefined,
    undefined,
    text,
  ];
  const [, digits, own, reply] =
    /^([45]\d\d)(?: (\d\.\d{1,3}\.\d{1,3}))?(?: (.*))?$/s.exec(coded ?? '') ?? [];
  if (digits === undefined) throw new BadValue(wrongWord(EXPECTED, text, Object.keys(WORDS)));
  const enhanced = dsn ?? own ?? null;
  if (enhanced !== null && enhanced[0] !== digits[0])
    throw new BadValue(`"${written}" mixes a code ${digits} and a status ${enhanced}`);
  const said = (reply ?? '').slice(0, MAX_REPLY);
  return {
    word: 'act',
    action: { word: digits.startsWith('5') ? 'reject' : 'tempfail' },
    reply: { code: Number(digits), enhanced, text: said === '' ? 'Access denied' : said },
  };
}
