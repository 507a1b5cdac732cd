/** The bytes of a message as they came, for those who verify it. */
import type { Header, Message } from '../../../index.ts';
import { readMailboxes } from '../../kit.ts';

/** Signatures that are looked at; of the others, those of strangers. */
export const MAX_SIGNATURES = 10;
/** Header sections that are larger, or have more fields, are no honest mail's. */
const MAX_HEAD = 512 * 1024;
const MAX_FIELDS = 2_000;
/** Of a signature, whose list of fields takes time in proportion to the header. */
const MAX_SIGNATURE = 16 * 1024;
/** Of one From field, in which addresses are looked for. */
const MAX_FROM = 32 * 1024;
/** From fields that are looked at: any beyond are too many anyway. */
const MAX_FROMS = 10;

type Field = Pick<Header, 'name' | 'raw'>;

/** What there is to verify. */
export interface Received {
  /** The header section, in its order. */
  readonly fields: readonly Field[];
  /** Something covers the body. */
  readonly isSigned: boolean;
  /** The addresses in From, as a mail reader may see them where others see none. */
  readonly authors: readonly string[];
  /** Why signatures are not looked at, and whether that is the sender's fault. */
  readonly skipped: { readonly reason: string; readonly isFault: boolean } | undefined;
}

/** Puts a message together as it was sent, with no more than can be verified in good time. */
export function readReceivedMail(message: Message): Received {
  const fields = [...message.headers];
  const size = fields.reduce((sum, { name, raw }) => sum + name.length + raw.length + 4, 0);
  const hasSignature = fields.some((field) => isNamed(field, 'dkim-signature'));
  const isSigned = hasSignature || fields.some(({ name }) => /^arc-/i.test(name));
  const from = fields.filter((field) => isNamed(field, 'from'));
  const isHuge =
    size > MAX_HEAD || fields.length > MAX_FIELDS || from.some(({ raw }) => raw.length > MAX_FROM);
  const reason = isHuge
    ? 'the header section is too large'
    : isSigned && !message.bodyComplete
      ? 'the body is larger than max_body'
      : undefined;
  const authors = from
    .slice(0, MAX_FROMS)
    .flatMap(({ value }) => readMailboxes(value).map(({ address }) => address));
  if (reason === undefined) return { fields: withoutExcess(fields), isSigned, authors, skipped: undefined };
  const seen = from.slice(0, MAX_FROMS).map(({ name, raw }) => ({ name, raw: raw.subarray(0, MAX_FROM) }));
  return {
    fields: seen,
    isSigned: false,
    authors,
    skipped: { reason, isFault: isHuge },
  };
}

function isNamed({ name }: Header, wanted: string): boolean {
  return name.trim().toLowerCase() === wanted;
}

/** Without the signatures that are too many or too long: those of the author's domain are the last to go. */
function withoutExcess(fields: readonly Header[]): readonly Header[] {
  const signatures = fields.filter((field) => isNamed(field, 'dkim-signature'));
  const good = signatures.filter(({ raw }) => raw.length <= MAX_SIGNATURE);
  if (signatures.length <= MAX_SIGNATURES && good.length === signatures.length) return fields;
  const from = fields.find((field) => isNamed(field, 'from'))?.value.toLowerCase() ?? '';
  const isAuthors = ({ value }: Header): boolean => {
    const [, domain] = /(?:^|;)\s*d\s*=\s*([^;\s]+)/.exec(value) ?? [];
    return domain !== undefined && from.includes(domain.toLowerCase());
  };
  const kept = new Set([...new Set([...good.filter(isAuthors), ...good])].slice(0, MAX_SIGNATURES));
  return fields.filter((field) => kept.has(field) || !isNamed(field, 'dkim-signature'));
}

/** A header section as it came, with CRLF and the empty line: libmilter gives folds as LF alone. */
export function asBytes(fields: readonly Field[]): Buffer {
  const written = fields.map(({ name, raw }) => {
    const value = raw.toString('latin1');
    const lines = value.includes('\r') ? value.replace(/\r\n/g, '\n') : value;
    return `${name}:${lines.replaceAll('\n', '\r\n')}\r\n`;
  });
  return Buffer.from(`${written.join('')}\r\n`, 'latin1');
}
