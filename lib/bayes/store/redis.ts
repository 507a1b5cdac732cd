/** Dictionaries in Redis, Redis Cluster or Valkey, which several machines share. */
import { randomBytes } from 'node:crypto';
import { Breaker, BreakerError } from '../../breaker.ts';
import { inTime, LateError, RedisConnection, redisFault } from '../../redis-connection.ts';
import { redisName } from '../../redis-url.ts';
import { CountCache } from '../cache.ts';
import { dayOf } from '../counts.ts';
import { TOUCH_DAYS } from '../expiry.ts';
import type { Secret } from '../hash.ts';
import type { Totals } from '../score.ts';
import { decodeRecord, encodeRecord, keyBytes } from './record.ts';
import { IMPORT, PERFORM, READ, SWEEP } from './redis-scripts.ts';
import {
  capOf,
  type DictionarySize,
  type DictionaryStore,
  type Import,
  isOfSpam,
  type LearnedRecord,
  type Lesson,
  type Outcome,
  type Reading,
  type Retention,
  type Sweep,
  type Task,
} from './store.ts';

/** Milliseconds in which a question is answered, else the server is taken for down. */
const DEADLINE = 5_000;
/** Milliseconds until such a server is asked again. */
const PAUSE = 2_000;
const SECRET = 'milter-bayes:secret';
const DICTIONARIES = 'milter-bayes:dictionaries';
/** Hashes that one slice of expiry looks at. */
const SLICE = 32;
/** Tokens that one script imports. */
const IMPORTED = 500;

/** A server, or a cluster. */
export class RedisStore implements DictionaryStore {
  readonly #connection: RedisConnection;
  readonly #retention: Retention;
  /** How errors call it: without user and password. */
  readonly #name: string;
  readonly #breaker: Breaker;
  readonly #caches = new Map<string, { readonly number: number; changes: number }>();
  readonly #cache = new CountCache();
  #lastNumber = 0;
  readonly #known = new Set<string>();
  #cursor: { readonly name: string; readonly hash: number } | undefined;
  /** Why it is away; undefined while it is not. */
  #lost: unknown;

