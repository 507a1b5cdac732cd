/**
 * One of our filters in a process of its own: `node serve.ts FORM SOCKET ENGINE`. It serves until its parent is gone,
 * and answers each message of the parent with a {@link Report}.
 */
import type * as library from '../../lib/index.ts';
import { type Form, filters } from './filters.ts';

/** What the process says of itself. */
export interface Report {
  /** Resident memory in bytes. */
  readonly rss: number;
  readonly stats: ReturnType<library.Server['stats']>;
}

// What users run is the built package. Its path is no literal, or type checking would need a build.
const built = new URL('../../dist/index.js', import.meta.url).href;
const { Milter, serve }: typeof library = await import(built);

const [form, socket, engine] = process.argv.slice(2) as [Form, string, 'libmilter' | 'js'];
const server = await serve(filters(Milter)[form], { socket, engine });

process.on('message', () => {
  const report: Report = { rss: process.memoryUsage.rss(), stats: server.stats() };
  process.send?.(report);
});
process.on('disconnect', () => process.exit());
