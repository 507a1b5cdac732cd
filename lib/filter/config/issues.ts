/** What zod says of values, as faults: in the words of an administrator, with the nearest known key. */
import { nearest, show } from '../../options.ts';
import { type ConfigFault, type FileFault, wrongWord } from './faults.ts';
import type { Path, Position } from './toml.ts';
import { z } from './zod.ts';

/** A part of a configuration. */
export interface Place {
  readonly file: string;
  /** From the top of the file to this part. */
  readonly path: Path;
  readonly position: (path: Path) => Position;
}

/** A part that one schema describes. */
export interface Section extends Place {
  /** What it is called in "… has no such key". */
  readonly title: string;
  readonly schema: z.ZodType;
  /** Keys that may stand here too, though another schema describes them. */
  readonly more: readonly string[];
}

/** More faults of one part are of no use to anybody. */
const MAX_FAULTS = 100;

type Issue = z.core.$ZodIssue;

/** The faults that a parse of this section found. */
export function faultsOf(issues: readonly Issue[], section: Section): ConfigFault[] {
  return issues.slice(0, MAX_FAULTS).flatMap((issue) => {
    const path = issue.path.map((key) => (typeof key === 'number' ? key : String(key)));
    switch (issue.code) {
      case 'unrecognized_keys':
        return issue.keys.slice(0, MAX_FAULTS).map((key) => unknownKey(section, path, key));
      case 'invalid_union': {
        const ofType = likeliest(issue.errors);
        if (ofType === undefined && issue.message !== '') return [faultAt(section, path, issue.message)];
        return faultsOf(
          (ofType ?? issue.errors[0] ?? []).map((below) => ({
            ...below,
            path: [...issue.path, ...below.path],
          })),
          section,
        );
      }
      case 'custom': {
        const { inFile = [] } = (issue.params ?? {}) as { readonly inFile?: readonly FileFault[] };
        if (inFile.length === 0) return [faultAt(section, path, issue.message)];
        return inFile.map((fault) => ({ ...fault, key: keyName(path) }));
      }
      default:
        return [faultAt(section, path, issue.message)];
    }
  });
}

/** A fault at a key of this part. */
export function faultAt(place: Place, path: Path, message: string): ConfigFault {
  const { file, position } = place;
  return { file, ...position([...place.path, ...path]), key: keyName(path), message };
}

/** `match.from[0]`; a key that could not stand there without quotes has them, and is no longer than a line. */
export function keyName(path: Path): string {
  return path
    .map((key, i) => {
      if (typeof key === 'number') return `[${key}]`;
      const name = /^[\w$-]{1,100}$/.test(key) ? key : show(key);
      return i === 0 ? name : `.${name}`;
    })
    .join('');
}

function unknownKey(section: Section, path: Path, key: string): ConfigFault {
  const known = [...keysAt(section.schema, path), ...(path.length === 0 ? section.more : [])];
  const meant = nearest(key, known);
  const where = path.length === 0 ? section.title : keyName(path);
  const advice =
    meant === undefined ? `; it has ${known.toSorted().join(' ')}` : `; did you mean "${meant}"?`;
  return faultAt(section, [...path, key], `${where} has no such key${known.length === 0 ? '' : advice}`);
}

/** Of the alternatives' faults those of the one that was probably meant: the one whose type is right. */
function likeliest(alternatives: readonly (readonly Issue[])[]): readonly Issue[] | undefined {
  const isOfType = ({ code, path }: Issue): boolean => path.length > 0 || code !== 'invalid_type';
  const ofType = alternatives.filter((issues) => issues.every(isOfType));
  // A word that is none of an enumeration is one nevertheless, if nothing else is of its type.
  const isWord = (issues: readonly Issue[]): boolean => issues.some(({ code }) => code === 'invalid_value');
  return ofType.find((issues) => !isWord(issues)) ?? ofType[0];
}

/** The keys that a table at this place may have; none where there is no table. */
function keysAt(schema: z.core.$ZodType, path: Path): readonly string[] {
  return tablesAt(schema, path).flatMap((table) => Object.keys(table.def.shape));
}

function tablesAt(schema: z.core.$ZodType, path: Path): z.ZodObject[] {
  const plain = inner(schema);
  if (plain instanceof z.ZodUnion) return plain.options.flatMap((option) => tablesAt(option, path));
  const [key, ...rest] = path;
  if (key === undefined) return plain instanceof z.ZodObject ? [plain] : [];
  if (plain instanceof z.ZodArray) return tablesAt(plain.element, rest);
  const below = plain instanceof z.ZodObject ? plain.def.shape[key] : undefined;
  return below === undefined ? [] : tablesAt(below, rest);
}

/** A schema without what fills in defaults and what reads further: the one of what stands in the file. */
export function inner(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.ZodPipe) return inner(schema.in);
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return inner(schema.def.innerType);
  }
  return schema;
}

/** What zod is to say where a schema does not say it itself. */
export const describeIssue: z.core.$ZodErrorMap = (issue) => {
  const { input } = issue;
  switch (issue.code) {
    case 'invalid_type':
      return input === undefined
        ? `is missing; it must be ${typeName(issue.expected)}`
        : `must be ${typeName(issue.expected)}, got ${show(input)}`;
    case 'invalid_value': {
      const words = issue.values.map(String);
      const expected = words.length === 1 ? show(words[0]) : `one of ${words.map(show).join(' ')}`;
      return input === undefined ? `is missing; it must be ${expected}` : wrongWord(expected, input, words);
    }
    case 'too_small':
      return `must ${bound(issue.origin, 'at least', issue.minimum)}, got ${show(input)}`;
    case 'too_big':
      return `must ${bound(issue.origin, 'at most', issue.maximum)}, got ${show(input)}`;
    case 'invalid_union':
      // Its alternatives say more, unless the schema has words of its own.
      return '';
    default:
      return undefined;
  }
};

function typeName(expected: string): string {
  const names: Readonly<Record<string, string>> = {
    string: 'a text in quotes',
    boolean: 'true or false',
    array: 'a list, [ … ]',
    object: 'a table, { … }',
    record: 'a table, { … }',
    int: 'a whole number',
    number: 'a number',
  };
  return names[expected] ?? expected;
}

function bound(origin: string, words: string, limit: number | bigint): string {
  if (origin === 'string' && words === 'at least' && limit === 1) return 'not be empty';
  if (origin === 'string') return `have ${words} ${limit} characters`;
  return origin === 'array' ? `have ${words} ${limit} entries` : `be ${words} ${limit}`;
}
