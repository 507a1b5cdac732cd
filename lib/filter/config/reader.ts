/** Reads the parts of a configuration, each by the schema that describes it. */
import type { AnyModule, OnErrorWord } from '../module.ts';
import { ownModules } from '../modules/index.ts';
import type { ConfiguredModule } from './config.ts';
import { BadValue, type ConfigFault } from './faults.ts';
import type { FindModule } from './find-module.ts';
import { describeIssue, faultAt, faultsOf, type Place } from './issues.ts';
import { type Reading, readWith } from './reading.ts';
import { moduleSchema, type Settings, settingsSchema } from './schema.ts';
import type { Path, TomlText } from './toml.ts';
import type { z } from './zod.ts';

/** Reads the parts of one configuration, and gathers their faults. */
export class ConfigReader {
  readonly faults: ConfigFault[] = [];
  readonly #file: string;
  readonly #toml: TomlText;
  readonly #surroundings: Reading;
  readonly #find: FindModule;

  constructor(file: string, toml: TomlText, surroundings: Reading, find: FindModule) {
    this.#file = file;
    this.#toml = toml;
    this.#surroundings = surroundings;
    this.#find = find;
  }

  settings(): Settings | undefined {
    const { module: _, ...given } = this.#toml.values;
    const isModule = (key: string): boolean =>
      Object.hasOwn(ownModules, key) && !(key in settingsSchema.shape);
    for (const key of Object.keys(given).filter(isModule)) {
      this.fault([key], `is a module: write [[module]] and use = "${key}"`);
    }
    const values = pick(given, (key) => !isModule(key));
    return this.#read(values, [], 'the configuration', settingsSchema, ['module']);
  }

  async modules(otherwise: OnErrorWord): Promise<readonly ConfiguredModule[]> {
    const { module: tables = [] } = this.#toml.values;
    if (!Array.isArray(tables) || !tables.every(isTable)) {
      this.fault(['module'], 'must be written as [[module]], once for each module');
      return [];
    }
    const modules: ConfiguredModule[] = [];
    for (const [i, table] of tables.entries()) {
      const module = await this.#module(i, table, otherwise);
      if (module !== undefined) modules.push(module);
    }
    return modules;
  }

  async #module(
    index: number,
    table: Readonly<Record<string, unknown>>,
    otherwise: OnErrorWord,
  ): Promise<ConfiguredModule | undefined> {
    const path = ['module', index];
    const { use } = table;
    if (typeof use !== 'string' || use === '') {
      const got = use === undefined ? 'is missing; it must be' : `must be`;
      this.fault(
        [...path, 'use'],
        `${got} the name of a module, the path of a file that exports one, or a package`,
      );
      return undefined;
    }
    let definition: AnyModule;
    try {
      definition = await this.#find(use, this.#surroundings.directory);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      this.fault([...path, 'use'], error.message);
      return undefined;
    }
    const schema = moduleSchema(definition);
    const isCommon = (key: string): boolean => key in schema.shape;
    const title = `module ${definition.name}`;
    const keys = this.#read(pick(table, isCommon), path, title, schema);
    const options = this.#read(
      pick(table, (key) => !isCommon(key)),
      path,
      title,
      definition.options,
      Object.keys(schema.shape),
    );
    if (keys === undefined || options === undefined) return undefined;
    const { mode, when, match, deadline, mark } = keys;
    return {
      definition,
      name: keys.name ?? definition.name,
      mode,
      when: when.length === 0 ? when : [...when, ...(definition.alsoWhen?.(options) ?? [])],
      match,
      onError: mode === 'observe' ? 'continue' : (keys.on_error ?? definition.onError ?? otherwise),
      deadline,
      mark,
      texts: new Map(Object.entries(keys.texts).flatMap(([short, text]) => (text ? [[short, text]] : []))),
      options,
      index,
    };
  }

  /** Notes what is wrong with a key. */
  fault(path: Path, message: string): void {
    const [first, index] = path;
    const own = first === 'module' && typeof index === 'number' ? 2 : 0;
    this.faults.push(faultAt(this.#place(path.slice(0, own)), path.slice(own), message));
  }

  #place(path: Path): Place {
    return { file: this.#file, path, position: this.#toml.position };
  }

  /** `more` are keys that may stand there too, though another schema reads them. */
  #read<Schema extends z.ZodType>(
    values: unknown,
    path: Path,
    title: string,
    schema: Schema,
    more: readonly string[] = [],
  ): z.output<Schema> | undefined {
    const read = readWith(this.#surroundings, () => schema.safeParse(values, { error: describeIssue }));
    if (read.success) return read.data;
    this.faults.push(...faultsOf(read.error.issues, { ...this.#place(path), title, schema, more }));
    return undefined;
  }
}

function pick(
  table: Readonly<Record<string, unknown>>,
  isPicked: (key: string) => boolean,
): Record<string, unknown> {
  return Object.fromEntries(Object.entries(table).filter(([key]) => isPicked(key)));
}

function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
