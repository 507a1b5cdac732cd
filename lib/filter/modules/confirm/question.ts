/** The mail that asks a stranger to confirm: as little as can be, of what the stranger wrote only the subject. */
import type { OwnMail } from '../../kit.ts';

/** Of the message that is held. */
export interface Held {
  /** As a person reads it. */
  readonly subject: string;
  /** Where it is one. */
  readonly messageId: string | undefined;
}

/** What it says. */
export interface Question extends Held {
  /** Whom it goes to. */
  readonly sender: string;
  readonly owners: readonly string[];
  /** The address whose use confirms. */
  readonly address: string;
  readonly link: string | undefined;
  /** In milliseconds since 1970. */
  readonly until: number;
}

const MAX_QUOTE = 60;
const MAX_OWNERS = 5;

/** Writes it. */
export function questionMail({
  sender,
  owners,
  address,
  link,
  until,
  subject,
  messageId,
}: Question): OwnMail {
  const shown = owners.slice(0, MAX_OWNERS).join(', ');
  const whom = owners.length > MAX_OWNERS ? `${shown} and others` : shown;
  const ways =
    link === undefined
      ? 'If you wrote it, reply to this mail. The reply may be empty.'
      : `If you wrote it, reply to this mail (the reply may be empty), or open\n\n  ${link}\n\nand press the button there.`;
  return {
    to: sender,
    subject: 'Please confirm your message',
    text: `Your message to ${whom}

  Subject: ${quoted(subject)}

is the first one from this address, and waits until you confirm that you
have sent it. ${ways}

That is needed only once, until ${new Date(until).toISOString().slice(0, 10)}. If you did not write it,
your address was used by somebody else: do nothing, and you will hear no more.
`,
    headers: {
      From: `<${address}>`,
      'Reply-To': `<${address}>`,
      'Auto-Submitted': 'auto-replied',
      Precedence: 'bulk',
      ...(messageId === undefined ? {} : { 'In-Reply-To': messageId, References: messageId }),
    },
  };
}

/** Nothing that leads anywhere: who forges a sender must not have us send his advertisement. */
function quoted(subject: string): string {
  const plain = subject
    .replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Cs}\s]+/gu, ' ')
    .replace(/\b(?:[a-z][a-z\d+.-]*:\/*|www\.)\S+/gi, '…')
    .replace(/\b[\w-]+(?:\.[\w-]+)+(?:\/\S*)?/g, '…')
    .trim();
  if (plain === '') return '(none)';
  return plain.length > MAX_QUOTE ? `${[...plain].slice(0, MAX_QUOTE).join('')}…` : plain;
}
