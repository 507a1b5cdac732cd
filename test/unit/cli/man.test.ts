/** The manual pages say what the commands and the schema say, and groff reads them without complaint. */
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { commands } from '../../../lib/cli/commands.ts';
import { commandPage, configPage } from '../../../lib/cli/man.ts';
import { ownJsonSchema, ownModules } from '../../../lib/filter/index.ts';

const hasGroff = spawnSync('groff', ['--version']).status === 0;

/** The page as it is read, without what makes letters bold. */
function rendered(page: string): string {
  const { stdout, stderr } = spawnSync(
    'groff',
    ['-man', '-Tutf8', '-ww', '-P-c', '-P-b', '-P-u', '-rLL=120n'],
    { input: page, encoding: 'utf8' },
  );
  expect(stderr).toBe('');
  return stdout;
}

it.skipIf(!hasGroff)('milter(1) has every command, and each of its options', async () => {
  const text = rendered(await commandPage());
  for (const name of Object.keys(commands)) expect(text).toContain(`Usage: milter ${name}`);
  expect(text).toContain('  --diff OTHER.toml   also play them through OTHER.toml');
});

it.skipIf(!hasGroff)('milter.toml(5) has every table, module and key', async () => {
  const schema = await ownJsonSchema();
  const text = rendered(configPage(schema));
  for (const name of Object.keys(ownModules)) expect(text).toContain(`MODULE ${name.toUpperCase()}`);
  const { properties } = schema as { properties: Record<string, object> };
  for (const key of Object.keys(properties))
    if (key !== '$schema' && key !== 'module') expect(text).toContain(key);
  expect(text).toMatch(/^ +softfail = "continue"$/m);
  expect(text).toMatch(/^ +mode = "enforce"\n +"observe": finds, logs and counts, but does nothing One of/m);
});
