/** The text of an SPF record, read once: RFC 7208 sections 4.5, 4.6, 5, 6 and 12. */

import { wrongArgument } from '../errors.ts';
import type { Ip6 } from '../ip.ts';
import { parseIp4, parseIp6 } from '../ip.ts';
import { text as aText, checkValue } from '../options.ts';
import type { DomainSpec, Wrong } from './macro.ts';
import { parseDomainSpec, parseMacroString } from './macro.ts';

/** What a match of a directive means (RFC 7208 section 4.6.2). */
export type Qualified = 'pass' | 'fail' | 'softfail' | 'neutral';

/** A qualifier with a mechanism. */
export type Directive = {
  /** What a match means: the qualifier. */
  readonly result: Qualified;
  /** The directive as it stands in the record. */
  readonly text: string;
} & (
  | { readonly kind: 'all' }
  | { readonly kind: 'include' | 'exists'; readonly spec: DomainSpec }
  | { readonly kind: 'ptr'; readonly spec: DomainSpec | undefined }
  | {
      readonly kind: 'a' | 'mx';
      readonly spec: DomainSpec | undefined;
      readonly prefix4: number;
      readonly prefix6: number;
    }
  | { readonly kind: 'ip4'; readonly network: number; readonly prefix: number }
  | { readonly kind: 'ip6'; readonly network: Ip6; readonly prefix: number }
);

/** A mistake in a record. */
export interface RecordProblem {
  /** The term as it stands in the record. */
  readonly term: string;
  /** What is wrong, and what is expected. */
  readonly message: string;
  /** What lax mode reads instead. Absent where it leaves the term out. */
  readonly readAs?: string;
}

/** A record as read. Where `problems` is not empty, RFC 7208 knows only `permerror`; the rest is what lax mode goes by. */
export interface SpfRecord {
  /** The whole text, one character per byte. */
  readonly text: string;
  /** In order: the first that matches decides. */
  readonly directives: readonly Directive[];
  /** The domain whose record counts where nothing matches (section 6.1). */
  readonly redirect: DomainSpec | undefined;
  /** Where the explanation of a `fail` is (section 6.2). */
  readonly exp: DomainSpec | undefined;
  /** Modifiers that RFC 7208 does not define: they are ignored (section 6). */
  readonly unknownModifiers: readonly string[];
  /** Every mistake in the record. */
  readonly problems: readonly RecordProblem[];
}

const VERSION = 'v=spf1';
const MODIFIER = /^([a-z][a-z0-9._-]*)=(.*)$/is;
const DIRECTIVE = /^([-+?~]?)([^:/]*)([:/]?)(.*)$/s;
const DUAL_CIDR = /^(.*?)(?:\/(\d+))?(?:\/\/(\d+))?$/s;
const QUALIFIERS: Readonly<Record<string, Qualified>> = {
  '': 'pass',
  '+': 'pass',
  '-': 'fail',
  '~': 'softfail',
  '?': 'neutral',
};
/** The spellings that publishers get wrong most, and what they meant. */
const MISSPELT: Readonly<Record<string, string>> = {
  prt: 'ptr',
  ip: 'ip4',
  ipv4: 'ip4',
  ipv6: 'ip6',
  'all.': 'all',
  includes: 'include',
  exist: 'exists',
};

/** Whether a TXT record is an SPF record: its version section is exactly `v=spf1` (RFC 7208 section 4.5). */
export function isSpfRecord(text: string): boolean {
  checkValue('isSpfRecord: the text', text, aText, wrongArgument);
  const end = text.charCodeAt(VERSION.length);
  return (
    (end === 0x20 || Number.isNaN(end)) &&
    (text.startsWith(VERSION) || text.slice(0, VERSION.length).toLowerCase() === VERSION)
  );
}

const MAX_KEPT = 1000;
/** Longer records than this are a nuisance, and must not fill the memory. */
const MAX_KEPT_LENGTH = 2000;
const kept = new Map<string, SpfRecord>();

/** Reads a record, or takes it from memory: a thousand texts are remembered, since few senders send most mail. */
export function parseRecord(text: string): SpfRecord {
  checkValue('parseRecord: the text', text, aText, wrongArgument);
  const known = kept.get(text);
  if (known !== undefined) return known;
  const record = readRecord(text);
  if (text.length > MAX_KEPT_LENGTH) return record;
  if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value ?? '');
  kept.set(text, record);
  return record;
}

/**
 * Puts local policy into a record: its directives come before the refusals at the end, so that they decide only about
 * clients that the sender would refuse (`v=spf1 mx -all` with `a:forwarder.example` is judged like
 * `v=spf1 mx a:forwarder.example -all`). A record that accepts nobody, like `v=spf1 -all`, is left alone: no mail
 * of such a domain is genuine.
 */
export function withLocalPolicy(record: SpfRecord, policy: SpfRecord): SpfRecord {
  const { directives } = record;
  const all = directives.findIndex(({ kind }) => kind === 'all');
  let at = all < 0 ? directives.length : all;
  while (at > 0 && directives[at - 1]?.result === 'fail') at--;
  return at === 0 ? record : { ...record, directives: directives.toSpliced(at, 0, ...policy.directives) };
}

