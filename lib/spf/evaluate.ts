/**
 * check_host(): RFC 7208 sections 4 to 6.
 *
 * The evaluation is a generator that yields only while an answer of DNS is under way. What is at hand, in a cache or in
 * a test, is used at once: a check that needs no network runs through without a single promise.
 */
import type { Answer, RecordOf, RecordType, ResolveOptions, Resolver } from '../dns/index.ts';
import type { Ip } from '../ip.ts';
import { dottedAddress, parseIp4, parseIp6, reverseName, sameNetwork4, sameNetwork6 } from '../ip.ts';
import { failureText, isEmpty, isVoid, joinText, ptrNames } from './answers.ts';
import type { Identity } from './identity.ts';
import { isCheckable } from './identity.ts';
import { MAX_LOOKUPS, MAX_NAMES } from './limits.ts';
import type { DomainSpec, MacroString, MacroValues } from './macro.ts';
import { expandDomain, expandMacros, parseMacroString } from './macro.ts';
import type { Directive, Qualified, SpfRecord } from './record.ts';
import { isSpfRecord, parseRecord, withLocalPolicy } from './record.ts';

/** How much further lax mode goes to find out what a record meant. */
const LAX_FACTOR = 4;
/** An explanation is for an SMTP reply; what is longer than this serves nobody, and macros could make it huge. */
const MAX_EXPLANATION = 2000;

/** What happens during a check. `depth` is 0 for the first record and grows with each include and redirect. */
export type TraceStep =
  | { readonly step: 'record'; readonly depth: number; readonly domain: string; readonly record: string }
  /** A mechanism or a redirect is looked at; `lookups` counts it already. */
  | { readonly step: 'term'; readonly depth: number; readonly term: string; readonly lookups: number }
  | {
      readonly step: 'query';
      readonly depth: number;
      readonly name: string;
      readonly type: RecordType;
      readonly answer: Answer;
    }
  | { readonly step: 'match'; readonly depth: number; readonly term: string };

/** What one check is about. */
export interface Question {
  readonly address: Ip;
  readonly identity: Identity;
  readonly helo: string;
  readonly receiver: string;
  readonly resolver: Resolver;
  readonly resolveOptions: ResolveOptions;
  /** Takes the place of the first domain's record. */
  readonly record: string | undefined;
  readonly lax: boolean;
  readonly maxVoidLookups: number;
  readonly localPolicy: SpfRecord | undefined;
  readonly delegate: string | undefined;
  readonly trace: ((step: TraceStep) => void) | undefined;
}

/** There is no verdict, and why. */
export interface Unjudged {
  readonly result: 'none' | 'temperror' | 'permerror';
  readonly problem: string;
}

/** What the record says about the client. */
export interface Judged {
  readonly result: Qualified;
  /** The directive that matched, as it stands in the record; `default` where none did. */
  readonly mechanism: string;
  /** The record it stands in, which may be a redirect's. */
  readonly record: SpfRecord;
  readonly domain: string;
}

export type Verdict = Unjudged | Judged;

/** A computation that yields the answers it has to wait for, and is resumed with them. */
export type Steps<T> = Generator<Promise<unknown>, T, unknown>;

/** One check. Its counters are read when it is over, or when its time is. */
export class Evaluation {
  lookups = 0;
  voidLookups = 0;
  /** The text of the first record. */
  record: string | undefined;
  /** In lax mode: the first thing for which RFC 7208 demands a permerror. */
  overlooked: string | undefined;
  readonly #question: Question;
  #fixedValues: Omit<MacroValues, 'd' | 'p'> | undefined;
  #ptr: Answer<'PTR'> | undefined;
  /** Names of the client, and whether they have its address. */
  #validated: Map<string, boolean> | undefined;

  constructor(question: Question) {
    this.#question = question;
  }

