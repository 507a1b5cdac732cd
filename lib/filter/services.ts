/**
 * What a module is given: everything it may use of its surroundings, and nothing else.
 */
import type { Resolver } from '../dns/index.ts';
import type { Logger, Milter } from '../index.ts';
import type { Dial } from './backends/dial.ts';
import type { ConfiguredModule } from './config/config.ts';
import type { Template } from './config/template.ts';
import { isMade } from './decision/is-made.ts';
import { asking, type SoFar, soFar, soFarAt } from './decision/so-far.ts';
import type { Role } from './facts.ts';
import type { Action } from './findings/action.ts';
import type { About, Finding, FindingReply } from './findings/finding.ts';
import {
  type Change,
  type Judgement,
  judgementFact,
  openJudgement,
  type Settling,
} from './findings/judgement.ts';
import { type Declared, fillTemplate, makeFinding } from './findings/make.ts';
import { type ChangeStep, changeSteps } from './module.ts';
import type { Roles } from './roles.ts';
import type { Store } from './store/store.ts';
import type { Metrics } from './watch/metrics.ts';

/** More about one finding. */
export interface Details {
  /** In angle brackets: it concerns this recipient alone. */
  readonly recipient?: string;
  /** Where it is not about what it is declared to be about. */
  readonly about?: About;
  /** The domain, address or name that it is about. @default by what the finding is declared to be about */
  readonly subject?: string;
  /** For the reply's `%{…}`, besides those that are always there. */
  readonly values?: Readonly<Record<string, string>>;
  /** In place of the declared reply; its text may hold `%{…}`. */
  readonly reply?: Partial<FindingReply>;
  /** More for the log and `milter why`. */
  readonly note?: string | undefined;
  /** Asked when it is decided, by which time other modules have looked too: the finding is void where it says so. */
  readonly unless?: () => boolean;
  /** Whom it does not concern; asked when it is decided. Of the message it is void where it spares all its recipients. */
  readonly spares?: (recipient: string) => boolean;
  /**
   * How the message is changed if this is found: like {@link Services.change}, but not where the finding is void or overruled,
   * nor for recipients all of whom are exempt. For actions of the module's own, such as `remove`.
   */
  readonly change?: Change;
}

/** As the configuration has them for the filter's own socket. */
export interface SocketRights {
  /** Permission bits. */
  readonly mode: number;
  /** The group's name or number; undefined: that of the process. */
  readonly group: string | number | undefined;
}

/** What a module may use. `Short` are the short names of its findings. */
export interface Services<Short extends string = string> {
  /** The module's name in this configuration. */
  readonly name: string;
  /** What the module remembers: keys of its own, and others again in observe mode. */
  readonly store: Store;
  readonly resolver: Resolver;
  /** Reaches mail servers elsewhere. */
  readonly dial: Dial;
  /** Adds the module's name to what it logs. */
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Milliseconds since 1970. */
  now(): number;
  /** This machine's name. */
  readonly hostname: string;
  /** Whether the module only watches: it then sends no mail, stores nothing for others, and learns nothing. */
  readonly observed: boolean;
  /** Where the configuration's stored things are. */
  readonly data: string;
  /** Whether mail may come to this filter. Where it is only tried, or a command needs it, a module must not listen anywhere. */
  readonly serving: boolean;
  /**
   * Whether the module is to do here what is done once, such as listening. False where the filter does not serve, and in all
   * threads of a configuration but one.
   */
  readonly chores: boolean;
  /** Where modules that learn keep their dictionaries, as `openBayes` wants it. On trial it is the real one, which must not be written. */
  readonly dictionaries: string;
  /** Who may use a unix socket at which a module listens. */
  readonly socketRights: SocketRights;
  /** The names of all findings that the modules of this configuration know. */
  readonly findings: ReadonlySet<string>;
  /** Reports what was found. The decision says later what comes of it. */
  found(milter: Milter, short: Short, action: Action | { readonly word: string }, details?: Details): void;
  /**
   * Has the message changed, if it goes on: after the decision, in the order of the file, on one tree of parts. A change
   * that fails or is late leaves nothing behind.
   * @param step one of those in the module's definition
   */
  change(milter: Milter, change: Change, step?: ChangeStep): void;
  /** A text with its values: those that are always there, and these. They come from mail: nothing is escaped here. */
  fill(
    milter: Milter,
    template: Template,
    short: Short | undefined,
    values?: Readonly<Record<string, string>>,
  ): string;
  /**
   * Milliseconds that the module's work for this message may take from now on: its `deadline`, where none is set so many, and
   * no longer than the stage. A little less, so that what was asked can say itself that it was late.
   */
  timeFor(milter: Milter, otherwise: number): number;
  /**
   * What the findings so far come to: for one recipient before DATA, for the message at its end. Modules that ask say in
   * their definition when they judge (`judges`).
   */
  soFar(milter: Milter): SoFar;
  soFar(milter: Milter, recipient: string): Promise<SoFar>;
  /**
   * At the end of the message, the findings so far whose action in force is a word that only a module knows: what follows from
   * them is up to it.
   */
  asking(milter: Milter, word: string): readonly Finding[];
  /**
   * Has something done when it is known what became of the message, or of this recipient: once, and neither late nor lost
   * unless the client breaks off. Nobody waits for it, and what it throws is logged. Observed modules are told too.
   */
  whenSettled(milter: Milter, work: Settling, recipient?: string): void;
  /** Work to be done every so many milliseconds, until the configuration is left. It may fail: that is logged. */
  every(milliseconds: number, work: () => void | Promise<void>): void;
  /** Takes on a role for the other modules. */
  provide<T>(role: Role<T>, value: T): void;
  /** Who has that role; undefined where no module does. To be asked at run time: modules are set up in file order. */
  role<T>(role: Role<T>): T | undefined;
  /** All who have that role, in file order. To be asked at run time. */
  holders<T>(role: Role<T>): readonly T[];
}

