/**
 * The members that change the message, one for each module, behind the decision: the library lets their edits add up on
 * one tree, and leaves nothing of one that fails or is late.
 */
import { Milter, type MilterClass } from '../index.ts';
import type { ConfiguredModule } from './config/config.ts';
import { type Change, type Judgement, judgementFact } from './findings/judgement.ts';
import type { ChangeStep } from './module.ts';
import type { Running } from './running.ts';
import { settleRefusal } from './settling.ts';

/** Makes the member that carries out what a module registered with `services.change` for a step. */
export function makeChanger(entry: ConfiguredModule, step: ChangeStep, running: Running): MilterClass {
  const Changer = class extends Milter {
    static override readonly onError = entry.onError;

    override eom(): Promise<void> | undefined {
      const judgement = judgementFact.get(this);
      const changes = judgement?.changes.get(entry.name)?.filter((one) => one.step === step);
      if (judgement === undefined || changes === undefined || changes.length === 0) return undefined;
      return this.#carryOut(
        judgement,
        changes.map(({ change }) => change),
      );
    }

    async #carryOut(judgement: Judgement, changes: readonly Change[]): Promise<void> {
      const left = judgement.outcomes
        .filter(({ verdict }) => verdict === 'accept')
        .map(({ address }) => address);
      try {
        for (const change of changes) await change(this.message, left);
      } catch (error) {
        running.count('module_failures_total', { module: entry.name });
        const refusing = entry.onError === 'tempfail' || entry.onError === 'reject';
        if (refusing) {
          running.remember(this, judgement, entry.onError, `module ${entry.name} failed`);
          settleRefusal(judgement, running);
        }
        throw error;
      }
    }
  };
  Object.defineProperty(Changer, 'name', { value: entry.name });
  return Changer;
}
