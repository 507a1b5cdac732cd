/** Names that ask for a signature, as the macros of an SPF record make them: `SES=SIGNATURE=user._ses.ZONE`. */
import type { QueryName } from './name.ts';
import { HEADER_SIZE } from './query.ts';

/** What a name asks about: the address may be any of these. */
export interface SignedName {
  /** As it was asked, and in lower case: resolvers may change the case of letters on the way. */
  readonly locals: readonly string[];
  readonly domains: readonly string[];
}

const MARK = '_ses';

/**
 * Takes a name within the zone apart: `LOCAL._ses.DOMAIN.ZONE`, or `LOCAL._ses.ZONE` for senders at the zone and the
 * domains above it, or `LOCAL.ZONE` where the zone is `_ses.DOMAIN`. Undefined for names of the list; `unsigned` for those
 * of senders that carry no signature, and for the names in between.
 */
export function splitSigned(
  name: QueryName,
  zone: string,
  packet: Uint8Array,
): SignedName | 'unsigned' | undefined {
  const isOwnZone = zone.startsWith(`${MARK}.`);
  const mark = isOwnZone ? name.labels : findMark(name);
  if (mark < 0) return undefined;
  const local = Buffer.from(packet).toString('latin1', HEADER_SIZE, HEADER_SIZE + (name.starts[mark] ?? 0));
  const labels = Array.from({ length: mark }, (_, i) =>
    local.slice((name.starts[i] ?? 0) + 1, name.starts[i + 1]),
  );
  const asked = labels.join('.');
  if (!/^ses=/i.test(asked)) return 'unsigned';
  const locals = [...new Set([asked, asked.toLowerCase()])];
  if (isOwnZone) return { locals, domains: [zone.slice(MARK.length + 1)] };
  const domain = Array.from({ length: name.labels - mark - 1 }, (_, i) => name.label(mark + 1 + i)).join('.');
  return { locals, domains: domain === '' ? withParents(zone) : [domain] };
}

function findMark({ wire, starts, labels }: QueryName): number {
  for (let label = 0; label < labels; label++) {
    const at = starts[label] ?? 0;
    if (wire[at] === MARK.length && wire[at + 1] === 0x5f && wire.toString('latin1', at + 1, at + 5) === MARK)
      return label;
  }
  return -1;
}

/** The zone and what is above it, but for the last label. */
function withParents(zone: string): string[] {
  const labels = zone.split('.');
  return labels.slice(0, Math.max(1, labels.length - 1)).map((_, i) => labels.slice(i).join('.'));
}
