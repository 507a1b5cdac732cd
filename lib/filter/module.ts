/** What a module of the filter is: a Milter class made for its options, and what is to be known of it beforehand. */
import type { Resolver } from '../dns/index.ts';
import { wrongArgument } from '../errors.ts';
import type { MilterClass } from '../index.ts';
import { show } from '../options.ts';
import type { z } from './config/zod.ts';
import type { About } from './findings/finding.ts';
import type { Services } from './services.ts';

/** Options of a module: `z.strictObject({ … })`, so that a misspelt key is a fault. */
export type OptionsSchema = z.ZodObject<z.ZodRawShape, z.core.$strict>;

/** What is known of a finding beforehand. */
export interface FindingDeclaration {
  /** What an entry of the access map is compared with. */
  readonly about: About;
  /** A short phrase for the docs, the log and the standard reply. */
  readonly text: string;
  /** Of a reject; a tempfail gets the 4xx beside it. @default 550 */
  readonly code?: number;
  /** Of a reject; a tempfail gets the 4.x.x beside it. @default '5.7.1' */
  readonly enhanced?: string;
  /** The reply's text, with `%{…}`. @default `text` */
  readonly reply?: string;
  /** Variables of the reply besides those that are always there: `details.values` gives them. */
  readonly values?: readonly string[];
}

/** Which mail a module works for: by its client, and, for modules that work after the last recipient, its direction. */
export type When = 'external' | 'internal' | 'authenticated' | 'incoming' | 'outgoing' | 'local';

/** What follows when a module fails or is late. */
export type OnErrorWord = 'tempfail' | 'continue' | 'reject' | 'accept';

/** Another module without which this one cannot do what its options ask, or not all of it. */
export interface Need<Options> {
  /** The other's `name` in its definition. */
  readonly module: string;
  /** What it is needed for: continues "needs module x, ". */
  readonly why: string;
  /** Whether these options need it. @default always */
  when?(options: Options): boolean;
  /** What is wrong where the other is there, but its options are of no use; undefined where they are. @default nothing */
  lacks?(others: Readonly<Record<string, unknown>>): string | undefined;
}

/** Where in the order of changes a module stands: signing sees all edits, and copies are of what is delivered. */
export type ChangeStep = 'edit' | 'sign' | 'copy';

/**
 * Where in the order of judging a module stands: first those that look, then those that count what the others let pass, then
 * the points are added up, and a delay concerns what is left.
 */
export type JudgeStep = 'look' | 'count' | 'weigh' | 'delay';

/**
 * What `setup` makes: a class; or, for those that only do something for other modules, none; and what is to be done when
 * the configuration is left.
 */
export type Made =
  | MilterClass
  | { readonly Milter?: MilterClass; dispose?(): void | Promise<void> }
  | undefined
  | void;

/** A module. */
export interface ModuleDefinition<Schema extends OptionsSchema, Short extends string> {
  /** Lower case letters, digits and hyphens. */
  readonly name: string;
  /** In one line, for the docs and for editors. */
  readonly about?: string;
  readonly options: Schema;
  /** What it can find, by short names; a string is a phrase for something about the message. */
  readonly findings: Readonly<Record<Short, string | FindingDeclaration>>;
  /** May stand in a configuration once only. @default false */
  readonly once?: boolean;
  /** `envelope` modules work before DATA, and cannot know the direction. @default 'message' */
  readonly stage?: 'envelope' | 'message';
  /** Where the configuration does not say. @default all mail */
  readonly when?: readonly When[];
  /** Mail that these options ask it to work for besides, whatever `when` says. @default none */
  alsoWhen?(options: z.output<Schema>): readonly When[];
  /** Where the configuration does not say. @default the top level's `on_error` */
  readonly onError?: OnErrorWord;
  /** Whether it sends mail by `[outgoing]` with these options: `milter check` says where that is missing. @default false */
  sends?(options: z.output<Schema>): boolean;
  readonly needs?: readonly Need<z.output<Schema>>[];
  /** Without these it works, but does less than its options say: `milter check` warns. */
  readonly wants?: readonly Need<z.output<Schema>>[];
  /** Its findings act although another says `accept`. @default false */
  readonly unsparing?: boolean;
  /**
   * What it finds after DATA acts on mail to exempt recipients too: who takes everything does not want a virus. What a person
   * released from quarantine is let through all the same. @default false
   */
  readonly concernsExempt?: boolean;
  /** When it judges, among the others. @default 'look' */
  readonly judges?: JudgeStep;
  /** When its changes are made, among those of the others; of several steps the first, unless it says so. @default 'edit' */
  readonly changes?: ChangeStep | readonly ChangeStep[];
  /**
   * For `milter check`: the folders that it writes to with these options, each with its key; relative ones are below
   * `data`. @default none
   */
  folders?(options: z.output<Schema>): readonly (readonly [key: string, folder: string])[];
  /**
   * For `milter check`: what of the surroundings is not as these options need it, or is unwise; a sentence each. Nothing
   * is changed by it.
   */
  check?(options: z.output<Schema>, resolver: Resolver): readonly string[] | Promise<readonly string[]>;
  /** Called once for each configuration and place in it. */
  setup(context: {
    readonly options: z.output<Schema>;
    readonly services: Services<Short>;
    /** In this configuration. */
    readonly name: string;
  }): Made | Promise<Made>;
}

/** Any module, for those who only list, check or run them. */
export type AnyModule = ModuleDefinition<OptionsSchema, string>;

/** What every module takes, and what no option can therefore be called. */
export const commonKeys: readonly string[] = [
  'use',
  'name',
  'mode',
  'when',
  'match',
  'on_error',
  'deadline',
  'mark',
  'texts',
];

const known = Symbol.for('libmilter.filter.module');

/**
 * Declares a module: the default export of its file.
 * @throws TypeError for a definition that cannot be used
 */
export function defineModule<Schema extends OptionsSchema, Short extends string>(
  definition: ModuleDefinition<Schema, Short>,
): ModuleDefinition<Schema, Short> {
  const fault = (message: string): TypeError => wrongArgument(`defineModule: ${message}`);
  if (!/^[a-z][a-z0-9-]{0,30}$/.test(definition.name)) {
    throw fault(
      `name must be lower case letters, digits and hyphens, 31 at most, got ${show(definition.name)}`,
    );
  }
  if (definition.options?._zod?.def.catchall?._zod.def.type !== 'never') {
    throw fault(`the options of "${definition.name}" must be a z.strictObject({ … })`);
  }
  const taken = Object.keys(definition.options.shape).find((key) => commonKeys.includes(key));
  if (taken !== undefined)
    throw fault(`"${definition.name}" has an option "${taken}", which every module has`);
  if (typeof definition.setup !== 'function') throw fault(`"${definition.name}" needs a function setup`);
  for (const short of Object.keys(definition.findings)) {
    if (!/^[a-z][a-z0-9-]*$/.test(short))
      throw fault(`${show(short)} of "${definition.name}" is no name of a finding`);
  }
  return Object.assign(definition, { [known]: true });
}

/** The steps in which a module makes its changes. */
export function changeSteps({ changes = 'edit' }: AnyModule): readonly [ChangeStep, ...ChangeStep[]] {
  const [first = 'edit', ...others] = typeof changes === 'string' ? [changes] : changes;
  return [first, ...others];
}

/** Whether this is what {@link defineModule} gave, of this copy of the package or another. */
export function isModule(value: unknown): value is AnyModule {
  return typeof value === 'object' && value !== null && known in value;
}
