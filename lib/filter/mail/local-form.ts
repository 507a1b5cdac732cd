/** A message as local delivery writes it: lines end in LF. In pieces, so that nobody is held up by a large one. */

const CHUNK = 256 * 1024;
const LF = 0x0a;

/** The message with LF. */
export function* withLineFeeds(pieces: readonly Buffer[]): Generator<Buffer> {
  for (const { text } of inLines(pieces)) yield Buffer.from(text.replaceAll('\r\n', '\n'), 'latin1');
}

/**
 * The message as an entry of an mbox: its first line, then LF, a `>` more before lines that begin with `From ` behind any
 * number of them (mboxrd), and an empty line at the end.
 */
export function* asMboxEntry(pieces: readonly Buffer[], firstLine: string): Generator<Buffer> {
  yield Buffer.from(`${firstLine}\n`);
  let last = '';
  for (const { text, beginsLine } of inLines(pieces)) {
    const plain = text.replaceAll('\r\n', '\n');
    const quoted = plain.replace(/(?<![^\n])>*From /g, (found, at: number) =>
      at === 0 && !beginsLine ? found : `>${found}`,
    );
    last = quoted.at(-1) ?? last;
    yield Buffer.from(quoted, 'latin1');
  }
  yield Buffer.from(last === '\n' ? '\n' : '\n\n');
}

/** The first line of an entry (RFC 4155): sender, and the time as ctime() writes it, in UTC. */
export function fromLine(sender: string, now: number): string {
  const address = sender.slice(1, -1).replace(/[^\x21-\x7e]/g, '?');
  const [day = '', date = '', month = '', year = '', time = ''] = new Date(now).toUTCString().split(/,? /);
  return `From ${address === '' ? 'MAILER-DAEMON' : address} ${day} ${month} ${date.replace(/^0/, ' ')} ${time} ${year}`;
}

/** Pieces cut behind line ends, one character a byte; a line that is larger than a chunk comes in several. */
function* inLines(
  pieces: readonly Buffer[],
): Generator<{ readonly text: string; readonly beginsLine: boolean }> {
  let kept: Buffer[] = [];
  let length = 0;
  let beginsLine = true;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += CHUNK) {
      const chunk = piece.subarray(at, at + CHUNK);
      kept.push(chunk);
      length += chunk.length;
      if (length < CHUNK) continue;
      const whole = Buffer.concat(kept, length);
      const end = whole.lastIndexOf(LF) + 1;
      // Not between CR and LF either.
      const cut = end > 0 ? end : whole.length - 1;
      yield { text: whole.toString('latin1', 0, cut), beginsLine };
      beginsLine = end > 0;
      kept = [whole.subarray(cut)];
      length -= cut;
    }
  }
  if (length > 0) yield { text: Buffer.concat(kept, length).toString('latin1'), beginsLine };
}
