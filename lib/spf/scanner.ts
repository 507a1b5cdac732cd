/** The lexical tokens of structured header fields: RFC 5322 section 3.2. */

/** Reads tokens from the front of a field's value. White space and comments before a token are passed over. */
export class HeaderScanner {
  readonly #text: string;
  #at = 0;

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

  /** A quoted-string, without its quotes. */
  quoted(): string | undefined {
    this.comments();
    return this.#match(/"(?:[^"\\]|\\.)*"/sy)
      ?.slice(1, -1)
      .replace(/\\(.)/gs, '$1');
  }

  /** A quoted-string, or else everything to the next white space, comment or semicolon. */
  value(): string | undefined {
    return this.quoted() ?? this.#match(/[^\s;("]+/y);
  }

  /** Whether the next character is this one, which is then passed over. */
  take(character: string): boolean {
    this.comments();
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  isAtEnd(): boolean {
    this.comments();
    return this.#at >= this.#text.length;
  }

  #skipComment(): void {
    let depth = 0;
    do {
      const character = this.#text[this.#at++];
      if (character === undefined) return;
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
