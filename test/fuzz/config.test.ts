/** Configurations of any text: either a configuration or all its faults, each with its place in the text. */
import { expect, it } from 'vitest';
import { parseToml, TomlFault } from '../../lib/filter/config/toml.ts';
import { FilterConfigError, parseConfig } from '../../lib/filter/index.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const piece = fc.oneof(
  fc.constantFrom(
    '[',
    ']',
    '[[',
    ']]',
    '{',
    '}',
    '"',
    "'",
    '"""',
    "'''",
    '=',
    '.',
    ',',
    '#',
    '\n',
    '\n',
    '\r\n',
    ' ',
    '\t',
    '\\',
    '\\u00e9',
    '\0',
  ),
  fc.constantFrom(
    '[[module]]\n',
    'use = "helo"\n',
    'name = "x"\n',
    '[log]\n',
    'level = "debug"\n',
    'socket = "inet:0@127.0.0.1"\n',
    '[match]\n',
  ),
  fc.constantFrom(
    'a',
    'b',
    '"a b"',
    "'c'",
    '__proto__',
    'constructor',
    'module',
    'use',
    'data',
    'on_error',
    '1',
    '0x1f',
    '-inf',
    'true',
    '1979-05-27',
    '"x"',
    '1_0',
    '\u{feff}',
  ),
  fc.string({ maxLength: 4 }),
);
const text = fc.array(piece, { maxLength: 25 }).map((pieces) => pieces.join(''));

/** Every path of a value. */
function* paths(
  value: unknown,
  path: readonly (string | number)[] = [],
): Generator<readonly (string | number)[]> {
  yield path;
  if (typeof value !== 'object' || value === null || value instanceof Date) return;
  for (const [key, inner] of Object.entries(value))
    yield* paths(inner, [...path, Array.isArray(value) ? Number(key) : key]);
}

function isWithin(
  whole: string,
  { line, column }: { readonly line: number; readonly column: number },
): boolean {
  const found = whole.split('\n')[line - 1];
  return found !== undefined && column >= 1 && column <= found.length + 1;
}

it('TOML is read, or its fault has a place in it; every value has one too', () => {
  fc.assert(
    fc.property(text, (toml) => {
      try {
        const read = parseToml(toml);
        for (const path of paths(read.values))
          expect(isWithin(toml, read.position(path)), String(path)).toBe(true);
        expect(parseToml(toml).values).toEqual(read.values);
      } catch (error) {
        if (!(error instanceof TomlFault)) throw error;
        expect(error.message).toMatch(/^[^\n]+$/);
        expect(isWithin(toml, error.position)).toBe(true);
      }
    }),
    runs(1_500),
  );
});

it('a configuration is read, or every fault is one line with a place', async () => {
  await fc.assert(
    fc.asyncProperty(text, async (toml) => {
      try {
        await parseConfig(toml, { directory: '/nowhere', environment: {} });
      } catch (error) {
        if (!(error instanceof FilterConfigError)) throw error;
        expect(error.faults.length).toBeGreaterThan(0);
        expect(error.message.split('\n')).toHaveLength(error.faults.length);
        for (const fault of error.faults)
          expect(fault.line === 0 || isWithin(toml, fault), JSON.stringify(fault)).toBe(true);
      }
      expect(({} as { readonly use?: unknown }).use).toBeUndefined();
    }),
    runs(500),
  );
});
