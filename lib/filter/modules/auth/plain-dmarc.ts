/** DMARC (RFC 9989) where the records are written as most are. */
import { DOMAIN, type PlainDns, readTags } from './plain-dns.ts';
import type { Dmarc, Policy, Signature, SpfIdentity } from './verified.ts';

/** Names of more labels are walked otherwise (section 4.10). */
const MAX_LABELS = 7;

const TAGS = new Set(['v', 'p', 'sp', 'adkim', 'aspf', 'fo', 'rua', 'ruf', 'rf', 'ri', 'pct']);

/** A record, and the domain at which it stands. */
interface PlainRecord {
  readonly domain: string;
  readonly policy: Policy;
  readonly subdomains: Policy;
  readonly isDkimStrict: boolean;
  readonly isSpfStrict: boolean;
}

/** What DMARC says of an author's domain; undefined where that is not plain. */
export async function judgePlainly(
  author: string,
  dkim: readonly Signature[],
  spf: SpfIdentity | undefined,
  dns: PlainDns,
): Promise<Dmarc | undefined> {
  const records = await walk(author, dns);
  if (records === undefined) return undefined;
  const [first] = records;
  // The organization's is the one with the fewest labels.
  const organization = records.at(-1);
  if (first === undefined || organization === undefined) {
    return { result: 'none', domain: author, policy: 'none', published: undefined, problem: undefined };
  }
  const record = first.domain === author ? first : organization;
  const policy = first.domain === author ? record.policy : record.subdomains;

  /** Undefined where that is not plain. */
  async function isAligned(domain: string, isStrict: boolean): Promise<boolean | undefined> {
    if (domain === author) return true;
    const owner = organization?.domain ?? '';
    if (isStrict || (domain !== owner && !domain.endsWith(`.${owner}`))) return false;
    const above = await walk(domain, dns);
    return above && above.at(-1)?.domain === owner;
  }

  const proofs: (boolean | undefined)[] = [];
  // What could not be looked up may yet have passed.
  if (spf?.result === 'temperror') proofs.push(undefined);
  if (spf?.result === 'pass') proofs.push(await isAligned(spf.domain.toLowerCase(), record.isSpfStrict));
  for (const { result, domain } of dkim) {
    if (result === 'pass') proofs.push(await isAligned(domain, record.isDkimStrict));
  }
  const isProven = proofs.includes(true);
  if (!isProven && proofs.includes(undefined)) return undefined;
  const result = isProven ? 'pass' : 'fail';
  return { result, domain: author, policy, published: record.policy, problem: undefined };
}

/** The records of a domain and of those above it, its own first; undefined where one is unusual. */
async function walk(domain: string, dns: PlainDns): Promise<readonly PlainRecord[] | undefined> {
  const labels = domain.split('.');
  if (labels.length > MAX_LABELS || !DOMAIN.test(domain)) return undefined;
  const found: PlainRecord[] = [];
  for (let at = 0; at < labels.length; at++) {
    const name = labels.slice(at).join('.');
    const texts = await dns.texts(`_dmarc.${name}`);
    if (texts === undefined) return undefined;
    const [text, another] = texts.filter((one) => /^\s*v\s*=\s*DMARC1/i.test(one));
    if (another !== undefined) return undefined;
    if (text === undefined) continue;
    const record = readRecord(name, text);
    if (record === undefined) return undefined;
    found.push(record);
  }
  return found;
}

function readRecord(domain: string, text: string): PlainRecord | undefined {
  const tags = /^v=DMARC1;/.test(text) ? readTags(text, TAGS) : undefined;
  if (tags === undefined) return undefined;
  const { p, sp = p, adkim = 'r', aspf = 'r' } = Object.fromEntries(tags);
  if (!isPolicy(p) || !isPolicy(sp) || !/^[rs]{2}$/.test(adkim + aspf)) return undefined;
  return { domain, policy: p, subdomains: sp, isDkimStrict: adkim === 's', isSpfStrict: aspf === 's' };
}

function isPolicy(text: string | undefined): text is Policy {
  return text === 'none' || text === 'quarantine' || text === 'reject';
}
