#!/usr/bin/env node
// Gives what is packed the permissions that everybody's umask of 022 would: npm packs those that it finds, and the same
// release is to have the same bytes. Run by `npm pack`, after the build.
import { chmodSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

function open(path) {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status?.isDirectory()) for (const name of readdirSync(path)) open(join(path, name));
  else if (status !== undefined) chmodSync(path, 0o644);
}

for (const name of [...files, 'package.json', 'README.md', 'LICENSE']) open(join(root, name));
