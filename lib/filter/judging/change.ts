/**
 * The members that change the message, one for each module, behind the decision: the library lets their edits add up on
 * one tree, and leaves nothing of one that fails or is late.
 */
import { Milter, type MilterClass, type Reject, type Tempfail } from '../../index.ts';
import type { ConfiguredModule } from '../config/config.ts';
import { makeReply, showReply } from '../decision/reply.ts';
import { type Change, type Judgement, judgementFact } from '../findings/judgement.ts';
import type { ChangeStep } from '../module.ts';
import { failed, failureReply } from './guard.ts';
import type { Running } from './running.ts';
import { settleRefusal } from './settling.ts';

/** Makes the member that carries out what a module registered with `services.change` for a step. */
export function makeChanger(entry: ConfiguredModule, step: ChangeStep, running: Running): MilterClass {
  const Changer = class extends Milter {
    static override readonly onError = entry.onError;
    static override readonly deadlines = entry.deadline === undefined ? {} : { eom: entry.deadline };

    override eom(): Promise<Reject | Tempfail | undefined> | undefined {
      const judgement = judgementFact.get(this);
      const changes = judgement?.changes.get(entry.name)?.filter((one) => one.step === step);
      if (judgement === undefined || changes === undefined || changes.length === 0) return undefined;
      return this.#carryOut(
        judgement,
        changes.map(({ change }) => change),
      );
    }

    async #carryOut(
      judgement: Judgement,
      changes: readonly Change[],
    ): Promise<Reject | Tempfail | undefined> {
      const left = judgement.outcomes
        .filter(({ verdict, address }) => verdict === 'accept' && !judgement.apart.includes(address))
        .map(({ address }) => address);
      try {
        for (const change of changes) await change(this.message, left);
        return undefined;
      } catch (error) {
        const { onError } = entry;
        failed(this, judgement, 'eom', entry, running, error);
        // The library takes back what the module has changed so far.
        if (onError !== 'tempfail' && onError !== 'reject') throw error;
        return this.#refuse(judgement, onError);
      }
    }

    #refuse(judgement: Judgement, verdict: 'reject' | 'tempfail'): Reject | Tempfail {
      const finding = `${entry.name}-error`;
      const { help } = running.settings;
      const reply = makeReply(verdict, failureReply(verdict), finding, { ref: judgement.ref, help });
      const shown = showReply(reply);
      const refused = judgement.outcomes.map((outcome) =>
        outcome.verdict === 'accept' && !judgement.apart.includes(outcome.address)
          ? { ...outcome, verdict, reply: shown, finding }
          : outcome,
      );
      judgement.outcomes.splice(0, refused.length, ...refused);
      running.count('verdicts_total', { verdict });
      running.remember(this, judgement, verdict, shown);
      settleRefusal(judgement, running);
      return reply;
    }
  };
  Object.defineProperty(Changer, 'name', { value: entry.name });
  return Changer;
}