  /** check_host() for `domain`. */
  *checkHost(domain: string, depth = 0): Steps<Verdict> {
    const { record: given, localPolicy, trace } = this.#question;
    if (!isCheckable(domain)) {
      return { result: 'none', problem: `"${domain}" is no domain name of two labels or more` };
    }
    const text = depth === 0 && given !== undefined ? given : yield* this.#findRecord(domain, depth);
    if (typeof text !== 'string') return text;
    trace?.({ step: 'record', depth, domain, record: text });
    const record = parseRecord(text);
    if (depth > 0) return yield* this.#evaluate(record, domain, depth);
    this.record = text;
    const judged = localPolicy === undefined ? record : withLocalPolicy(record, localPolicy);
    return yield* this.#evaluate(judged, domain, depth);
  }

  /** The text for a `fail`: the domain's own (section 6.2), or undefined if it gives none that can be shown. */
  *explain({ record, domain }: Judged): Steps<string | undefined> {
    if (record.exp === undefined) return undefined;
    const name = yield* this.#target(record.exp, domain, 0);
    const answer = yield* this.#ask(name, 'TXT', 0);
    if (answer.status !== 'ok' || answer.records.length !== 1) return undefined;
    const macros = parseMacroString(joinText(answer.records[0] ?? []), true);
    if ('wrong' in macros) return undefined;
    return printable(expandMacros(macros, yield* this.#values(macros, domain, 0), MAX_EXPLANATION));
  }

  *#findRecord(domain: string, depth: number): Steps<string | Unjudged> {
    const found = yield* this.#findRecordAt(domain, depth);
    const { delegate } = this.#question;
    if (typeof found === 'string' || found.result !== 'none' || delegate === undefined) return found;
    return yield* this.#findRecordAt(`${domain}._spf.${delegate}`, depth);
  }

  /** Sections 4.4 and 4.5. */
  *#findRecordAt(name: string, depth: number): Steps<string | Unjudged> {
    const answer = yield* this.#ask(name, 'TXT', depth);
    if (answer.status === 'ok') {
      const texts = answer.records.map(joinText).filter(isSpfRecord);
      const [text] = texts;
      if (text === undefined) return { result: 'none', problem: `${name} has no SPF record` };
      return texts.length === 1
        ? text
        : { result: 'permerror', problem: `${name} has ${texts.length} SPF records; there must be only one` };
    }
    return isEmpty(answer)
      ? { result: 'none', problem: `${name} has no SPF record (${answer.status})` }
      : unanswered(name, 'TXT', answer);
  }

