/**
 * The member between those that judge and those that change: it asks what the findings come to, answers the MTA, and
 * takes out those recipients whose copy does not go on.
 */
import { type Message, Milter, type MilterClass, type Reject, type Tempfail, tempfail } from '../../index.ts';
import { decideMessage, decideRecipient, type MessageDecision, type Ruled } from '../decision/decide.ts';
import { makeReply, showReply } from '../decision/reply.ts';
import { isExempt, rulesFor } from '../decision/so-far.ts';
import { writeDecision } from '../decision/write.ts';
import { directionFact, ownHeaderRole, scoreRole } from '../facts.ts';
import { type Finding, type FindingReply, holds } from '../findings/finding.ts';
import { type Judgement, judgementFact, type RecipientOutcome } from '../findings/judgement.ts';
import { comparableAddress } from '../mail/comparable.ts';
import { meantBy } from '../mail/meant.ts';
import { type AllowedSenders, type Identity, provedIdentities } from '../quarantine/allowed.ts';
import { QuarantineFull } from '../quarantine/folder.ts';
import { RELEASED_HEADER } from '../quarantine/mark.ts';
import type { Quarantine } from '../quarantine/quarantine.ts';
import { MAX_RECIPIENTS } from '../watch/history.ts';
import { sendApart, thoseApart } from './apart.ts';
import { failureReply } from './guard.ts';
import type { Running } from './running.ts';
import { settleMessage, settleRefusal } from './settling.ts';

type Answer = Reject | Tempfail | 'discard' | undefined;
type GoesOn = MessageDecision & { readonly verdict: 'continue' };
type Refusal = Exclude<MessageDecision, GoesOn>;

