/** Writing signatures: DKIM (RFC 6376, RFC 8463) and sets of ARC (RFC 8617), both relaxed in header and body. */
import { createHash, type KeyObject, sign as signBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Header } from '../../../index.ts';
import { relaxed, relaxedField } from './canonical.ts';
import type { Algorithm } from './keys.ts';

/** Signed once more than they are there: who adds another one breaks the signature. */
const OVERSIGNED = [
  'From',
  'Reply-To',
  'Subject',
  'Date',
  'To',
  'Cc',
  'Message-ID',
  'In-Reply-To',
  'References',
  'MIME-Version',
  'Content-Type',
  'Content-Transfer-Encoding',
];
/** An MTA writes these behind us where they are missing, as Sendmail does: a signature must not forbid it. */
const ADDED_LATER = new Set(['date', 'message-id']);
/** Signed as often as they are there: those on the way may add their own. */
const SIGNED = [
  'Sender',
  'Content-Disposition',
  'Content-ID',
  'Content-Language',
  'Resent-From',
  'Resent-To',
  'Resent-Date',
  'Resent-Message-ID',
  'List-Id',
  'List-Help',
  'List-Unsubscribe',
  'List-Unsubscribe-Post',
  'List-Subscribe',
  'List-Post',
  'List-Owner',
  'List-Archive',
  'Autocrypt',
];

/** Of a line within a signature: the name of the field stands before the first one. */
const MAX_LINE = 62;

/** Who signs. */
export interface Signer {
  readonly domain: string;
  readonly selector: string;
  readonly key: { readonly key: KeyObject; readonly algorithm: Algorithm };
}

/** What is signed. */
export interface SignedMail {
  readonly fields: readonly Header[];
  /** As {@link hashBody} says. */
  readonly bodyHash: string;
  /** Seconds since 1970. */
  readonly time: number;
}

/** The value of a DKIM-Signature. */
export async function signMail(mail: SignedMail, signer: Signer): Promise<string> {
  return await signFields('DKIM-Signature', { v: '1' }, mail, signer, []);
}

/** A set of ARC, with the fields' values; the seal belongs above the others. */
export interface WrittenSet {
  readonly seal: string;
  readonly signature: string;
  readonly results: string;
}

/** The set that comes next to those a message has. */
export interface NextSet {
  readonly instance: number;
  readonly cv: 'none' | 'pass' | 'fail';
}

/**
 * Which set comes next (RFC 8617 section 5.1); undefined where none may: the last one says that the chain failed, or there are
 * fifty.
 * @param result what became of the chain as it came
 */
export function nextSet(fields: readonly Header[], result: 'none' | 'pass' | 'fail'): NextSet | undefined {
  const arcFields = fields.filter(({ name }) => ARC_NAMES.has(name.toLowerCase()));
  const highest = Math.max(0, ...arcFields.map(instanceOf));
  if (highest === 0 && result !== 'fail') return { instance: 1, cv: 'none' };
  const seals = arcFields.filter(
    (one) => one.name.toLowerCase() === 'arc-seal' && instanceOf(one) === highest,
  );
  const isOver = seals.some(({ value }) => tagOf(value, 'cv')?.toLowerCase() === 'fail');
  // Without any instance there is no place for a set.
  if (isOver || highest === 0 || highest >= MAX_SETS) return undefined;
  return { instance: highest + 1, cv: result === 'pass' ? 'pass' : 'fail' };
}

const MAX_SETS = 50;
const ARC_NAMES = new Set(['arc-seal', 'arc-message-signature', 'arc-authentication-results']);

/** Writes a set. `results` is the payload of an Authentication-Results. */
export async function sealMail(
  mail: SignedMail,
  { instance, cv }: NextSet,
  results: string,
  signer: Signer,
): Promise<WrittenSet> {
  const i = String(instance);
  const ownResults = `i=${i}; ${results}`;
  const signature = await signFields('ARC-Message-Signature', { i }, mail, signer, ['DKIM-Signature']);
  // A chain that failed is not vouched for: the seal covers its own set alone (section 5.1.2).
  const chain = cv === 'pass' ? inOrder(mail.fields, instance) : [];
  const { domain, selector, key } = signer;
  const tags = { i, a: key.algorithm, t: String(mail.time), cv, d: domain, s: selector };
  const open = `${writeTags(tags)};\n\tb=`;
  const covered = Buffer.concat([
    ...chain.map(relaxedField),
    Buffer.from(`${relaxed('ARC-Authentication-Results', ownResults)}\r\n`, 'utf8'),
    Buffer.from(`${relaxed('ARC-Message-Signature', signature)}\r\n`),
    Buffer.from(relaxed('ARC-Seal', open)),
  ]);
  return { seal: open + (await signatureOf(covered, key)), signature, results: ownResults };
}

