/** Mail that no person wrote to its recipients: answers of machines, reports, lists, bulk. */
import type { Headers, Message } from '../../index.ts';

/**
 * Whether a message was made or passed on by a program (RFC 3834 and what was usual before): it says nothing about who knows
 * whom, and must not be answered.
 */
export function isAutomatic({ sender, headers }: Message): boolean {
  return (
    sender === '<>' ||
    /^<(?:mailer-daemon|postmaster|listserv|majordomo|[^@]*-(?:request|relay|bounces?|owner)|owner-[^@]*|bounces?[-+][^@]*|no-?reply)@/i.test(
      sender,
    ) ||
    says(headers, 'Auto-Submitted', /^(?!\s*no\b)/i) ||
    says(headers, 'Precedence', /^\s*(?:bulk|junk|list|auto_reply)\b/i) ||
    says(headers, 'Content-Type', /^\s*multipart\/report\b/i) ||
    ['List-Id', 'List-Unsubscribe', 'X-Autoreply', 'X-Autorespond'].some(
      (name) => headers.get(name) !== undefined,
    )
  );
}

function says(headers: Headers, name: string, what: RegExp): boolean {
  return headers.getAll(name).some(({ value }) => what.test(value));
}
