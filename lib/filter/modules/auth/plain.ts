/**
 * Verifies in this thread mail that is written as most mail is, without ARC. That costs a fifth of what mailauth takes in its
 * thread. Whatever is unusual, or has no answer of DNS, it says nothing of: mailauth judges it. So it may say less than mailauth,
 * never other.
 */
import { createHash, createPublicKey, type KeyObject, verify as verifyBytes } from 'node:crypto';
import type { Resolver } from '../../../dns/index.ts';
import type { Header } from '../../../index.ts';
import { hashBody, relaxed, relaxedField } from './canonical.ts';
import { judgePlainly } from './plain-dmarc.ts';
import { DOMAIN, PlainDns, readTags } from './plain-dns.ts';
import type { Signature, SpfIdentity, Verified } from './verified.ts';

/** What is looked at; more of it takes longer than other mail should wait. */
const MAX_BODY = 256 * 1024;
const MAX_FIELDS = 200;
const MAX_SIGNATURES = 3;
const MAX_SIGNATURE = 4 * 1024;
/** Of an RSA key. Shorter ones can be broken (RFC 8301 section 3.2). */
const MIN_BITS = 1_024;
const MAX_BITS = 4_096;
/** Public keys that are kept, by their records: to read one takes longer than to verify with it. */
const MAX_KEYS = 1_000;

type Field = Pick<Header, 'name' | 'raw'>;

/** A message. */
export interface PlainMail {
  readonly fields: readonly Field[];
  /** Undefined where nothing covers it. */
  readonly body: Buffer | undefined;
  /** The addresses in From, as a mail reader may see them. */
  readonly authors: readonly string[];
  readonly spf: SpfIdentity | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly resolver: Resolver;
}

/** What mailauth would find, or undefined where that is for mailauth to say. */
export async function verifyPlainly(mail: PlainMail): Promise<Verified | undefined> {
  const { fields, spf, now } = mail;
  const author = authorOf(mail);
  if (author === undefined || fields.length > MAX_FIELDS) return undefined;
  if (fields.some(({ name }) => !FIELD_NAME.test(name) || /^arc-/i.test(name))) return undefined;
  const signatures = fields.filter(({ name }) => name.toLowerCase() === 'dkim-signature');
  const body = mail.body ?? Buffer.alloc(0);
  if (signatures.length > MAX_SIGNATURES || body.length > MAX_BODY) return undefined;
  const dns = new PlainDns(mail.resolver);
  const hashes = new BodyHashes(body);
  const dkim: Signature[] = [];
  for (const field of signatures) {
    const signature = readSignature(field, now);
    if (signature === undefined) return undefined;
    const result = await verifySignature(signature, field, mail, hashes, dns);
    if (result === undefined) return undefined;
    dkim.push(result);
  }
  const dmarc = await judgePlainly(author, dkim, spf, dns);
  const arc = { result: 'none', comment: undefined, isUnsure: false, sets: [] } as const;
  return dmarc && { dkim, arc, dmarc };
}

async function verifySignature(
  signature: PlainSignature,
  field: Field,
  { fields, body }: PlainMail,
  hashes: BodyHashes,
  dns: PlainDns,
): Promise<Signature | undefined> {
  const failed = { ...signature.result, result: 'fail' } as const;
  if ((await hashes.get(signature.isBodyRelaxed)) !== signature.bodyHash) {
    return isUsual(body) ? { ...failed, comment: 'body hash did not verify' } : undefined;
  }
  const key = await findKey(signature, dns);
  if (key === undefined) return undefined;
  const covered = coveredBytes(signature, field, fields);
  if (isMadeBy(key, covered, signature)) return signature.result;
  return isUsual(covered) ? { ...failed, comment: 'bad signature' } : undefined;
}

/** Whether all agree what its canonical form is. */
function isUsual(bytes: Buffer | undefined): boolean {
  return bytes === undefined || !/\r(?!\n)|(?<!\r)\n|[^\t\r\n -~\xa1-\xff]/.test(bytes.toString('latin1'));
}

