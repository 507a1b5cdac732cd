/** `milter init`, and what it writes. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { milter } from '../../helpers/cli.ts';
import { folderWith } from '../../helpers/configured.ts';

describe('milter init', () => {
  it('writes a configuration that is right and harmless, and its schema', async () => {
    const folder = folderWith({});
    const { status, out } = await milter(['init', folder]);
    const file = join(folder, 'milter.toml');
    expect(out).toContain(`  milter check ${file}\n`);
    expect(status).toBe(0);
    const text = readFileSync(file, 'utf8');
    expect(text).toMatch(/^#:schema \.\/milter\.schema\.json\n/);
    const { module } = parse(text) as unknown as { module: readonly { use: string; mode: string }[] };
    expect(module.filter(({ mode }) => mode !== 'observe')).toEqual([]);
    const schema = JSON.parse(readFileSync(join(folder, 'milter.schema.json'), 'utf8')) as object;
    const validate = new Ajv({ strict: false }).compile(schema);
    expect([validate(parse(text)), validate.errors]).toEqual([true, null]);
    expect((await milter(['explain', file])).status).toBe(0);
  });

  it('writes files that others on the machine cannot read', async () => {
    const folder = folderWith({});
    const before = process.umask(0);
    try {
      expect((await milter(['init', folder])).status).toBe(0);
    } finally {
      process.umask(before);
    }
    expect(statSync(join(folder, 'milter.toml')).mode & 0o777).toBe(0o640);
  });

  it('overwrites nothing', async () => {
    const folder = folderWith({ 'milter.toml': 'mine' });
    const { status, err } = await milter(['init', folder]);
    expect({ status, err }).toEqual({
      status: 1,
      err: `milter init: ${folder}/milter.toml is there already, and stays as it is\n`,
    });
    expect(readFileSync(join(folder, 'milter.toml'), 'utf8')).toBe('mine');
  });

  it('carries an old configuration over, and lists what it could not', async () => {
    const folder = folderWith({});
    const old = join(folder, 'milter.cfg');
    writeFileSync(
      old,
      '[milter]\ninternal_domains = mycorp.com, a b\nfoo = 1\n[spf]\nbest_guess = 1\n[dspam]\ndspam_dict = x\n',
    );
    const { status, out } = await milter(['init', '--from', old, folder]);
    expect(status).toBe(0);
    const text = readFileSync(join(folder, 'milter.toml'), 'utf8');
    for (const lost of [
      '[milter] foo: has no counterpart',
      '[dspam] dspam_dict: belongs to module bayes',
      'networks.domains[1]: "a b" is no address',
    ]) {
      expect(out).toContain(`  ${lost}`);
      expect(text).toContain(`#   ${lost}`);
    }
    expect(text).toContain('domains = ["mycorp.com"]');
    expect(text).toContain('best_guess = true');
    expect((await milter(['explain', join(folder, 'milter.toml')])).status).toBe(0);
  });
});
