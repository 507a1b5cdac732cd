/** The manual pages, milter(1) and milter.toml(5), from what the commands print and what the schema says. */
import { Writable } from 'node:stream';
import type { JsonSchema } from '../filter/index.ts';
import { packageJson } from '../package.ts';
import { commands, USAGE } from './commands.ts';

/** The page of the command. */
export async function commandPage(): Promise<string> {
  const usages = await Promise.all(
    Object.entries(commands).map(async ([name, load]) => {
      const text = await printedBy(
        async (stdout) => await (await load())(['--help'], { stdout, stderr: stdout }),
      );
      return `.SS milter ${name}\n${verbatim(text)}`;
    }),
  );
  return [
    head('MILTER', 1),
    section('NAME', 'milter \\- a mail filter for Postfix and Sendmail'),
    `.SH SYNOPSIS\n${verbatim(USAGE.replace(/^Usage: /, '       ').replace(/^ {7}/gm, ''))}`,
    `.SH COMMANDS\n${usages.join('')}`,
    `.SH ENVIRONMENT\n${term('MILTER_CONFIG', 'The configuration, where none is given.')}${term('MILTER_LIBRARY', 'Another build of libmilter.')}`,
    `.SH FILES\n${term('/etc/milter/milter.toml', 'The configuration, see milter.toml(5).')}${term('/var/lib/milter', 'What the filter remembers and keeps.')}`,
    section('SEE ALSO', '.BR milter.toml (5),\n.BR postconf (5)'),
  ].join('');
}

/** The page of the configuration. */
export function configPage(schema: JsonSchema): string {
  const { module, $schema: _, ...top } = propertiesOf(schema);
  const plain = Object.entries(top).filter(([, one]) => one.properties === undefined);
  const tables = Object.entries(top).filter(([, one]) => one.properties !== undefined);
  const { items } = module ?? {};
  const rules = items?.allOf ?? [];
  return [
    head('MILTER.TOML', 5),
    section('NAME', 'milter.toml \\- configuration of the mail filter'),
    section('DESCRIPTION', escaped(INTRODUCTION)),
    `.SH TOP LEVEL\n${plain.map(keyEntry).join('')}`,
    ...tables.map(
      ([name, table]) => `.SH [${name}]\n${escaped(table.description ?? '')}\n${keyEntries(table)}`,
    ),
    `.SH WHAT EVERY MODULE TAKES\n${keyEntries({ properties: commonOf(rules) })}`,
    ...rules.map((rule) => moduleSection(rule, Object.keys(commonOf(rules)))),
    section('SEE ALSO', '.BR milter (1)'),
  ].join('');
}

const INTRODUCTION = `One file in TOML. What is not in it has the default that is given here; what is unknown or impossible is refused before \
anything runs. Each [[module]] names a module by "use"; they look at a message in the order of the file. "milter check" tells all that is \
wrong, "milter explain" all values in force. The kinds of values, lists in files, and how a message is judged are explained in \
docs/configuration.md of the package, and each module in docs/modules.`;

/** The parts of a JSON Schema that are read here. */
interface SchemaPart {
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, SchemaPart>>;
  readonly items?: SchemaPart & { readonly allOf?: readonly ModuleRule[] };
}

interface ModuleRule {
  readonly if: SchemaPart;
  readonly then: SchemaPart;
}

function propertiesOf(part: SchemaPart): Readonly<Record<string, SchemaPart>> {
  return part.properties ?? {};
}

/** The keys that all modules have. */
function commonOf(rules: readonly ModuleRule[]): Readonly<Record<string, SchemaPart>> {
  const [first, ...others] = rules.map((rule) => propertiesOf(rule.then));
  const common = Object.entries(first ?? {}).filter(([key]) => others.every((other) => key in other));
  return Object.fromEntries(common.filter(([key]) => key !== 'use'));
}

function moduleSection({ if: condition, then }: ModuleRule, common: readonly string[]): string {
  const { use } = propertiesOf(condition) as { readonly use?: SchemaPart };
  const name = String(use?.const ?? '');
  const own = Object.entries(propertiesOf(then)).filter(([key]) => key !== 'use' && !common.includes(key));
  return `.SH MODULE ${name.toUpperCase()}\n${own.map(keyEntry).join('')}`;
}

function keyEntries(part: SchemaPart): string {
  return Object.entries(propertiesOf(part)).map(keyEntry).join('');
}

function keyEntry([key, part]: readonly [string, SchemaPart]): string {
  const value = part.default === undefined ? '' : ` = ${escaped(JSON.stringify(part.default))}`;
  const words =
    part.enum === undefined ? '' : ` One of ${part.enum.map((word) => JSON.stringify(word)).join(' ')}.`;
  return `.TP\n.B ${escaped(key)}\\fR${value}\n${escaped(`${part.description ?? ''}${words}`.trim() || key)}\n`;
}

function head(title: string, chapter: number): string {
  return `.TH ${title} ${chapter} "" "milter ${packageJson.version}" "Mail filter"\n`;
}

function section(title: string, text: string): string {
  return `.SH ${title}\n${text}\n`;
}

function term(name: string, text: string): string {
  return `.TP\n.B ${escaped(name)}\n${escaped(text)}\n`;
}

/** Text as it is, in lines as they are. */
function verbatim(text: string): string {
  return `.nf\n${escaped(text.trimEnd())}\n.fi\n`;
}

/** What roff would take for its own (backslashes, hyphens, quotes, lines that begin like a request), and what is no ASCII. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replace(/^(?=[.'])/gm, '\\&')
    .replace(/[^\n\x20-\x7e]/gu, (character) => `\\[u${hex(character)}]`);
}

function hex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
}

async function printedBy(print: (stdout: NodeJS.WritableStream) => Promise<unknown>): Promise<string> {
  let text = '';
  const stdout = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  await print(stdout);
  return text;
}
