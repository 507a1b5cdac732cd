/** How the filter's own mail leaves: by the mail server or the program that `[outgoing]` names. */
import type { Settings } from '../config/schema.ts';
import { type Handing, OutgoingError, type OutgoingMail } from './mail.ts';

/** Whether the configuration says how mail leaves. */
export function canSend({ smtp, sendmail }: Settings['outgoing']): boolean {
  return smtp !== undefined || sendmail !== undefined;
}

/**
 * Sends it. Resolves when it is in the mail server's hands.
 * @throws OutgoingError where that did not take it, with what it said; what `handing` rejects with
 */
export async function send(
  { outgoing, hostname }: Pick<Settings, 'outgoing' | 'hostname'>,
  mail: OutgoingMail,
  handing: Handing = async () => {},
): Promise<void> {
  const { smtp, sendmail } = outgoing;
  if (smtp !== undefined) {
    const { sendBySmtp } = await loadSmtp();
    await sendBySmtp(smtp, hostname, mail, handing);
  } else if (sendmail !== undefined) {
    await (await import('./sendmail.ts')).sendByProgram(sendmail, mail, handing);
  } else {
    throw new OutgoingError('later', '[outgoing] says neither smtp nor sendmail', { isAway: true });
  }
}

async function loadSmtp(): Promise<typeof import('./smtp.ts')> {
  try {
    return await import('./smtp.ts');
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const message = 'smtp in [outgoing] needs nodemailer: npm install nodemailer';
    throw new OutgoingError('later', message, { cause: error, isAway: true });
  }
}
