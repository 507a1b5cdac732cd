/**
 * Tells modules what became of what they have counted or noted: of one recipient as soon as that is refused, of all else
 * when the message has been decided and changed. Nobody waits for what they do then.
 */
import { Milter, type MilterClass } from '../../index.ts';
import { type Fate, type Judgement, judgementFact } from '../findings/judgement.ts';
import type { Running } from './running.ts';

/** Tells them that a recipient, or else the message and all its recipients, has been refused. */
export function settleRefusal(judgement: Judgement, running: Running, recipient?: string): void {
  settle(judgement, running, (waiting) => {
    if (recipient === undefined && waiting !== undefined && judgement.apart.includes(waiting))
      return 'accepted';
    return recipient === undefined || waiting === recipient ? 'refused' : undefined;
  });
}

/** Tells them what became of a message that was not refused. */
export function settleMessage(judgement: Judgement, running: Running): void {
  const accepted = new Set(
    judgement.outcomes.filter(({ verdict }) => verdict === 'accept').map(({ address }) => address),
  );
  settle(judgement, running, (waiting) =>
    (waiting === undefined ? accepted.size > 0 : accepted.has(waiting)) ? 'accepted' : 'dropped',
  );
}

function settle(
  judgement: Judgement,
  running: Running,
  fateOf: (recipient: string | undefined) => Fate | undefined,
): void {
  const waiting = judgement.waiting.splice(0);
  for (const one of waiting) {
    const fate = fateOf(one.recipient);
    if (fate === undefined) judgement.waiting.push(one);
    else {
      (async () => await one.work(fate, judgement.ruled))().catch((error: unknown) => {
        running.count('module_failures_total', { module: one.module });
        running.log.error(
          { module: one.module, ref: judgement.ref, error },
          `module ${one.module} failed: ${error instanceof Error ? error.message : String(error)}`,
        );
      });
    }
  }
}

/** Makes the last member of all: by then the message has been changed, and goes on. */
export function makeSettler(running: Running): MilterClass {
  return class Settler extends Milter {
    override eom(): void {
      const judgement = judgementFact.get(this);
      if (judgement !== undefined) settleMessage(judgement, running);
    }
  };
}
