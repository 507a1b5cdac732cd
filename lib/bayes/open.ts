/** A statistical filter for whoever handles mail: all work is done in a thread of its own. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { MilterError, wrongArgument } from '../errors.ts';
import {
  type Kind as Check,
  callback,
  checkOptions,
  checkValue,
  integer,
  type Kinds,
  object,
  oneOf,
  text,
} from '../options.ts';
import { REDIS_FORMS, redisUrlFault } from '../redis-url.ts';
import { cutToSize } from './cut.ts';
import { RETENTION } from './expiry.ts';
import type { Classification, MessageOptions, Training, Untraining } from './learner.ts';
import type { Answers, BayesUrl, FromThread, Request, ThreadData, ToThread } from './request.ts';
import type { DictionarySize, Kind, Retention } from './store/store.ts';

/** Options of {@link openBayes}. */
export interface BayesOptions {
  /**
   * Where what is learned is kept: `sqlite:PATH`, a file that is made where there is none and that several processes may share;
   * `redis://[user:password@]host[:port][/number]` or, where sentinels know the master by a name,
   * `redis+sentinel://[user:password@]host[:port][,host[:port]…]/name[/number]`, with TLS `rediss…`, which need `@redis/client`,
   * and may be away now and come back later; `memory:`, for tries.
   */
  readonly url: string;
  /** The time in milliseconds since 1970. @default Date.now */
  readonly now?: (() => number) | undefined;
  /** Messages of each kind that must have been learned before `trained` is true, and a score is to be relied on. @default 50 */
  readonly minTrained?: number | undefined;
  /** How long, and how many, things are kept. @default {@link defaultRetention} */
  readonly retention?: Partial<Retention> | undefined;
}

/** What was learned in one dictionary. */
export interface BayesStatistics {
  /** Whose it is; undefined for the shared one. */
  readonly user: string | undefined;
  /** Whether it is one of headers alone. */
  readonly headersOnly: boolean;
  /** Messages learned of each kind. */
  readonly spam: number;
  readonly ham: number;
  /** Different tokens. */
  readonly tokens: number;
}

/** A statistical filter that learns. Everything rejects with MilterError `ERR_MILTER_STORE` where the store fails. */
export interface Bayes extends AsyncDisposable {
  /** What a message, as bytes, is taken for. Writes nothing. */
  classify(message: Uint8Array, options?: MessageOptions): Promise<Classification>;
  /**
   * Learns a message, once: it is known by its body and by who wrote what when. One that was learned as the other kind is unlearned
   * first. What is recognised by a wide margin teaches nothing.
   */
  train(message: Uint8Array, kind: Kind, options?: MessageOptions): Promise<Training>;
  /**
   * Takes back what a message taught, exactly.
   * @throws MilterError `ERR_MILTER_NOT_TRAINED` where nothing is known of the message, or no more
   */
  untrain(message: Uint8Array, options?: MessageOptions): Promise<Untraining>;
  /** What was learned, by dictionary. */
  statistics(): Promise<readonly BayesStatistics[]>;
  /**
   * Lets go of all that is no longer of use, now; some of it is let go of every ten seconds anyway. Resolves to how many tokens and
   * records that were.
   */
  expire(): Promise<number>;
  /**
   * Adds what bogofilter learned, as `bogoutil -d wordlist.db` prints it. Resolves to how many tokens were of use.
   * @param options whose dictionary it goes to
   */
  importBogofilter(
    dump: Iterable<string> | AsyncIterable<string>,
    options?: Pick<MessageOptions, 'user'>,
  ): Promise<number>;
  /** Waits for what was asked before, and ends the thread. */
  close(): Promise<void>;
}

/** How often a slice of what has expired goes, in milliseconds. */
const SWEEP_EVERY = 10_000;
/** Requests that wait at most: more are refused. */
const MAX_WAITING = 10_000;
/** Lines of a dump that are added at once. */
const IMPORT_LINES = 2_000;

