/** Every public name of the package says what it is: editors show it, and nobody has to read the code. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { API, type Checker, type Symbol as Name, SymbolFlags } from 'typescript/unstable/sync';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
};
const entries = Object.values(exports).flatMap((target) =>
  typeof target === 'string' ? [] : [target.default.replace('./dist/', 'lib/').replace(/js$/, 'ts')],
);

let api: API;
let undocumented: (entry: string) => string[];

beforeAll(() => {
  api = new API({ cwd: root });
  const config = join(root, 'tsconfig.json');
  const project = api.updateSnapshot({ openProjects: [config] }).getProject(config);
  if (project === undefined) throw new Error('tsconfig.json is no project');
  const { checker, program } = project;
  undocumented = (entry) => {
    const source = program.getSourceFile(join(root, entry));
    const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
    if (module === undefined) throw new Error(`${entry} is no module`);
    return exportsOf(module, checker).flatMap(([name, symbol]) => lacking(name, symbol, checker));
  };
});

afterAll(() => api.close());

/** What a module exports of our own, by name, without what it takes from other packages. */
function exportsOf(module: Name, checker: Checker): [string, Name][] {
  return checker.getExportsOfModule(module).flatMap((exported): [string, Name][] => {
    const symbol = exported.flags & SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
    return isOurs(symbol) ? [[exported.name, symbol]] : [];
  });
}

function isOurs(symbol: Name): boolean {
  return symbol.declarations.some(({ path }) => path.startsWith(join(root, 'lib/')));
}

/** The names without a word, of a symbol and of what can be reached through it. */
function lacking(name: string, symbol: Name, checker: Checker): string[] {
  if (symbol.flags & SymbolFlags.Module) {
    return exportsOf(symbol, checker).flatMap(([inner, member]) =>
      lacking(`${name}.${inner}`, member, checker),
    );
  }
  return [
    ...(symbol.getDocumentationComment(checker) === '' ? [name] : []),
    ...membersOf(symbol, checker)
      .filter((member) => isOurs(member) && isPublic(member, checker) && !isTag(member))
      .filter((member) => member.getDocumentationComment(checker) === '')
      .map((member) => `${name}.${member.name}`),
  ];
}

function membersOf(symbol: Name, checker: Checker): Name[] {
  if (symbol.flags & (SymbolFlags.Class | SymbolFlags.Interface)) {
    const statics = symbol.flags & SymbolFlags.Class ? [...symbol.getExports().values()] : [];
    return [...symbol.getMembers().values(), ...statics];
  }
  if (symbol.flags & SymbolFlags.TypeAlias) {
    return [...checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))];
  }
  return [];
}

/** What tells the kinds of a union apart is declared in each of them, and explained by their own comments. */
function isTag(member: Name): boolean {
  return (member.flags & SymbolFlags.Property) !== 0 && member.declarations.length > 1;
}

/** Neither private, nor a constructor or type parameter, nor left out of the declarations. */
function isPublic(member: Name, checker: Checker): boolean {
  const named = SymbolFlags.Property | SymbolFlags.Method | SymbolFlags.Accessor;
  if ((member.flags & named) === 0 || /^(?:__|#|prototype$)/.test(member.name)) return false;
  return !member.getJsDocTags(checker).some((tag) => tag.name === 'internal');
}

describe('every public name has a doc comment', () => {
  it.each(entries.filter((entry) => /^lib\/(?:(?:dns|spf|mime|testing)\/)?index.ts$/.test(entry)))(
    'of %s',
    (entry) => {
      expect(undocumented(entry)).toEqual([]);
    },
  );
});
