#!/usr/bin/env node
// Writes the JSON Schema of the filter's configuration beside what was compiled. Run by `npm run build:lib`.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ownJsonSchema } from '../dist/filter/config/json-schema.js';

const file = join(import.meta.dirname, '../dist/milter.schema.json');
writeFileSync(file, `${JSON.stringify(await ownJsonSchema(), null, 2)}\n`);
