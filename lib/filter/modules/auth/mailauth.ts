/**
 * DKIM, ARC and DMARC verified. The one place that knows the package `mailauth`; it works in a thread of its own
 * (thread.ts), since its work for hostile mail is not a matter of few milliseconds.
 */
import { Readable } from 'node:stream';
import type { ARCChainEntry, DKIMResult } from 'mailauth';
import { arc } from 'mailauth/lib/arc/index.js';
import { dkimVerify } from 'mailauth/lib/dkim/verify.js';
import { evaluateDmarc } from 'mailauth/lib/dmarc/index.js';
import type {
  ArcSet,
  Ask,
  Chain,
  Dmarc,
  DmarcResult,
  Policy,
  Question,
  Signature,
  SpfIdentity,
  Verified,
} from './verified.ts';

/** Keys that are shorter can be broken (RFC 8301 section 3.2). */
const MIN_BITS = 1024;
/** Author domains of a message that names several. */
const MAX_AUTHORS = 5;

/** What mailauth calls with what it wants to know of DNS: like `dns.promises.resolve`. */
type Resolve = (name: string, type: string) => Promise<string[] | string[][]>;

/** Verifies a message. */
export async function verify(
  question: Question,
  body: AsyncIterable<Uint8Array>,
  ask: Ask,
): Promise<Verified> {
  const isUnsure = new Set<string>();
  const resolver: Resolve = async (name, type) => {
    const answer = await ask(name, type);
    if ('records' in answer)
      return type === 'TXT' ? answer.records.map((text) => [text]) : [...answer.records];
    if (!['ENOTFOUND', 'ENODATA', 'EBADNAME'].includes(answer.code)) isUnsure.add(name.toLowerCase());
    throw Object.assign(new Error(`${type} ${name}: ${answer.code}`), { code: answer.code });
  };
  const message = Readable.from(bytesOf(question, body), { objectMode: false });
  const options = { resolver, strict: true, minBitLength: MIN_BITS, curTime: new Date(question.now) };
  // The envelope sender is SPF's; a Return-Path of the message's own means nothing.
  const found = await dkimVerify(message, { ...options, sender: 'unused@invalid' });
  const dkim = found.results.flatMap(toSignature);
  const chain = await verifyChain(found.arc, options, isUnsure);
  // In forms that nobody writes it may see another domain than a mail reader shows, or none.
  const authors = [...found.headerFrom, ...question.authors.filter(hasDomain)];
  const dmarc = await judge(authors, found.fromFields, { resolver, dkim, spf: question.spf });
  return { dkim, arc: chain, dmarc };
}

