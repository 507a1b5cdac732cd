/** The steps of a release, as CONTRIBUTING.md has them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const [, releases = ''] = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8').split('\n## Releases\n');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
};

it('says how a release is made, in commands that are there', () => {
  const named = [...releases.matchAll(/npm run (?:--silent )?([\w:]+)/g)].map(([, name = '']) => name);
  expect(named).toEqual(expect.arrayContaining(['prebuild', 'package:binary', 'sbom']));
  expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  const files = [...releases.matchAll(/(?<![\w/.])(?:\.ci|test)\/[\w./-]*\w/g)].map(([name]) => name);
  expect(files).toContain('.ci/run');
  expect(files.filter((name) => !existsSync(join(root, name)))).toEqual([]);
});

it('is published by a job that npm can name, once every test has passed on what is packed', () => {
  expect(releases).toContain('id-token: write');
  const order = [
    'bash .ci/run',
    'npm run --silent sbom >',
    'npm pack\n',
    'npm publish --provenance',
    'gh release',
  ];
  const [, workflow = ''] = releases.split('```yaml');
  const places = order.map((step) => workflow.indexOf(step));
  expect(places).not.toContain(-1);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  // Binaries first: some of the tests are of them.
  const run = readFileSync(join(root, '.ci/run'), 'utf8');
  expect(run.indexOf('run --silent prebuild')).toBeGreaterThan(-1);
  expect(run.indexOf('run --silent prebuild')).toBeLessThan(run.indexOf('npm test'));
});
