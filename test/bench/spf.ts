/**
 * SPF evaluations per second, ours against pyspf (Debian: python3-spf) and mailauth: `node test/bench/spf.ts`.
 *
 * The twelve policies are like those of large senders, DNS is a table in memory, each competitor uses one thread.
 * All take turns case by case and round by round, and the medians count: a busy machine disturbs all alike. The mix is
 * as many evaluations of each case, so its rate is the harmonic mean.
 *
 *   --rounds 7       rounds
 *   --seconds 0.2    per case, competitor and round
 *   --cases FILE     the policies, by default those beside the repository
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { spf as mailauth } from 'mailauth/lib/spf/index.js';
import { checkHost } from '../../lib/spf/index.ts';
import type { OpenspfZone } from '../helpers/openspf.ts';
import { openspfResolver } from '../helpers/openspf.ts';
import { median } from './report.ts';

interface Bench {
  readonly zone: OpenspfZone;
  readonly cases: readonly {
    readonly name: string;
    readonly ip: string;
    readonly mailfrom: string;
    readonly helo: string;
    readonly results: readonly string[];
  }[];
}

interface Sample {
  /** Evaluations per second. */
  readonly rate: number;
  readonly result: string;
}

interface Competitor {
  readonly name: string;
  measure(index: number, seconds: number): Promise<Sample>;
}

/** What has to be reached on the mix. */
const GOAL = 10;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '0.2' },
    cases: {
      type: 'string',
      default: join(import.meta.dirname, '../../../shared/cases/spf/bench-typical.json'),
    },
  },
});
if (!existsSync(values.cases)) {
  console.log(`skipped: there is no ${values.cases}`);
  process.exit(0);
}
const bench: Bench = JSON.parse(readFileSync(values.cases, 'utf8'));
const resolver = openspfResolver(bench.zone);

/** Runs `evaluate` for some time, in batches that make the clock cheap. */
async function measure(seconds: number, evaluate: () => Promise<string>): Promise<Sample> {
  let count = 0;
  let batch = 1;
  let result = '';
  const start = performance.now();
  let now = start;
  while (now < start + seconds * 1000) {
    for (let i = 0; i < batch; i++) result = await evaluate();
    count += batch;
    now = performance.now();
    if (now - start < seconds * 100) batch *= 2;
  }
  return { rate: (count / (now - start)) * 1000, result };
}

function caseAt(index: number): Bench['cases'][number] {
  const found = bench.cases[index];
  if (found === undefined) throw new RangeError(`there is no case ${index}`);
  return found;
}

const ours: Competitor = {
  name: 'libmilter',
  measure(index, seconds) {
    const { ip, mailfrom, helo } = caseAt(index);
    const options = { ip, sender: mailfrom, helo, receiver: 'receiver.example', resolver };
    return measure(seconds, async () => {
      resolver.queries.length = 0;
      return (await checkHost(options)).result;
    });
  },
};

/** In the form of `dns.promises.resolve`, prepared once as well. */
function mailauthResolver(): (name: string, type: string) => Promise<unknown[]> {
  const tables = new Map<string, unknown[]>();
  for (const [name, { records }] of Object.entries(bench.zone)) {
    for (const { type, data } of records) {
      const { preference: priority, exchange } = data as { preference: number; exchange: string };
      const key = `${type} ${name}`;
      tables.set(key, [...(tables.get(key) ?? []), type === 'MX' ? { priority, exchange } : data]);
    }
  }
  return async (name, type) => {
    const found = tables.get(`${type} ${name.toLowerCase()}`);
    if (found === undefined)
      throw Object.assign(new Error(`query${type} ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
    return found;
  };
}

function mailauthCompetitor(strict: boolean): Competitor {
  const resolve = mailauthResolver();
  return {
    name: strict ? 'mailauth strict' : 'mailauth',
    measure(index, seconds) {
      const { ip, mailfrom, helo } = caseAt(index);
      // Its types promise the resolver of node:dns, of which it needs no more than this.
      const options = {
        ip,
        sender: mailfrom,
        helo,
        mta: 'receiver.example',
        resolver: resolve as never,
        strict,
      };
      return measure(seconds, async () => (await mailauth(options)).status.result);
    },
  };
}

/** pyspf in a process of Debian's own Python, where it is installed. */
function pyspf(): (Competitor & { process: ChildProcess }) | undefined {
  const script = join(import.meta.dirname, 'spf_pyspf.py');
  if (!existsSync('/usr/lib/python3/dist-packages/spf.py')) {
    console.log('without pyspf: it is not installed (Debian: apt-get install python3-spf)');
    return undefined;
  }
  const child = spawn('/usr/bin/python3', [script, values.cases], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    name: 'pyspf',
    process: child,
    async measure(index, seconds) {
      child.stdin.write(`${index} ${seconds}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error('pyspf ended');
      return JSON.parse(value) as Sample;
    },
  };
}

const python = pyspf();
const competitors: Competitor[] = [ours, mailauthCompetitor(false), mailauthCompetitor(true)];
if (python !== undefined) competitors.push(python);

const rates = new Map<Competitor, number[][]>(competitors.map((one) => [one, bench.cases.map(() => [])]));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [index, { name, results }] of bench.cases.entries()) {
    for (const competitor of competitors) {
      const { rate, result } = await competitor.measure(index, Number(values.seconds));
      if (!results.includes(result)) throw new Error(`${competitor.name}: ${name} is ${result}`);
      rates.get(competitor)?.[index]?.push(rate);
    }
  }
}
python?.process.kill();

const columns = competitors.map((one) => (rates.get(one) ?? []).map(median));
const mixes = columns.map((column) => column.length / column.reduce((sum, rate) => sum + 1 / rate, 0));
const row = (name: string, cells: readonly number[]): string => {
  const ratio = python === undefined ? '' : `${((cells[0] ?? 0) / (cells.at(-1) ?? 1)).toFixed(1)}x`;
  return (
    name.padEnd(20) +
    cells.map((rate) => Math.round(rate).toLocaleString('en').padStart(17)).join('') +
    ratio.padStart(10)
  );
};
console.log(
  `${'evaluations/s'.padEnd(20)}${competitors.map(({ name }) => name.padStart(17)).join('')}${'ours/pyspf'.padStart(10)}`,
);
for (const [index, { name }] of bench.cases.entries()) {
  console.log(
    row(
      name,
      columns.map((column) => column[index] ?? Number.NaN),
    ),
  );
}
console.log(row('mix', mixes));
if (python !== undefined) {
  const ratio = (mixes[0] ?? 0) / (mixes.at(-1) ?? 1);
  console.log(`goal: ${GOAL}x pyspf on the mix; reached ${ratio.toFixed(1)}x`);
}
