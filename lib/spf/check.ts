/** The public check: arguments in, time limit, result out. */
import type { Resolver } from '../dns/index.ts';
import { cached, createResolver } from '../dns/index.ts';
import { wrongArgument } from '../errors.ts';
import { parseIp } from '../ip.ts';
import {
  callback,
  checkOptions,
  flag,
  having,
  instance,
  integer,
  type Kind,
  type Kinds,
  milliseconds,
  text,
} from '../options.ts';
import { Budget } from './budget.ts';
import type { TraceStep, Verdict } from './evaluate.ts';
import { Evaluation, printable } from './evaluate.ts';
import type { Identity } from './identity.ts';
import { readIdentity } from './identity.ts';
import { MAX_VOID_LOOKUPS } from './limits.ts';
import type { Qualified, SpfRecord } from './record.ts';
import { isSpfRecord, parseRecord } from './record.ts';

/** RFC 7208's words for the outcome (section 2.6). */
export type SpfResult = Qualified | 'none' | 'temperror' | 'permerror';

/** Who is asking to send, and how to find out whether he may. */
export interface CheckOptions {
  /** The client's address, with or without the tag `IPv6:`. Without one, as a local client is, the result is `none`. */
  readonly ip?: string | undefined;
  /** The MAIL FROM address, with or without angle brackets. `<>` or an empty one checks the HELO identity. */
  readonly sender: string;
  /** The name the client gave in HELO or EHLO. */
  readonly helo?: string | undefined;
  /** The name of the host that asks, for the macro `%{r}`. @default 'unknown' */
  readonly receiver?: string | undefined;
  /** Where DNS is asked. @default the servers of /etc/resolv.conf with a cache, shared by all checks */
  readonly resolver?: Resolver | undefined;
  /** Ends the check early, with `temperror`. */
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for the whole check; then it is a `temperror` (RFC 7208 section 4.6.4 asks for 20 s at least). @default 20000 */
  readonly timeout?: number;
  /** The explanation of a `fail` where the sender's domain gives none, taken literally. @default '' */
  readonly defaultExplanation?: string;
  /** Judges by this record instead of the one in the domain's DNS. It begins with `v=spf1`. */
  readonly record?: string;
  /**
   * Looks beyond mistakes of the sender: what RFC 7208 calls a `permerror` remains the result, but the common mistakes
   * are corrected, others left out, limits are four times as high, and `meant` says what came of it. @default false
   */
  readonly lax?: boolean;
  /**
   * Mechanisms of one's own, like `ip4:192.0.2.7 a:relay.example`, considered before the refusals at the end of the
   * sender's record. For forwarders that one trusts. A record that accepts nobody is left alone.
   */
  readonly localPolicy?: string;
  /** A domain that may hold records for those who publish none: `x.example` is then looked up as `x.example._spf.DELEGATE`. */
  readonly delegate?: string;
  /** Void lookups before it is a `permerror` (RFC 7208 section 4.6.4). @default 2 */
  readonly maxVoidLookups?: number;
  /** Is told what happens during the check. */
  readonly trace?: (step: TraceStep) => void;
}

/** The outcome of a check. */
export interface CheckResult {
  /** What the sender's domain says of this client (RFC 7208 section 2.6). */
  readonly result: SpfResult;
  /**
   * For a `fail`: why, in the words of the sender's domain, or the default. Printable US-ASCII on one line, at most 2000
   * characters; empty where there is none. Treat it as hostile: the sender chose it.
   */
  readonly explanation: string;
  /** The directive that matched, as it stands in its record; `default` if none did; undefined if there is no verdict. */
  readonly mechanism: string | undefined;
  /** The domain's record, one character per byte. Undefined where none was found. As hostile as the explanation. */
  readonly record: string | undefined;
  /** The domain that was checked. */
  readonly domain: string;
  /** Whether MAIL FROM or HELO was checked. */
  readonly identity: 'mailfrom' | 'helo';
  /** How many terms asked DNS; RFC 7208 allows 10. */
  readonly lookups: number;
  /** How many of their queries found nothing; RFC 7208 allows 2. */
  readonly voidLookups: number;
  /** For `none`, `temperror` and `permerror`: what is wrong, and where. It quotes the sender's record: hostile. */
  readonly problem?: string | undefined;
  /** In lax mode, for a `permerror`: what the record would have meant. */
  readonly meant?: SpfResult | undefined;
}

/** A caller in JavaScript may have null for a client without an address. */
const clientAddress: Kind<string> = {
  must: 'be an IP address',
  accepts: (value): value is string => value === null || typeof value === 'string',
};

