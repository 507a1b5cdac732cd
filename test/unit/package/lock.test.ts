/** What npm forgets when it writes package-lock.json on a machine that has node_modules, or another registry, already. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const file = join(import.meta.dirname, '../../../package-lock.json');
const { packages } = JSON.parse(readFileSync(file, 'utf8')) as { packages: Readonly<Record<string, Locked>> };

it('package-lock.json names no registry', () => {
  expect(Object.keys(packages).filter((path) => packages[path]?.resolved !== undefined)).toEqual([]);
});

it('package-lock.json has the optional packages of every platform, without which npm ci refuses it', () => {
  const wanted = Object.values(packages).flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}));
  const there = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, '')));
  expect(wanted.filter((name) => !there.has(name))).toEqual([]);
});

it('package-lock.json has the checksum of every package', () => {
  const foreign = Object.keys(packages).filter((path) => path !== '');
  expect(foreign.length).toBeGreaterThan(100);
  expect(foreign.filter((path) => !/^sha512-/.test(packages[path]?.integrity ?? ''))).toEqual([]);
});

it('no package that users get runs a script when it is installed', () => {
  const installed = Object.keys(packages).filter((path) => path !== '' && packages[path]?.dev !== true);
  expect(installed.length).toBeGreaterThan(7);
  expect(installed.filter((path) => packages[path]?.hasInstallScript === true)).toEqual([]);
});
