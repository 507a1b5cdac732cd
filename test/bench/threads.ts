/**
 * `npm run bench -- threads`: messages a second of a filter that burns 20 ms of processor time at the end of each message,
 * with one thread and with two, on both engines, in turns; and of one that does nothing, with its class in the main thread
 * and in a thread, which is what the way there and back costs. Medians of the rounds count.
 */
import { availableParallelism } from 'node:os';
import type * as library from '../../lib/index.ts';
import type * as testing from '../../lib/testing/index.ts';
import { median } from './report.ts';
import { burn } from './threads-filter.ts';

// What users run is the built package. Its paths are no literals, or type checking would need a build.
const built = (name: string): string => new URL(`../../dist/${name}.js`, import.meta.url).href;
const { Milter, serve }: typeof library = await import(built('index'));
const { connectMta }: typeof testing = await import(built('testing/index'));

const BURNT = 20;
const CONNECTIONS = 8;
const ROUNDS = 7;
const SECONDS = 2;
const GOAL = 1.7;

/** How many rounds of the hash take as long. */
function calibrate(): number {
  const tried = 2_000;
  burn(tried);
  const times = Array.from({ length: 9 }, () => {
    const { user, system } = process.cpuUsage();
    burn(tried);
    const used = process.cpuUsage({ user, system });
    return (used.user + used.system) / 1_000;
  });
  return Math.round((tried * BURNT) / median(times));
}

async function rate(
  filter: Parameters<typeof serve>[0],
  engine: library.EngineName,
  threads: number,
): Promise<number> {
  const server = await serve(filter, { socket: 'inet:0@127.0.0.1', engine, threads });
  const mtas = await Promise.all(Array.from({ length: CONNECTIONS }, () => connectMta(server.address)));
  const message = { sender: '<ann@example.org>', recipients: ['<bob@example.com>'] };
  let [begun, done] = [0, 0];
  const end = performance.now() + 300 + SECONDS * 1_000;
  await Promise.all(
    mtas.map(async (mta) => {
      while (performance.now() < end) {
        await mta.sendMessage('Subject: hello\r\n\r\nHello.\r\n', message);
        // What goes before warms up.
        if (performance.now() < end - SECONDS * 1_000) continue;
        begun ||= performance.now();
        done++;
      }
      await mta.close();
    }),
  );
  const seconds = (performance.now() - begun) / 1_000;
  await server.close();
  return done / seconds;
}

class Nothing extends Milter {
  override eom(): void {}
}

const rounds = calibrate();
const fileWith = (rounds: number): URL => new URL(`./threads-filter.ts?rounds=${rounds}`, import.meta.url);
const engines = ['libmilter', 'js'] as const;
const rows = engines.flatMap((engine) => [
  { engine, what: `${BURNT} ms, one thread`, run: () => rate(fileWith(rounds), engine, 1) },
  { engine, what: `${BURNT} ms, two threads`, run: () => rate(fileWith(rounds), engine, 2) },
  { engine, what: 'nothing, main thread', run: () => rate(Nothing, engine, 1) },
  { engine, what: 'nothing, one thread', run: () => rate(fileWith(0), engine, 1) },
]);
const found = new Map(rows.map((row) => [row, [] as number[]]));
for (let round = 0; round < ROUNDS; round++) {
  for (const row of rows) found.get(row)?.push(await row.run());
  console.error(`round ${round + 1} of ${ROUNDS} done`);
}
console.log(`${availableParallelism()} cores, ${CONNECTIONS} connections, messages a second:`);
const rates = rows.map((row) => ({ ...row, rate: median(found.get(row) ?? []) }));
for (const { engine, what, rate } of rates) {
  console.log(`${engine.padEnd(10)} ${what.padEnd(22)} ${rate.toFixed(0).padStart(7)}`);
}
for (const engine of engines) {
  const of = (what: string): number =>
    rates.find((one) => one.engine === engine && one.what === `${BURNT} ms, ${what}`)?.rate ?? Number.NaN;
  const ratio = of('two threads') / of('one thread');
  console.log(
    `${engine}: two threads are ${ratio.toFixed(2)} x one; goal ${GOAL}${ratio >= GOAL ? '' : ', MISSED'}`,
  );
}