function readRecord(text: string): SpfRecord {
  const directives: Directive[] = [];
  const unknownModifiers: string[] = [];
  const problems: RecordProblem[] = [];
  const domains: { redirect?: DomainSpec; exp?: DomainSpec } = {};
  // Only spaces part terms (section 12); any other white space belongs to a term and makes it wrong.
  for (const term of text.slice(VERSION.length).split(' ')) {
    if (term === '') continue;
    const modifier = MODIFIER.exec(term);
    if (modifier === null) {
      const directive = readDirective(term);
      if (!('wrong' in directive)) {
        directives.push(directive);
        continue;
      }
      const repaired = repair(term);
      const meant = repaired === undefined ? directive : readDirective(repaired);
      if (repaired === undefined || 'wrong' in meant) {
        problems.push({ term, message: directive.wrong });
      } else {
        directives.push(meant);
        problems.push({ term, message: directive.wrong, readAs: repaired });
      }
      continue;
    }
    const [, spelling = '', value = ''] = modifier;
    const name = spelling.toLowerCase();
    const isDomain = name === 'redirect' || name === 'exp';
    // Of an unknown modifier only the grammar is known, and that has all macro letters.
    const read = isDomain ? parseDomainSpec(value) : parseMacroString(value, true);
    if ('wrong' in read) problems.push({ term, message: `${name}=: ${read.wrong}` });
    else if (!isDomain) unknownModifiers.push(term);
    else if (domains[name] !== undefined) problems.push({ term, message: `${name}= may appear only once` });
    else domains[name] = read as DomainSpec;
  }
  return { text, directives, redirect: domains.redirect, exp: domains.exp, unknownModifiers, problems };
}

function readDirective(text: string): Directive | Wrong {
  const [, sign = '', spelling = '', mark = '', rest = ''] = DIRECTIVE.exec(text) ?? [];
  const result = QUALIFIERS[sign] ?? 'pass';
  const name = spelling.toLowerCase();
  const argument = mark === '/' ? mark + rest : rest;
  switch (name) {
    case 'all':
      if (mark !== '') return { wrong: `"all" takes no argument, got "${mark}${rest}"` };
      return { kind: 'all', result, text };
    case 'include':
    case 'exists': {
      if (mark !== ':') return { wrong: `"${name}" needs ":" and a domain` };
      const spec = parseDomainSpec(argument);
      return 'wrong' in spec ? spec : { kind: name, result, text, spec };
    }
    case 'ptr': {
      if (mark === '/') return { wrong: '"ptr" takes no prefix length' };
      const spec = mark === '' ? undefined : parseDomainSpec(argument);
      return spec !== undefined && 'wrong' in spec ? spec : { kind: name, result, text, spec };
    }
    case 'a':
    case 'mx': {
      const [, domain = '', length4, length6] = DUAL_CIDR.exec(argument) ?? [];
      if (mark === '/' && domain !== '') return { wrong: `"${argument}" is no prefix length` };
      const spec = mark === ':' ? parseDomainSpec(domain) : undefined;
      if (spec !== undefined && 'wrong' in spec) return spec;
      const prefix4 = prefixLength(length4, 32);
      const prefix6 = prefixLength(length6, 128);
      if (prefix4 === undefined) return { wrong: `"/${length4}" is no IPv4 prefix length from 0 to 32` };
      if (prefix6 === undefined) return { wrong: `"//${length6}" is no IPv6 prefix length from 0 to 128` };
      return { kind: name, result, text, spec, prefix4, prefix6 };
    }
    case 'ip4': {
      if (mark !== ':') return { wrong: '"ip4" needs ":" and an IPv4 network' };
      const [address = '', length] = splitOnce(rest);
      const network = parseIp4(address);
      const prefix = prefixLength(length, 32);
      if (network === undefined) return { wrong: `"${address}" is no IPv4 address` };
      if (prefix === undefined) return { wrong: `"/${length}" is no IPv4 prefix length from 0 to 32` };
      return { kind: name, result, text, network, prefix };
    }
    case 'ip6': {
      if (mark !== ':') return { wrong: '"ip6" needs ":" and an IPv6 network' };
      const [address = '', length] = splitOnce(rest);
      const network = parseIp6(address);
      const prefix = prefixLength(length, 128);
      if (network === undefined) return { wrong: `"${address}" is no IPv6 address` };
      if (prefix === undefined) return { wrong: `"/${length}" is no IPv6 prefix length from 0 to 128` };
      return { kind: name, result, text, network, prefix };
    }
    case 'redirect':
    case 'exp':
      return { wrong: `"${name}" is a modifier: write "${name}=", without a qualifier` };
    default:
      return {
        wrong: `"${spelling}" is no mechanism; there are all, include, a, mx, ptr, ip4, ip6 and exists`,
      };
  }
}

function splitOnce(text: string): readonly [string, string?] {
  const slash = text.indexOf('/');
  return slash < 0 ? [text] : [text.slice(0, slash), text.slice(slash + 1)];
}

/** A prefix length without leading zeros, `max` where there is none. Undefined if it is wrong. */
function prefixLength(digits: string | undefined, max: number): number | undefined {
  if (digits === undefined) return max;
  return /^(?:0|[1-9]\d{0,2})$/.test(digits) && Number(digits) <= max ? Number(digits) : undefined;
}

/** What the publisher of a wrong directive most likely meant; undefined if that cannot be told. */
function repair(term: string): string | undefined {
  const text = term.replace(/[,;]$/, '');
  const [, sign = '', spelling = '', mark = '', rest = ''] = DIRECTIVE.exec(text) ?? [];
  const name = spelling.toLowerCase();
  const bare = text.slice(sign.length);
  const [address = ''] = splitOnce(bare);
  if (parseIp4(address) !== undefined) return `${sign}ip4:${bare}`;
  if (parseIp6(address) !== undefined) return `${sign}ip6:${bare}`;
  const [target = ''] = splitOnce(rest);
  if (mark === ':' && parseIp4(target) !== undefined) return `${sign}ip4:${rest}`;
  if (mark === ':' && parseIp6(target) !== undefined) return `${sign}ip6:${rest}`;
  const meant = MISSPELT[name];
  if (meant !== undefined) return `${sign}${meant}${mark}${rest}`;
  return text === term ? undefined : text;
}
