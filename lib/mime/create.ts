/**
 * New parts from a description: written out once, then parsed like any other, so there is one kind of part.
 */
import { isAscii } from 'node:buffer';
import { wrongArgument } from '../errors.ts';
import { isFieldName, smugglingByte } from '../headers.ts';
import {
  checkOptions,
  checkValue,
  iterable,
  type Kind,
  type Kinds,
  object,
  oneOf,
  text,
} from '../options.ts';
import { encodeText } from '../text.ts';
import { holdsDelimiter, makeBoundary } from './boundary.ts';
import { encodeBody, fitsIdentity } from './encodings.ts';
import { parseMessage } from './message.ts';
import { parseStructured } from './parameters.ts';
import type { Part } from './part.ts';

interface NewPartFields {
  /** Type and subtype. @default `text/plain`, `application/octet-stream` for bytes, `multipart/mixed`, `message/rfc822` */
  readonly contentType?: string;
  /** Parameters of Content-Type. Charset and boundary are added where they are needed. */
  readonly parameters?: Readonly<Record<string, string>>;
  /** How readers are to show it (Content-Disposition). @default `attachment` if there is a name, else none */
  readonly disposition?: 'inline' | 'attachment';
  /** The file name, in any script. */
  readonly name?: string;
  /** Further header fields, as name and value, in front of the content fields. */
  readonly headers?: Iterable<readonly [name: string, value: string]>;
}

/** A part to be made: a leaf with its content, a multipart with its parts, or a message inside a part. */
export type NewPart = NewPartFields &
  (
    | { readonly content: Uint8Array | string; readonly parts?: never; readonly message?: never }
    | { readonly parts: readonly NewPart[]; readonly content?: never; readonly message?: never }
    | { readonly message: NewPart; readonly content?: never; readonly parts?: never }
  );

/**
 * Makes a part, to be inserted into a message or, with headers of its own, to be one. Text is UTF-8 and canonical in
 * its line ends; content is written plain, as quoted-printable or as base64, whichever is the first that will do.
 * @param lineEnd @default CRLF
 * @throws TypeError for an unknown field or an impossible value of the description, or of one within it; and for a
 *   content type or a header field that cannot be written
 */
export function createPart(description: NewPart, lineEnd: '\r\n' | '\n' = '\r\n'): Part {
  checkValue('createPart: the line end', lineEnd, LINE_END, wrongArgument);
  return parseMessage(Buffer.concat(writePart(description, lineEnd))).root;
}

const LINE_END = { ...oneOf('\r\n', '\n'), must: 'be "\\r\\n" or "\\n"' };

const content: Kind<Uint8Array | string> = {
  must: 'be a string, or bytes',
  accepts: (value) => typeof value === 'string' || value instanceof Uint8Array,
};

const KINDS: Kinds<{ readonly [K in keyof NewPart]: unknown }> = {
  contentType: text,
  parameters: object(),
  disposition: oneOf('inline', 'attachment'),
  name: text,
  headers: iterable(),
  content,
  parts: { must: 'be an array', accepts: (value): value is NewPart[] => Array.isArray(value) },
  message: object(),
};

const CONTENTS = ['content', 'parts', 'message'] as const;

function writePart(description: NewPart, lineEnd: '\r\n' | '\n'): Buffer[] {
  checkOptions('createPart field', description, KINDS, wrongArgument);
  const given = CONTENTS.filter((name) => description[name] !== undefined);
  if (given.length !== 1)
    throw wrongArgument(
      `createPart needs one of content, parts and message, got ${given.join(' and ') || 'none'}`,
    );
  const body = writeBody(description, lineEnd);
  const type = description.contentType ?? body.type;
  if (!/^[\w.+-]+\/[\w.+-]+$/.test(type))
    throw wrongArgument(`"${type}" is no content type: write type/subtype`);
  const { name, disposition = name === undefined ? undefined : 'attachment' } = description;
  const fields: (readonly [string, string])[] = [
    ...(description.headers ?? []),
    [
      'Content-Type',
      parseStructured(type).with({
        ...body.parameters,
        ...description.parameters,
        ...(name === undefined ? {} : { name }),
      }),
    ],
  ];
  if (body.encoding) fields.push(['Content-Transfer-Encoding', body.encoding]);
  if (disposition)
    fields.push([
      'Content-Disposition',
      parseStructured(disposition).with(name === undefined ? {} : { filename: name }),
    ]);
  const head = fields.map(([field, value]) => {
    const raw = encodeText(value.replace(/\r?\n/g, lineEnd));
    if (!isFieldName(field) || smugglingByte(raw) >= 0) {
      throw wrongArgument(
        `header field "${field}" cannot be written: check its name, and its value for line breaks`,
      );
    }
    return Buffer.concat([Buffer.from(`${field}: `), raw, Buffer.from(lineEnd)]);
  });
  return [...head, Buffer.from(lineEnd), ...body.pieces];
}

interface Body {
  readonly type: string;
  readonly parameters: Readonly<Record<string, string>>;
  readonly encoding?: string;
  readonly pieces: readonly Buffer[];
}

function writeBody(description: NewPart, lineEnd: '\r\n' | '\n'): Body {
  if (description.message) {
    return { type: 'message/rfc822', parameters: {}, pieces: writePart(description.message, lineEnd) };
  }
  if (description.parts) {
    const boundary = makeBoundary();
    const parts = description.parts.flatMap((part) => [
      Buffer.from(`--${boundary}${lineEnd}`),
      ...writePart(part, lineEnd),
      Buffer.from(lineEnd),
    ]);
    return {
      type: 'multipart/mixed',
      parameters: { boundary },
      pieces: [...parts, Buffer.from(`--${boundary}--`)],
    };
  }
  const { content } = description;
  const isText = typeof content === 'string';
  const bytes = isText ? Buffer.from(content.replace(/\r?\n/g, lineEnd), 'utf8') : Buffer.from(content);
  const writeAs = (encoding: 'quoted-printable' | 'base64') => ({
    encoding,
    pieces: [encodeBody(bytes, encoding, lineEnd)],
  });
  return {
    type: isText ? 'text/plain' : 'application/octet-stream',
    parameters: isText ? { charset: isAscii(bytes) ? 'us-ascii' : 'utf-8' } : {},
    // Two dashes might be a delimiter where the part goes.
    ...(fitsIdentity(bytes, false) && !holdsDelimiter(bytes, [''])
      ? { pieces: [bytes] }
      : writeAs(isText ? 'quoted-printable' : 'base64')),
  };
}