const FIELD_NAME = /^[!-9;-~]+$/;
/** One address, bare or behind a name in which nobody finds another one. */
const FROM =
  /^\s*(?:(?:"[^"\\@<>(),;:]*"|[^"\\@<>(),;:[\]]*)\s*<([^\s"\\@<>(),;:[\]]+@[^\s"\\@<>(),;:[\]]+)>|([^\s"\\@<>(),;:[\]]+@[^\s"\\@<>(),;:[\]]+))\s*$/;

/** The domain of the one author, of whom all readers would say the same. */
function authorOf({ fields, authors }: PlainMail): string | undefined {
  const [from, another] = fields.filter(({ name }) => name.toLowerCase() === 'from');
  if (from === undefined || another !== undefined) return undefined;
  const text = from.raw.toString('latin1').replace(/\r?\n(?=[ \t])/g, '');
  if (!/^[\t -~]*$/.test(text)) return undefined;
  const [, angled, bare] = FROM.exec(text) ?? [];
  const address = angled ?? bare;
  const [author] = authors;
  if (address === undefined || authors.length !== 1 || author?.toLowerCase() !== address.toLowerCase())
    return undefined;
  const domain = address.slice(address.indexOf('@') + 1).toLowerCase();
  return DOMAIN.test(domain) ? domain : undefined;
}

/** What a signature says. */
interface PlainSignature {
  readonly result: Signature;
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  readonly isBodyRelaxed: boolean;
  readonly bodyHash: string;
  readonly signature: Buffer;
  /** Names of the fields that it covers, in lower case. */
  readonly covers: readonly string[];
  readonly keyName: string;
  /** `i=` names a domain below that of `d=`. */
  readonly isBelow: boolean;
}

const KNOWN_TAGS = new Set(['v', 'a', 'b', 'bh', 'c', 'd', 'h', 'i', 'q', 's', 't', 'x']);

function readSignature({ raw }: Field, now: number): PlainSignature | undefined {
  if (raw.length > MAX_SIGNATURE) return undefined;
  const tags = readTags(raw.toString('latin1').replace(/\r?\n/g, ''), KNOWN_TAGS);
  if (tags === undefined) return undefined;
  const [a, c, d = '', s = ''] = ['a', 'c', 'd', 's'].map((name) => tags.get(name));
  const [b, bh] = ['b', 'bh'].map((name) => (tags.get(name) ?? '').replace(/[ \t]+/g, ''));
  const { i = `@${d}`, q = 'dns/txt', t = '0', x } = Object.fromEntries(tags);
  if (tags.get('v') !== '1' || q !== 'dns/txt' || (a !== 'rsa-sha256' && a !== 'ed25519-sha256'))
    return undefined;
  if (c !== 'relaxed/relaxed' && c !== 'relaxed/simple') return undefined;
  if (!DOMAIN.test(d) || !SELECTOR.test(s) || !BASE64.test(b ?? '') || !BASE64.test(bh ?? ''))
    return undefined;
  if (!SECONDS.test(t) || (x !== undefined && !(SECONDS.test(x) && Number(x) > Number(t)))) return undefined;
  if (x !== undefined && Number(x) * 1_000 <= now) return undefined;
  const [, identityDomain = ''] = /^[\w.+-]*@([^@]+)$/.exec(i) ?? [];
  if (identityDomain !== d && !(DOMAIN.test(identityDomain) && identityDomain.endsWith(`.${d}`)))
    return undefined;
  const covers = (tags.get('h') ?? '').split(':').map((name) => name.trim().toLowerCase());
  if (!covers.includes('from') || !covers.every((name) => /^[\w-]+$/.test(name))) return undefined;
  // Signatures that cover signatures: which of them, and without which `b=`, is not plain.
  if (covers.includes('dkim-signature')) return undefined;
  return {
    algorithm: a,
    isBodyRelaxed: c === 'relaxed/relaxed',
    bodyHash: bh ?? '',
    signature: Buffer.from(b ?? '', 'base64'),
    covers,
    keyName: `${s}._domainkey.${d}`,
    isBelow: identityDomain !== d,
    result: {
      result: 'pass',
      comment: undefined,
      domain: d,
      identity: i,
      selector: s,
      algorithm: a,
      start: b?.slice(0, 8),
    },
  };
}

