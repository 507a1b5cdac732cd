/** A cache in front of a resolver. */
import { wrongArgument } from '../errors.ts';
import { checkOptions, checkValue, having, integer, type Kinds } from '../options.ts';
import {
  type Absent,
  type Answer,
  checkQuestion,
  type Found,
  type RecordType,
  type ResolveOptions,
  type Resolver,
} from './answer.ts';
import { queryName } from './name.ts';

/** Bounds of a cache. TTLs are in seconds, as DNS has them. */
export interface CacheOptions {
  /** Answers kept; beyond that the oldest goes. 0 keeps none. @default 10000 */
  readonly maxEntries?: number;
  /** Records are kept at least this long. @default 0 */
  readonly minTtl?: number;
  /** Records are kept at most this long. @default 3600 */
  readonly maxTtl?: number;
  /** Absences are kept at most this long. @default 600 */
  readonly maxAbsenceTtl?: number;
}

/**
 * A resolver that remembers the answers of another by name and type: records for their TTL, absences for as long as the
 * zone's SOA allows (RFC 2308), failures never. Equal queries under way at the same time are one query. A remembered
 * answer comes without a promise, with the TTL that is left.
 * @throws TypeError for an unknown option or an impossible value
 */
export function cached(resolver: Resolver, options: CacheOptions = {}): Resolver {
  checkValue('cached: the resolver', resolver, having<Resolver>('resolve'), wrongArgument);
  checkOptions('cached option', options, KINDS, wrongArgument);
  return new CachingResolver(resolver, options);
}

const KINDS: Kinds<CacheOptions> = {
  maxEntries: integer(0),
  minTtl: integer(0),
  maxTtl: integer(0),
  maxAbsenceTtl: integer(0),
};

/** Bytes of TXT in one answer. Nobody needs more, and strangers must not fill the memory. */
const MAX_ANSWER_SIZE = 8192;

interface Entry {
  readonly answer: Found<RecordType> | Absent;
  /** On the clock of `performance.now()`, in milliseconds. */
  readonly expires: number;
}

class CachingResolver implements Resolver {
  readonly #resolver: Resolver;
  readonly #limits: Required<CacheOptions>;
  readonly #entries = new Map<string, Entry>();
  readonly #running = new Map<string, SharedQuery>();

  constructor(
    resolver: Resolver,
    { maxEntries = 10_000, minTtl = 0, maxTtl = 3600, maxAbsenceTtl = 600 }: CacheOptions,
  ) {
    this.#resolver = resolver;
    this.#limits = { maxEntries, minTtl, maxTtl, maxAbsenceTtl };
  }

  resolve<T extends RecordType>(
    name: string,
    type: T,
    options?: ResolveOptions,
  ): Answer<T> | Promise<Answer<T>> {
    checkQuestion(type, options);
    const asked = queryName(name);
    if (asked === undefined) return { status: 'badname', reason: `"${name}" cannot be asked` };
    const key = `${type} ${asked}`;
    // Each key holds answers of its own type only.
    return (this.#remembered(key) ?? this.#share(key, asked, type, options?.signal)) as
      | Answer<T>
      | Promise<Answer<T>>;
  }

  #remembered(key: string): Answer | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const ttl = Math.ceil((entry.expires - performance.now()) / 1000);
    if (ttl > 0) return { ...entry.answer, ttl };
    this.#entries.delete(key);
    return undefined;
  }

  #share(key: string, name: string, type: RecordType, signal?: AbortSignal): Answer | Promise<Answer> {
    const running = this.#running.get(key);
    if (running !== undefined) return running.wait(signal);
    const control = new AbortController();
    const reply = this.#resolver.resolve(name, type, { signal: control.signal });
    if (!('then' in reply)) return this.#remember(key, reply);
    const forget = (): void => {
      if (this.#running.get(key) === query) this.#running.delete(key);
    };
    const answer = reply.then((given) => this.#remember(key, given)).finally(forget);
    const query = new SharedQuery(answer, () => {
      forget();
      control.abort();
    });
    this.#running.set(key, query);
    return query.wait(signal);
  }

  #remember(key: string, answer: Answer): Answer {
    const { minTtl, maxTtl, maxAbsenceTtl, maxEntries } = this.#limits;
    let ttl: number;
    if (answer.status === 'ok') ttl = Math.min(Math.max(answer.ttl, minTtl), maxTtl);
    else if (answer.status === 'nodata' || answer.status === 'nxdomain')
      ttl = Math.min(answer.ttl ?? 0, maxAbsenceTtl);
    else return answer;
    if (ttl <= 0 || maxEntries === 0 || sizeOf(answer) > MAX_ANSWER_SIZE) return answer;
    this.#entries.delete(key);
    if (this.#entries.size >= maxEntries) {
      const { value: oldest } = this.#entries.keys().next();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    this.#entries.set(key, { answer, expires: performance.now() + ttl * 1000 });
    return answer;
  }
}

/** One query for everybody who asks the same at the same time. It is stopped only when nobody waits any more. */
class SharedQuery {
  readonly #answer: Promise<Answer>;
  readonly #abandon: () => void;
  #waiting = 0;

  constructor(answer: Promise<Answer>, abandon: () => void) {
    this.#answer = answer;
    this.#abandon = abandon;
  }

  async wait(signal: AbortSignal | undefined): Promise<Answer> {
    this.#waiting++;
    if (signal === undefined) return await this.#answer;
    let stop: () => void = () => {};
    const stopped = new Promise<Answer>((resolve) => {
      stop = () => {
        this.#waiting--;
        if (this.#waiting === 0) this.#abandon();
        resolve({ status: 'timeout', reason: 'the query was stopped' });
      };
    });
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    try {
      return await Promise.race([this.#answer, stopped]);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

/** The bytes of the TXT records; others are small, and few enough for one message. */
function sizeOf(answer: Found<RecordType> | Absent): number {
  if (answer.status !== 'ok') return 0;
  return answer.records.flat().reduce((sum, part) => sum + (Buffer.isBuffer(part) ? part.length : 0), 0);
}
