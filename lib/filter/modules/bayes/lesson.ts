/** Messages that somebody forwarded as attachments. */
import type { MimeMessage, Part } from '../../../mime/index.ts';

/** Nobody forwards more at once by hand; who does may do it in two. */
const MAX_ATTACHED = 50;

/** The messages attached to one, or that it is itself nothing but the envelope of, as bytes; not those attached to these. */
export function attachedMessages(tree: MimeMessage): readonly Buffer[] {
  const found: Part[] = [];
  for (const part of tree.parts()) {
    if (found.length >= MAX_ATTACHED) break;
    if (isMessage(part) && !found.some((outer) => isWithin(part, outer))) found.push(part);
  }
  return found.map((part) => part.children[0]?.toBytes() ?? part.content());
}

function isMessage(part: Part): boolean {
  return (
    part.contentType === 'message/rfc822' ||
    part.contentType === 'message/global' ||
    part.names.some((name) => /\.eml$/i.test(name))
  );
}

function isWithin(part: Part, outer: Part): boolean {
  for (let at = part.parent; at !== undefined; at = at.parent) if (at === outer) return true;
  return false;
}