const SELECTOR = /^(?:[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const SECONDS = /^\d{1,12}$/;

/** The hash of a body, of each canonicalization once. */
class BodyHashes {
  readonly #body: Buffer;
  #relaxed: string | undefined;
  #simple: string | undefined;

  constructor(body: Buffer) {
    this.#body = body;
  }

  async get(isRelaxed: boolean): Promise<string | undefined> {
    if (isRelaxed) this.#relaxed ??= await hashBody(this.#body);
    else this.#simple ??= hashSimple(this.#body);
    return isRelaxed ? this.#relaxed : this.#simple;
  }
}

/** Simple canonicalization (RFC 6376 section 3.4.3); undefined where line ends are not those of mail. */
function hashSimple(body: Buffer): string | undefined {
  for (let at = body.indexOf(LF); at !== -1; at = body.indexOf(LF, at + 1)) {
    if (body[at - 1] !== CR) return undefined;
  }
  let end = body.length;
  while (end >= 2 && body[end - 1] === LF && body[end - 2] === CR) end -= 2;
  return createHash('sha256').update(body.subarray(0, end)).update('\r\n').digest('base64');
}

const LF = 0x0a;
const CR = 0x0d;

const KEY_TAGS = new Set(['v', 'k', 'p', 's', 't', 'h', 'n']);
const keys = new Map<string, KeyObject>();

/** The key of a signature, if its record is as they usually are. */
async function findKey(signature: PlainSignature, dns: PlainDns): Promise<KeyObject | undefined> {
  const texts = await dns.texts(signature.keyName);
  const [text] = texts ?? [];
  if (text === undefined || texts?.length !== 1) return undefined;
  const record = text.replace(/\s+/g, '');
  const tags = readTags(record, KEY_TAGS);
  if (tags === undefined) return undefined;
  const type = signature.algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519';
  const { k = 'rsa', p = '', s = '*', t = 's', h = 'sha256' } = Object.fromEntries(tags);
  if (tags.has('v') && !record.startsWith('v=DKIM1;')) return undefined;
  if (k !== type || (s !== '*' && s !== 'email') || t !== 's' || h !== 'sha256' || !BASE64.test(p))
    return undefined;
  if (tags.has('t') && signature.isBelow) return undefined;
  const known = keys.get(p);
  if (known !== undefined) return known.asymmetricKeyType === type ? known : undefined;
  const key = readKey(type, Buffer.from(p, 'base64'));
  if (key === undefined) return undefined;
  for (const oldest of keys.keys()) {
    if (keys.size < MAX_KEYS) break;
    keys.delete(oldest);
  }
  keys.set(p, key);
  return key;
}

function readKey(type: 'rsa' | 'ed25519', der: Buffer): KeyObject | undefined {
  // RFC 8463 section 4.2 publishes the bare key.
  if (type === 'ed25519' && der.length !== 32) return undefined;
  const spki = type === 'rsa' ? der : Buffer.concat([ED25519, der]);
  try {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    const isGood = type === 'ed25519' || (bits >= MIN_BITS && bits <= MAX_BITS);
    return key.asymmetricKeyType === type && isGood ? key : undefined;
  } catch {
    return undefined;
  }
}

/** What stands before a bare key of Ed25519 in DER. */
const ED25519 = Buffer.from('302a300506032b6570032100', 'hex');

/** What a signature covers of the header, and itself (RFC 6376 section 3.7). */
function coveredBytes({ covers }: PlainSignature, own: Field, fields: readonly Field[]): Buffer {
  const left = new Map<string, Field[]>();
  for (const field of fields) {
    const name = field.name.toLowerCase();
    const same = left.get(name);
    if (same === undefined) left.set(name, [field]);
    else same.push(field);
  }
  // Of several the last comes first (section 5.4.2).
  const covered = covers.flatMap((name) => left.get(name)?.pop() ?? []).map(relaxedField);
  const unsigned = relaxed(own.name, own.raw.toString('latin1')).replace(/([:;] ?b ?=)[^;]*/, '$1');
  return Buffer.concat([...covered, Buffer.from(unsigned, 'latin1')]);
}

function isMadeBy(key: KeyObject, bytes: Buffer, { algorithm, signature }: PlainSignature): boolean {
  return algorithm === 'rsa-sha256'
    ? verifyBytes('sha256', bytes, key, signature)
    : verifyBytes(null, createHash('sha256').update(bytes).digest(), key, signature);
}
