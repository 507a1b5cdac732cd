/** A resolver that answers from a table: DNS for tests, without a network. */
import type { Answer, Failed, RecordOf, RecordType, Resolver } from '../dns/index.ts';
import { queryName } from '../dns/index.ts';
import { wrongArgument } from '../errors.ts';
import { checkOptions, integer, type Kinds } from '../options.ts';

/** How a query may go wrong; `nodata` and `nxdomain` are for a type or name that shall be empty in spite of the table. */
export type ScriptedStatus = Exclude<Answer['status'], 'ok'>;

/** The records of one name, by type. A status in place of the records is the answer to that type. */
export interface MemoryRecords {
  /** IPv4 addresses. */
  readonly A?: readonly string[] | ScriptedStatus;
  /** IPv6 addresses. */
  readonly AAAA?: readonly string[] | ScriptedStatus;
  /** An alias: queries of every other type are answered from its target. */
  readonly CNAME?: string;
  /** Mail exchangers. */
  readonly MX?: readonly RecordOf['MX'][] | ScriptedStatus;
  /** Names of name servers. */
  readonly NS?: readonly string[] | ScriptedStatus;
  /** Names of hosts. */
  readonly PTR?: readonly string[] | ScriptedStatus;
  /**
   * One entry per record: its text, or its character-strings if there are several. Text is taken as UTF-8; bytes
   * as they are.
   */
  readonly TXT?: readonly (string | Buffer | readonly (string | Buffer)[])[] | ScriptedStatus;
}

/** What {@link MemoryResolver} knows: records, or a status for every query of the name. */
export type MemoryZone = Readonly<Record<string, MemoryRecords | ScriptedStatus>>;

/** One query that a {@link MemoryResolver} was asked. */
export interface AskedQuery {
  /** In lower case, without the final dot. */
  readonly name: string;
  /** The record type that was asked for. */
  readonly type: RecordType;
}

/** Options of {@link MemoryResolver}. */
export interface MemoryOptions {
  /** Of every answer, in seconds. @default 300 */
  readonly ttl?: number;
}

const KINDS: Kinds<MemoryOptions> = { ttl: integer(0) };

const TYPES: readonly RecordType[] = ['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'TXT'];
const STATUSES: ReadonlySet<string> = new Set<ScriptedStatus>([
  'nodata',
  'nxdomain',
  'servfail',
  'refused',
  'timeout',
  'malformed',
  'badname',
]);
const MAX_ALIASES = 10;

/**
 * Answers from `zone`, at once and without a promise. Names are compared without case and a final dot; a name that is
 * not in the zone does not exist; a type that a name has no records of is `nodata`. A `timeout` is answered at once too.
 *
 * ```ts
 * const resolver = new MemoryResolver({
 *   'example.com': { TXT: ['v=spf1 mx -all'], MX: [{ preference: 10, exchange: 'mx.example.com' }] },
 *   'mx.example.com': { A: ['192.0.2.25'], AAAA: 'servfail' },
 *   'slow.example.com': 'timeout',
 * });
 * ```
 *
 * @throws TypeError for a name that could never be asked, an unknown record type, status or option
 */
export class MemoryResolver implements Resolver {
  /** Every query so far, in order, with names in lower case. Tests may clear it. */
  readonly queries: AskedQuery[] = [];
  readonly #names = new Map<string, Map<RecordType, Answer> | Answer>();
  readonly #ttl: number;

  constructor(zone: MemoryZone, options: MemoryOptions = {}) {
    checkOptions('MemoryResolver option', options, KINDS, wrongArgument);
    this.#ttl = options.ttl ?? 300;
    for (const [name, entry] of Object.entries(zone)) this.set(name, entry);
  }

  /** Puts a name into the zone, in place of what was there. */
  set(name: string, entry: MemoryRecords | ScriptedStatus): void {
    const key = queryName(name);
    if (key === undefined) throw wrongArgument(`MemoryResolver: "${name}" is no domain name`);
    if (typeof entry === 'string') {
      this.#names.set(key, this.#scripted(entry, name));
      return;
    }
    const answers = new Map<RecordType, Answer>();
    for (const [type, records] of Object.entries(entry)) {
      if (!isRecordType(type)) {
        throw wrongArgument(
          `MemoryResolver: unknown record type "${type}" at "${name}"; known are ${TYPES.join(', ')}`,
        );
      }
      answers.set(type, this.#answer(type, records, name));
    }
    this.#names.set(key, answers);
  }

  /** What the zone has, at once. */
  resolve<T extends RecordType>(name: string, type: T): Answer<T> {
    const key = queryName(name);
    if (key === undefined) return { status: 'badname' };
    this.queries.push({ name: key, type });
    return this.#lookUp(key, type, 0) as Answer<T>; // The table keeps each type's answers under that type.
  }

  #lookUp(key: string, type: RecordType, aliases: number): Answer {
    const answers = this.#names.get(key);
    if (answers === undefined) return this.#absent('nxdomain');
    if (!(answers instanceof Map)) return answers;
    const answer = answers.get(type);
    if (answer !== undefined) return answer;
    const alias = answers.get('CNAME');
    if (alias?.status !== 'ok') return this.#absent('nodata');
    if (aliases === MAX_ALIASES) return { status: 'servfail', reason: `more than ${MAX_ALIASES} aliases` };
    return this.#lookUp(String(alias.records[0]), type, aliases + 1);
  }

  #answer(type: RecordType, records: MemoryRecords[RecordType], name: string): Answer {
    if (records === undefined) return this.#absent('nodata');
    if (type === 'CNAME')
      return { status: 'ok', records: [queryName(String(records)) ?? ''], ttl: this.#ttl };
    if (typeof records === 'string') return this.#scripted(records, name);
    if (records.length === 0) return this.#absent('nodata');
    const found = records.map((record) => {
      if (type === 'TXT') return [record].flat().map((text) => Buffer.from(text as string));
      return typeof record === 'string' ? record.replace(/\.$/, '') : record;
    });
    return { status: 'ok', records: found as RecordOf[RecordType][], ttl: this.#ttl };
  }

  #scripted(status: string, name: string): Answer {
    if (!STATUSES.has(status)) {
      throw wrongArgument(`MemoryResolver: "${status}" at "${name}" is neither records nor a status`);
    }
    if (status === 'nodata' || status === 'nxdomain') return this.#absent(status);
    return { status: status as Failed['status'], reason: 'scripted' };
  }

  #absent(status: 'nodata' | 'nxdomain'): Answer {
    return { status, ttl: this.#ttl };
  }
}

function isRecordType(type: string): type is RecordType {
  return (TYPES as readonly string[]).includes(type);
}