  /** Section 4.6. */
  *#evaluate(record: SpfRecord, domain: string, depth: number): Steps<Verdict> {
    const { address, trace } = this.#question;
    const [mistake] = record.problems;
    if (mistake !== undefined) {
      const wrong = this.#fault(`${domain}: "${mistake.term}": ${mistake.message}`);
      if (wrong !== undefined) return wrong;
    }
    for (const directive of record.directives) {
      let match: boolean | Unjudged;
      switch (directive.kind) {
        case 'all':
          match = true;
          break;
        case 'ip4':
          match = address.family === 4 && sameNetwork4(address.bits, directive.network, directive.prefix);
          break;
        case 'ip6':
          match = address.family === 6 && sameNetwork6(address.words, directive.network, directive.prefix);
          break;
        default:
          match =
            this.#countLookup(directive.text, depth) ?? (yield* this.#matches(directive, domain, depth));
      }
      if (match === false) continue;
      if (match !== true) return match;
      trace?.({ step: 'match', depth, term: directive.text });
      return { result: directive.result, mechanism: directive.text, record, domain };
    }
    if (record.redirect !== undefined) {
      const redirected = yield* this.#redirect(record.redirect, domain, depth);
      if (redirected !== undefined) return redirected;
    }
    return { result: 'neutral', mechanism: 'default', record, domain };
  }

  /** Section 6.1. */
  *#redirect(spec: DomainSpec, domain: string, depth: number): Steps<Verdict | undefined> {
    const term = `redirect=${spec.text}`;
    const wrong = this.#countLookup(term, depth);
    if (wrong !== undefined) return wrong;
    const verdict = yield* this.checkHost(yield* this.#target(spec, domain, depth), depth + 1);
    return verdict.result === 'none' ? this.#fault(`${domain}: "${term}": ${verdict.problem}`) : verdict;
  }

  /** Section 5, the mechanisms that ask DNS. */
  *#matches(
    directive: Exclude<Directive, { kind: 'all' | 'ip4' | 'ip6' }>,
    domain: string,
    depth: number,
  ): Steps<boolean | Unjudged> {
    const { family } = this.#question.address;
    const { spec } = directive;
    const target = spec === undefined ? domain : yield* this.#target(spec, domain, depth);
    switch (directive.kind) {
      case 'include': {
        const verdict = yield* this.checkHost(target, depth + 1);
        if (verdict.result === 'pass') return true;
        if (verdict.result === 'temperror' || verdict.result === 'permerror') return verdict;
        if (verdict.result !== 'none') return false;
        return this.#fault(`${domain}: "${directive.text}": ${verdict.problem}`) ?? false;
      }
      case 'exists': {
        const found = yield* this.#lookUp(target, 'A', depth);
        return 'result' in found ? found : found.length > 0;
      }
      case 'a': {
        const found = yield* this.#lookUp(target, family === 4 ? 'A' : 'AAAA', depth);
        return 'result' in found ? found : this.#isAmong(found, directive.prefix4, directive.prefix6);
      }
      case 'mx':
        return yield* this.#matchesMx(target, directive, depth);
      case 'ptr':
        return yield* this.#matchesPtr(target, depth);
    }
  }

  /** Section 5.4. */
  *#matchesMx(
    target: string,
    { text, prefix4, prefix6 }: { text: string; prefix4: number; prefix6: number },
    depth: number,
  ): Steps<boolean | Unjudged> {
    const exchangers = yield* this.#lookUp(target, 'MX', depth);
    if ('result' in exchangers) return exchangers;
    if (exchangers.length > MAX_NAMES) {
      const wrong = this.#fault(`"${text}": ${target} has more than ${MAX_NAMES} MX records`);
      if (wrong !== undefined) return wrong;
    }
    const type = this.#question.address.family === 4 ? 'A' : 'AAAA';
    for (const { exchange } of exchangers.slice(0, MAX_NAMES)) {
      const answer = yield* this.#ask(exchange, type, depth);
      if (answer.status === 'ok') {
        if (this.#isAmong(answer.records, prefix4, prefix6)) return true;
      } else if (!isEmpty(answer)) {
        return unanswered(exchange, type, answer);
      }
    }
    return false;
  }

  /** Section 5.5. Errors of DNS are the client's affair here, so they only mean that nothing matches. */
  *#matchesPtr(target: string, depth: number): Steps<boolean | Unjudged> {
    const answer = yield* this.#askPtr(depth);
    if (isVoid(answer)) return this.#countVoid(reverseName(this.#question.address)) ?? false;
    for (const name of ptrNames(answer)) {
      if (isWithin(name, target) && (yield* this.#isValidated(name, depth))) return true;
    }
    return false;
  }

  /** The `%{p}` of section 7.3: the domain itself, else a name in it, else any validated name of the client. */
  *#validatedName(domain: string, depth: number): Steps<string> {
    const names = ptrNames(yield* this.#askPtr(depth));
    const closeness = (name: string): number =>
      !isWithin(name, domain) ? 2 : name.length === domain.length ? 0 : 1;
    for (const name of names.toSorted((a, b) => closeness(a) - closeness(b))) {
      if (yield* this.#isValidated(name, depth)) return name;
    }
    return 'unknown';
  }

  *#askPtr(depth: number): Steps<Answer<'PTR'>> {
    this.#ptr ??= yield* this.#ask(reverseName(this.#question.address), 'PTR', depth);
    return this.#ptr;
  }

  /** Whether the name has the client's address. */
  *#isValidated(name: string, depth: number): Steps<boolean> {
    this.#validated ??= new Map();
    const known = this.#validated.get(name);
    if (known !== undefined) return known;
    const answer = yield* this.#ask(name, this.#question.address.family === 4 ? 'A' : 'AAAA', depth);
    const valid = answer.status === 'ok' && this.#isAmong(answer.records, 32, 128);
    this.#validated.set(name, valid);
    return valid;
  }

  #isAmong(addresses: readonly string[], prefix4: number, prefix6: number): boolean {
    const { address } = this.#question;
    return addresses.some((text) => {
      if (address.family === 4) {
        const bits = parseIp4(text);
        return bits !== undefined && sameNetwork4(address.bits, bits, prefix4);
      }
      const words = parseIp6(text);
      return words !== undefined && sameNetwork6(address.words, words, prefix6);
    });
  }

  *#target(spec: DomainSpec, domain: string, depth: number): Steps<string> {
    return spec.fixed ?? expandDomain(spec, yield* this.#values(spec, domain, depth));
  }

  *#values(macros: MacroString, domain: string, depth: number): Steps<MacroValues> {
    const { address, identity, helo, receiver } = this.#question;
    this.#fixedValues ??= {
      s: `${identity.local}@${identity.domain}`,
      l: identity.local,
      o: identity.domain,
      i: dottedAddress(address),
      v: address.family === 4 ? 'in-addr' : 'ip6',
      h: helo,
      c: address.text,
      r: receiver,
      t: String(Math.trunc(Date.now() / 1000)),
    };
    const p = macros.usesPtr ? yield* this.#validatedName(domain, depth) : '';
    return { ...this.#fixedValues, d: domain, p };
  }

  /** A query whose failure ends the check, and whose emptiness counts. */
  *#lookUp<T extends RecordType>(
    name: string,
    type: T,
    depth: number,
  ): Steps<readonly RecordOf[T][] | Unjudged> {
    const answer = yield* this.#ask(name, type, depth);
    if (answer.status === 'ok') return answer.records;
    if (isVoid(answer)) return this.#countVoid(name) ?? [];
    return isEmpty(answer) ? [] : unanswered(name, type, answer);
  }

  *#ask<T extends RecordType>(name: string, type: T, depth: number): Steps<Answer<T>> {
    const { resolver, resolveOptions, trace } = this.#question;
    const reply = resolver.resolve(name, type, resolveOptions);
    const answer = 'then' in reply ? ((yield reply) as Answer<T>) : reply;
    trace?.({ step: 'query', depth, name, type, answer });
    // Some resolvers say so.
    return answer.status === 'ok' && answer.records.length === 0 ? { status: 'nodata' } : answer;
  }

  #countLookup(term: string, depth: number): Unjudged | undefined {
    this.lookups++;
    this.#question.trace?.({ step: 'term', depth, term, lookups: this.lookups });
    return this.#overLimit(this.lookups, MAX_LOOKUPS, `terms that ask DNS (at "${term}")`);
  }

  #countVoid(name: string): Unjudged | undefined {
    this.voidLookups++;
    return this.#overLimit(this.voidLookups, this.#question.maxVoidLookups, `void lookups (at ${name})`);
  }

  #overLimit(count: number, limit: number, what: string): Unjudged | undefined {
    if (count <= limit) return undefined;
    const problem = `more than ${limit} ${what}`;
    return count > limit * LAX_FACTOR ? { result: 'permerror', problem } : this.#fault(problem);
  }

  /** A permerror, which lax mode only takes note of. */
  #fault(problem: string): Unjudged | undefined {
    if (!this.#question.lax) return { result: 'permerror', problem };
    this.overlooked ??= problem;
    return undefined;
  }
}

function unanswered(name: string, type: RecordType, answer: Answer): Unjudged {
  return { result: 'temperror', problem: `${type} query for ${name}: ${failureText(answer)}` };
}

/** Whether `name` is `domain` or lies in it. */
function isWithin(name: string, domain: string): boolean {
  const inner = name.toLowerCase();
  const outer = domain.toLowerCase();
  return inner.endsWith(outer) && (inner.length === outer.length || inner.at(-outer.length - 1) === '.');
}

/** A hostile text as printable US-ASCII on one line. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, '?');
}
