/** What is asked and said about a message's signatures: plain values, which go from thread to thread. */

/** One DKIM signature, with its result in the words of RFC 8601 section 2.7.1. */
export interface Signature {
  readonly result: 'pass' | 'fail' | 'neutral' | 'policy' | 'temperror';
  /** Why, in a few words; may hold what a stranger wrote. */
  readonly comment: string | undefined;
  /** `d=`, as A-labels in lower case; empty where the signature has none. */
  readonly domain: string;
  readonly identity: string | undefined;
  readonly selector: string | undefined;
  readonly algorithm: string | undefined;
  /** The beginning of `b=`, by which signatures are told apart (RFC 6008). */
  readonly start: string | undefined;
}

/** What became of the ARC chain (RFC 8617 section 5.2). */
export interface Chain {
  readonly result: 'none' | 'pass' | 'fail';
  readonly comment: string | undefined;
  /** It failed since DNS did not answer. */
  readonly isUnsure: boolean;
  /** Of a chain that passes, the oldest first. */
  readonly sets: readonly ArcSet[];
}

/** One set of a chain that passes. */
export interface ArcSet {
  /** `d=` of its seal, as A-labels in lower case. */
  readonly sealer: string;
  /** The value of its ARC-Authentication-Results. */
  readonly results: string;
}

/** A policy in force, after `sp`, `np` and `t`. */
export type Policy = 'none' | 'quarantine' | 'reject';

/** What DMARC says of one author domain (RFC 9989). */
export interface DmarcResult {
  readonly result: 'pass' | 'fail' | 'none' | 'temperror';
  /** The author domain, as A-labels in lower case. */
  readonly domain: string;
  /** What the domain asks for; `none` too where it publishes nothing, undefined where nobody could say. */
  readonly policy: Policy | undefined;
  /** What the record says, before `sp`, `np` and `t`. */
  readonly published: string | undefined;
}

/** What DMARC says of a message. */
export interface Dmarc extends Omit<DmarcResult, 'result'> {
  readonly result: DmarcResult['result'] | 'permerror';
  /** Why it cannot be evaluated: a From field too many, none, or one with several domains. */
  readonly problem: string | undefined;
}

/** What SPF found, as far as DMARC goes by it. */
export interface SpfIdentity {
  readonly result: string;
  readonly domain: string;
}

/** A message to be verified; its body is asked for. */
export interface Question {
  /** The header section as it came, with CRLF and the empty line. */
  readonly head: Uint8Array;
  /** Whether there is anything that covers the body. */
  readonly hasBody: boolean;
  /** The addresses in From, as a mail reader may see them. */
  readonly authors: readonly string[];
  readonly spf: SpfIdentity | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** All that was found. */
export interface Verified {
  readonly dkim: readonly Signature[];
  readonly arc: Chain;
  readonly dmarc: Dmarc;
}

/** What DNS said: records as text, or why there are none, by the codes of Node's own resolver. */
export type Records = { readonly records: readonly string[] } | { readonly code: string };

/** Asks DNS; rejects never. */
export type Ask = (name: string, type: string) => Promise<Records>;
