/**
 * The soak's filter in a process of its own: `node --expose-gc serve.ts ENGINE THREADS FILTER`. It tells its parent where it
 * listens, answers each `report` with a {@link Report}, and `close` when the server is closed; it ends with its parent.
 */
import { readdirSync } from 'node:fs';
import { libmilterInfo, type Milter, type ServerStats, serve } from 'libmilter';

/** What the process says of itself. */
export interface Report {
  /** Resident memory in bytes. */
  readonly rss: number;
  /** What JavaScript of the main thread holds after it was collected, in bytes. */
  readonly heap: number;
  readonly descriptors: number;
  readonly threads: number;
  readonly stats: ServerStats;
}

const [engine, threads, file] = process.argv.slice(2) as ['libmilter' | 'js', string, string];
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const options = { socket: 'inet:0@127.0.0.1', engine, logger: silent };
// A library that was loaded is never unloaded: what that takes is not what serving leaves.
if (engine === 'libmilter') libmilterInfo();

const { default: Filter } = (await import(file)) as { readonly default: typeof Milter };
const start = () =>
  Number(threads) > 1
    ? serve(new URL(file), { ...options, threads: Number(threads) })
    : serve(Filter, options);

// What Node makes when it is first needed is made now.
await (await start()).close();
const before = census();
const server = await start();

process.on('message', async (what: 'report' | 'close') => {
  if (what === 'close') await server.close();
  process.send?.(report());
});
process.on('disconnect', () => process.exit());
process.send?.({ address: server.address, before });

function census(): Pick<Report, 'descriptors' | 'threads'> {
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: readdirSync('/proc/self/task').length,
  };
}

function report(): Report {
  // Twice: what the first finds dead may have held what is collected only then.
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external, ...census(), stats: server.stats() };
}