  constructor(url: string, retention: Retention) {
    this.#retention = retention;
    this.#name = redisName(url);
    this.#breaker = new Breaker({
      name: this.#name,
      pause: PAUSE,
      isDown: (error) => error instanceof LateError,
    });
    this.#connection = new RedisConnection(url, {
      lost: (error) => {
        this.#lost = error;
      },
      found: () => {
        this.#lost = undefined;
      },
      // The store, which is there too, tells of it.
      followed: () => {},
    });
  }

  async secret(): Promise<Secret> {
    const made = randomBytes(8).toString('hex');
    await this.#ask(() => this.#connection.send(SECRET, ['SET', SECRET, made, 'NX']));
    const kept = Buffer.from(
      String(await this.#ask(() => this.#connection.send(SECRET, ['GET', SECRET]))),
      'hex',
    );
    return [kept.readInt32LE(0), kept.readInt32LE(4)];
  }

  async read(name: string, keys: readonly number[]): Promise<Reading> {
    const cached = this.#cacheOf(name);
    const counts = new Uint32Array(2 * keys.length);
    const missing: number[] = [];
    for (const [i, key] of keys.entries()) {
      if (!this.#cache.read(cached.number, key, counts, 2 * i)) missing.push(i);
    }
    const before = cached.changes;
    const { totals, changes } = await this.#readMissing(name, cached.number, keys, missing, counts);
    if (changes === before || missing.length === keys.length) {
      cached.changes = changes;
      return { totals, counts };
    }
    // What was read earlier is void: others learned meanwhile.
    const fresh = this.#renewCache(name);
    const all = keys.map((_, i) => i);
    const again = await this.#readMissing(name, fresh.number, keys, all, counts);
    fresh.changes = again.changes;
    return { totals: again.totals, counts };
  }

  async record(name: string, digest: Buffer): Promise<LearnedRecord | undefined> {
    // Not the record itself: answers are read as UTF-8.
    const first = await this.#ask(() => this.#connection.run(FIRST, [prefixOf(name)], [digest]));
    if (typeof first !== 'number') return undefined;
    const { kind, isLearned } = decodeRecord(Buffer.of(first));
    return { kind, isLearned };
  }

  async perform(name: string, task: Task, lesson: Lesson, now: number): Promise<Outcome> {
    await this.#register(name);
    const most = Math.ceil((1.25 * capOf(name, this.#retention)) / hashesOf(name));
    const values = [
      stepOf(name),
      task.call,
      isOfSpam(task) ? '1' : '0',
      lesson.digest,
      encodeRecord(lesson, task),
      String(this.#retention.records * 86_400),
      keyBytes(lesson.header),
      keyBytes(lesson.body),
      String(dayOf(now)),
      String(TOUCH_DAYS),
      String(most),
    ];
    const answer = await this.#ask(() => this.#connection.run(PERFORM, [prefixOf(name)], values));
    // Whatever this changed, and whoever else did: the next reading asks anew.
    this.#renewCache(name);
    return String((answer as readonly unknown[])[0]) as Outcome;
  }

  async import(name: string, tokens: readonly Import[], totals: Totals): Promise<void> {
    await this.#register(name);
    for (let at = 0; at < Math.max(1, tokens.length); at += IMPORTED) {
      const some = tokens
        .slice(at, at + IMPORTED)
        .flatMap(({ key, spam, ham, day }) => [keyBytes([key]), String(spam), String(ham), String(day)]);
      const sums = at === 0 ? [String(totals.spam), String(totals.ham)] : ['0', '0'];
      await this.#ask(() => this.#connection.run(IMPORT, [prefixOf(name)], [stepOf(name), ...sums, ...some]));
    }
    this.#renewCache(name);
  }

  async sizes(): Promise<readonly DictionarySize[]> {
    const sizes: DictionarySize[] = [];
    for (const name of await this.#names()) {
      const key = `${prefixOf(name)}meta`;
      const values = await this.#ask(() =>
        this.#connection.send(key, ['HMGET', key, 'spam', 'ham', 'tokens']),
      );
      const [spam = 0, ham = 0, tokens = 0] = (values as readonly (string | null)[]).map(Number);
      sizes.push({ name, spam, ham, tokens });
    }
    return sizes;
  }

  /** Records expire by themselves. */
  async sweep(now: number): Promise<Sweep> {
    const names = await this.#names();
    const name = names.find((one) => one >= (this.#cursor?.name ?? ''));
    if (name === undefined) {
      this.#cursor = undefined;
      return { dropped: 0, isDone: true };
    }
    const first = this.#cursor?.name === name ? this.#cursor.hash : 0;
    const { once, rare, neutral, all } = this.#retention;
    const values = [stepOf(name), ...[dayOf(now), first, SLICE, once, rare, neutral, all].map(String)];
    const dropped = Number(await this.#ask(() => this.#connection.run(SWEEP, [prefixOf(name)], values)));
    const next = first + SLICE;
    if (next < hashesOf(name)) this.#cursor = { name, hash: next };
    else {
      const following = names[names.indexOf(name) + 1];
      this.#cursor = following === undefined ? undefined : { name: following, hash: 0 };
    }
    return { dropped, isDone: this.#cursor === undefined };
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  async #readMissing(
    name: string,
    number: number,
    keys: readonly number[],
    missing: readonly number[],
    counts: Uint32Array,
  ): Promise<{ readonly totals: Totals; readonly changes: number }> {
    const asked = keyBytes(missing.map((i) => keys[i] ?? 0));
    const answer = (await this.#ask(() =>
      this.#connection.run(READ, [prefixOf(name)], [stepOf(name), asked]),
    )) as readonly number[];
    const [spam = 0, ham = 0, changes = 0] = answer;
    for (const [at, i] of missing.entries()) {
      const [inSpam = 0, inHam = 0] = [answer[3 + 2 * at], answer[4 + 2 * at]];
      counts[2 * i] = inSpam;
      counts[2 * i + 1] = inHam;
      this.#cache.write(number, keys[i] ?? 0, inSpam, inHam);
    }
    return { totals: { spam, ham }, changes };
  }

  /** Dictionaries that were learned in are listed, for expiry and statistics. */
  async #register(name: string): Promise<void> {
    if (this.#known.has(name)) return;
    await this.#ask(() => this.#connection.send(DICTIONARIES, ['SADD', DICTIONARIES, `=${name}`]));
    if (this.#known.size > 10_000) this.#known.clear();
    this.#known.add(name);
  }

  async #names(): Promise<readonly string[]> {
    const names = await this.#ask(() => this.#connection.send(DICTIONARIES, ['SMEMBERS', DICTIONARIES]));
    return (names as readonly string[]).map((name) => name.slice(1)).sort();
  }

  #cacheOf(name: string): { readonly number: number; changes: number } {
    return this.#caches.get(name) ?? this.#renewCache(name);
  }

  /** A number that nothing in the cache bears yet. */
  #renewCache(name: string): { readonly number: number; changes: number } {
    if (this.#caches.size > 10_000) this.#caches.clear();
    const made = { number: ++this.#lastNumber, changes: -1 };
    this.#caches.set(name, made);
    return made;
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await this.#breaker.run(() => inTime(this.#connection.tried.then(question), DEADLINE));
    } catch (error) {
      if (error instanceof BreakerError) throw error;
      throw redisFault(this.#name, error, this.#lost);
    }
  }
}

/** The first byte of a record, which tells its kind. */
const FIRST = `
local record = redis.call('GET', KEYS[1] .. 'r' .. ARGV[1])
return record and string.byte(record, 1)`;

/** The braces keep what belongs to a dictionary on one server of a cluster. */
function prefixOf(name: string): string {
  return `milter-bayes:{${encodeURIComponent(name)}}:`;
}

/**
 * The shared dictionary has 16384 hashes, others 2048: a full one has about three hundred tokens in each, which Redis packs closely, as
 * it does up to 512; one that is not has few hashes, each of which takes about a hundred bytes by itself.
 */
function stepOf(name: string): string {
  return name.includes('@') ? '32' : '4';
}

function hashesOf(name: string): number {
  return name.includes('@') ? 2_048 : 16_384;
}
