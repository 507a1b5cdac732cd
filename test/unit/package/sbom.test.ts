/** The bill of materials that goes with a release. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');

interface Locked {
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

interface Component {
  readonly name: string;
  readonly purl: string;
  readonly licenses?: readonly unknown[];
  readonly hashes?: readonly unknown[];
}

interface Bill {
  readonly serialNumber?: string;
  readonly metadata: { readonly timestamp?: string; readonly component: Component };
  readonly components: readonly Component[];
}

const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  readonly packages: Readonly<Record<string, Locked>>;
};

/** Where Node finds a package for one who lies at `from`: nearest first. */
function place(name: string, from: string): string {
  for (let at = from; ; at = at.replace(/\/?node_modules\/(?:@[^/]+\/)?[^/]+$/, '')) {
    const path = `${at === '' ? '' : `${at}/`}node_modules/${name}`;
    if (packages[path] !== undefined || at === '') return path;
  }
}

/** All that comes with the package at `path`, as package-lock.json has it. */
function needed(path: string, found = new Set<string>()): ReadonlySet<string> {
  for (const name of Object.keys(packages[path]?.dependencies ?? {})) {
    const at = place(name, path);
    if (found.has(at)) continue;
    found.add(at);
    needed(at, found);
  }
  return found;
}

it('names the packages that users install with this one, and no other', () => {
  const { status, stdout, stderr } = spawnSync('npm', ['run', '--silent', 'sbom'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { components, metadata, serialNumber } = JSON.parse(stdout) as Bill;
  const wanted = [...needed('')].map((path) => {
    const name = path.replace(/^.*node_modules\//, '').replace('@', '%40');
    return `pkg:npm/${name}@${packages[path]?.version}`;
  });
  expect(wanted.length).toBeGreaterThan(7);
  expect(components.map(({ purl }) => purl).sort()).toEqual(wanted.sort());
  expect(components.filter(({ licenses, hashes }) => !licenses?.length || !hashes?.length)).toEqual([]);
  expect(metadata.component.name).toBe('libmilter');
  // The same release, the same bytes.
  expect([metadata.timestamp, serialNumber]).toEqual([undefined, undefined]);
});
