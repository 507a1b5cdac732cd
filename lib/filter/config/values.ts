/** Every value of a configuration as one would write it, and where it comes from: for `milter explain`. */
import type { Config } from './config.ts';
import { inner } from './issues.ts';
import { moduleSchema, settingsSchema } from './schema.ts';
import type { Path } from './toml.ts';
import { z } from './zod.ts';

/** One value in force. */
export interface ConfiguredValue {
  /** Empty for the top level, else a table's or a module's name. */
  readonly section: string;
  readonly key: string;
  /** As it stands in the file, or would; undefined for none. A secret is `(secret)`. */
  readonly value: unknown;
  /** The line that it stands in, or that it stands in none. */
  readonly origin: number | 'default';
}

/** All values of a configuration, in the order of the documentation. */
export function configuredValues(config: Config): readonly ConfiguredValue[] {
  const { values } = config.text;
  const top = valuesOf(config, '', [], settingsSchema, values).filter(({ key }) => key !== '$schema');
  const { module: tables = [] } = values as {
    readonly module?: readonly Readonly<Record<string, unknown>>[];
  };
  return [
    ...top.map((value) => (value.key === 'hostname' ? { ...value, value: config.settings.hostname } : value)),
    ...config.modules.flatMap((module) => {
      const { definition, name, when, onError, index } = module;
      const path = ['module', index];
      const table = tables[index] ?? {};
      // What these are by default hangs together with other values.
      const inForce = new Map<string, unknown>([
        ['name', name],
        ['when', when.length === 0 ? 'all' : when],
        ['on_error', onError],
      ]);
      const common = valuesOf(config, name, path, moduleSchema(definition), table);
      return [
        ...common.map((value) => ({ ...value, value: inForce.get(value.key) ?? value.value })),
        ...valuesOf(config, name, path, definition.options, table),
      ];
    }),
  ];
}

function valuesOf(
  config: Config,
  section: string,
  path: Path,
  schema: z.ZodObject,
  table: Readonly<Record<string, unknown>>,
): readonly ConfiguredValue[] {
  return Object.entries(schema.def.shape).flatMap(([key, kind]) => {
    const at = [...path, key];
    const given = table[key];
    const plain = inner(kind);
    // The tables of the top level are sections of their own; in a module a table is a value.
    if (plain instanceof z.ZodObject && path.length === 0) {
      return valuesOf(config, key, at, plain, (given ?? {}) as Readonly<Record<string, unknown>>);
    }
    const value = given ?? defaultOf(kind);
    const origin = given === undefined ? 'default' : config.text.position(at).line;
    const shown = isSecret(plain, value) ? '(secret)' : withoutLogin(value);
    return [{ section, key, value: shown, origin }];
  });
}

function defaultOf(schema: z.core.$ZodType): unknown {
  if (schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) return schema.def.defaultValue;
  if (schema instanceof z.ZodPipe) return defaultOf(schema.in);
  return schema instanceof z.ZodOptional ? defaultOf(schema.def.innerType) : undefined;
}

/** A URL may bring along a name and a password. */
function withoutLogin(value: unknown): unknown {
  return typeof value === 'string' ? value.replace(/^([a-z+]+:\/\/)[^/?#]*@/, '$1(secret)@') : value;
}

/** What only names where a secret is, is none. */
function isSecret(schema: z.core.$ZodType, value: unknown): boolean {
  const isMarked =
    schema instanceof z.ZodType &&
    Object.entries(schema.meta() ?? {}).some(([key, is]) => key === 'writeOnly' && is === true);
  return (
    isMarked &&
    typeof value === 'string' &&
    value !== '' &&
    !/^(env|credential|file|sqlite|memory):/.test(value)
  );
}
