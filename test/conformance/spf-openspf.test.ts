/**
 * The openspf suites, as pyspf keeps them. They belong to their authors, so they are read from beside the repository
 * where they are there. Every case of both suites counts: RFC 7208 changed no verdict of the older one, of which that
 * suite does not also accept the newer form.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkHost } from '../../lib/spf/index.ts';
import type { OpenspfZone } from '../helpers/openspf.ts';
import { openspfResolver } from '../helpers/openspf.ts';

interface Suite {
  readonly scenarios: readonly {
    readonly description: string;
    readonly zone: OpenspfZone;
    readonly tests: readonly {
      readonly id: string;
      readonly helo: string;
      readonly ip: string;
      readonly mailfrom: string;
      /** The preferred one first. */
      readonly results: readonly string[];
      readonly explanation?: string;
    }[];
  }[];
}

const folder = join(import.meta.dirname, '../../../shared/cases/spf');

for (const [file, count] of [
  ['rfc7208-pyspf.json', 203],
  ['rfc4408-pyspf.json', 191],
] as const) {
  const path = join(folder, file);
  if (!existsSync(path)) {
    console.log(`skipped: the openspf suite ${file} is not beside the repository`);
    it.skip(`${file} is there`, () => {});
    continue;
  }
  const { scenarios }: Suite = JSON.parse(readFileSync(path, 'utf8'));
  describe(file, () => {
    it(`has ${count} cases`, () => {
      expect(scenarios.flatMap(({ tests }) => tests)).toHaveLength(count);
    });
    for (const { description, zone, tests } of scenarios) {
      describe(description, () => {
        const resolver = openspfResolver(zone);
        for (const { id, ip, mailfrom, helo, results, explanation } of tests) {
          it(id, async () => {
            const check = await checkHost({
              ip,
              sender: mailfrom,
              helo,
              resolver,
              receiver: 'receiver.example',
              defaultExplanation: 'DEFAULT',
            });
            if (file === 'rfc7208-pyspf.json') expect(check.result).toBe(results[0]);
            expect(results).toContain(check.result);
            if (explanation !== undefined && check.result === 'fail') {
              expect(check.explanation).toBe(explanation);
            }
          });
        }
      });
    }
  });
}
