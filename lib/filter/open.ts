/**
 * From a configuration to a filter: modules are set up, guarded, and composed into one Milter class.
 */
import { cached, createResolver, type Resolver } from '../dns/index.ts';
import { compose, type Logger, type MilterClass, parseAddress } from '../index.ts';
import { type Dial, dialDirectly } from './backends/dial.ts';
import type { Config, ConfiguredModule } from './config/config.ts';
import { existingDictionaries } from './config/dictionaries.ts';
import { parseConfig } from './config/load.ts';
import {
  confirmationRole,
  heldMailRole,
  learnersRole,
  ourDomainRole,
  ownMailRole,
  type RoleOf,
  whoRole,
} from './facts.ts';
import { readDeclared } from './findings/make.ts';
import { linkAddress } from './http/links.ts';
import { makeChanger } from './judging/change.ts';
import { makeDecider } from './judging/decider.ts';
import { guard, type ModuleStage, stagesOf } from './judging/guard.ts';
import { makeOpener } from './judging/opener.ts';
import { Running } from './judging/running.ts';
import { makeSettler } from './judging/settling.ts';
import { type ChangeStep, changeSteps, type JudgeStep } from './module.ts';
import { canSend, send } from './outgoing/outgoing.ts';
import { writeOwnMail } from './outgoing/own-mail.ts';
import { sendDigests, sendOwn } from './quarantine/digest.ts';
import { type OpenQuarantine, openQuarantine } from './quarantine/open.ts';
import type { Quarantine } from './quarantine/quarantine.ts';
import { releaseFrom } from './quarantine/release-from.ts';
import { Roles } from './roles.ts';
import { makeServices, type Shared, Timers } from './services.ts';
import { openStore } from './store/open.ts';
import type { Store } from './store/store.ts';
import { Alert } from './watch/alert.ts';
import { Daily } from './watch/daily.ts';
import { History } from './watch/history.ts';
import { makeLogger } from './watch/log.ts';
import { MetricsRegistry } from './watch/metrics.ts';

/** What {@link openFilter} takes besides the configuration. */
export interface OpenOptions {
  /** Where `file:` paths begin. @default the working directory */
  readonly directory?: string;
  /** In place of the one that `[dns]` describes. */
  readonly resolver?: Resolver;
  /** The time, in milliseconds since 1970. @default Date.now */
  readonly now?: () => number;
  /** In place of the one that `[log]` describes. */
  readonly logger?: Logger;
  /** How mail servers elsewhere are reached, whose names DNS gave. @default by their addresses */
  readonly dial?: Dial;
}

/** What {@link openConfig} takes besides the configuration. */
export interface OpenConfigOptions extends Omit<OpenOptions, 'directory'> {
  /** The filter that this one follows: it hands over its store, its metrics and what its resolver remembers. */
  readonly before?: OpenedFilter;
  /**
   * To see what would become of a message: remembers nothing, holds nothing, and writes no copies. To be read with
   * {@link ReadConfigOptions.trial}, so that nothing else is stored either. @default false
   */
  readonly trial?: boolean;
  /** For a command beside a filter that runs: no periodic work is done, and no module listens. @default false */
  readonly idle?: boolean;
  /**
   * Whether what is to be done once is done here: listening, tidying, daily work, sending. False in threads beside one that
   * does. @default true
   */
  readonly chores?: boolean;
  /** Where to count, unless `before` has that. @default anew */
  readonly metrics?: MetricsRegistry;
}

/** Where a module works. */
export interface ModulePlace {
  /** In this configuration. */
  readonly name: string;
  /** Where it judges. */
  readonly stages: readonly ModuleStage[];
}

