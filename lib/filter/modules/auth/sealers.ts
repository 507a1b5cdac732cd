/** Whether a believed sealer says that the mail was good when it came to him (RFC 8617 section 7). */
import { parseAuthenticationResults } from '../../../spf/index.ts';
import { isAligned } from '../../kit.ts';
import type { ArcSet } from './verified.ts';

/**
 * The sealer who vouches for the author: going back from the newest set as long as sealers are believed, the first whose
 * results let the author's domain pass.
 * @param sets of a chain that passes, the oldest first
 */
export function vouches(
  sets: readonly ArcSet[],
  author: string,
  isBelieved: (sealer: string) => boolean,
): string | undefined {
  for (const { sealer, results } of sets.toReversed()) {
    if (!isBelieved(sealer)) return undefined;
    if (saysPass(results, author)) return sealer;
  }
  return undefined;
}

/** DMARC passed; where DMARC was not looked at, what it goes by. */
function saysPass(value: string, author: string): boolean {
  const found = parseAuthenticationResults(value.replace(/^\s*i\s*=\s*\d+\s*;/, ''));
  if (found === undefined) return false;
  const dmarc = found.results.find(({ method }) => method === 'dmarc');
  if (dmarc !== undefined && dmarc.result !== 'none') {
    const from = dmarc.properties.get('header.from') ?? author;
    return dmarc.result === 'pass' && domainOf(from) === author;
  }
  return found.results.some(({ method, result, properties }) => {
    const names =
      method === 'dkim' ? ['header.d', 'header.i'] : method === 'spf' ? ['smtp.mailfrom', 'smtp.mail'] : [];
    return (
      result === 'pass' &&
      names.some((name) => {
        const identity = properties.get(name);
        return identity !== undefined && isAligned(domainOf(identity), author);
      })
    );
  });
}

function domainOf(identity: string): string {
  return identity.slice(identity.lastIndexOf('@') + 1).toLowerCase();
}
