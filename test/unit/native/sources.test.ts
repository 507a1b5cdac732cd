/** Two build systems, one addon. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');

function sourcesOnDisk(): string[] {
  return ['native/binding', 'native/core'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.cc'))
      .map((name) => `${folder}/${name}`),
  );
}

it('binding.gyp and CMakeLists.txt build every source of native/core and native/binding', () => {
  const gyp = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8')) as {
    targets: { sources: string[] }[];
  };
  const cmake = readFileSync(join(root, 'CMakeLists.txt'), 'utf8');
  const listed = ['CORE', 'BINDING'].flatMap(
    (name) => new RegExp(`set\\(${name}\\s([^)]*)\\)`).exec(cmake)?.[1]?.trim().split(/\s+/) ?? [],
  );
  expect(gyp.targets.flatMap(({ sources }) => sources).toSorted()).toEqual(sourcesOnDisk());
  expect(listed.toSorted()).toEqual(sourcesOnDisk());
});