/** What the services of all modules of a configuration share. */
export interface Shared {
  readonly store: Store;
  readonly resolver: Resolver;
  readonly dial: Dial;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly now: () => number;
  readonly hostname: string;
  readonly data: string;
  readonly serving: boolean;
  readonly chores: boolean;
  readonly dictionaries: string;
  readonly socketRights: SocketRights;
  readonly findings: ReadonlySet<string>;
  readonly roles: Roles;
  readonly timers: Timers;
}

/** The periodic work of a configuration. */
export class Timers {
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #idle: boolean;

  /** @param idle nothing is done */
  constructor(idle = false) {
    this.#idle = idle;
  }

  /** Does it again and again; while it is under way it is not begun anew. */
  every(milliseconds: number, work: () => void | Promise<void>, failed: (error: unknown) => void): void {
    if (this.#idle) return;
    let busy = false;
    const timer = setInterval(() => {
      if (busy) return;
      busy = true;
      void (async () => await work())()
        .catch(failed)
        .finally(() => {
          busy = false;
        });
    }, milliseconds);
    this.#timers.push(timer.unref());
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
  }
}

/** Makes what one module is given. */
export function makeServices(entry: ConfiguredModule, declared: Declared, shared: Shared): Services {
  const { name, mode } = entry;
  const observed = mode === 'observe';
  const log = withFields(shared.log, { module: name });
  const [firstStep] = changeSteps(entry.definition);
  const add = ({ changes }: Judgement, change: Change, step = firstStep): void => {
    if (observed) return;
    const known = changes.get(name);
    if (known === undefined) changes.set(name, [{ step, change }]);
    else known.push({ step, change });
  };
  function soFarOf(milter: Milter): SoFar;
  function soFarOf(milter: Milter, recipient: string): Promise<SoFar>;
  function soFarOf(milter: Milter, recipient?: string): SoFar | Promise<SoFar> {
    const judgement = openJudgement(milter);
    if (recipient === undefined)
      return judgement === undefined ? nothing : soFar(milter, judgement, shared.roles);
    return judgement === undefined
      ? Promise.resolve(nothing)
      : soFarAt(milter, judgement, shared.roles, recipient);
  }
  return {
    name,
    observed,
    log,
    store: shared.store.part(observed ? `${name}(observed)` : name),
    resolver: shared.resolver,
    dial: shared.dial,
    metrics: shared.metrics,
    hostname: shared.hostname,
    data: shared.data,
    serving: shared.serving,
    chores: shared.chores,
    dictionaries: shared.dictionaries,
    socketRights: shared.socketRights,
    findings: shared.findings,
    now: shared.now,
    found: (milter, short, action, details = {}) => {
      const judgement = openJudgement(milter);
      const declaration = declared.get(short);
      if (declaration === undefined) throw new Error(`module ${name} declares no finding "${short}"`);
      if (judgement === undefined) {
        log.debug({ finding: `${name}-${short}`, session: milter.session.id }, 'found too late');
        return;
      }
      const finding = makeFinding(milter, judgement, entry, declaration, action, details, shared);
      judgement.findings.push(finding);
      shared.metrics.count('findings_total', { finding: finding.name, observed: String(observed) });
      const { change } = details;
      if (change === undefined) return;
      judgement.edits.push(finding);
      add(judgement, (message, recipients) =>
        isMade(milter, finding, judgement, shared.roles, recipients)
          ? change(message, recipients)
          : undefined,
      );
    },
    change: (milter, change, step) => {
      const judgement = openJudgement(milter);
      if (judgement !== undefined) add(judgement, change, step);
    },
    fill: (milter, template, short, values = {}) => {
      const ref = judgementFact.get(milter)?.ref ?? '';
      const finding = short === undefined ? '' : `${name}-${short}`;
      return fillTemplate(template, { milter, finding, ref, values, ...shared });
    },
    timeFor: (milter, otherwise) => {
      const left = (judgementFact.get(milter)?.stageEnd ?? 0) - performance.now();
      return Math.max(0, Math.floor(Math.min(left, entry.deadline ?? otherwise) * 0.95));
    },
    soFar: soFarOf,
    asking: (milter, word) => {
      const judgement = openJudgement(milter);
      return judgement === undefined ? [] : asking(milter, judgement, shared.roles, word);
    },
    whenSettled: (milter, work, recipient) => {
      openJudgement(milter)?.waiting.push({ module: name, work, recipient });
    },
    every: (milliseconds, work) => {
      shared.timers.every(milliseconds, work, (error) => log.warn({ error }, 'periodic work failed'));
    },
    provide: (role, value) => shared.roles.provide(role, value),
    role: (role) => shared.roles.first(role),
    holders: (role) => shared.roles.all(role),
  };
}

/** Of a message whose judgement is over. */
const nothing: SoFar = { passes: false, exempt: false, points: 0 };

function withFields(log: Logger, more: Readonly<Record<string, unknown>>): Logger {
  return {
    debug: (fields, message) => log.debug({ ...more, ...fields }, message),
    info: (fields, message) => log.info({ ...more, ...fields }, message),
    warn: (fields, message) => log.warn({ ...more, ...fields }, message),
    error: (fields, message) => log.error({ ...more, ...fields }, message),
  };
}
