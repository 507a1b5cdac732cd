/** A text at the end of mail that goes out. */
import { setImmediate as turn } from 'node:timers/promises';
import { type Message, Milter } from '../../index.ts';
import { appendTextInTurns, isBodyText, type MimeMessage, type Part, sealOf } from '../../mime/index.ts';
import { defineModule, kinds, z } from '../kit.ts';

/** A text with fewer letters and digits counts only where it fills its lines: "Yours" is in too many sentences. */
const FEW = 16;
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
    const known = [makeNeedle(text, false), makeNeedle(html, true)].filter(({ letters }) =>
      /\S/.test(letters),
    );
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

/** What a text is found again by. */
interface Needle {
  /** Its letters and digits; if `byLines`, with LF before, between and behind its lines. */
  readonly letters: string;
  readonly byLines: boolean;
}

function makeNeedle(text: string, isHtml: boolean): Needle {
  const plain = [...lettersOf(text, isHtml, false)].join('');
  if (plain.length >= FEW) return { letters: plain, byLines: false };
  const lines = [...lettersOf(text, isHtml, true)].join('');
  return { letters: `\n${lines}\n`.replace(/\n+/g, '\n'), byLines: true };
}

/** Whether a body has one of these texts in it: wrapped, quoted and written in HTML however a mail program does. */
async function isIn(tree: MimeMessage, known: readonly Needle[]): Promise<boolean> {
  for (const part of tree.parts()) {
    if (!isBodyText(part)) continue;
    await part.loadContent();
    for (const byLines of [false, true]) {
      const needles = known.filter((needle) => needle.byLines === byLines).map(({ letters }) => letters);
      if (needles.length > 0 && (await holdsOne(part, needles, byLines))) return true;
    }
  }
  return false;
}

async function holdsOne(part: Part, needles: readonly string[], byLines: boolean): Promise<boolean> {
  const kept = Math.max(...needles.map(({ length }) => length)) - 1;
  let window = byLines ? '\n' : '';
  for (const letters of lettersOf(part.text(), part.contentType === 'text/html', byLines)) {
    window += letters;
    if (byLines) window = window.replace(/\n+/g, '\n');
    if (needles.some((needle) => window.includes(needle))) return true;
    if (window.length > kept) window = window.slice(window.length - kept);
    await turn();
  }
  return byLines && needles.some((needle) => `${window}\n`.endsWith(needle));
}

/** The letters and digits of a text, without case and accents, piece by piece; `byLines` with its line ends. */
function* lettersOf(text: string, isHtml: boolean, byLines: boolean): Generator<string> {
  const others = byLines ? /[^\p{L}\p{N}\n]+/gu : /[^\p{L}\p{N}]+/gu;
  for (let at = 0; at < text.length; ) {
    let piece: string;
    [piece, at] = isHtml ? outsideTags(text, at, byLines) : [text.slice(at, at + CHUNK), at + CHUNK];
    yield piece.normalize('NFKD').toLowerCase().replace(others, '');
  }
}

/** The next stretch of HTML without its tags, its character references read, and where the one behind it begins. */
function outsideTags(html: string, start: number, byLines: boolean): [text: string, end: number] {
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
    if (byLines) text += '\n';
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
