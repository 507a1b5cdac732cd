#!/usr/bin/env node
// Writes the manual pages beside what was compiled. Run by `npm run build:lib`, after the schema.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { commandPage, configPage } from '../dist/cli/man.js';

const dist = join(import.meta.dirname, '../dist');
mkdirSync(join(dist, 'man'), { recursive: true });
writeFileSync(join(dist, 'man/milter.1'), await commandPage());
const schema = JSON.parse(readFileSync(join(dist, 'milter.schema.json'), 'utf8'));
writeFileSync(join(dist, 'man/milter.toml.5'), configPage(schema));