/** Makes the class for a configuration in force. */
export function makeDecider(
  running: Running,
  quarantine: Quarantine,
  allowed: Pick<AllowedSenders, 'allowing'>,
): MilterClass {
  return class Decider extends Milter {
    static override readonly onError = 'tempfail';

    override envrcpt(recipient: string): Answer | Promise<Answer> {
      const judgement = judgementFact.get(this);
      if (judgement === undefined) return undefined;
      const exempt = isExempt(running.roles, recipient);
      return typeof exempt === 'boolean'
        ? this.#decideRecipient(judgement, recipient, exempt)
        : exempt.then((is) => this.#decideRecipient(judgement, recipient, is));
    }

    #decideRecipient(judgement: Judgement, recipient: string, exempt: boolean): Answer {
      const decision = decideRecipient(judgement.findings, rulesFor(this, running.roles), recipient, exempt);
      if (decision.verdict === 'continue') {
        judgement.recipients.push({ address: recipient, exempt, out: decision.out });
        return undefined;
      }
      const { verdict, because } = decision;
      const reply = replyTo(verdict, because, judgement, running);
      judgement.outcomes.push({
        address: recipient,
        verdict,
        reply: showReply(reply),
        finding: because.finding.name,
      });
      report(this, judgement, running, verdict, because, recipient);
      // Of more the history knows nothing, and who sends to thousands is not to have it written anew for each.
      if (judgement.outcomes.length <= MAX_RECIPIENTS) {
        running.remember(this, judgement, verdict, showReply(reply));
      }
      settleRefusal(judgement, running, recipient);
      return reply;
    }

    override eom(): Answer | Promise<Answer> {
      const judgement = judgementFact.get(this);
      if (judgement === undefined) return undefined;
      // Nobody hears it any more, and the message comes again: nothing is held, copied, or sent for this one.
      if (this.message.signal.aborted) return this.#forget(judgement);
      if (running.settings.too_big === 'reject' && !this.message.bodyComplete) running.report(this, tooBig());
      // Ours is above one that the message may have come with.
      const mark = this.message.headers.get(RELEASED_HEADER);
      return mark === undefined
        ? this.#consider(judgement)
        : this.#spareOwn(judgement, mark.value).then(() => this.#consider(judgement));
    }

    #forget(judgement: Judgement): Answer {
      running.log.info(
        { session: this.session.id, queueId: this.message.queueId, ref: judgement.ref },
        'the MTA hung up before its message was decided; its sender will try again',
      );
      settleRefusal(judgement, running);
      return tempfail(451, '4.3.0', 'The connection was lost');
    }

    /** Asks whether recipients always want this sender's mail, where something else would become of it. */
    #consider(judgement: Judgement): Answer | Promise<Answer> {
      const decision = decideMessage(judgement.findings, rulesFor(this, running.roles), judgement.recipients);
      const isClean =
        decision.verdict === 'continue' &&
        decision.out.length + decision.tags.length === 0 &&
        decision.hold === undefined;
      const identities = isClean ? [] : provedIdentities(this);
      if (identities.length === 0) return this.#decideMessage(judgement, decision);
      return this.#spareAllowed(judgement, identities).then((spared) =>
        this.#decideMessage(
          judgement,
          spared
            ? decideMessage(judgement.findings, rulesFor(this, running.roles), judgement.recipients)
            : decision,
        ),
      );
    }

    #decideMessage(judgement: Judgement, decision: MessageDecision): Answer | Promise<Answer> {
      judgement.phase = 'decided';
      judgement.ruled = decision.ruled;
      judgement.points = decision.points;
      const apart = thoseApart(this, judgement, decision, running);
      return apart.length === 0
        ? this.#carryOut(judgement, decision)
        : this.#splitOff(judgement, decision, apart);
    }

    /** The exempt have theirs before the others' is decided: whatever then happens, no copy is missing. */
    async #splitOff(
      judgement: Judgement,
      decision: MessageDecision,
      apart: readonly string[],
    ): Promise<Answer> {
      try {
        await sendApart(this, apart, running);
      } catch (error) {
        return this.#notTaken(judgement, 'milter-split-error', failureReply('tempfail'), error);
      }
      judgement.apart = apart;
      running.log.info(
        { session: this.session.id, ref: judgement.ref, recipient: apart.join(',') },
        'copies were sent apart',
      );
      return await this.#carryOut(judgement, decision);
    }

    #carryOut(judgement: Judgement, decision: MessageDecision): Answer | Promise<Answer> {
      if (decision.verdict !== 'continue') return this.#refuse(judgement, decision);
      const held = decision.out.filter(({ how }) => how === 'quarantine').map(({ address }) => address);
      return held.length === 0
        ? this.#goOn(judgement, decision, 'discard')
        : this.#hold(judgement, decision, held);
    }

    #refuse(judgement: Judgement, { verdict, because }: Refusal): Answer {
      const reply = replyTo(verdict, because, judgement, running);
      const refused = { verdict, reply: showReply(reply), finding: because.finding.name };
      for (const { address } of judgement.recipients) {
        judgement.outcomes.push(
          judgement.apart.includes(address) ? { address, verdict: 'accept' } : { address, ...refused },
        );
      }
      report(this, judgement, running, verdict, because);
      running.remember(this, judgement, verdict, showReply(reply));
      settleRefusal(judgement, running);
      return reply;
    }

    /** What was released from quarantine has been judged, by a person; what the filter writes itself need not be. */
    async #spareOwn(judgement: Judgement, mark: string): Promise<void> {
      const owners = judgement.recipients.map(({ address }) => comparableAddress(address));
      const owner = await quarantine.sparedBy(mark, owners);
      for (const [i, recipient] of judgement.recipients.entries()) {
        if (owners[i] === owner)
          judgement.recipients[i] = { ...recipient, exempt: 'released', out: undefined };
      }
      running.log.info(
        { session: this.session.id, ref: judgement.ref, owner },
        owner === undefined ? 'a mark of the filter is not good' : 'message is released, or the filter’s own',
      );
    }

    /** Resolves to whether a recipient wants it. */
    async #spareAllowed(judgement: Judgement, identities: readonly Identity[]): Promise<boolean> {
      const owners = judgement.recipients.map(({ address }) => comparableAddress(address));
      const wanting = await allowed.allowing(owners, identities);
      if (wanting.size === 0) return false;
      for (const [i, recipient] of judgement.recipients.entries()) {
        if (recipient.exempt !== false || !wanting.has(owners[i] ?? '')) continue;
        const out = recipient.out?.finding.unsparing === true ? recipient.out : undefined;
        judgement.recipients[i] = { ...recipient, exempt: 'allowed', out };
      }
      running.log.info(
        {
          session: this.session.id,
          ref: judgement.ref,
          sender: identities[0]?.address,
          recipients: [...wanting].join(','),
        },
        'recipients always allow this sender',
      );
      return true;
    }

    /** Safe before the MTA is told anything. */
    async #hold(judgement: Judgement, decision: GoesOn, held: readonly string[]): Promise<Answer> {
      try {
        // Whose they are; released to them they need not stand for anybody again.
        const owners = held.map(
          async (address) => (await meantBy((role) => running.roles.all(role), address)) ?? address,
        );
        await quarantine.hold(this, judgement, await Promise.all(owners));
      } catch (error) {
        const isFull = error instanceof QuarantineFull;
        return this.#notTaken(
          judgement,
          `milter-quarantine-${isFull ? 'full' : 'error'}`,
          isFull
            ? { code: 452, enhanced: '4.3.1', text: 'Insufficient system storage, please try again later' }
            : failureReply('tempfail'),
          error,
        );
      }
      return this.#goOn(judgement, decision, 'quarantine');
    }

    /** @param unlessLeft what becomes of the message where no copy of it goes on */
    #goOn(judgement: Judgement, decision: GoesOn, unlessLeft: 'discard' | 'quarantine'): Answer {
      const { message } = this;
      for (const { address, how, finding } of decision.out) {
        message.deleteRcpt(address);
        judgement.outcomes.push({ address, verdict: how, finding: finding.name });
      }
      for (const address of judgement.apart) {
        message.deleteRcpt(address);
        judgement.outcomes.push({ address, verdict: 'accept' });
      }
      const out = new Set([...decision.out.map(({ address }) => address), ...judgement.apart]);
      const left = judgement.recipients.filter(({ address }) => !out.has(address));
      for (const { address } of left) judgement.outcomes.push({ address, verdict: 'accept' });
      if (left.length === 0) {
        report(this, judgement, running, unlessLeft, undefined);
        running.remember(this, judgement, unlessLeft);
        settleMessage(judgement, running);
        return 'discard';
      }
      // Nobody else shall see it, nor make one.
      for (let n = message.headers.getAll(RELEASED_HEADER).length; n > 0; n--) {
        message.changeHeader(RELEASED_HEADER, n, null);
      }
      if (decision.hold !== undefined) message.quarantine(holdReason(decision.hold, judgement));
      const header = running.roles.first(scoreRole)?.header ?? '';
      const forgeable = running.roles.all(ownHeaderRole);
      writeDecision(message, decision, directionFact.get(this), header, forgeable);
      const verdict = decision.hold === undefined ? 'accept' : 'hold';
      report(this, judgement, running, verdict, decision.hold);
      running.remember(this, judgement, verdict);
      return undefined;
    }

    /** What cannot be kept for review, or sent apart, is not taken either: the MTA before ours tries again. */
    #notTaken(judgement: Judgement, finding: string, text: FindingReply, error: unknown): Answer {
      const { ref } = judgement;
      const reply = makeReply('tempfail', text, finding, { ref, help: undefined });
      const what = finding === 'milter-split-error' ? 'sent apart' : 'held in quarantine';
      running.log.error(
        { session: this.session.id, queueId: this.message.queueId, ref, error },
        `message cannot be ${what}: ${error instanceof Error ? error.message : String(error)}`,
      );
      for (const { address } of judgement.recipients) {
        judgement.outcomes.push({ address, verdict: 'tempfail', reply: showReply(reply), finding });
      }
      report(this, judgement, running, 'tempfail', undefined);
      running.remember(this, judgement, 'tempfail', showReply(reply));
      settleRefusal(judgement, running);
      return reply;
    }
  };
}