/** A filter that a configuration describes. */
export interface OpenedFilter {
  /** For `serve` or `fakeSession`. */
  readonly Filter: MilterClass;
  readonly config: Config;
  /** What became of each message. */
  readonly history: History;
  readonly metrics: MetricsRegistry;
  readonly store: Store;
  /** Where it logs: what goes wrong is counted for the alert. */
  readonly log: Logger;
  /** Messages that are kept for review. */
  readonly quarantine: OpenQuarantine;
  readonly resolver: Resolver;
  /** What strangers may confirm by a link; undefined where no module asks them. */
  readonly confirmation: RoleOf<typeof confirmationRole> | undefined;
  /**
   * How many open filters use {@link store}; the last of them closes it.
   * @internal
   */
  readonly storeUsers: { count: number };
  /** The modules that judge, in the order in which they are asked. */
  readonly judges: readonly ModulePlace[];
  /** The modules that may change messages, in the order in which they do. */
  readonly changers: readonly string[];
  /**
   * Ends periodic work, writes what is still to be written, and closes the store, unless a filter that follows uses it.
   * Sessions should be over by then.
   */
  close(): Promise<void>;
}

/** Of what is only tried, the last messages are known, whatever `[history]` says. */
const TRIAL_HISTORY = { keep: 3_600_000, max: 1_000 };

/** How often list files are looked at, in milliseconds. */
const REFRESH_LISTS = 3_000;
/** How often the quarantine forgets what is too old, in milliseconds. */
const EXPIRE_HELD = 10 * 60_000;
/** How often messages that are to be released are looked for, in milliseconds. */
const SEND_RELEASED = 10_000;
/** How often it is looked whether it is time for what is done once a day, in milliseconds. */
const LOOK_AT_CLOCK = 10_000;
/** How often what went wrong is written into the store, in milliseconds. */
const WRITE_ALERT = 60_000;
/** When the alert is sent where there is no digest, in minutes after midnight. */
const MORNING = 7 * 60;

/**
 * Makes a filter of the text of a configuration (`milter.toml`).
 * @throws FilterConfigError with all that is wrong with it
 */
export async function openFilter(config: string, options: OpenOptions = {}): Promise<OpenedFilter> {
  const { directory, ...rest } = options;
  return await openConfig(await parseConfig(config, directory === undefined ? {} : { directory }), rest);
}