const KINDS: Kinds<BayesOptions> = {
  url: text,
  now: callback<() => number>(),
  minTrained: integer(1),
  retention: object<Partial<Retention>>(),
};
const days = integer(1);
const RETENTION_KINDS: Kinds<Retention> = {
  records: integer(14, 10_000),
  once: days,
  rare: days,
  neutral: days,
  all: days,
  sharedTokens: integer(10_000),
  userTokens: integer(10_000),
};
const userName: Check<string> = {
  must: 'be a string of 1 to 320 characters',
  accepts: (value): value is string => text.accepts(value) && value.length > 0 && value.length <= 320,
};
const MESSAGE_KINDS: Kinds<MessageOptions> = {
  user: userName,
  envelope: object(),
  headersOnly: { must: 'be true or false', accepts: (value) => typeof value === 'boolean' },
};
const spamOrHam = oneOf('spam', 'ham');

/**
 * Opens a statistical filter.
 * @throws TypeError for wrong options
 * @throws MilterError `ERR_MILTER_STORE` where the store cannot be opened, `ERR_MILTER_UNSUPPORTED` where its package is not installed
 */
export async function openBayes(options: BayesOptions): Promise<Bayes> {
  checkOptions('openBayes option', options, KINDS, wrongArgument);
  const { retention = {}, minTrained = 50, now = Date.now } = options;
  checkOptions('retention', retention, RETENTION_KINDS, wrongArgument);
  if (options.url === undefined)
    throw wrongArgument('openBayes needs the option "url", such as "sqlite:/var/lib/milter/bayes.db"');
  const url = parseUrl(options.url);
  const bayes = new ThreadedBayes({ url, minTrained, retention: { ...RETENTION, ...retention } }, now);
  try {
    await bayes.open();
    return bayes;
  } catch (error) {
    await bayes.close();
    throw error;
  }
}

function parseUrl(url: string): BayesUrl {
  if (url === 'memory:') return { kind: 'memory' };
  if (/^sqlite:./.test(url)) return { kind: 'sqlite', path: url.slice('sqlite:'.length) };
  const fault = redisUrlFault(url);
  if (fault === undefined) return { kind: 'redis', url };
  const must = url.startsWith('redis') ? fault : `must be "sqlite:PATH", ${REDIS_FORMS} or "memory:"`;
  throw wrongArgument(`openBayes option "url" ${must}`);
}

interface Waiting {
  readonly promise: Promise<unknown>;
  readonly resolve: (answer: Answers[keyof Answers]) => void;
  readonly reject: (error: MilterError) => void;
}

class ThreadedBayes implements Bayes {
  readonly #thread: Worker;
  readonly #now: () => number;
  readonly #waiting = new Map<number, Waiting>();
  readonly #sweepTimer: NodeJS.Timeout;
  #next = 0;
  #closed: Promise<void> | undefined;
  #isGone = false;

