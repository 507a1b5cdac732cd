/** The JSON Schema of configurations, for editors. Draft 7, which is the newest that those of TOML know. */
import type { AnyModule } from '../module.ts';
import { ownModules } from '../modules/index.ts';
import { moduleSchema, settingsSchema } from './schema.ts';
import { z } from './zod.ts';

/** A JSON Schema, or a part of one. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The schema with all modules that come with the filter. */
export async function ownJsonSchema(): Promise<JsonSchema> {
  const modules = await Promise.all(Object.values(ownModules).map((load) => load()));
  return jsonSchema(modules.map((module) => module.default));
}

/** The schema of configurations that use these modules, and of others what all have in common. */
export function jsonSchema(definitions: readonly AnyModule[]): JsonSchema {
  const { $schema, ...top } = toJson(settingsSchema);
  return {
    $schema,
    title: 'milter.toml',
    ...top,
    properties: {
      ...propertiesOf(top),
      module: {
        type: 'array',
        description: 'The modules, in the order in which they look at a message',
        items: moduleItems(definitions),
      },
    },
  };
}

/** By `if` and `then`, for which editors have better messages than for a choice of twenty tables. */
function moduleItems(definitions: readonly AnyModule[]): JsonSchema {
  return {
    type: 'object',
    required: ['use'],
    properties: { use: useSchema(definitions) },
    // An empty list is none.
    ...(definitions.length > 0 && { allOf: definitions.map(moduleRule) }),
  };
}

function moduleRule(definition: AnyModule): JsonSchema {
  const { use: _, ...common } = propertiesOf(toJson(moduleSchema(definition)));
  const options = toJson(definition.options);
  const { required = [] } = options;
  return {
    if: { required: ['use'], properties: { use: { const: definition.name } } },
    // biome-ignore lint/suspicious/noThenProperty: it is JSON Schema's word
    then: {
      additionalProperties: false,
      required,
      properties: { use: true, ...common, ...optionsOf(definition, propertiesOf(options)) },
    },
  };
}

/** An action that is not described is that of the finding of the same name. */
function optionsOf({ options, findings }: AnyModule, properties: JsonSchema): JsonSchema {
  const described = Object.entries(properties).map(([key, property]) => {
    const declared = findings[key];
    const text = typeof declared === 'string' ? declared : declared?.text;
    const option = options.shape[key];
    const isDescribed = option instanceof z.ZodType && option.description !== undefined;
    return [
      key,
      text === undefined || isDescribed ? property : { ...(property as object), description: text },
    ];
  });
  return Object.fromEntries(described) as JsonSchema;
}

function useSchema(definitions: readonly AnyModule[]): JsonSchema {
  return {
    description: "The module's name, the path of a file that exports one, or a package",
    anyOf: [
      ...definitions.map(({ name, about }) => ({ const: name, ...(about && { description: about }) })),
      // A plain word is more often one of ours misspelt than a package.
      { type: 'string', pattern: '[./@-]', description: 'A path or a package' },
    ],
  };
}

function propertiesOf(schema: JsonSchema): JsonSchema {
  const { properties = {} } = schema as { readonly properties?: JsonSchema };
  return properties;
}

function toJson(schema: z.ZodType): JsonSchema {
  const { $schema, ...json } = z.toJSONSchema(schema, { target: 'draft-7', io: 'input' });
  return { $schema, ...json };
}
