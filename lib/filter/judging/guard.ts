/**
 * What stands around every module: whether it has to do with a message at all, how long it may take, and what comes of
 * its failures. A failure is a finding like others (`NAME-error`), so that the other modules go on.
 */
import { setAlarm, stopAlarm } from '../../alarm.ts';
import type { Milter, MilterClass } from '../../index.ts';
import type { ConfiguredModule } from '../config/config.ts';
import { clientFact, directionFact } from '../facts.ts';
import type { Finding, FindingReply } from '../findings/finding.ts';
import { type Judgement, judgementFact, serve } from '../findings/judgement.ts';
import type { Running } from './running.ts';

/** The stages that modules may work in. connect and helo would cost a crossing each, and the session knows all they say. */
const moduleStages = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'] as const;
export type ModuleStage = (typeof moduleStages)[number];

/** The library's own watch is for what the guard lets slip: it leaves a module all of the stage. */
const WHOLE_STAGE = 0x7fff_ffff;

type Handler = (this: Milter, ...values: readonly unknown[]) => unknown;

/** Makes the class that takes part in the filter: the module's own, guarded. */
export function guard(Module: MilterClass, entry: ConfiguredModule, running: Running): MilterClass {
  const own = stagesOf(Module);
  const Guarded = class extends Module {
    static override readonly onError = entry.onError;
    static override readonly deadlines = Object.fromEntries(own.map((stage) => [stage, WHOLE_STAGE]));
  };
  Object.defineProperty(Guarded, 'name', { value: entry.name });
  for (const stage of own) {
    const handler = Module.prototype[stage] as Handler;
    Object.defineProperty(Guarded.prototype, stage, {
      configurable: true,
      writable: true,
      value(this: Milter, ...values: readonly unknown[]) {
        return call(this, stage, handler, values, entry, running);
      },
    });
  }
  return Guarded;
}

/** Where a module's class works. */
export function stagesOf(Module: MilterClass): readonly ModuleStage[] {
  return moduleStages.filter((stage) => handles(Module, stage));
}

function handles(Module: MilterClass, stage: ModuleStage): boolean {
  for (let at: object | null = Module.prototype; at !== null; at = Object.getPrototypeOf(at)) {
    if (Object.hasOwn(at, stage)) return Object.getPrototypeOf(at) !== Object.prototype;
  }
  return false;
}

/** Handlers that are running although their time is up: their instance is called no more until they are back. */
const running = new WeakMap<Milter, Promise<unknown>>();

function call(
  milter: Milter,
  stage: ModuleStage,
  handler: Handler,
  values: readonly unknown[],
  entry: ConfiguredModule,
  host: Running,
): Promise<void> | undefined {
  const judgement = judgementFact.get(milter);
  if (judgement === undefined || !applies(milter, judgement, entry, stage, values[0])) return undefined;
  if (running.has(milter)) {
    failed(milter, judgement, stage, entry, host, new Error('still busy with an earlier stage'));
    return undefined;
  }
  serve(milter, judgement);
  let value: unknown;
  try {
    value = Reflect.apply(handler, milter, values);
  } catch (error) {
    failed(milter, judgement, stage, entry, host, error);
    return undefined;
  }
  // What answers at once, as most do, is to cost next to nothing.
  if (value === undefined) return undefined;
  const fail = (error: unknown): void => failed(milter, judgement, stage, entry, host, error);
  const check = (answer: unknown): void => {
    if (answer !== undefined) {
      fail(new Error(`answered ${stage} with a verdict; a module reports findings (services.found)`));
    }
  };
  if (value instanceof Promise) return inTime(milter, judgement, value, entry, host, check, fail);
  check(value);
  return undefined;
}

/** Whether a module has to do with this message, at this stage. */
export function applies(
  milter: Milter,
  judgement: Judgement,
  entry: ConfiguredModule,
  stage: ModuleStage,
  value: unknown,
): boolean {
  if (judgement.excluded.has(entry.name)) return false;
  const { when, match } = entry;
  const atEnd = judgement.phase !== 'envelope';
  const fits =
    when.length === 0 ||
    when.includes(clientFact.get(milter).kind) ||
    (atEnd && when.includes(directionFact.get(milter)));
  if (!fits) return false;
  if (stage === 'envrcpt') return concerns(entry, String(value));
  if (!atEnd || (match.to === undefined && match.not_to === undefined)) return true;
  const recipients = milter.message.recipients.map(({ address }) => address);
  const { to, not_to } = match;
  return (
    (to === undefined || recipients.some((address) => to.has(address))) &&
    (not_to === undefined || !recipients.some((address) => not_to.has(address)))
  );
}

/** Whether a module works for this recipient. */
export function concerns({ match }: ConfiguredModule, recipient: string): boolean {
  return (
    (match.to === undefined || match.to.has(recipient)) &&
    (match.not_to === undefined || !match.not_to.has(recipient))
  );
}

/** Waits for the handler, but no longer than its time, and passes on what comes of it. */
function inTime(
  milter: Milter,
  judgement: Judgement,
  handler: Promise<unknown>,
  entry: ConfiguredModule,
  host: Running,
  check: (answer: unknown) => void,
  fail: (error: unknown) => void,
): Promise<void> {
  const began = performance.now();
  const left = Math.max(0, judgement.stageEnd - began);
  return new Promise((resolve) => {
    const done = (): void => {
      host.observe('module_seconds', (performance.now() - began) / 1_000, { module: entry.name });
      resolve();
    };
    const alarm = setAlarm(Math.min(left, entry.deadline ?? left), () => {
      const back = handler.finally(() => running.delete(milter));
      back.catch(() => {});
      running.set(milter, back);
      fail(new Error('its time is up'));
      done();
    });
    const pass = (on: (came: unknown) => void) => (came: unknown) => {
      if (!stopAlarm(alarm)) return;
      on(came);
      done();
    };
    handler.then(pass(check), pass(fail));
  });
}

/** Logs, counts and reports that a module failed. */
export function failed(
  milter: Milter,
  judgement: Judgement,
  stage: ModuleStage,
  entry: ConfiguredModule,
  host: Running,
  error: unknown,
): void {
  host.log.error(
    {
      module: entry.name,
      stage,
      session: milter.session.id,
      queueId: milter.message.queueId,
      ref: judgement.ref,
      error,
    },
    `module ${entry.name} failed: ${error instanceof Error ? error.message : String(error)}`,
  );
  host.count('module_failures_total', { module: entry.name });
  judgement.changes.delete(entry.name);
  host.report(milter, failureOf(entry, judgement, error));
}

/** What a failure is answered with, where it is. */
export function failureReply(onError: ConfiguredModule['onError']): FindingReply {
  return onError === 'reject'
    ? { code: 554, enhanced: '5.3.0', text: 'Mail filter failed' }
    : { code: 451, enhanced: '4.3.0', text: 'Mail filter failed, please try again later' };
}

/** A module's failure as a finding. */
function failureOf(entry: ConfiguredModule, judgement: Judgement, error: unknown): Finding {
  return {
    name: `${entry.name}-error`,
    module: entry.name,
    about: 'message',
    subject: '',
    action: { word: entry.onError },
    observed: entry.mode === 'observe',
    when: judgement.phase === 'envelope' ? 'envelope' : 'message',
    recipient: undefined,
    unsparing: entry.definition.unsparing === true,
    concernsExempt: entry.definition.concernsExempt === true,
    reply: failureReply(entry.onError),
    mark: '',
    note: error instanceof Error ? error.message : String(error),
    unless: undefined,
    concerns: (recipient) => concerns(entry, recipient),
  };
}
