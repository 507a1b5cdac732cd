/**
 * Boundaries of multiparts: making one, finding one that was declared wrong, and seeing that none occurs by accident.
 */
import { randomBytes } from 'node:crypto';

const DASHES = Buffer.from('--');

/** A boundary that occurs in no quoted-printable or base64 body (RFC 2045 section 6.7) and in no other by chance. */
export function makeBoundary(): string {
  return `=_${randomBytes(15).toString('base64url')}`;
}

/** Whether a line of `bytes` starts as a delimiter of one of these boundaries does. */
export function holdsDelimiter(bytes: Buffer, boundaries: Iterable<string>): boolean {
  if (!bytes.includes(DASHES)) return false;
  for (const boundary of boundaries) {
    const delimiter = `--${boundary}`;
    for (
      let at = bytes.indexOf(delimiter, 0, 'latin1');
      at >= 0;
      at = bytes.indexOf(delimiter, at + 1, 'latin1')
    ) {
      if (at === 0 || bytes[at - 1] === 0x0a) return true;
    }
  }
  return false;
}

const CANDIDATES = 100;

/**
 * The boundary that the body of a multipart seems to have: the first line with two dashes in front and a MIME field
 * behind. Readers that guess like this would see parts where the declared boundary shows none.
 */
export function guessBoundary(body: Buffer): string | undefined {
  let line = 0;
  for (let candidate = 0; candidate < CANDIDATES; candidate++) {
    if (body[line] === 0x2d && body[line + 1] === 0x2d) {
      const match = /^--([^\r\n]{1,200}?)[ \t]*\r?\nContent-[\w-]+[ \t]*:/i.exec(
        body.toString('latin1', line, line + 300),
      );
      if (match?.[1]) return match[1];
    }
    const next = body.indexOf('\n--', line, 'latin1');
    if (next < 0) return undefined;
    line = next + 1;
  }
  return undefined;
}
