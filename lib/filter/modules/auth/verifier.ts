/**
 * Has messages verified in a thread: what mailauth does for a large or hostile one would hold the event loop for longer than
 * other mail should wait. The thread belongs to the process: all filters that are open share it, so that a reload finds it
 * at work.
 */
import { createRequire } from 'node:module';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { RecordType, Resolver } from '../../../dns/index.ts';
import type { FromThread, ToThread } from './thread.ts';
import type { Question, Records, Verified } from './verified.ts';

/** Messages at once; most of them wait for DNS. */
const MAX_RUNNING = 50;
/** More are not taken: they would be answered too late. */
const MAX_WAITING = 2_000;
/** Milliseconds for all that DNS is asked for one message; what has no answer by then is a temporary error. */
const DNS_TIME = 15_000;
/** Milliseconds after which the thread counts as stuck, and is ended. */
const STUCK = 45_000;
/** MiB of what the thread made last: V8 would take a hundred, which are no faster. */
const YOUNG = 12;
/** Bytes of a body that are copied at once. */
const CHUNK = 256 * 1024;

/** A message to be verified. */
export interface VerifyRequest extends Omit<Question, 'hasBody'> {
  /** Undefined where nothing covers it. */
  readonly body: Buffer | undefined;
  readonly resolver: Resolver;
}

/** One message: it waits for its turn, and then for the thread. */
class Job {
  readonly request: VerifyRequest;
  readonly outcome = Promise.withResolvers<Verified>();
  readonly #late = new AbortController();
  #timers: readonly NodeJS.Timeout[] = [];
  #at = 0;

  constructor(request: VerifyRequest) {
    this.request = request;
  }

  begin(stuck: () => void): void {
    this.#timers = [setTimeout(() => this.#late.abort(), DNS_TIME), setTimeout(stuck, STUCK)];
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#late.abort();
  }

  /** The next bytes of the body, as a copy to be given away; undefined when there are no more. */
  chunk(): Uint8Array<ArrayBuffer> | undefined {
    const { body } = this.request;
    if (body === undefined || this.#at >= body.length) return undefined;
    const chunk = Uint8Array.from(body.subarray(this.#at, this.#at + CHUNK));
    this.#at += chunk.length;
    return chunk;
  }

  async ask(name: string, type: RecordType): Promise<Records> {
    const { signal } = this.#late;
    if (signal.aborted) return TIMEOUT;
    const late = Promise.withResolvers<Records>();
    const fire = (): void => late.resolve(TIMEOUT);
    signal.addEventListener('abort', fire, { once: true });
    try {
      return await Promise.race([askDns(this.request.resolver, name, type, signal), late.promise]);
    } finally {
      signal.removeEventListener('abort', fire);
    }
  }
}

const TIMEOUT: Records = { code: 'ETIMEOUT' };

const CODES = {
  nxdomain: 'ENOTFOUND',
  nodata: 'ENODATA',
  badname: 'EBADNAME',
  timeout: 'ETIMEOUT',
  servfail: 'ESERVFAIL',
  refused: 'EREFUSED',
  malformed: 'EBADRESP',
} as const;

async function askDns(
  resolver: Resolver,
  name: string,
  type: RecordType,
  signal: AbortSignal,
): Promise<Records> {
  const answer = await resolver.resolve(name, type, { signal });
  if (answer.status !== 'ok') return { code: CODES[answer.status] };
  const records = answer.records.map((record) =>
    Array.isArray(record) ? Buffer.concat(record).toString('utf8') : String(record),
  );
  return { records };
}

/** The thread, and the messages that it works on. */
class VerifierThread {
  #thread: Worker | undefined;
  readonly #running = new Map<number, Job>();
  readonly #waiting: Job[] = [];
  #last = 0;

  async verify(request: VerifyRequest): Promise<Verified> {
    if (this.#waiting.length >= MAX_WAITING) throw new Error('too much mail waits to be verified');
    const job = new Job(request);
    this.#waiting.push(job);
    this.#next();
    return await job.outcome.promise;
  }

  async stop(): Promise<void> {
    await this.#thread?.terminate();
  }

  #next(): void {
    while (this.#running.size < MAX_RUNNING) {
      const job = this.#waiting.shift();
      if (job === undefined) break;
      const id = ++this.#last;
      this.#running.set(id, job);
      job.begin(() => void this.stop());
      const { authors, spf, now, body } = job.request;
      const head = Uint8Array.from(job.request.head);
      this.#tell({ id, question: { head, authors, spf, now, hasBody: body !== undefined } }, head.buffer);
    }
    if (this.#running.size === 0) this.#thread?.unref();
  }

  #tell(message: ToThread, ...given: ArrayBuffer[]): void {
    this.#thread ??= this.#start();
    // The process does not end while it waits for the thread, and does not live for its sake.
    this.#thread.ref();
    this.#thread.postMessage(message, given);
  }

  #start(): Worker {
    const file = new URL(`./thread${extname(import.meta.filename)}`, import.meta.url);
    const thread = new Worker(file, {
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG },
    });
    thread.on('message', (message: FromThread) => this.#hear(message));
    let cause: unknown;
    thread.on('error', (error) => {
      cause = error;
    });
    thread.on('exit', () => this.#ended(cause));
    return thread;
  }

  #hear(message: FromThread): void {
    const { id } = message;
    const job = this.#running.get(id);
    if (job === undefined) return;
    if ('more' in message) {
      const chunk = job.chunk();
      this.#tell({ id, chunk }, ...(chunk === undefined ? [] : [chunk.buffer]));
    } else if ('ask' in message) {
      void this.#askFor(id, job, message.ask, message.name, message.type);
    } else {
      this.#running.delete(id);
      job.end();
      if ('verified' in message) job.outcome.resolve(message.verified);
      else job.outcome.reject(new Error(message.error));
      this.#next();
    }
  }

  async #askFor(id: number, job: Job, asked: number, name: string, type: string): Promise<void> {
    let records: Records;
    try {
      // mailauth asks for TXT, A and CNAME.
      records = await job.ask(name, type as RecordType);
    } catch {
      records = { code: 'ESERVFAIL' };
    }
    if (this.#running.get(id) === job) this.#tell({ id, asked, records });
  }

  /** It is gone: as it was told, since it was stuck, or for want of memory; the next message starts another. */
  #ended(cause: unknown): void {
    this.#thread = undefined;
    const error = new Error('the thread that verifies mail ended', { cause });
    for (const job of this.#running.values()) {
      job.end();
      job.outcome.reject(error);
    }
    this.#running.clear();
    if (this.#waiting.length > 0) this.#next();
  }
}

let shared: { readonly thread: VerifierThread; users: number } | undefined;

/** Verifies messages until it is disposed of. */
export interface Verifier {
  verify(request: VerifyRequest): Promise<Verified>;
  dispose(): Promise<void>;
}

/**
 * Opens the verifier: the first message starts its thread, and the last who disposes of it ends that.
 * @throws Error where mailauth is not installed
 */
export function openVerifier(): Verifier {
  try {
    createRequire(import.meta.url).resolve('mailauth');
  } catch (cause) {
    throw new Error('module auth needs the package mailauth: npm install mailauth', { cause });
  }
  shared ??= { thread: new VerifierThread(), users: 0 };
  const mine = shared;
  mine.users++;
  return {
    verify: (request) => mine.thread.verify(request),
    dispose: async () => {
      if (--mine.users > 0) return;
      shared = undefined;
      await mine.thread.stop();
    },
  };
}
