/** Mail from the null sender that is no news of a failure, and that programs send to the From address, which has no signature. */
import type { Headers, Message } from '../../index.ts';
import type { MimeMessage } from '../../mime/index.ts';

/** Of a delivery report so much is read. */
const MAX_STATUS = 64 * 1024;

/** An answer of a machine (vacation, receipt), or the news that a message is late. */
export async function isAnswerOrDelay(message: Message): Promise<boolean> {
  const { headers } = message;
  const type = headers.get('Content-Type')?.value ?? '';
  if (/^\s*multipart\/report\b/i.test(type)) {
    const isDelivery =
      /\breport-type\s*=\s*"?delivery-status\b/i.test(type) || !/\breport-type\b/i.test(type);
    return !isDelivery || isDelay(await message.mime());
  }
  const isFailure =
    headers.get('X-Failed-Recipients') !== undefined ||
    says(headers, 'From', /\b(?:mailer-daemon|postmaster|mail delivery)\b/i);
  if (isFailure) return false;
  return (
    says(headers, 'Auto-Submitted', /^\s*auto-(?:replied|generated)\b/i) ||
    says(headers, 'Precedence', /^\s*auto_reply\b/i) ||
    ['X-Autoreply', 'X-Autorespond', 'X-Auto-Response-Suppress'].some(
      (name) => headers.get(name) !== undefined,
    )
  );
}

/** A report all of whose recipients are late, and none failed (RFC 3464 section 2.3.3). */
function isDelay(tree: MimeMessage): boolean {
  const actions = [...tree.parts()]
    .filter(({ contentType }) => /^message\/(?:global-)?delivery-status$/.test(contentType))
    .flatMap((part) => [
      ...part
        .contentHead(MAX_STATUS)
        .toString('latin1')
        .matchAll(/^action:[ \t]*([\w-]+)/gim),
    ])
    .map(([, action = '']) => action.toLowerCase());
  return actions.length > 0 && actions.every((action) => action === 'delayed');
}

function says(headers: Headers, name: string, what: RegExp): boolean {
  return headers.getAll(name).some(({ value }) => what.test(value));
}
