/** The lexical tokens of structured header fields: RFC 5322 section 3.2. */

/** Reads tokens from the front of a field's value. White space and comments before a token are passed over. */
export class HeaderScanner {
  readonly #text: string;
  #at = 0;
  #isBroken = false;

  constructor(text: string) {
    this.#text = text;
  }

  /** Passes over white space and comments (they nest); the text of the first comment, if there is one. */
  comments(): string {
    let first = '';
    for (;;) {
      this.#match(/[ \t\r\n]+/y);
      if (this.#text[this.#at] !== '(') return first;
      const start = this.#at + 1;
      this.#skipComment();
      first ||= this.#text.slice(start, this.#at - 1).replace(/\\(.)/gs, '$1');
    }
  }

  /** Letters, digits, hyphens, underscores and dots. */
  atom(): string | undefined {
    this.comments();
    return this.#match(/[\w.-]+/y);
  }

  /** Letters, digits, hyphens and underscores. */
  keyword(): string | undefined {
    this.comments();
    return this.#match(/[\w-]+/y);
  }

  /** Digits. */
  number(): string | undefined {
    this.comments();
    return this.#match(/\d+(?![^\s;=(])/y);
  }

  /** A quoted-string, without its quotes. */
  quoted(): string | undefined {
    this.comments();
    const word = this.#quotedWord();
    return word === undefined ? undefined : unquote(word);
  }

  /** A quoted-string, or else everything to the next white space, comment or semicolon. */
  value(): string | undefined {
    return this.quoted() ?? this.#bare();
  }

  /**
   * A value, or a mailbox with white space and comments wherever RFC 5322 allows them: they are left out. Quotes are part of
   * a local part, and stay.
   */
  mailboxOrValue(): string | undefined {
    this.comments();
    const word = this.#quotedWord();
    let text = word ?? this.#bare();
    if (text === undefined) return undefined;
    for (;;) {
      this.comments();
      const before = this.#at;
      const isJoined = /[.@]/.test(this.#text[before] ?? '');
      const more = isJoined || text.endsWith('@') ? this.#bare() : this.#restOfLocalPart(text);
      if (more === undefined) {
        this.#at = before;
        return text === word ? unquote(text) : text;
      }
      text += more;
    }
  }

  /** Whether the next character is this one, which is then passed over. */
  take(character: string): boolean {
    this.comments();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  /** Whether nothing follows; a comment or what else was cut short is not the end. */
  isAtEnd(): boolean {
    this.comments();
    return this.#at >= this.#text.length && !this.#isBroken;
  }

  /** What follows a dot in a local part, up to the `@`: `b . "c d" @`. Undefined where none comes: the dot was the end. */
  #restOfLocalPart(text: string): string | undefined {
    if (!text.endsWith('.')) return undefined;
    let rest = '';
    for (;;) {
      this.comments();
      const word = this.#quotedWord() ?? this.#match(/[^\s;()"=@.]+/y);
      if (word === undefined) return undefined;
      rest += word;
      if (this.take('@')) return `${rest}@`;
      if (!this.take('.')) return undefined;
      rest += '.';
    }
  }

  #quotedWord(): string | undefined {
    return this.#match(/"(?:[^"\\]|\\.)*"/sy);
  }

  #bare(): string | undefined {
    return this.#match(/[^\s;("]+/y);
  }

  #skipComment(): void {
    let depth = 0;
    do {
      const character = this.#text[this.#at++];
      if (character === undefined) {
        this.#isBroken = true;
        return;
      }
      if (character === '\\') this.#at++;
      else if (character === '(') depth++;
      else if (character === ')') depth--;
    } while (depth > 0);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const [found] = pattern.exec(this.#text) ?? [];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}

function unquote(word: string): string {
  return word.slice(1, -1).replace(/\\(.)/gs, '$1');
}
