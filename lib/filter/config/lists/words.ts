/** Lists of plain words and of globs. */
import { aLabels, isDomain } from '../domains.ts';
import type { Entries } from './files.ts';
import { matchesGlob } from './glob.ts';
import { badEntry, type ListKind, listKind, type Parts } from './list.ts';

/** A list of words as they stand. What its files hold may change between two questions. */
export interface WordList {
  /** Nothing is in it now. */
  readonly empty: boolean;
  /** The words of the list and of each of its files: a new set where a file has changed, else the same one. */
  sets(): readonly ReadonlySet<string>[];
  /** Whether a word is in it, exactly. */
  has(word: string): boolean;
}

class Words implements WordList {
  readonly #parts: Parts<Set<string>>;

  constructor(parts: Parts<Set<string>>) {
    this.#parts = parts;
  }

  get empty(): boolean {
    return this.#parts.every(({ entries }) => entries.size === 0);
  }

  sets(): readonly ReadonlySet<string>[] {
    return this.#parts.map(({ entries }) => entries);
  }

  has(word: string): boolean {
    return this.#parts.some(({ entries }) => entries.has(word));
  }
}

/** A list of words. Where the key is not given it is `otherwise`. */
export function words(otherwise: readonly string[] = []): ListKind<WordList> {
  return listKind(
    'a list of words, such as ["one", "two", "file:PATH"]',
    Set,
    () => new Set<string>(),
    (parts) => new Words(parts),
    'Words; "file:PATH" has one a line',
    otherwise,
  );
}

/** A list of domains by name. What its files hold may change between two questions. */
export interface DomainList {
  /** Nothing is in it now. */
  readonly empty: boolean;
  /** As A-labels, in lower case. */
  all(): readonly string[];
  has(domain: string): boolean;
}

class PlainDomains implements Entries {
  readonly names = new Set<string>();

  add(entry: string): void {
    const name = aLabels(entry);
    if (!isDomain(name)) throw badEntry(entry, 'is no domain');
    this.names.add(name);
  }
}

/** A list of domains, each just itself. Where the key is not given it is `otherwise`. */
export function domains(otherwise: readonly string[] = []): ListKind<DomainList> {
  return listKind<PlainDomains, DomainList>(
    'a list of domains, such as ["example.com", "file:PATH"]',
    PlainDomains,
    () => new PlainDomains(),
    (parts) => ({
      get empty() {
        return parts.every(({ entries }) => entries.names.size === 0);
      },
      all: () => parts.flatMap(({ entries }) => [...entries.names]),
      has: (domain) => parts.some(({ entries }) => entries.names.has(aLabels(domain))),
    }),
    'Domains by name; "file:PATH" has one a line',
    otherwise,
  );
}

/** A list of globs, compared without case. */
export interface GlobList {
  /** Nothing is in it now. */
  readonly empty: boolean;
  /** Whether one of them matches all of the text. */
  matches(text: string): boolean;
}

class GlobSet implements Entries {
  readonly globs: string[] = [];
  readonly #fault: (entry: string) => string | undefined;

  constructor(fault: (entry: string) => string | undefined) {
    this.#fault = fault;
  }

  add(entry: string): void {
    const fault = this.#fault(entry);
    if (fault !== undefined) throw badEntry(entry, fault);
    if (entry.length > 1_000) throw badEntry(`${entry.slice(0, 40)}…`, 'is longer than 1000 characters');
    this.globs.push(entry.toLowerCase());
  }
}

/** Longer texts are compared by their beginning: a glob takes time in proportion to both. */
const MAX_TEXT = 10_000;

/** A list of globs. Where the key is not given it is `otherwise`. */
export function globs(otherwise: readonly string[] = []): ListKind<GlobList> {
  return globList('a list of globs, such as ["*mailer*", "file:PATH"]', GlobSet, () => undefined, otherwise);
}

/** A list of content types, `"application/x-msdownload"`, and globs of such. */
export function contentTypes(otherwise: readonly string[] = []): ListKind<GlobList> {
  return globList(
    'a list of content types, such as ["application/x-msdownload", "video/*", "file:PATH"]',
    contentTypes,
    (entry) => (/[/*]/.test(entry) ? undefined : 'is no content type: write "application/x-msdownload"'),
    otherwise,
  );
}

function globList(
  expected: string,
  kind: object,
  fault: (entry: string) => string | undefined,
  otherwise: readonly string[],
): ListKind<GlobList> {
  return listKind<GlobSet, GlobList>(
    expected,
    kind,
    () => new GlobSet(fault),
    (parts) => ({
      get empty() {
        return parts.every(({ entries }) => entries.globs.length === 0);
      },
      matches: (text) => {
        const folded = text.slice(0, MAX_TEXT).toLowerCase();
        return parts.some(({ entries }) => entries.globs.some((glob) => matchesGlob(glob, folded)));
      },
    }),
    'Globs: * stands for any text, ? for one character; without case; "file:PATH" has one a line',
    otherwise,
  );
}

/** A list of file name extensions. What its files hold may change between two questions. */
export interface ExtensionList {
  /** In lower case, without dots: a new set where a file has changed, else the same one. */
  sets(): readonly ReadonlySet<string>[];
  has(extension: string): boolean;
}

class ExtensionSet implements Entries {
  readonly extensions = new Set<string>();

  add(entry: string): void {
    const extension = entry
      .replace(/^\*?\./, '')
      .normalize('NFKC')
      .toLowerCase();
    if (!/^[^\s./\\:*?"<>|\p{C}]{1,100}$/u.test(extension)) {
      throw badEntry(entry, 'is no extension: write "exe"; of "tar.gz" only the "gz" counts');
    }
    this.extensions.add(extension);
  }
}

/** A list of file name extensions, as in "exe" or ".exe". Where the key is not given it is `otherwise`. */
export function extensions(otherwise: readonly string[] = []): ListKind<ExtensionList> {
  return listKind<ExtensionSet, ExtensionList>(
    'a list of extensions, such as ["exe", "scr", "file:PATH"]',
    ExtensionSet,
    () => new ExtensionSet(),
    (parts) => ({
      sets: () => parts.map(({ entries }) => entries.extensions),
      has: (extension) => parts.some(({ entries }) => entries.extensions.has(extension)),
    }),
    'Extensions of file names without case; "file:PATH" has one a line',
    otherwise,
  );
}
