/** How the filter's own mail leaves: by the mail server or the program that `[outgoing]` names. */
import type { Settings } from '../config/schema.ts';

/** A message for one recipient. */
export interface OutgoingMail {
  /** In angle brackets; `<>` for the null sender. */
  readonly sender: string;
  /** In angle brackets. */
  readonly recipient: string;
  /** Lines end in CRLF. */
  readonly message: Buffer;
}

/** Whether the configuration says how mail leaves. */
export function canSend({ smtp, sendmail }: Settings['outgoing']): boolean {
  return smtp !== undefined || sendmail !== undefined;
}

/**
 * Sends it. Resolves when it is in the mail server's hands.
 * @throws Error where that did not take it, with what it said
 */
export async function send({ outgoing, hostname }: Settings, mail: OutgoingMail): Promise<void> {
  const { smtp, sendmail } = outgoing;
  if (smtp !== undefined) {
    const { sendBySmtp } = await loadSmtp();
    await sendBySmtp(smtp, hostname, mail);
  } else if (sendmail !== undefined) {
    await (await import('./sendmail.ts')).sendByProgram(sendmail, mail);
  } else {
    throw new Error('[outgoing] says neither smtp nor sendmail');
  }
}

async function loadSmtp(): Promise<typeof import('./smtp.ts')> {
  try {
    return await import('./smtp.ts');
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error('smtp in [outgoing] needs nodemailer: npm install nodemailer', { cause: error });
  }
}