  constructor(data: ThreadData, now: () => number) {
    this.#now = now;
    const file = new URL(`./thread${extname(import.meta.filename)}`, import.meta.url);
    // Node 22 and 24 call node:sqlite experimental, on standard error.
    this.#thread = new Worker(file, {
      workerData: data,
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    this.#thread.unref();
    this.#thread.on('message', (message: FromThread) => this.#answered(message));
    let cause: unknown;
    this.#thread.on('error', (error) => {
      cause = error;
    });
    this.#thread.on('exit', () => this.#ended(cause));
    this.#sweepTimer = setInterval(() => {
      // Whoever asks for something is told what fails.
      this.#ask({ call: 'sweep', now: this.#now() }).catch(() => {});
    }, SWEEP_EVERY).unref();
  }

  async open(): Promise<void> {
    await this.#ask({ call: 'open' });
  }

  async classify(message: Uint8Array, options: MessageOptions = {}): Promise<Classification> {
    return await this.#ask({ call: 'classify', ...checked(message, options) });
  }

  async train(message: Uint8Array, kind: Kind, options: MessageOptions = {}): Promise<Training> {
    checkValue('what a message is trained as', kind, spamOrHam, wrongArgument);
    return await this.#ask({ call: 'train', ...checked(message, options), kind, now: this.#now() });
  }

  async untrain(message: Uint8Array, options: MessageOptions = {}): Promise<Untraining> {
    return await this.#ask({ call: 'untrain', ...checked(message, options), now: this.#now() });
  }

  async statistics(): Promise<readonly BayesStatistics[]> {
    return (await this.#ask({ call: 'statistics' })).map(statisticsOf);
  }

  async expire(): Promise<number> {
    let total = 0;
    // The slice that is under way may have begun anywhere: all is seen when it came round twice.
    for (let rounds = 0; rounds < 2; ) {
      const { dropped, isDone } = await this.#ask({ call: 'sweep', now: this.#now() });
      total += dropped;
      if (isDone) rounds++;
    }
    return total;
  }

  async importBogofilter(
    dump: Iterable<string> | AsyncIterable<string>,
    options: Pick<MessageOptions, 'user'> = {},
  ): Promise<number> {
    checkOptions('import option', options, { user: userName }, wrongArgument);
    let count = 0;
    let lines: string[] = [];
    const send = async (): Promise<void> => {
      count += await this.#ask({ call: 'import', lines, user: options.user, now: this.#now() });
      lines = [];
    };
    let rest = '';
    for await (const piece of dump) {
      const found = (rest + piece).split('\n');
      rest = found.pop() ?? '';
      lines.push(...found);
      if (lines.length >= IMPORT_LINES) await send();
    }
    lines.push(rest);
    await send();
    return count;
  }

  async close(): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    clearInterval(this.#sweepTimer);
    await Promise.allSettled([...this.#waiting.values()].map(({ promise }) => promise));
    // A store that fails to close is closed with its thread.
    await this.#post({ call: 'close' }).catch(() => {});
    await this.#thread.terminate();
  }

  async #ask<R extends Request>(request: R): Promise<Answers[R['call']]> {
    if (this.#closed !== undefined) throw new MilterError('ERR_MILTER_CLOSED', 'the Bayes store is closed');
    if (this.#waiting.size >= MAX_WAITING) {
      throw new MilterError(
        'ERR_MILTER_STORE',
        `the Bayes store does not keep up: ${MAX_WAITING} requests wait`,
      );
    }
    return (await this.#post(request)) as Answers[R['call']];
  }

  async #post(request: Request): Promise<Answers[keyof Answers]> {
    if (this.#isGone) throw new MilterError('ERR_MILTER_STORE', 'the thread of the Bayes store ended');
    const { promise, resolve, reject } = Promise.withResolvers<Answers[keyof Answers]>();
    const id = this.#next++;
    this.#waiting.set(id, { promise, resolve, reject });
    // The process does not end while it waits for the thread, and does not live for its sake.
    this.#thread.ref();
    const message: ToThread = { id, request };
    this.#thread.postMessage(message);
    return await promise;
  }

  #answered(message: FromThread): void {
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (this.#waiting.size === 0) this.#thread.unref();
    if ('answer' in message) waiting?.resolve(message.answer);
    else {
      const code = message.isRefused ? 'ERR_MILTER_NOT_TRAINED' : 'ERR_MILTER_STORE';
      waiting?.reject(
        new MilterError(code, message.isRefused ? message.error : `the Bayes store fails: ${message.error}`),
      );
    }
  }

  #ended(cause: unknown): void {
    this.#isGone = true;
    clearInterval(this.#sweepTimer);
    for (const { reject } of this.#waiting.values()) {
      reject(new MilterError('ERR_MILTER_STORE', 'the thread of the Bayes store ended', { cause }));
    }
    this.#waiting.clear();
  }
}

function checked(message: Uint8Array, options: MessageOptions) {
  if (!(message instanceof Uint8Array)) {
    throw wrongArgument(`a message is a Buffer or Uint8Array, got ${typeof message}`);
  }
  checkOptions('message option', options, MESSAGE_KINDS, wrongArgument);
  return { message: cutToSize(message), options };
}

function statisticsOf({ name, spam, ham, tokens }: DictionarySize): BayesStatistics {
  const [, headers, user] = /^(headers\/)?(?:@(.*))?$/s.exec(name) ?? [];
  return { user, headersOnly: headers !== undefined, spam, ham, tokens };
}