/** The fields of the sets before this one, as a seal covers them. */
function inOrder(fields: readonly Header[], before: number): readonly Header[] {
  const names = ['arc-authentication-results', 'arc-message-signature', 'arc-seal'];
  const sets = Array.from({ length: before - 1 }, (_, index) => index + 1);
  return sets.flatMap((instance) =>
    names.flatMap((wanted) =>
      fields.filter((one) => one.name.toLowerCase() === wanted && instanceOf(one) === instance),
    ),
  );
}

function instanceOf({ value }: Header): number {
  const text = tagOf(value, 'i') ?? '';
  return /^\d{1,2}$/.test(text) ? Number(text) : 0;
}

function tagOf(value: string, tag: string): string | undefined {
  for (const part of value.split(';')) {
    const [name = '', content] = part.split('=');
    if (name.replace(/\([^()]*\)/g, '').trim() === tag) return content?.replace(/\([^()]*\)/g, '').trim();
  }
  return undefined;
}

async function signFields(
  name: string,
  first: Readonly<Record<string, string>>,
  { fields, bodyHash, time }: SignedMail,
  { domain, selector, key }: Signer,
  more: readonly string[],
): Promise<string> {
  const named = Map.groupBy(fields, (field) => field.name.trim().toLowerCase());
  const covered: Buffer[] = [];
  const h: string[] = [];
  const cover = (field: string, isOver: boolean): void => {
    const present = named.get(field.toLowerCase()) ?? [];
    // The lowest first (RFC 6376 section 5.4.2).
    covered.push(...present.toReversed().map(relaxedField));
    const isAdded = present.length === 0 && ADDED_LATER.has(field.toLowerCase());
    h.push(...Array.from({ length: present.length + (isOver && !isAdded ? 1 : 0) }, () => field));
  };
  for (const field of OVERSIGNED) cover(field, true);
  for (const field of [...SIGNED, ...more]) cover(field, false);
  const tags = { ...first, a: key.algorithm, c: 'relaxed/relaxed', d: domain, s: selector, t: String(time) };
  const open = `${writeTags(tags)};\n\th=${foldList(h)};\n\tbh=${bodyHash};\n\tb=`;
  covered.push(Buffer.from(relaxed(name, open)));
  return open + (await signatureOf(Buffer.concat(covered), key));
}

function writeTags(tags: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(tags).map(([tag, value]) => `${tag}=${value}`);
  return foldAt(
    pairs.map((pair, index) => (index === pairs.length - 1 ? pair : `${pair};`)),
    ' ',
    '\n\t',
  );
}

function foldList(names: readonly string[]): string {
  return foldAt(
    names.map((name, index) => (index === names.length - 1 ? name : `${name}:`)),
    '',
    '\n\t ',
  );
}

function foldAt(words: readonly string[], between: string, fold: string): string {
  let text = '';
  let length = 0;
  for (const word of words) {
    const fits = length + between.length + word.length <= MAX_LINE;
    if (text !== '') text += fits ? between : fold;
    text += word;
    length = fits ? length + between.length + word.length : word.length + fold.length;
  }
  return text;
}

const signAsync = promisify<string | null, Uint8Array, KeyObject, Buffer>(signBytes);

/** In Node's thread pool: an RSA signature takes a millisecond. */
async function signatureOf(covered: Buffer, { key, algorithm }: Signer['key']): Promise<string> {
  const signature =
    algorithm === 'rsa-sha256'
      ? await signAsync('sha256', covered, key)
      : await signAsync(null, createHash('sha256').update(covered).digest(), key);
  return signature.toString('base64').replace(/.{1,72}/g, (line, at) => (at === 0 ? line : `\n\t ${line}`));
}
