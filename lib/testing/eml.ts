/** Messages as files have them: reading one as an MTA takes it in, and writing it out again. */

import { wrongArgument } from '../errors.ts';
import { fieldColon, type Header, makeHeader } from '../headers.ts';
import { checkValue, type Kind } from '../options.ts';
import { encodeText } from '../text.ts';

/** The two halves of a message. */
export interface MessageContent {
  /** In order. */
  readonly headers: readonly Header[];
  /** Lines end in CRLF. */
  readonly body: Buffer;
}

const textOrBytes: Kind<string | Uint8Array> = {
  must: 'be a string, Buffer or Uint8Array',
  accepts: (value): value is string | Uint8Array => typeof value === 'string' || value instanceof Uint8Array,
};

const CR = 0x0d;
const LF = 0x0a;
const CRLF: Buffer = Buffer.of(CR, LF);

/**
 * Reads an .eml file. Line ends become CRLF in the body and LF within a folded header, as filters see them from
 * an MTA; every other byte stays, but for NULs in headers, which the milter protocol has no way to carry.
 * A first line `From …` of an mbox is left out. A line that can be no header begins the body.
 */
export function readEml(eml: string | Uint8Array): MessageContent {
  checkValue('a message to read', eml, textOrBytes, wrongArgument);
  const bytes = typeof eml === 'string' ? encodeText(eml) : Buffer.from(eml);
  const headers: { name: string; lines: Buffer[] }[] = [];
  let at = 0;
  while (at < bytes.length) {
    const newline = bytes.indexOf(LF, at);
    const next = newline < 0 ? bytes.length : newline + 1;
    const line = withoutLineEnd(bytes.subarray(at, next));
    const colon = fieldColon(line, 0, line.length);
    if (line.length === 0) {
      at = next;
      break;
    }
    if (line[0] === 0x20 || line[0] === 0x09) {
      const folded = headers.at(-1);
      if (folded === undefined) break;
      folded.lines.push(Buffer.of(LF), line);
    } else if (colon > 0) {
      headers.push({ name: line.toString('latin1', 0, colon).trimEnd(), lines: [line.subarray(colon + 1)] });
    } else if (at > 0 || !line.toString('latin1').startsWith('From ')) {
      break;
    }
    at = next;
  }
  return {
    headers: headers.map(({ name, lines }) => makeHeader(name, withoutNul(Buffer.concat(lines)))),
    body: withCrlf(bytes.subarray(at)),
  };
}

/** Headers, empty line and body, with CRLF line ends in the headers. */
export function writeEml({ headers, body }: MessageContent): Buffer {
  const lines = headers.flatMap(({ name, raw }) => [encodeText(`${name}:`), withCrlf(raw), CRLF]);
  return Buffer.concat([...lines, CRLF, body]);
}

function withoutLineEnd(line: Buffer): Buffer {
  if (line.at(-1) !== LF) return line;
  return line.subarray(0, line.at(-2) === CR ? -2 : -1);
}

function withoutNul(bytes: Buffer): Buffer {
  return bytes.includes(0) ? Buffer.from(bytes.filter((byte) => byte !== 0)) : bytes;
}

/** Turns every LF that lacks its CR into CRLF. */
function withCrlf(bytes: Buffer): Buffer {
  const pieces: Buffer[] = [];
  let from = 0;
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] === CR) continue;
    pieces.push(bytes.subarray(from, at), CRLF);
    from = at + 1;
  }
  return from === 0 ? bytes : Buffer.concat([...pieces, bytes.subarray(from)]);
}
