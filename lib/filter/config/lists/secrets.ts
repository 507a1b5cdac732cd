/** Lists of secrets: in a file that is read anew when it changes, or from where systemd or the environment has them. */
import { BadValue } from '../faults.ts';
import { textKind, type WithDefault } from '../kind.ts';
import type { Entries } from './files.ts';
import { openFile } from './list.ts';

/** Secrets, the first of which is the newest. What their file holds may change between two questions. */
export interface SecretList {
  /** Never empty where the key was given. */
  readonly all: readonly string[];
  /** The file; undefined where they come from elsewhere. */
  readonly path: string | undefined;
}

class Secrets implements Entries {
  /** A `#` may be part of one. */
  readonly wholeLines = true;
  readonly all: string[] = [];
  readonly #least: number;

  constructor(least: number) {
    this.#least = least;
  }

  add(entry: string): void {
    // The secret itself must not be in a log.
    if (entry.length < this.#least) {
      throw new BadValue(
        `a secret of ${entry.length} characters can be guessed: ${this.#least} are the least; make one with: openssl rand -base64 24`,
      );
    }
    this.all.push(entry);
  }

  end(): void {
    if (this.all.length === 0) throw new BadValue('holds no secret; make one with: openssl rand -base64 24');
  }
}

/**
 * Secrets, one a line, the newest first: `"file:PATH"`, which is read anew when it changes, `"env:NAME"` or
 * `"credential:NAME"`. Empty for none.
 * @param readSecret what else stands for secrets
 * @param least characters of each
 */
export function secretList<D extends string | undefined = undefined>(
  readSecret: (text: string) => string,
  otherwise: D | undefined,
  least: number,
): WithDefault<SecretList, string, D> {
  const make = (): Secrets => new Secrets(least);
  return textKind(
    'secrets: "file:PATH", "env:NAME" or "credential:NAME", one a line',
    (text): SecretList => {
      if (text === '') return { all: [], path: undefined };
      if (text.startsWith('file:')) {
        const file = openFile(text.slice(5), make, make);
        return {
          get all() {
            return file.entries.all;
          },
          path: file.path,
        };
      }
      const found = make();
      for (const line of readSecret(text)
        .split('\n')
        .map((one) => one.trim())) {
        if (line !== '' && !line.startsWith('#')) found.add(line);
      }
      found.end();
      return { all: found.all, path: undefined };
    },
    otherwise as D,
    { writeOnly: true },
  );
}
