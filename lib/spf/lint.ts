/**
 * A look at a published record before somebody else's mail server looks at it: mistakes, limits, terms without effect.
 * All of the record is followed, as for a client that nothing matches, which is the dearest check there is.
 */
import type { Answer, RecordType, Resolver } from '../dns/index.ts';
import { wrongArgument } from '../errors.ts';
import { text as aText, checkValue, having } from '../options.ts';
import { failureText, joinText } from './answers.ts';
import { isCheckable } from './identity.ts';
import { MAX_LOOKUPS, MAX_NAMES, MAX_VOID_LOOKUPS } from './limits.ts';
import type { DomainSpec } from './macro.ts';
import type { Directive, SpfRecord } from './record.ts';
import { isSpfRecord, parseRecord } from './record.ts';

/** One remark about a record. */
export interface LintFinding {
  /** `error`: receivers answer permerror, or the record does not do what it says. `warning`: it works, but should be changed. */
  readonly severity: 'error' | 'warning';
  /** The domain whose record it is. */
  readonly domain: string;
  /** The term it is about; undefined if it is about the record. */
  readonly term: string | undefined;
  /** What is wrong, for its publisher. It quotes the record. */
  readonly message: string;
}

/** One record in the tree of includes and redirects. */
export interface LintNode {
  /** Whose record it is. */
  readonly domain: string;
  /** Undefined where there is none. */
  readonly record: string | undefined;
  /** The include or redirect that led here; undefined for the first. */
  readonly term: string | undefined;
  /** Terms that ask DNS, here and below. */
  readonly lookups: number;
  /** What it includes or redirects to, in order. */
  readonly children: readonly LintNode[];
}

/** What {@link lintDomain} found. */
export interface LintReport {
  /** The domain's record and all that it leads to. */
  readonly tree: LintNode;
  /** Terms that ask DNS, for a client that nothing matches; 10 are allowed. */
  readonly lookups: number;
  /** How many of their queries find nothing; 2 are allowed. */
  readonly voidLookups: number;
  /** What is wrong, or might be better. */
  readonly findings: readonly LintFinding[];
}

/** RFC 7208 section 3.4: then the reply fits into 512 bytes with other TXT records beside it. */
const GOOD_LENGTH = 450;
/** A record that includes more than this is wrong anyway, and must not keep us busy. */
const MAX_RECORDS = 40;
/** Networks wider than this hold more strangers than friends. */
const WIDE_IP4 = 8;
const WIDE_IP6 = 20;
const MECHANISM_NAMES = /^(?:all|include|a|mx|ptr|ip4|ip6|exists)=/i;

/**
 * Reads the record of a domain and all that it includes.
 * @param text - a record to look at in place of the published one
 * @throws TypeError for a domain that is no text, and for what is no resolver
 */
export async function lintDomain(domain: string, resolver: Resolver, text?: string): Promise<LintReport> {
  checkValue('lintDomain: the domain', domain, aText, wrongArgument);
  checkValue('lintDomain: the resolver', resolver, having<Resolver>('resolve'), wrongArgument);
  const linter = new Linter(resolver);
  const tree = await linter.lint(domain, undefined, text);
  const { findings, voidLookups } = linter;
  const { lookups } = tree;
  const limit = (count: number, max: number, what: string): void => {
    if (count <= max) return;
    const message = `${count} ${what}, at most ${max} are allowed: receivers answer permerror`;
    findings.push({ severity: 'error', domain, term: undefined, message });
  };
  limit(lookups, MAX_LOOKUPS, 'terms ask DNS');
  limit(voidLookups, MAX_VOID_LOOKUPS, 'lookups find nothing');
  return { tree, lookups, voidLookups, findings };
}

class Linter {
  readonly findings: LintFinding[] = [];
  voidLookups = 0;
  readonly #resolver: Resolver;
  readonly #path: string[] = [];
  #records = 0;

  constructor(resolver: Resolver) {
    this.#resolver = resolver;
  }

