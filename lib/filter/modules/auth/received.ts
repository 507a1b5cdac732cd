/** The bytes of a message as they came, for those who verify it. */
import type { Header, Message } from '../../../index.ts';

/** Signatures that are looked at; of the others, those of strangers. */
export const MAX_SIGNATURES = 10;
/** Header sections that are larger, or have more fields, are no honest mail's. */
const MAX_HEAD = 512 * 1024;
const MAX_FIELDS = 2_000;
/** Of a signature, whose list of fields takes time in proportion to the header. */
const MAX_SIGNATURE = 16 * 1024;
/** Of what is kept of a header that is too large. */
const MAX_FROM = 64 * 1024;

/** What there is to verify. */
export interface Received {
  /** With CRLF, and the empty line. */
  readonly head: Buffer;
  /** Something covers the body. */
  readonly isSigned: boolean;
  /** Why signatures are not looked at, and whether that is the sender's fault. */
  readonly skipped: { readonly reason: string; readonly isFault: boolean } | undefined;
}

/** Puts a message together as it was sent, with no more than can be verified in good time. */
export function readReceivedMail(message: Message): Received {
  const fields = [...message.headers];
  const size = fields.reduce((sum, { name, raw }) => sum + name.length + raw.length + 4, 0);
  const hasSignature = fields.some((field) => isNamed(field, 'dkim-signature'));
  const isSigned = hasSignature || fields.some(({ name }) => /^arc-/i.test(name));
  const reason =
    size > MAX_HEAD || fields.length > MAX_FIELDS
      ? 'the header section is too large'
      : isSigned && !message.bodyComplete
        ? 'the body is larger than max_body'
        : undefined;
  if (reason === undefined) return { head: asBytes(withoutExcess(fields)), isSigned, skipped: undefined };
  const from = fields.filter((field) => isNamed(field, 'from') && field.raw.length <= MAX_FROM).slice(0, 10);
  return {
    head: asBytes(from),
    isSigned: false,
    skipped: isSigned ? { reason, isFault: message.bodyComplete } : undefined,
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

/** libmilter gives folds as LF alone. */
function asBytes(fields: readonly Header[]): Buffer {
  const written = fields.map(
    ({ name, raw }) => `${name}:${raw.toString('latin1').replace(/\r?\n/g, '\r\n')}\r\n`,
  );
  return Buffer.from(`${written.join('')}\r\n`, 'latin1');
}
