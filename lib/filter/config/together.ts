/** What no key of a configuration can tell alone. */
import { MAX_INT } from '../../options.ts';
import type { ConfiguredModule } from './config.ts';
import type { Settings } from './schema.ts';
import type { Path } from './toml.ts';

/** Who is told what is wrong with a key. */
interface FaultTaker {
  fault(path: Path, message: string): void;
}

/** Tells `taker` what does not go together. */
export function checkTogether(
  settings: Settings | undefined,
  modules: readonly ConfiguredModule[],
  taker: FaultTaker,
): void {
  checkTwins(modules, taker);
  checkNeeds(modules, taker);
  if (settings !== undefined) checkSettings(settings, taker);
}

function checkTwins(modules: readonly ConfiguredModule[], taker: FaultTaker): void {
  for (const [i, { definition, name, mode, index }] of modules.entries()) {
    const before = modules.slice(0, i);
    const twice = before.some((other) => other.definition.name === definition.name && other.mode !== 'off');
    if (definition.once === true && mode !== 'off' && twice) {
      taker.fault(['module', index, 'use'], `"${definition.name}" may stand in a configuration only once`);
    } else if (before.some((other) => other.name === name)) {
      taker.fault(
        ['module', index, 'name'],
        `another module is named "${name}" already; give this one a name of its own`,
      );
    }
  }
}

function checkNeeds(modules: readonly ConfiguredModule[], taker: FaultTaker): void {
  const running = modules.filter(({ mode }) => mode !== 'off');
  for (const { definition, options, index } of running) {
    for (const { module, why, when, lacks } of definition.needs ?? []) {
      if (when?.(options) === false) continue;
      const other = running.find((one) => one.definition.name === module);
      const lack = other === undefined ? undefined : lacks?.(other.options);
      if (other === undefined)
        taker.fault(['module', index, 'use'], `needs a [[module]] with use = "${module}", ${why}`);
      else if (lack !== undefined) taker.fault(['module', index, 'use'], lack);
    }
  }
}

function checkSettings(settings: Settings, taker: FaultTaker): void {
  const { store, threads, outgoing, quarantine, split, max_body } = settings;
  if (max_body > MAX_INT) taker.fault(['max_body'], 'must be less than 2GiB');
  if (store.url.kind === 'memory' && threads > 1) {
    taker.fault(['store', 'url'], 'is "memory:", which several threads cannot share; use "sqlite:milter.db"');
  }
  const canSend = outgoing.smtp !== undefined || outgoing.sendmail !== undefined;
  const senders: readonly [path: Path, isAsked: boolean][] = [
    [['split'], split],
    [['outgoing', 'alert'], outgoing.alert !== undefined],
    [['quarantine', 'digest'], quarantine.digest !== undefined],
  ];
  for (const [path, isAsked] of senders) {
    if (isAsked && !canSend) taker.fault(path, 'sends mail, and needs smtp or sendmail in [outgoing]');
  }
  if (outgoing.smtp !== undefined && outgoing.sendmail !== undefined) {
    taker.fault(['outgoing', 'sendmail'], 'goes not together with smtp: mail leaves by one of them');
  }
}
