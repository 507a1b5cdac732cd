#!/usr/bin/env node
// npm run sbom: prints the software bill of materials of what users install, in CycloneDX, from package-lock.json alone. What
// npm says of the place and the time where it was made is left out, so that the same release has the same bytes.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const args = ['sbom', '--omit=dev', '--package-lock-only', '--sbom-format', 'cyclonedx'];
const { error, status, stdout, stderr } = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
if (error || status !== 0) {
  process.stderr.write(`sbom: npm ${args.join(' ')}: ${error?.message ?? stderr}\n`);
  process.exit(1);
}
const { serialNumber: _, ...bill } = JSON.parse(stdout);
delete bill.metadata.timestamp;
// npm takes the folder's name for it.
bill.metadata.component.name = 'libmilter';
process.stdout.write(`${JSON.stringify(bill, null, 2)}\n`);
