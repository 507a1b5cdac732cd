/**
 * `split`: where a message's recipients are exempt in part, and what the others meet with would fall on these too, the
 * exempt are sent their copies apart, as the message was received.
 */
import type { Milter } from '../../index.ts';
import type { MessageDecision } from '../decision/decide.ts';
import { isMade } from '../decision/is-made.ts';
import { falls, type JudgedRecipient } from '../findings/finding.ts';
import type { Judgement } from '../findings/judgement.ts';
import { send } from '../outgoing/outgoing.ts';
import type { Running } from './running.ts';

/** Who is to be sent a copy apart; nobody where all meet with the same, or where the sender is told to try again. */
export function thoseApart(
  milter: Milter,
  judgement: Judgement,
  decision: MessageDecision,
  running: Running,
): readonly string[] {
  if (!running.settings.split || decision.verdict === 'tempfail') return [];
  const exempt = judgement.recipients.filter(
    (recipient) => recipient.exempt !== false && !isCaught(recipient, decision),
  );
  const taken = decision.verdict === 'continue' ? decision.out.map(({ address }) => address) : [];
  const others = judgement.recipients
    .filter((recipient) => recipient.exempt === false && !taken.includes(recipient.address))
    .map(({ address }) => address);
  if (exempt.length === 0 || others.length === 0) return [];
  const isTouched =
    decision.verdict !== 'continue' ||
    decision.hold !== undefined ||
    decision.tags.length > 0 ||
    judgement.edits.some((finding) => isMade(milter, finding, judgement, running.roles, others));
  return isTouched ? exempt.map(({ address }) => address) : [];
}

/** Whether what befalls the message falls on an exempt recipient too: a virus is not sent apart. */
function isCaught(recipient: JudgedRecipient, { ruled }: MessageDecision): boolean {
  return ruled.some(
    ({ finding, action }) =>
      finding.concernsExempt &&
      falls(finding, recipient) &&
      !['continue', 'score', 'accept'].includes(action.word),
  );
}

/**
 * Sends them the message through `[outgoing]`.
 * @throws Error where it is not taken; who had it by then gets it once more when the sender tries again
 */
export async function sendApart(
  { message }: Milter,
  recipients: readonly string[],
  { settings }: Running,
): Promise<void> {
  const bytes = Buffer.concat((await message.mime()).pieces());
  for (const recipient of recipients) {
    await send(settings, { sender: message.sender, recipient, message: bytes });
  }
}
