/** Texts with `%{…}` in them. */
import { nearest, show } from '../../options.ts';
import { BadValue } from './faults.ts';

/** What can stand in every template. */
export const templateVariables = [
  'user',
  'domain',
  'sender',
  'recipient',
  'client',
  'helo',
  'hostname',
  'queue',
  'date',
  'finding',
  'name',
  'direction',
  'ref',
] as const;

/** A text with places for values. */
export class Template {
  /** As it stands in the configuration. */
  readonly source: string;
  /** Text and names of variables by turns: the even ones are text. */
  readonly #pieces: readonly string[];

  /**
   * @param more variables besides {@link templateVariables}
   * @throws BadValue for an unknown variable, or one without an end
   */
  constructor(source: string, more: readonly string[] = []) {
    this.source = source;
    const known = [...templateVariables, ...more];
    const pieces: string[] = [];
    let text = '';
    let at = 0;
    for (const { index, 0: found, 1: name, 2: end } of source.matchAll(/%%\{|%\{([^}%]*)(\})?/g)) {
      text += source.slice(at, index);
      at = index + found.length;
      if (name === undefined) text += '%{';
      else {
        if (end === undefined) throw new BadValue(`has ${show(found)} without a closing brace`);
        if (!known.includes(name)) {
          const meant = nearest(name, known);
          throw new BadValue(
            `has ${show(found)}, which is not known here${meant === undefined ? `; there are ${known.join(' ')}` : `; did you mean "%{${meant}}"?`}`,
          );
        }
        pieces.push(text, name);
        text = '';
      }
    }
    this.#pieces = [...pieces, text + source.slice(at)];
  }

  /** The names that occur. */
  get variables(): readonly string[] {
    return this.#pieces.filter((_, i) => i % 2 === 1);
  }

  /**
   * The text with its values; a variable without one is empty.
   * @param value should make each fit for where the text goes: it comes from mail
   */
  fill(value: (name: string) => string | undefined): string {
    return this.#pieces.map((piece, i) => (i % 2 === 0 ? piece : (value(piece) ?? ''))).join('');
  }
}