function hasDomain(address: string): boolean {
  return /@[^\s@"'<>()[\]{},;:?=]+$/.test(address);
}

async function* bytesOf(
  { head, hasBody }: Question,
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield head;
  if (hasBody) yield* body;
}

type Status = DKIMResult['status'] & { readonly underSized?: number };

function toSignature(found: DKIMResult): Signature[] {
  const status: Status = found.status;
  if (status.result === 'none') return [];
  const { d, i, s, a, b }: Partial<Record<string, unknown>> = status.header ?? {};
  const result = isOneOf(status.result, ['pass', 'fail', 'neutral', 'policy', 'temperror'])
    ? status.result
    : 'neutral';
  const unsigned = status.underSized ?? 0;
  // What stands behind the signed bytes anybody may have written, and readers show it like the rest.
  const isPartly = result === 'pass' && unsigned > 0;
  const rules = status.policy?.['dkim-rules'];
  return [
    {
      result: isPartly ? 'policy' : result,
      comment: isPartly
        ? `l= leaves ${unsigned} bytes of the body unsigned`
        : (textOf(status.comment) ?? textOf(rules)),
      domain: domainOf(textOf(d) ?? found.signingDomain),
      identity: textOf(i),
      selector: textOf(s) ?? textOf(found.selector),
      algorithm: textOf(a),
      start: textOf(b),
    },
  ];
}

type SigningData = Awaited<ReturnType<typeof dkimVerify>>['arc'];

async function verifyChain(
  data: SigningData,
  options: { readonly resolver: Resolve; readonly strict: boolean; readonly minBitLength: number },
  isUnsure: ReadonlySet<string>,
): Promise<Chain> {
  const empty = { comment: undefined, isUnsure: false, sets: [] };
  if (data === undefined) return { result: 'none', ...empty };
  // Its own type has a chain that is always there; what is verified may have none.
  const found = await arc(data as Parameters<typeof arc>[0], options);
  const { result, comment, policy } = found.status;
  const chain = data.chain === false ? [] : data.chain;
  if (result === 'pass') return { ...empty, result, sets: chain.map(toSet) };
  if (result !== 'fail') return { result: 'none', ...empty };
  // "All failures are permanent" (RFC 8617 section 5.2.1) is for those who seal; we may ask again.
  const keys = chain.flatMap((set) => [keyName(set['arc-seal']), keyName(set['arc-message-signature'])]);
  return {
    ...empty,
    result,
    comment: textOf(comment) ?? textOf(policy?.['dkim-rules']),
    isUnsure: keys.some((name) => isUnsure.has(name)),
  };
}

type Field = NonNullable<ARCChainEntry['arc-seal']>;

function toSet(set: ARCChainEntry): ArcSet {
  const results: unknown = set['arc-authentication-results']?.original;
  const line = results instanceof Uint8Array ? Buffer.from(results).toString('utf8') : String(results ?? '');
  return {
    sealer: domainOf(textOf(set['arc-seal']?.parsed?.d?.value)),
    results: line.slice(line.indexOf(':') + 1),
  };
}

function keyName(field: Field | undefined): string {
  return `${field?.parsed?.s?.value}._domainkey.${field?.parsed?.d?.value}`.toLowerCase();
}

interface Evidence {
  readonly resolver: Resolve;
  readonly dkim: readonly Signature[];
  readonly spf: SpfIdentity | undefined;
}

/** DMARC, of the message's author; of several the worst, since readers may take any of them for it. */
async function judge(addresses: readonly string[], fields: number, evidence: Evidence): Promise<Dmarc> {
  const { resolver } = evidence;
  const only = await evaluateDmarc({
    headerFrom: [...addresses],
    fromFields: fields,
    resolver,
    strict: true,
  });
  if (only.response !== false) {
    const author = domainOf(textOf(only.response.status.header?.from));
    return { ...(await judgeAuthor(author, evidence)), problem: undefined };
  }
  const problem = PROBLEMS[only.reason ?? 'no-author-domain'];
  const authors = [...new Set(only.authorDomains?.map(domainOf))].slice(0, MAX_AUTHORS);
  const results: DmarcResult[] = [];
  for (const author of authors) results.push(await judgeAuthor(author, evidence));
  const failed = results.filter(({ result }) => result === 'fail').sort(byPolicy);
  const worst = failed[0] ?? results.find(({ result }) => result === 'temperror');
  if (worst !== undefined) return { ...worst, problem };
  const nothing = { policy: 'none', published: undefined } as const;
  return { result: 'permerror', domain: authors[0] ?? '', ...nothing, problem };
}

const PROBLEMS = {
  'no-author-domain': 'From names no domain',
  'multiple-author-domains': 'From names several domains',
  'invalid-author-domain': 'From has an address that is none',
  'multiple-from-fields': 'several From fields',
} as const;

const STRENGTH: Readonly<Record<Policy, number>> = { none: 0, quarantine: 1, reject: 2 };

function byPolicy({ policy: one = 'none' }: DmarcResult, { policy: other = 'none' }: DmarcResult): number {
  return STRENGTH[other] - STRENGTH[one];
}

async function judgeAuthor(domain: string, { resolver, dkim, spf }: Evidence): Promise<DmarcResult> {
  const evaluate = async (results: readonly string[]) => {
    const spfDomains = spf !== undefined && results.includes(spf.result) ? [spf.domain] : [];
    const dkimDomains = dkim
      .filter(({ result }) => results.includes(result))
      .map((one) => ({ domain: one.domain }));
    return (
      await evaluateDmarc({
        headerFrom: [`author@${domain}`],
        spfDomains,
        dkimDomains,
        resolver,
        strict: true,
      })
    ).response;
  };
  const found = await evaluate(['pass']);
  if (found === false) return { result: 'none', domain, policy: 'none', published: undefined };
  const { result } = found.status;
  const asked = found.policy ?? (result === 'temperror' ? undefined : 'none');
  const policy = asked === undefined || !isOneOf(asked, ['none', 'quarantine', 'reject']) ? undefined : asked;
  const known = { domain, policy, published: textOf(found.p) };
  if (result === 'pass' || result === 'none' || result === 'temperror') return { result, ...known };
  // What could not be looked up may yet have passed.
  const perhaps = await evaluate(['pass', 'temperror']);
  const isOpen = perhaps !== false && perhaps.status.result !== 'fail';
  return { result: isOpen ? 'temperror' : 'fail', ...known };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function domainOf(text: string | undefined): string {
  return (text ?? '').trim().toLowerCase().replace(/\.$/, '');
}

function isOneOf<Word extends string>(word: string, words: readonly Word[]): word is Word {
  return words.some((one) => one === word);
}
