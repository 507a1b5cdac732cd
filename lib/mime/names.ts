/**
 * What a part is called: every name that a mail reader might show it under or save it as.
 */

import { wrongArgument } from '../errors.ts';
import { checkValue, text } from '../options.ts';
import { withoutComments } from './comments.ts';
import type { Parameter } from './parameters.ts';
import { decodeWords } from './words.ts';

/** Content-Type parameters whose values are never file names. */
const KNOWN_PARAMETERS = new Set(
  'access-type boundary charset component delsp directory expiration format id method micalg mode number permission protocol reply-type report-type server site size smime-type start start-info subject total type url x-mac-creator x-mac-type x-unix-mode'.split(
    ' ',
  ),
);

const NONE: readonly never[] = [];

/** Collects the names of one part, each once. */
export class NameList {
  readonly #found = new Set<string>();

  /** The names, in the order they were added. */
  get all(): readonly string[] {
    return [...this.#found];
  }

  add(name: string): void {
    if (name === '') return;
    // A reader that knows no comments sees one more than the others, which changes no extension.
    if (name.endsWith(')') && [...this.#found].some((known) => isCommentBehind(name, known))) return;
    this.#found.add(name);
    // Programs written in C, and Windows, end a name there.
    const nul = name.indexOf('\0');
    if (nul > 0) this.#found.add(name.slice(0, nul));
  }

  /** File name parameters in all their forms and duplicates. */
  addParameters(field: 'content-type' | 'content-disposition', parameters: readonly Parameter[]): void {
    for (const { name, value } of parameters) {
      const isName = name === 'filename' || name === 'name';
      // Readers take any parameter of Content-Type that looks like a file name for one.
      const looksLikeName = field === 'content-type' && !KNOWN_PARAMETERS.has(name) && /\.\w/.test(value);
      if (isName || looksLikeName) this.add(value);
    }
  }

  /** The text of a Content-Name or X-Sun-Data-Name field. */
  addField(text: string): void {
    const bare = withoutComments(text).trim();
    const quoted = /^"((?:[^"\\]|\\.)*)"?$/s.exec(bare)?.[1]?.replace(/\\(.)/gs, '$1');
    this.add(decodeWords(quoted ?? bare));
  }
}

function isCommentBehind(name: string, known: string): boolean {
  return name.startsWith(known) && /^\s*\(/.test(name.slice(known.length));
}

/**
 * The names that a file of this name may get when it is saved: without characters that show nothing or turn the writing
 * round, and also cut off at the NUL at which programs end it, or at the colon at which Windows does (what follows names a
 * stream of the file).
 */
function savedNames(name: string): readonly string[] {
  if (/^[ !-9;-~]*$/.test(name)) return [name.toLowerCase()];
  const whole = name.normalize('NFKC').toLowerCase();
  const tidy = (text: string) => text.replace(/[\p{Cc}\p{Cf}]/gu, '');
  const names = [tidy(whole)];
  const [beforeNul = ''] = whole.split('\0', 1);
  if (beforeNul.length < whole.length) names.push(tidy(beforeNul));
  const file = beforeNul.slice(Math.max(beforeNul.lastIndexOf('/'), beforeNul.lastIndexOf('\\')) + 1);
  const [beforeColon = ''] = file.split(':', 1);
  if (beforeColon.length < file.length) names.push(tidy(beforeColon));
  return names;
}

/**
 * Every extension, in lower case and without the dot, that a file of this name may have once it is saved: as Windows sees
 * it, without final dots and spaces, and as programs see it that end a name at a NUL or a colon. Mostly one, often none.
 */
export function extensionsOf(name: string): readonly string[] {
  checkValue('the name of a file', name, text, wrongArgument);
  // Nearly every name: what is saved is what is written, and ends in what counts.
  if (/^[ !-9;-~]*[0-9A-Za-z]$/.test(name)) {
    const dot = name.lastIndexOf('.');
    return dot < 0 ? NONE : [name.slice(dot + 1).toLowerCase()];
  }
  if (!/[.\u0080-\uffff]/.test(name)) return NONE;
  return savedNames(name).flatMap((saved) => {
    let end = saved.length;
    while (end > 0 && /[\s."']/.test(saved[end - 1] ?? '')) end--;
    const dot = saved.lastIndexOf('.', end - 1);
    return dot < 0 || dot + 1 >= end ? [] : [saved.slice(dot + 1, end)];
  });
}
