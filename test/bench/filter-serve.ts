/**
 * The mail filter in a process of its own: `node filter-serve.ts MODULES SOCKET`, MODULES being `starter`, or names of
 * modules parted by commas, `none` for the framework alone. DNS is answered from memory. It serves until its parent is gone.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as dns from '../../lib/dns/index.ts';
import type * as filter from '../../lib/filter/index.ts';
import type * as library from '../../lib/index.ts';
import type * as testing from '../../lib/testing/index.ts';
import { lesson } from '../helpers/lessons.ts';
import { moduleText } from './filter-modules.ts';
import type { Report } from './serve.ts';

// What users run is the built package. Its paths are no literals, or type checking would need a build.
const built = (name: string): string => new URL(`../../dist/${name}.js`, import.meta.url).href;
const { serve }: typeof library = await import(built('index'));
const { openFilter, openTeacher, parseConfig }: typeof filter = await import(built('filter/index'));
const { cached }: typeof dns = await import(built('dns/index'));
const { MemoryResolver }: typeof testing = await import(built('testing/index'));

const [modules = 'none', socket = ''] = process.argv.slice(2);
const data = mkdtempSync(join(tmpdir(), 'milter-bench-data-'));
writeFileSync(
  join(data, 'access'),
  'From:spam.example REJECT\nConnect:192.0.2.1 REJECT\nSPF-Fail:example.net OK\n',
);
const zone = {
  'example.org': { TXT: ['v=spf1 ip4:198.51.100.0/24 -all'], MX: [] },
  'mail.example.org': { A: ['198.51.100.25'], TXT: ['v=spf1 a -all'] },
  '25.100.51.198.in-addr.arpa': { PTR: ['mail.example.org'] },
  '2.0.0.127.bl.example.net': { A: ['127.0.0.2'] },
};
const quiet = { debug() {}, info() {}, warn() {}, error: console.error };
const text = moduleText(modules, data);
if (modules.split(',').includes('bayes')) await teach();
const { Filter } = await openFilter(text, {
  resolver: cached(new MemoryResolver(zone)),
  logger: quiet,
  directory: data,
});
const server = await serve(Filter, { socket, logger: quiet });

process.on('message', () => {
  const report: Report = { rss: process.memoryUsage.rss(), stats: server.stats() };
  process.send?.(report);
});
process.on('disconnect', () => {
  rmSync(data, { recursive: true, force: true });
  process.exit();
});

/** What knows nothing judges nothing, and costs nothing. */
async function teach(): Promise<void> {
  const teacher = await openTeacher(await parseConfig(text, { directory: data }));
  for (let n = 0; n < 60; n++) {
    for (const kind of ['spam', 'ham'] as const) {
      await teacher.learn(Buffer.from(lesson(kind, n)), kind, undefined);
    }
  }
  await teacher.close();
}