/** Makes a filter of a configuration that was read. */
export async function openConfig(config: Config, options: OpenConfigOptions = {}): Promise<OpenedFilter> {
  const { settings } = config;
  const { before, now = Date.now, logger = makeLogger(settings.log), trial = false, idle = false } = options;
  const { chores = !trial && !idle } = options;
  const resolver = options.resolver ?? resolverAfter(before, config);
  const storeUrl = trial ? { kind: 'memory' as const } : settings.store.url;
  const storeUsers = before?.storeUsers ?? { count: 0 };
  const metrics = before?.metrics ?? options.metrics ?? new MetricsRegistry();
  const store = before?.store ?? (await openStore(storeUrl, { now, log: logger, metrics }));
  const alert =
    !chores || settings.outgoing.alert === undefined
      ? undefined
      : new Alert(store.part('alert'), settings.hostname, now);
  const log = alert?.watching(logger) ?? logger;
  const kept = trial ? TRIAL_HISTORY : settings.history;
  const history = new History(store.part('history'), { ...kept, log, now });
  const modules = config.modules.filter(({ mode }) => mode !== 'off');
  const shared: Shared = {
    store,
    resolver,
    dial: options.dial ?? dialDirectly,
    log,
    metrics,
    now,
    hostname: settings.hostname,
    data: settings.data,
    serving: !trial && !idle,
    chores,
    dictionaries: trial ? existingDictionaries(config.dictionaries) : config.dictionaries,
    socketRights: { mode: settings.socket_mode, group: settings.socket_group },
    findings: new Set(modules.flatMap(findingsOf)),
    roles: new Roles(),
    timers: new Timers(idle),
  };
  const quarantine = openQuarantine(config, {
    store,
    log,
    metrics,
    now,
    learners: () => shared.roles.all(learnersRole),
  });
  const { held, releases, allowed } = quarantine;
  const every = (milliseconds: number, work: () => Promise<void>, what: string): void =>
    shared.timers.every(milliseconds, work, (error) => log.warn({ error }, what));
  if (chores) every(EXPIRE_HELD, () => quarantine.expire(), 'the quarantine could not be tidied');
  if (chores && canSend(settings.outgoing)) {
    every(SEND_RELEASED, () => releases.work(), 'releases could not be sent');
    for (const daily of dailyWorks(config, shared, quarantine, alert)) {
      every(LOOK_AT_CLOCK, () => daily.tick(), 'what is to be done daily could not be done');
    }
  }
  if (alert !== undefined) every(WRITE_ALERT, () => alert.flush(), 'the alert could not be written');
  provideOwn(shared, config, quarantine);
  const running = new Running(config, modules, shared, history);
  const disposals: Disposal[] = [];
  storeUsers.count++;
  const close = async (): Promise<void> => {
    shared.timers.stop();
    await releases.close();
    await alert?.flush();
    for (const dispose of disposals) await dispose();
    await history.close();
    storeUsers.count--;
    if (storeUsers.count === 0) await store.close();
  };
  let judges: readonly Judge[];
  let Filter: MilterClass;
  const inOrder = inChangeOrder(modules);
  try {
    judges = await setUp(modules, shared, running, disposals);
    const changers = inOrder.filter(({ step }) => !trial || step !== 'copy');
    Filter = compose(
      makeOpener(running),
      ...judges.map(({ Judge }) => Judge),
      makeDecider(running, trial ? NO_QUARANTINE : held, allowed),
      ...changers.map(({ entry, step }) => makeChanger(entry, step, running)),
      makeSettler(running),
    );
  } catch (error) {
    await close();
    throw error;
  }
  config.ours.has = (domain) =>
    shared.roles.first(whoRole)?.isOurs(domain) === true ||
    shared.roles.all(ourDomainRole).some((isOurs) => isOurs(domain));
  watchLists(config, shared);
  return {
    Filter,
    config,
    history,
    metrics,
    store,
    log,
    quarantine,
    resolver,
    confirmation: shared.roles.first(confirmationRole),
    storeUsers,
    judges: judges.map(({ name, stages }) => ({ name, stages })),
    changers: [...new Set(inOrder.map(({ entry }) => entry.name))],
    close,
  };
}

/** What the filter itself does for modules. */
function provideOwn({ roles, now }: Shared, { settings }: Config, { held, review }: OpenQuarantine): void {
  roles.provide(heldMailRole, async (which) => await releaseFrom(held, review, which));
  if (!canSend(settings.outgoing)) return;
  roles.provide(ownMailRole, {
    send: async (mail) =>
      await send(settings, {
        sender: '<>',
        recipient: `<${mail.to}>`,
        message: writeOwnMail(mail, settings, now()),
      }),
    link: (text) => linkAddress(settings, text),
  });
}

/** What is told once a day, and to whom. */
function dailyWorks(
  { settings }: Config,
  { store, log, metrics, now, roles }: Shared,
  { held, review }: OpenQuarantine,
  alert: Alert | undefined,
): readonly Daily[] {
  const parts = { store: store.part('daily'), log, metrics, now };
  const works: Daily[] = [];
  const { digest } = settings.quarantine;
  const { alert: to } = settings.outgoing;
  if (digest !== undefined) {
    const isOurs = (): ((address: string) => boolean) | undefined => {
      const who = roles.first(whoRole);
      if (who?.hasDomains !== true) return undefined;
      const others = roles.all(ourDomainRole);
      return (address) => who.isOurs(address) || others.some((one) => one(parseAddress(address).domain));
    };
    const digests = { held, review, store: store.part('digest'), settings, log, metrics, now, isOurs };
    works.push(
      new Daily({ name: 'digest', minute: digest, work: (...when) => sendDigests(digests, ...when) }, parts),
    );
  }
  if (alert !== undefined && to !== undefined) {
    const work = (): Promise<void> => alert.tell(to, (mail) => sendOwn({ held, settings, now }, mail));
    works.push(new Daily({ name: 'alert', minute: digest ?? MORNING, work }, parts));
  }
  return works;
}

