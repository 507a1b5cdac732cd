/** Whether a domain's SPF says whose its relays are: one that lets everybody send is no proof of anything. */
import type { Resolver } from '../../../dns/index.ts';
import { checkHost, type LintNode, lintDomain, parseRecord } from '../../../spf/index.ts';

/** Networks wider than this hold more strangers than relays. */
const WIDEST_IP4 = 16;
const WIDEST_IP6 = 32;
/** Documentation networks, which nobody has (RFC 5737): of all of them only a record that takes everybody lets pass. */
const STRANGERS = ['192.0.2.1', '198.51.100.1', '203.0.113.1'];

/** Why mail cannot be told to be a forwarder's by SPF of its domain, in words that follow the domain; undefined where it can. */
export async function whyUnfit(forwarder: string, resolver: Resolver): Promise<string | undefined> {
  const { tree } = await lintDomain(forwarder, resolver);
  if (tree.record === undefined) return 'has no SPF record, or DNS does not answer';
  const term = widest(tree);
  if (term !== undefined) return `lets too many send: its SPF record has "${term}"`;
  const results = await Promise.all(
    STRANGERS.map(async (ip) => {
      const { result } = await checkHost({
        ip,
        sender: `postmaster@${forwarder}`,
        helo: forwarder,
        resolver,
      });
      return result;
    }),
  );
  if (results.includes('permerror')) return 'has a broken SPF record';
  return results.every((result) => result === 'pass') ? 'lets everybody send, by its SPF record' : undefined;
}

/** The first term that is too wide, here or in what is included. */
function widest({ record, children }: LintNode): string | undefined {
  const wide = parseRecord(record ?? 'v=spf1').directives.find(
    (directive) =>
      directive.result === 'pass' &&
      (directive.kind === 'all' ||
        (directive.kind === 'ip4' && directive.prefix < WIDEST_IP4) ||
        (directive.kind === 'ip6' && directive.prefix < WIDEST_IP6) ||
        ((directive.kind === 'a' || directive.kind === 'mx') &&
          (directive.prefix4 < WIDEST_IP4 || directive.prefix6 < WIDEST_IP6))),
  );
  if (wide !== undefined) return wide.text;
  for (const child of children) {
    const term = widest(child);
    if (term !== undefined) return term;
  }
  return undefined;
}
