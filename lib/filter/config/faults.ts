/** What is wrong with a configuration: all of it at once, each with its place. */
import { MilterError } from '../../errors.ts';
import { nearest, show } from '../../options.ts';

/** One thing that is wrong. */
export interface ConfigFault {
  /** The file that it is in: the configuration's, or that of a list. */
  readonly file: string;
  /** From 1; 0 where the fault is in no line, as of a file that cannot be read. */
  readonly line: number;
  /** From 1; 0 likewise. */
  readonly column: number;
  /** The key, below the table that it is in: `log.level`; in a module `fail` or `match.from[0]`. Empty where there is none. */
  readonly key: string;
  /** What is wrong and what was expected, in one line. */
  readonly message: string;
}

/**
 * A configuration that cannot be used. Its message has one line for each fault, `file:line:column: key: message`,
 * in the order of the file.
 */
export class FilterConfigError extends MilterError {
  override readonly name = 'FilterConfigError';
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[]) {
    const sorted = faults.toSorted(
      (a, b) => Number(a.file > b.file) - Number(a.file < b.file) || a.line - b.line || a.column - b.column,
    );
    super('ERR_MILTER_CONFIG', sorted.map(faultLine).join('\n'));
    this.faults = sorted;
  }
}

/** A fault in one line. */
export function faultLine({ file, line, column, key, message }: ConfigFault): string {
  const place = line === 0 ? file : `${file}:${line}:${column}`;
  return key === '' ? `${place}: ${message}` : `${place}: ${key}: ${message}`;
}

/** Says that `got` is none of the words that are known, and which of them was probably meant. */
export function wrongWord(expected: string, got: unknown, known: readonly string[]): string {
  const meant = typeof got === 'string' ? nearest(got, known) : undefined;
  return `must be ${expected}, got ${show(got)}${meant === undefined ? '' : `; did you mean "${meant}"?`}`;
}

/** What is wrong in a file that a value names. Line and column are 0 where it is the file as a whole. */
export type FileFault = Omit<ConfigFault, 'key'>;

/** Thrown by what reads a value: it is none of its kind. The message continues the key's name. */
export class BadValue extends Error {
  readonly inFile: readonly FileFault[];

  constructor(message: string, inFile: readonly FileFault[] = []) {
    super(message);
    this.inFile = inFile;
  }
}
