import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { type Path, parseToml, TomlFault } from '../../../../lib/filter/config/toml.ts';
import { fc, runs } from '../../../helpers/fuzz.ts';

function place(text: string, path: Path): string {
  const { line, column } = parseToml(text).position(path);
  return `${line}:${column}`;
}

function faultOf(text: string): string {
  try {
    parseToml(text);
  } catch (error) {
    if (error instanceof TomlFault)
      return `${error.position.line}:${error.position.column}: ${error.message}`;
    throw error;
  }
  return 'none';
}

describe('positions', () => {
  const text = `# a comment with [brackets] and = "quotes
socket = "inet:1" # "
  log.level = "info"
names = [ 'a]', """b
]""", # ]
  "c\\"]", ]

[http]
listen = "x"

[[module]]
use = "one"
match = { from = ["a", "b"], "no\\u0074_to" = [] }
[[module]]
  use = "two"
[[module.limit]]
per = 1
[[module.limit]]
per = { a.b = [[1], [2, 3]] }
[module.sub]
x = 2024-01-01T00:00:00Z
y = '''it's
z = 1''''
last = true`;

  it.each<[Path, string]>([
    [['socket'], '2:1'],
    [['log'], '3:3'],
    [['log', 'level'], '3:7'],
    [['names', 0], '4:11'],
    [['names', 1], '4:17'],
    [['names', 2], '6:3'],
    [['http'], '8:1'],
    [['http', 'listen'], '9:1'],
    [['module'], '11:1'],
    [['module', 0], '11:1'],
    [['module', 0, 'use'], '12:1'],
    [['module', 0, 'match', 'from', 1], '13:24'],
    [['module', 0, 'match', 'not_to'], '13:30'],
    [['module', 1], '14:1'],
    [['module', 1, 'use'], '15:3'],
    [['module', 1, 'limit', 0, 'per'], '17:1'],
    [['module', 1, 'limit', 1, 'per', 'a', 'b', 1, 1], '19:25'],
    [['module', 1, 'sub', 'x'], '21:1'],
    [['module', 1, 'sub', 'y'], '22:1'],
    [['module', 1, 'sub', 'last'], '24:1'],
  ])('of %j is %s', (path, expected) => expect(place(text, path)).toBe(expected));

  it.each<[string, Path, string]>([
    ['a missing key is where its table begins', ['module', 1, 'match', 'from'], '14:1'],
    ['a missing element is where its list begins', ['names', 7], '4:1'],
    ['what is nowhere is at the beginning', ['store', 'url'], '1:1'],
  ])('of %s', (_, path, expected) => expect(place(text, path)).toBe(expected));

  it('count lines that end with CRLF, and do not count a byte order mark as a key', () => {
    expect(place('\u{feff}a = 1\r\n\r\nb = [\r\n 1]\r\n', ['b', 0])).toBe('4:2');
    expect(place('\u{feff}a = 1', ['a'])).toBe('1:2');
  });

  it('are known of everything that the parser finds', () => {
    const scalar = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.double({ noNaN: true }));
    const name = fc
      .string({ minLength: 1 })
      .filter((key) => key !== '__proto__' && key !== 'constructor' && !key.includes('\0'));
    const { tree } = fc.letrec<{ tree: unknown; value: unknown }>((tie) => ({
      value: fc.oneof({ depthSize: 'small' }, scalar, fc.array(tie('value'), { maxLength: 3 }), tie('tree')),
      tree: fc.dictionary(name, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    }));
    const check = (value: unknown, path: Path, text: string, found: ReturnType<typeof parseToml>): void => {
      if (typeof value !== 'object' || value === null) return;
      for (const [key, inner] of Object.entries(value)) {
        const below = [...path, Array.isArray(value) ? Number(key) : key];
        const { line, column } = found.position(below);
        const rest = text.split('\n')[line - 1]?.slice(column - 1) ?? '';
        // A key begins with itself or a quote, an element with its value, a table with its header.
        const first = String(typeof inner === 'object' ? '' : Array.isArray(value) ? inner : key)[0] ?? '';
        const isSound = /^["'[{]/.test(rest) || rest.startsWith(first);
        expect(isSound, `${JSON.stringify(below)} at ${line}:${column} of ${text}`).toBe(true);
        check(inner, below, text, found);
      }
    };
    fc.assert(
      fc.property(tree, (value) => {
        const text = stringify(value);
        const found = parseToml(text);
        check(found.values, [], text, found);
      }),
      runs(500),
    );
  });
});

describe('what is no TOML', () => {
  it.each([
    ['a text without quotes', 'a = 1\nmode = enforce\n', '2:8: is no value: write texts in "quotes"'],
    ['a key twice', 'a = 1\nb = 2\na = 3\n', '3:1: "a" is given twice'],
    ['a table twice', '[log]\nlevel = "x"\n[log]\n', '3:2: "log" is given twice'],
    ['a key that is none', '__proto__ = 1\n', '1:1: "__proto__" can be no key'],
    ['a text without an end', 'a = "b\n', /^1:\d+: /],
    [
      'two on one line',
      'a = 1 b = 2',
      /^1:\d+: each key-value declaration must be followed by an end-of-line$/,
    ],
    ['a control character', 'a = "\u0001"', /^1:\d+: control characters/],
    ['a number that JavaScript cannot hold', 'a = 12345678901234567890', /^1:\d+: /],
  ])('%s', (_, text, expected) => expect(faultOf(text)).toMatch(expected));

  it.each([
    ['depth', `a = ${'['.repeat(100_000)}`],
    ['depth of inline tables', `a = ${'{a='.repeat(100_000)}`],
    ['depth of dotted keys', `${'a.'.repeat(1_000_000)}a = 1`],
    ['size', '#'.repeat(5 * 1024 * 1024)],
  ])('has a bound: %s', (_, text) => expect(faultOf(text)).toMatch(/^\d+:\d+: /));

  it('never throws anything else', () => {
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: fc.constantFrom(...'[]{}="\'.,#\n\\ab1 -'), maxLength: 60 }),
    );
    fc.assert(
      fc.property(hostile, (text) => void faultOf(text)),
      runs(5_000),
    );
  });
});

const promised = join(import.meta.dirname, '../../../../../shared/milter.toml');

it.skipIf(!existsSync(promised))('finds the places of a whole configuration', () => {
  const text = readFileSync(promised, 'utf8');
  const { values, position } = parseToml(text);
  const { module: modules = [] } = values as { module?: Readonly<Record<string, unknown>>[] };
  const lines = text.split('\n');
  for (const [i, module] of modules.entries()) {
    for (const key of Object.keys(module)) {
      const { line, column } = position(['module', i, key]);
      expect(lines[line - 1]?.slice(column - 1)).toMatch(new RegExp(`^${key} = `));
    }
  }
});
