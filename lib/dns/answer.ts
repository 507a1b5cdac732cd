/**
 * What one asks of DNS and what one gets. Everything in this package that needs DNS takes a {@link Resolver},
 * so it can be given this package's own client, a cache, Node's resolver or a table in a test.
 */
import { wrongArgument } from '../errors.ts';
import { checkOptions, checkValue, instance, type Kind, type Kinds, oneOf } from '../options.ts';

/** One mail exchanger (RFC 1035 section 3.3.9). */
export interface MxRecord {
  /** Lower is tried first. */
  readonly preference: number;
  /** The host's name without the final dot; empty for a null MX (RFC 7505). */
  readonly exchange: string;
}

/** The record types that can be asked for, each with the form its records take. */
export interface RecordOf {
  /** An IPv4 address. */
  readonly A: string;
  /** An IPv6 address. */
  readonly AAAA: string;
  /** An alias's target, without the final dot. */
  readonly CNAME: string;
  /** A mail exchanger and its preference. */
  readonly MX: MxRecord;
  /** A name server's name, without the final dot. */
  readonly NS: string;
  /** A host's name, without the final dot. */
  readonly PTR: string;
  /** The record's character-strings as bytes, in order; SPF and DKIM glue them with nothing in between. */
  readonly TXT: readonly Buffer[];
}

/** The record types that can be asked for. */
export type RecordType = keyof RecordOf;

/** There are records. */
export interface Found<T extends RecordType> {
  /** Found. */
  readonly status: 'ok';
  /** At least one, in the order of the reply. */
  readonly records: readonly RecordOf[T][];
  /** Seconds for which the records may be kept; 0 where that is not known. */
  readonly ttl: number;
}

/** The name server says that there is nothing: a void lookup, in the words of RFC 7208. */
export interface Absent {
  /** `nodata`: the name exists, but has no record of this type. `nxdomain`: the name does not exist. */
  readonly status: 'nodata' | 'nxdomain';
  /** Seconds for which this may be kept, from the zone's SOA (RFC 2308); absent where that is not known. */
  readonly ttl?: number;
}

/** Nobody could say. */
export interface Failed {
  /**
   * - `servfail`: the server failed, or answered with another error than those below.
   * - `refused`: the server does not serve us.
   * - `timeout`: no server answered in time, none could be reached, or the caller's signal fired.
   * - `malformed`: the reply breaks the format.
   * - `badname`: the name cannot be asked: an empty label, one longer than 63 bytes, more than 253 bytes in all,
   *   or bytes beyond printable ASCII. Nothing was sent.
   */
  readonly status: 'servfail' | 'refused' | 'timeout' | 'malformed' | 'badname';
  /** For a log: what happened, and at which server. */
  readonly reason?: string;
}

/** The outcome of a query: test `status` first. */
export type Answer<T extends RecordType = RecordType> = Found<T> | Absent | Failed;

/** Whether nobody could say: neither records nor their absence. */
export function isFailure(answer: Answer): answer is Failed {
  return answer.status !== 'ok' && answer.status !== 'nodata' && answer.status !== 'nxdomain';
}

/** Settings of one query. */
export interface ResolveOptions {
  /** Gives up when it fires: the answer is then `timeout`. */
  readonly signal?: AbortSignal;
}

/** Every {@link RecordType}. @internal */
const recordTypes: readonly RecordType[] = ['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'TXT'];
const TYPE: Kind<RecordType> = oneOf(...recordTypes);
const KINDS: Kinds<ResolveOptions> = { signal: instance(AbortSignal) };
const NO_OPTIONS: ResolveOptions = {};

/** Refuses a type that cannot be asked for, and options that are none. @internal */
export function checkQuestion(type: RecordType, options: ResolveOptions = NO_OPTIONS): void {
  checkValue('resolve: the record type', type, TYPE, wrongArgument);
  checkOptions('resolve option', options, KINDS, wrongArgument);
}

/** Asks DNS. */
export interface Resolver {
  /**
   * Asks for the records of one type at a name; aliases (CNAME) are followed. Never rejects. An answer that is at hand may
   * come without a promise.
   * @throws TypeError for an unknown record type or option; for nothing that DNS may answer
   */
  resolve<T extends RecordType>(
    name: string,
    type: T,
    options?: ResolveOptions,
  ): Answer<T> | Promise<Answer<T>>;
}
