/**
 * One configuration in several threads. The main thread opens a filter too, which serves no mail: it does what is to be
 * done once, has the page, and takes what the threads log and count. Between them lies a channel of the process.
 */
import { BroadcastChannel } from 'node:worker_threads';
import { FilterThreads, type LogFields, type Logger } from '../index.ts';
import type { ReloadableFilter } from './reload.ts';
import { type Labels, MetricsRegistry } from './watch/metrics.ts';

/** One call of {@link MetricsRegistry}. */
type Counted = readonly [way: 'count' | 'gauge' | 'observe', name: string, labels: Labels, value: number];

/** What goes over the channel. */
type Said =
  | { readonly reload: true }
  | { readonly counted: readonly Counted[] }
  | { readonly level: keyof Logger; readonly fields: LogFields; readonly message: string };

/** The threads, as the main thread has them. */
export class FilterTeam {
  /** For `serve`. */
  readonly threads: FilterThreads;
  readonly #channel: BroadcastChannel;

  private constructor(threads: FilterThreads, channel: BroadcastChannel) {
    this.threads = threads;
    this.#channel = channel;
  }

  /**
   * Starts threads that import `url`, which finds the name of its channel there as the parameter `channel`.
   * @param front the filter of the main thread
   */
  static async start(url: URL, count: number, front: ReloadableFilter): Promise<FilterTeam> {
    const name = `milter ${crypto.randomUUID()}`;
    const channel = new BroadcastChannel(name);
    channel.onmessage = (event: unknown) => hear((event as { readonly data: Said }).data, front);
    const own = new URL(url);
    own.searchParams.set('channel', name);
    try {
      return new FilterTeam(await FilterThreads.start(own, count, front.logger), channel.unref());
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  /** Has each thread read the configuration again. One that refuses logs why, and keeps what it has. */
  reload(): void {
    this.#channel.postMessage({ reload: true } satisfies Said);
  }

  /** Has the threads close their filters. Servers should be closed by then. */
  async close(): Promise<void> {
    await this.threads.close();
    // What they said at last is read first.
    await new Promise(setImmediate);
    this.#channel.close();
  }
}

function hear(said: Said, { current }: ReloadableFilter): void {
  if ('level' in said) current.log[said.level](said.fields, said.message);
  if (!('counted' in said)) return;
  for (const [way, name, labels, value] of said.counted) {
    if (way === 'count') current.metrics.count(name, labels, value);
    else current.metrics[way](name, value, labels);
  }
}

/** A thread's way to the main thread: what is logged and counted goes there. */
export class TeamMember {
  readonly logger: Logger;
  readonly metrics: MetricsRegistry;
  readonly #channel: BroadcastChannel;
  #counted: Counted[] = [];

  /**
   * @param channel its name
   * @param thread the thread's number, for the log
   */
  constructor(channel: string, thread: number) {
    this.#channel = new BroadcastChannel(channel).unref();
    const at =
      (level: keyof Logger): Logger[keyof Logger] =>
      (fields, message) =>
        this.#log(level, { thread, ...fields }, message);
    this.logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
    this.metrics = new ToldMetrics((...counted) => {
      this.#counted.push(counted);
      if (this.#counted.length === 1) setImmediate(() => this.#flush());
    });
  }

  /** What to do when the configuration is to be read again. */
  onReload(reload: () => void): void {
    this.#channel.onmessage = (event: unknown) => {
      if ('reload' in (event as { readonly data: Said }).data) reload();
    };
  }

  close(): void {
    this.#flush();
    this.#channel.close();
  }

  #flush(): void {
    if (this.#counted.length > 0) this.#say({ counted: this.#counted });
    this.#counted = [];
  }

  #log(level: keyof Logger, fields: LogFields, message: string): void {
    try {
      this.#say({ level, fields, message });
    } catch {
      // A value that cannot go to another thread.
      const plain = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
      this.#say({ level, fields: plain, message });
    }
  }

  #say(said: Said): void {
    this.#channel.postMessage(said);
  }
}

/** Metrics that are told as they are counted. */
class ToldMetrics extends MetricsRegistry {
  readonly #tell: (...counted: Counted) => void;

  constructor(tell: (...counted: Counted) => void) {
    super();
    this.#tell = tell;
  }

  override count(name: string, labels: Labels = {}, by = 1): void {
    super.count(name, labels, by);
    this.#tell('count', name, labels, by);
  }

  override gauge(name: string, value: number, labels: Labels = {}): void {
    super.gauge(name, value, labels);
    this.#tell('gauge', name, labels, value);
  }

  override observe(name: string, seconds: number, labels: Labels = {}): void {
    super.observe(name, seconds, labels);
    this.#tell('observe', name, labels, seconds);
  }
}