function findingsOf({ name, definition }: ConfiguredModule): readonly string[] {
  return [...Object.keys(definition.findings), 'error'].map((short) => `${name}-${short}`);
}

const JUDGE_ORDER: readonly JudgeStep[] = ['look', 'count', 'weigh', 'delay'];

type Disposal = () => void | Promise<void>;

interface Judge extends ModulePlace {
  readonly step: JudgeStep;
  readonly Judge: MilterClass;
}

/**
 * Has every module make its class, in file order, and notes what is to be done in the end. They judge in that order too,
 * but for those that go by what others found.
 */
async function setUp(
  modules: readonly ConfiguredModule[],
  shared: Shared,
  running: Running,
  disposals: Disposal[],
): Promise<readonly Judge[]> {
  const judges: Judge[] = [];
  for (const entry of modules) {
    const { definition, options, name } = entry;
    const services = makeServices(entry, readDeclared(entry), shared);
    const made = await definition.setup({ options, services, name });
    if (made === undefined) continue;
    const { Milter, dispose } = typeof made === 'function' ? { Milter: made, dispose: undefined } : made;
    if (dispose !== undefined) disposals.push(() => dispose.call(made));
    const step = definition.judges ?? 'look';
    if (Milter !== undefined) {
      judges.push({ name, step, stages: stagesOf(Milter), Judge: guard(Milter, entry, running) });
    }
  }
  return judges.toSorted((a, b) => JUDGE_ORDER.indexOf(a.step) - JUDGE_ORDER.indexOf(b.step));
}

/** On trial nothing is stored. */
const NO_QUARANTINE: Quarantine = { hold: async () => {}, sparedBy: async () => undefined };

const CHANGE_ORDER: readonly ChangeStep[] = ['edit', 'sign', 'copy'];

/** Who changes, and when: in file order, but signing comes behind all that edit, and copying behind signing. */
function inChangeOrder(
  modules: readonly ConfiguredModule[],
): readonly { readonly entry: ConfiguredModule; readonly step: ChangeStep }[] {
  return CHANGE_ORDER.flatMap((step) =>
    modules
      .filter(({ definition }) => changeSteps(definition).includes(step))
      .map((entry) => ({ entry, step })),
  );
}

/** What the resolver of the filter before remembers is of use as long as the same servers are asked. */
function resolverAfter(before: OpenedFilter | undefined, config: Config): Resolver {
  const same = JSON.stringify(before?.config.settings.dns) === JSON.stringify(config.settings.dns);
  return before !== undefined && same ? before.resolver : makeResolver(config);
}

/** Asks DNS as the configuration says. */
export function makeResolver({ settings: { dns } }: Config): Resolver {
  const asking = createResolver({
    deadline: dns.timeout,
    ...(dns.servers.length === 0 ? {} : { servers: dns.servers }),
  });
  return dns.cache === 0 ? asking : cached(asking, { maxEntries: dns.cache });
}

function watchLists({ files }: Config, { timers, log }: Shared): void {
  const watcher = {
    changed: (path: string) => log.info({ path }, 'a list was read anew'),
    failed: (path: string, faults: readonly { readonly line: number; readonly message: string }[]) => {
      for (const { line, message } of faults) {
        log.error({ path, line }, `a list has a fault, and the old one stays: ${message}`);
      }
    },
  };
  timers.every(
    REFRESH_LISTS,
    async () => await files.refresh(watcher),
    (error) => log.error({ error }, 'lists could not be read'),
  );
}
