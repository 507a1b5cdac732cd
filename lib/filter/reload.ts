/**
 * A filter whose configuration can be replaced while it runs: a new filter is opened beside the old one, new
 * connections get the new, and sessions keep the modules and facts that they began with. The old one is closed when its
 * last session has ended, or a while later: sessions that outlive it are told to come again.
 */
import { compose, type Logger, Milter, type MilterClass, type Tempfail, tempfail } from '../index.ts';
import type { Config } from './config/config.ts';
import { FilterConfigError } from './config/faults.ts';
import type { ReadConfigOptions } from './config/load.ts';
import type { Settings } from './config/schema.ts';
import { type OpenConfigOptions, type OpenedFilter, openConfig } from './open.ts';
import { makeLogger } from './watch/log.ts';
import { type Trouble, Troubles } from './watch/troubles.ts';

/** Reads the configuration, anew each time that it is called. */
export type ReadConfig = (options: Pick<ReadConfigOptions, 'files' | 'data' | 'trial'>) => Promise<Config>;

/** How a filter that can be replaced is opened. */
export interface ReloadOptions extends Omit<OpenConfigOptions, 'before'> {
  /** What {@link ReadConfig} gave, where it was read already. */
  readonly config?: Config;
  /** How long sessions may keep a configuration that was replaced, in milliseconds. @default 300 000 */
  readonly patience?: number;
}

const PATIENCE = 300_000;

/** What stays as it is until a restart. */
const fixed: Readonly<Record<string, (settings: Settings) => unknown>> = {
  socket: ({ socket }) => socket,
  socket_mode: ({ socket_mode }) => socket_mode,
  socket_group: ({ socket_group }) => socket_group,
  engine: ({ engine }) => engine,
  threads: ({ threads }) => threads,
  max_body: ({ max_body }) => max_body,
  max_connections: ({ max_connections }) => max_connections,
  timeout: ({ timeout }) => timeout,
  user: ({ user }) => user,
  'store.url': ({ store }) => store.url,
  'http.listen': ({ http }) => http.listen,
};

/** The keys whose new values need a restart. */
function needRestart(old: Config, next: Config): readonly string[] {
  const changed = Object.entries(fixed).filter(
    ([, read]) => JSON.stringify(read(old.settings)) !== JSON.stringify(read(next.settings)),
  );
  // The new configuration was read with the old one's folder, so only its text shows another.
  const dataOf = ({ text: { values } }: Config): unknown => (values as { readonly data?: unknown }).data;
  const isMoved = dataOf(old) !== dataOf(next);
  return [...changed.map(([key]) => key), ...(isMoved ? ['data'] : [])];
}

/** A filter that follows its configuration. */
export class ReloadableFilter {
  readonly #read: ReadConfig;
  readonly #options: ReloadOptions;
  readonly #log: ReplaceableLogger;
  #current: Generation;
  /** Those that were replaced, until they are closed. */
  readonly #old = new Set<Generation>();
  #reloading: Promise<boolean> | undefined;
  /** The one that follows it, once somebody wants one. */
  #next: Promise<boolean> | undefined;

  private constructor(read: ReadConfig, options: ReloadOptions, log: ReplaceableLogger, first: OpenedFilter) {
    this.#read = read;
    this.#options = options;
    this.#log = log;
    this.#current = new Generation(first);
  }

  /**
   * Reads the configuration and opens its filter.
   * @throws FilterConfigError, or what the set-up of a module throws
   */
  static async open(read: ReadConfig, options: ReloadOptions = {}): Promise<ReloadableFilter> {
    const config = options.config ?? (await read({}));
    const log = new ReplaceableLogger(options.logger ?? makeLogger(config.settings.log));
    return new ReloadableFilter(read, options, log, await openConfig(config, { ...options, logger: log }));
  }

  /** For `serve`: makes for each connection what the configuration in force says. */
  readonly filter = (): Milter => this.#current.join();

  /** Logs as the configuration in force says. */
  get logger(): Logger {
    return this.#log;
  }

  /** What went wrong of late, the newest last. */
  get troubles(): readonly Trouble[] {
    return this.#log.troubles.kept;
  }

  /** The filter in force. */
  get current(): OpenedFilter {
    return this.#current.opened;
  }