const KINDS: Kinds<CheckOptions> = {
  ip: clientAddress,
  sender: text,
  helo: text,
  receiver: text,
  resolver: having<Resolver>('resolve'),
  signal: instance(AbortSignal),
  timeout: milliseconds,
  defaultExplanation: text,
  record: text,
  lax: flag,
  localPolicy: text,
  delegate: text,
  maxVoidLookups: integer(0),
  trace: callback(),
};

const DEFAULT_TIMEOUT = 20_000;

/**
 * check_host() of RFC 7208: may the client at `ip` send mail from this sender?
 *
 * Trouble with DNS is a result, not an exception.
 * @throws TypeError (the promise rejects) for an `ip` that is no address, an unknown option or an impossible value.
 */
export async function checkHost(options: CheckOptions): Promise<CheckResult> {
  checkOptions('checkHost option', options, KINDS, wrongArgument);
  const { ip, sender, helo = '', defaultExplanation = '', record } = options;
  if (sender === undefined)
    throw wrongArgument('checkHost option "sender" is missing; "" or "<>" is the null sender');
  if (record !== undefined && !isSpfRecord(record)) {
    throw wrongArgument(`record must be "v=spf1", or begin with it and a space, got "${record}"`);
  }
  const localPolicy = options.localPolicy === undefined ? undefined : parseLocalPolicy(options.localPolicy);
  const { timeout = DEFAULT_TIMEOUT, maxVoidLookups = MAX_VOID_LOOKUPS } = options;
  const identity = readIdentity(sender, helo);
  if (ip === undefined || ip === null)
    return report(identity, { result: 'none', problem: 'the client has no IP address' });
  const address = parseIp(ip);
  if (address === undefined) throw wrongArgument(`ip must be an IP address, got ${JSON.stringify(ip)}`);

  const budget = new Budget(timeout, options.signal);
  const evaluation = new Evaluation({
    address,
    identity,
    helo,
    receiver: options.receiver ?? 'unknown',
    resolver: options.resolver ?? sharedResolver(),
    resolveOptions: budget,
    record,
    lax: options.lax ?? false,
    maxVoidLookups,
    localPolicy,
    delegate: options.delegate,
    trace: options.trace,
  });
  try {
    const verdict = await budget.run(evaluation.checkHost(identity.domain));
    if (verdict === undefined)
      return report(identity, { result: 'temperror', problem: budget.over }, evaluation);
    if (verdict.result !== 'fail') return report(identity, verdict, evaluation);
    const explanation = (await budget.run(evaluation.explain(verdict))) || printable(defaultExplanation);
    return report(identity, verdict, evaluation, explanation);
  } finally {
    budget.close();
  }
}

/**
 * For a domain without a record (`none`): what would a usual one say? Nothing but a guess, so do not reject by it.
 * @param record - what is supposed: who receives the domain's mail, or is named like it, may send it
 * @throws TypeError like {@link checkHost}
 */
export async function bestGuess(
  options: Omit<CheckOptions, 'record' | 'lax'>,
  record = 'v=spf1 a/24 mx/24 ptr',
): Promise<CheckResult> {
  const guess = await checkHost({ ...options, record, lax: true });
  return guess.result === 'permerror' ? { ...guess, result: guess.meant ?? 'neutral' } : guess;
}

let shared: Resolver | undefined;

function sharedResolver(): Resolver {
  shared ??= cached(createResolver());
  return shared;
}

function report(
  { domain, kind }: Identity,
  verdict: Verdict,
  { record, lookups, voidLookups, overlooked }: Partial<Evaluation> = {},
  explanation = '',
): CheckResult {
  return {
    result: overlooked === undefined ? verdict.result : 'permerror',
    explanation: overlooked === undefined ? explanation : '',
    mechanism: 'mechanism' in verdict ? verdict.mechanism : undefined,
    record,
    domain,
    identity: kind,
    lookups: lookups ?? 0,
    voidLookups: voidLookups ?? 0,
    problem: overlooked ?? ('problem' in verdict ? verdict.problem : undefined),
    meant: overlooked === undefined ? undefined : verdict.result,
  };
}

/** The receiver's own mistake must not look like the sender's. */
function parseLocalPolicy(terms: string): SpfRecord {
  const policy = parseRecord(`v=spf1 ${terms}`);
  const [mistake] = policy.problems;
  if (mistake !== undefined) throw wrongArgument(`localPolicy: "${mistake.term}": ${mistake.message}`);
  if (policy.redirect !== undefined || policy.exp !== undefined) {
    throw wrongArgument(`localPolicy takes mechanisms only, got "${terms}"`);
  }
  return policy;
}
