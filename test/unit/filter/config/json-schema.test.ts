import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { type JsonSchema, jsonSchema, ownJsonSchema } from '../../../../lib/filter/config/json-schema.ts';
import { moduleSchema } from '../../../../lib/filter/config/schema.ts';
import { commonKeys } from '../../../../lib/filter/module.ts';
import { ownModules } from '../../../../lib/filter/modules/index.ts';
import { testModules } from './modules.ts';

/** What a validator says of a text, as an editor would. */
function faults(schema: JsonSchema, toml: string | object): string[] {
  const ajv = new Ajv({ allErrors: true, strict: false });
  const validate = ajv.compile(schema);
  validate(JSON.parse(JSON.stringify(typeof toml === 'string' ? parse(toml) : toml)));
  return (validate.errors ?? []).map(({ instancePath, message = '', params }) =>
    `${instancePath} ${message} ${Object.values(params).join(' ')}`.trim(),
  );
}

const SOCKET = 'socket = "inet:1"\n';

describe('the JSON Schema', () => {
  const schema = jsonSchema(testModules);

  it('is one of draft 7', () => {
    expect(schema).toHaveProperty('$schema', 'http://json-schema.org/draft-07/schema#');
    expect(new Ajv({ strict: false }).validateSchema(schema)).toBe(true);
  });

  it('takes what is right', () => {
    const right = `"$schema" = "./milter.schema.json"
${SOCKET}
[log]
level = "debug"
[[module]]
use = "spf"
fail = "score -1.5"
when = ["internal"]
match = { from = ["a@b"] }
texts = { fail = "no" }
[[module]]
use = "limits"
limits = [{ key = "user", per = "1h" }]
users = { groups = "file:x" }
[[module]]
use = "./mine.ts"
anything = 1`;
    expect(faults(schema, right)).toEqual([]);
  });

  it.each([
    ['sokcet = "x"', /^must have required property 'socket'/],
    [`${SOCKET}sokcet = "x"`, /must NOT have additional properties sokcet/],
    [`${SOCKET}threads = "2"`, /^\/threads must be integer/],
    [`${SOCKET}max_body = "5 MB"`, /^\/max_body must match pattern/],
    [`${SOCKET}[log]\nlevle = "info"`, /^\/log must NOT have additional properties levle/],
    [`${SOCKET}[[module]]\nuse = "spff"`, /\/module\/0\/use must match/],
    [`${SOCKET}[[module]]\nmode = "off"`, /^\/module\/0 must have required property 'use'/],
    [
      `${SOCKET}[[module]]\nuse = "spf"\nlimits = []`,
      /^\/module\/0 must NOT have additional properties limits/,
    ],
    [`${SOCKET}[[module]]\nuse = "spf"\nfail = "rejct"`, /^\/module\/0\/fail must be equal to one of/],
    [
      `${SOCKET}[[module]]\nuse = "spf"\nwhen = ["incoming"]`,
      /^\/module\/0\/when\/0 must be equal to one of/,
    ],
    [
      `${SOCKET}[[module]]\nuse = "spf"\ntexts = { fial = "" }`,
      /^\/module\/0\/texts must NOT have additional properties fial/,
    ],
    [
      `${SOCKET}[[module]]\nuse = "limits"\nlimits = [{ key = "user" }]`,
      /^\/module\/0\/limits\/0 must have required property 'per'/,
    ],
    [`${SOCKET}[[module]]\nuse = "limits"\nusers = "all"`, /^\/module\/0\/users must be equal to one of/],
  ])('refuses %j', (toml, expected) => expect(faults(schema, toml).join('\n')).toMatch(expected));

  it('describes an action by the finding of its name, unless it is described', () => {
    const { properties } = jsonSchema(testModules) as unknown as {
      properties: { module: { items: { allOf: { then: { properties: Record<string, object> } }[] } } };
    };
    const [spf] = properties.module.items.allOf;
    expect(spf?.then.properties).toMatchObject({
      fail: { description: 'the record forbids this client' },
      none: { description: 'no SPF record' },
    });
  });

  it('knows the keys that every module has', () => {
    for (const definition of testModules)
      expect(Object.keys(moduleSchema(definition).shape)).toEqual(commonKeys);
  });

  it('lets no table of ours have keys that it does not know', async () => {
    const open: string[] = [];
    const walk = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      const { type, properties, additionalProperties } = value as Readonly<Record<string, unknown>>;
      const isOpen = additionalProperties === undefined && !path.endsWith('/items') && !path.endsWith('/if');
      if (type === 'object' && properties !== undefined && isOpen) open.push(path);
      for (const [key, inner] of Object.entries(value)) walk(inner, `${path}/${key}`);
    };
    walk(await ownJsonSchema(), '');
    walk(schema, '');
    expect(open).toEqual([]);
  });

  it('describes every key', async () => {
    const dumb: string[] = [];
    const walk = (value: unknown, path: string): void => {
      if (typeof value !== 'object' || value === null) return;
      const { properties = {}, if: _condition, ...rest } = value as Readonly<Record<string, object>>;
      for (const [key, inner] of Object.entries(properties)) {
        if (inner !== (true as unknown) && !('description' in inner)) dumb.push(`${path}/${key}`);
        walk(inner, `${path}/${key}`);
      }
      for (const [key, inner] of Object.entries(rest)) walk(inner, `${path}/${key}`);
    };
    walk(await ownJsonSchema(), '');
    expect(dumb).toEqual([]);
  });
});

const promised = join(import.meta.dirname, '../../../../../shared/milter.toml');

it.skipIf(!existsSync(promised))(
  'takes the whole promised configuration, as far as its modules exist',
  async () => {
    const { module: modules, ...top } = parse(readFileSync(promised, 'utf8')) as {
      module: { use: string }[];
    };
    const module = modules.filter(({ use }) => use in ownModules);
    expect(faults(await ownJsonSchema(), { ...top, module })).toEqual([]);
  },
);