  /**
   * Reads the configuration again. Resolves to whether it is now in force; where it has faults they are logged, and the
   * old one stays. Never rejects. Calls that come while one is under way have one more follow it, which is theirs: what that
   * one has read may have changed since.
   */
  reload(): Promise<boolean> {
    if (this.#next !== undefined) return this.#next;
    if (this.#reloading === undefined) return this.#begin();
    this.#next = this.#reloading.then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  #begin(): Promise<boolean> {
    this.#reloading = this.#reload().finally(() => {
      this.#reloading = undefined;
    });
    return this.#reloading;
  }

  /** Closes the filter. Sessions should be over by then. */
  async close(): Promise<void> {
    await (this.#next ?? this.#reloading);
    await Promise.all([...this.#old, this.#current].map((generation) => generation.close()));
  }

  async #reload(): Promise<boolean> {
    const old = this.#current;
    const before = old.opened;
    let next: OpenedFilter;
    try {
      const config = await this.#read({ files: before.config.files, data: before.config.settings.data });
      next = await openConfig(config, { ...this.#options, logger: this.#log, before });
    } catch (error) {
      this.#refuse(error);
      return false;
    }
    this.#current = new Generation(next);
    this.#log.logger = this.#options.logger ?? makeLogger(next.config.settings.log);
    this.#old.add(old);
    const done = async (): Promise<void> => {
      await old.close();
      this.#old.delete(old);
    };
    old.leave(this.#options.patience ?? PATIENCE, () => {
      done().catch((error: unknown) =>
        this.#log.error({ error }, 'the old configuration could not be closed'),
      );
    });
    const keys = needRestart(before.config, next.config);
    if (keys.length > 0) {
      this.#log.warn({ keys: keys.join(', ') }, 'these need a restart, and stay as they are');
    }
    this.#log.info({ file: next.config.file }, 'the configuration was read anew, and is in force');
    return true;
  }

  #refuse(error: unknown): void {
    const faults = error instanceof FilterConfigError ? error.faults : [];
    for (const { file, line, column, key, message } of faults) {
      this.#log.error({ file, line, column, key }, `the configuration has a fault: ${message}`);
    }
    const more = faults.length > 0 ? { faults: faults.length } : { error };
    this.#log.error(more, 'the configuration was not taken, and the old one stays');
  }
}

/** One configuration in force, or that was in force, and the sessions that follow it. */
class Generation {
  readonly opened: OpenedFilter;
  readonly #Served: MilterClass;
  #sessions = 0;
  #isOver = false;
  #left: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(opened: OpenedFilter) {
    this.opened = opened;
    this.#Served = compose(this.#gate(), opened.Filter);
  }

  /** What a new connection is served by. */
  join(): Milter {
    this.#sessions++;
    return new this.#Served();
  }

  /** Another is in force. Calls back once, when no session needs this one any more. */
  leave(patience: number, left: () => void): void {
    const timer = setTimeout(() => {
      this.#isOver = true;
      this.#finish();
    }, patience);
    timer.unref();
    this.#left = () => {
      clearTimeout(timer);
      left();
    };
    if (this.#sessions === 0) this.#finish();
  }

  close(): Promise<void> {
    this.#closing ??= this.opened.close();
    return this.#closing;
  }

  #finish(): void {
    const left = this.#left;
    this.#left = undefined;
    left?.();
  }

  /** The first member of the filter: counts its sessions, and ends those that outlive it. */
  #gate(): MilterClass {
    const over = (): boolean => this.#isOver;
    const ended = (): void => {
      this.#sessions--;
      if (this.#sessions === 0) this.#finish();
    };
    return class Gate extends Milter {
      override envfrom(): Tempfail | undefined {
        // 421: the MTA ends the SMTP session with it, and the client comes again to the new configuration.
        return over()
          ? tempfail(421, '4.3.2', 'Mail filter was reconfigured, please connect again')
          : undefined;
      }

      override close(): void {
        ended();
      }
    };
  }
}

/** Logs wherever it is told to at the time, and keeps what went wrong. */
class ReplaceableLogger implements Logger {
  logger: Logger;
  readonly troubles = new Troubles();
  readonly #watched = this.troubles.watching(() => this.logger);

  constructor(logger: Logger) {
    this.logger = logger;
  }

  debug: Logger['debug'] = (fields, message) => this.#watched.debug(fields, message);
  info: Logger['info'] = (fields, message) => this.#watched.info(fields, message);
  warn: Logger['warn'] = (fields, message) => this.#watched.warn(fields, message);
  error: Logger['error'] = (fields, message) => this.#watched.error(fields, message);
}