function replyTo(
  verdict: 'reject' | 'tempfail',
  { reply, finding }: Ruled,
  { ref }: Judgement,
  running: Running,
) {
  return makeReply(verdict, reply, finding.name, { ref, help: running.settings.help });
}

function holdReason({ finding }: Ruled, { ref }: Judgement): string {
  return `${finding.name} [ref ${ref}]`;
}

function tooBig(): Finding {
  return {
    name: 'milter-too-big',
    module: 'milter',
    about: 'message',
    subject: '',
    action: { word: 'reject' },
    observed: false,
    when: 'message',
    recipient: undefined,
    unsparing: true,
    concernsExempt: false,
    reply: { code: 552, enhanced: '5.3.4', text: 'Message too big' },
    mark: '',
    note: undefined,
    unless: undefined,
    concerns: () => true,
  };
}

/** One line for every message, and for every refused recipient. */
function report(
  milter: Milter,
  judgement: Judgement,
  running: Running,
  verdict: RecipientOutcome['verdict'] | 'hold',
  because: Ruled | undefined,
  recipient?: string,
): void {
  const { session, message } = milter;
  const concerning = judgement.findings.filter(
    (one) => recipient === undefined || one.recipient === undefined || one.recipient === recipient,
  );
  const names = concerning.filter(holds).map(({ name, observed }) => (observed ? `${name}(observed)` : name));
  // What was found of a thousand recipients is named once.
  const findings = [...new Set(names)];
  running.count('verdicts_total', { verdict });
  running.log.info(
    {
      session: session.id,
      queueId: message.queueId,
      ref: judgement.ref,
      verdict,
      finding: because?.finding.name,
      by: because?.by,
      client: session.client.address,
      helo: session.helo,
      sender: message.sender,
      recipient: recipient ?? judgement.recipients.map(({ address }) => address).join(','),
      findings: findings.length === 0 ? undefined : findings.join(','),
      subject: running.settings.log.subjects ? message.headers.get('Subject')?.value : undefined,
      // Before the end of the message there are none.
      headers: running.settings.log.headers && recipient === undefined ? shownHeaders(message) : undefined,
    },
    recipient === undefined ? `message: ${verdict}` : `recipient: ${verdict}`,
  );
}

/** So many are logged, each unfolded; the log cuts what is long. */
const MAX_HEADERS = 50;

function shownHeaders({ headers }: Message): readonly string[] {
  return [...headers]
    .slice(0, MAX_HEADERS)
    .map(({ name, value }) => `${name}: ${value.replace(/\s+/g, ' ').slice(0, 200)}`);
}