  async lint(domain: string, term: string | undefined, given?: string): Promise<LintNode> {
    const text = given ?? (await this.#fetch(domain, term));
    if (text === undefined) return { domain, record: undefined, term, lookups: 0, children: [] };
    const record = parseRecord(text);
    this.#remarkRecord(record, domain);
    this.#path.push(domain.toLowerCase());
    const children: LintNode[] = [];
    let lookups = 0;
    const reachable = record.directives.slice(0, indexOfAll(record) + 1 || undefined);
    for (const directive of reachable) {
      if (directive.kind === 'all' || directive.kind === 'ip4' || directive.kind === 'ip6') continue;
      lookups++;
      if (directive.kind === 'include')
        children.push(...(await this.#lintTarget(directive.spec, domain, directive.text)));
      else await this.#probe(directive, domain);
    }
    if (record.redirect !== undefined && indexOfAll(record) < 0) {
      lookups++;
      children.push(...(await this.#lintTarget(record.redirect, domain, `redirect=${record.redirect.text}`)));
    }
    if (record.exp !== undefined) await this.#probeExplanation(record.exp, domain);
    this.#path.pop();
    for (const child of children) lookups += child.lookups;
    return { domain, record: text, term, lookups, children };
  }

  /** The record behind an include or redirect; nothing where macros make the name, or where it would never end. */
  async #lintTarget(spec: DomainSpec, domain: string, term: string): Promise<LintNode[]> {
    const target = spec.fixed;
    if (target === undefined) return [];
    if (this.#path.includes(target.toLowerCase())) {
      this.#remark('error', domain, term, 'leads back to a record that it is part of, without end');
      return [];
    }
    if (++this.#records > MAX_RECORDS) return [];
    return [await this.lint(target, term)];
  }

  async #fetch(domain: string, term: string | undefined): Promise<string | undefined> {
    if (!isCheckable(domain)) {
      this.#remark('error', domain, term, 'is no domain name of two labels or more');
      return undefined;
    }
    const answer = await this.#resolver.resolve(domain, 'TXT');
    if (answer.status !== 'ok') {
      this.#remark('error', domain, term, `has no SPF record: the TXT query gives ${failureText(answer)}`);
      return undefined;
    }
    const texts = answer.records.map(joinText).filter(isSpfRecord);
    if (texts.length === 0)
      this.#remark('error', domain, term, 'has TXT records, but no SPF record among them');
    if (texts.length > 1)
      this.#remark('error', domain, term, `has ${texts.length} SPF records; there must be only one`);
    return texts[0];
  }

  /** What can be seen without DNS. */
  #remarkRecord(record: SpfRecord, domain: string): void {
    const { text, directives, redirect, unknownModifiers, problems } = record;
    for (const { term, message, readAs } of problems) {
      this.#remark(
        'error',
        domain,
        term,
        readAs === undefined ? message : `${message}; did you mean "${readAs}"?`,
      );
    }
    if (text.length > GOOD_LENGTH) {
      const message = `is ${text.length} bytes long; above ${GOOD_LENGTH} the reply may not fit into a UDP packet`;
      this.#remark('warning', domain, undefined, message);
    }
    for (const modifier of unknownModifiers) {
      if (MECHANISM_NAMES.test(modifier)) {
        this.#remark(
          'error',
          domain,
          modifier,
          'is a modifier and thus ignored; a mechanism is written with ":"',
        );
      }
    }
    const all = indexOfAll(record);
    if (all < 0 && redirect === undefined) {
      this.#remark('warning', domain, undefined, 'ends without "all": every other client is neutral');
    }
    if (all >= 0) {
      for (const { text: term } of directives.slice(all + 1)) {
        this.#remark('warning', domain, term, 'is never reached: it stands behind "all"');
      }
      if (redirect !== undefined) {
        this.#remark('warning', domain, `redirect=${redirect.text}`, 'has no effect beside "all"');
      }
    }
    const seen = new Set<string>();
    for (const directive of directives) {
      const term = directive.text;
      if (seen.has(term.toLowerCase())) this.#remark('warning', domain, term, 'is there twice');
      seen.add(term.toLowerCase());
      const message = remarkOn(directive);
      if (message !== undefined) this.#remark('warning', domain, term, message);
    }
  }

  /** Whether there is anything where an a, mx, exists or ptr looks. */
  async #probe(
    directive: Exclude<Directive, { kind: 'all' | 'ip4' | 'ip6' }>,
    domain: string,
  ): Promise<void> {
    const target = directive.spec === undefined ? domain : directive.spec.fixed;
    if (directive.kind === 'ptr' || target === undefined) return; // Nobody knows yet which name it will be.
    const answer = await this.#ask(target, directive.kind === 'mx' ? 'MX' : 'A', domain, directive.text);
    if (answer === undefined) return;
    if (answer.status === 'ok') {
      if (answer.records.length > MAX_NAMES && directive.kind === 'mx') {
        this.#remark('error', domain, directive.text, `${target} has more than ${MAX_NAMES} MX records`);
      }
      return;
    }
    if (directive.kind === 'a') {
      const other = await this.#ask(target, 'AAAA', domain, directive.text);
      if (other === undefined || other.status === 'ok') return;
    }
    this.voidLookups++;
    this.#remark('warning', domain, directive.text, `finds nothing at ${target}`);
  }

  async #probeExplanation(spec: DomainSpec, domain: string): Promise<void> {
    const target = spec.fixed;
    if (target === undefined) return;
    const answer = await this.#ask(target, 'TXT', domain, `exp=${spec.text}`);
    if (answer !== undefined && (answer.status !== 'ok' || answer.records.length !== 1)) {
      this.#remark(
        'warning',
        domain,
        `exp=${spec.text}`,
        `${target} must have exactly one TXT record; the text is not used`,
      );
    }
  }

  /** The answer if there is one: records, or that there are none. */
  async #ask<T extends RecordType>(
    name: string,
    type: T,
    domain: string,
    term: string,
  ): Promise<Answer<T> | undefined> {
    const answer = await this.#resolver.resolve(name, type);
    if (answer.status === 'ok' || answer.status === 'nodata' || answer.status === 'nxdomain') return answer;
    this.#remark('warning', domain, term, `the ${type} query for ${name} gives ${failureText(answer)}`);
    return undefined;
  }

  #remark(
    severity: LintFinding['severity'],
    domain: string,
    term: string | undefined,
    message: string,
  ): void {
    this.findings.push({ severity, domain, term, message });
  }
}

function indexOfAll({ directives }: SpfRecord): number {
  return directives.findIndex(({ kind }) => kind === 'all');
}

function remarkOn(directive: Directive): string | undefined {
  switch (directive.kind) {
    case 'all':
      return directive.result === 'pass' ? 'allows everybody to send, forgers included' : undefined;
    case 'ptr':
      return 'is slow and unreliable, and should not be published (RFC 7208 section 5.5)';
    case 'ip4':
      if (directive.prefix < WIDE_IP4) return `is wider than /${WIDE_IP4}`;
      return directive.prefix < 32 && directive.network << directive.prefix !== 0
        ? `has bits set behind its prefix of ${directive.prefix}`
        : undefined;
    case 'ip6':
      return directive.prefix < WIDE_IP6 ? `is wider than /${WIDE_IP6}` : undefined;
    default:
      return undefined;
  }
}
