/** A text at the end of mail that goes out. */
import { setImmediate as turn } from 'node:timers/promises';
import { type Message, Milter } from '../../index.ts';
import { appendTextInTurns, isBodyText, type MimeMessage, sealOf } from '../../mime/index.ts';
import { defineModule, kinds, z } from '../kit.ts';

/** Letters and digits that a text must have for others to be compared with it: "Yours" is in too many. */
const LEAST = 16;
/** Characters that are read before other work gets its turn. */
const CHUNK = 64 * 1024;

export default defineModule({
  name: 'disclaimer',
  about: 'A text at the end of mail that goes out',
  when: ['outgoing'],
  onError: 'continue',
  options: z
    .strictObject({
      text: kinds.text('').describe('Behind plain text; or a file of it, "file:footer.txt"'),
      html: kinds
        .text('')
        .describe('Before </body>; or a file of it, "file:footer.html". Default: made from text'),
      once: z.boolean().default(true).describe('Not again in replies that quote it'),
    })
    .refine(({ text, html }) => text.trim() !== '' || html.trim() === '', {
      path: ['html'],
      error: 'needs text too: plain text would go out without it',
    }),
  findings: {},
  setup: ({ options: { text, html, once }, services }) => {
    if (text.trim() === '') return undefined;
    const addition = { text, sealed: 'leave', ...(html.trim() === '' ? {} : { html }) } as const;
    const known = [[...lettersOf(text, false)], [...lettersOf(html, true)]]
      .map((letters) => letters.join(''))
      .filter(({ length }) => length >= LEAST);
    const add = async (message: Message): Promise<void> => {
      const tree = await message.mime();
      if (takesText(tree) && !(once && (await isIn(tree, known)))) await appendTextInTurns(tree, addition);
    };
    return class Disclaimer extends Milter {
      override eom(): void {
        // Larger than max_body: there is nothing to write it into.
        if (this.message.bodyComplete) services.change(this, add);
      }
    };
  },
});

/** Reports and invitations are read by programs, which a text around them would stop. */
function takesText(tree: MimeMessage): boolean {
  const { contentType } = tree.root;
  return sealOf(tree) === undefined && !/^(?:multipart\/report|text\/calendar|message\/)/.test(contentType);
}

/** Whether a body has one of these texts in it: wrapped, quoted and written in HTML however a mail program does. */
async function isIn(tree: MimeMessage, known: readonly string[]): Promise<boolean> {
  const longest = Math.max(0, ...known.map(({ length }) => length));
  for (const part of tree.parts()) {
    if (!isBodyText(part)) continue;
    await part.loadContent();
    let window = '';
    for (const letters of lettersOf(part.text(), part.contentType === 'text/html')) {
      window += letters;
      if (known.some((text) => window.includes(text))) return true;
      window = longest > 1 ? window.slice(1 - longest) : '';
      await turn();
    }
  }
  return false;
}

/** The letters and digits of a text, without case and accents, piece by piece. */
function* lettersOf(text: string, isHtml: boolean): Generator<string> {
  for (let at = 0; at < text.length; ) {
    let piece: string;
    [piece, at] = isHtml ? outsideTags(text, at) : [text.slice(at, at + CHUNK), at + CHUNK];
    yield piece
      .normalize('NFKD')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, '');
  }
}

/** The next stretch of HTML without its tags, its character references read, and where the one behind it begins. */
function outsideTags(html: string, start: number): [text: string, end: number] {
  let text = '';
  let at = start;
  while (at < html.length && at - start < CHUNK) {
    const open = html.indexOf('<', at);
    const end = Math.min(open < 0 ? html.length : open, start + CHUNK);
    text += html.slice(at, end);
    at = end;
    if (at !== open) continue;
    const close = html.indexOf('>', open);
    at = close < 0 ? html.length : close + 1;
  }
  return [text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z])?\w{1,10});/gi, readReference), at];
}

/** `&#252;`, `&#xfc;`; of names the letter: `&uuml;` is a u with something on it. */
function readReference(reference: string, decimal?: string, hexadecimal?: string, letter?: string): string {
  const code = decimal === undefined ? Number.parseInt(hexadecimal ?? '', 16) : Number(decimal);
  if (Number.isNaN(code)) return letter !== undefined && isAccented(reference) ? letter : '';
  return code <= 0x10ffff ? String.fromCodePoint(code) : '';
}

function isAccented(reference: string): boolean {
  return /^&[a-z](?:uml|acute|grave|circ|tilde|cedil|caron|ring);$/i.test(reference);
}
