/**
 * `npm run bench -- bayes`: how well `libmilter/bayes` tells spam from ham, how fast, and what its dictionaries take, with bogofilter in the
 * same run; on the SpamAssassin public corpus and the attacks in ../shared/cases/bayes.
 *
 *   --folds 10       of the ten folds of protocol P2, so many
 *   --url sqlite:    dictionaries for P2 in files; default memory:, which scores the same
 *
 * P1: of each class the first half by time trains, the second tests. P2: every tenth message is tested by what the others taught.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Bayes, openBayes } from '../../lib/bayes/index.ts';
import { attacks, type Case, evaluate, openCorpus, type Scored } from '../helpers/bayes-corpus.ts';
import { temporaryDirectory } from '../helpers/directory.ts';

const { values } = parseArgs({
  options: { folds: { type: 'string', default: '10' }, url: { type: 'string', default: 'memory:' } },
});
const folds = Number(values.folds);

await using directory = await temporaryDirectory();
await using corpus = await openCorpus();

/** A filter under measurement. */
interface Rival {
  readonly name: string;
  train(cases: readonly Case[]): Promise<void>;
  score(cases: readonly Case[]): Promise<readonly Scored[]>;
}

function ours(bayes: Bayes): Rival {
  return {
    name: 'libmilter/bayes',
    async train(cases) {
      for (const one of cases) await bayes.train(await corpus.read(one), one.kind);
    },
    async score(cases) {
      const scores: Scored[] = [];
      for (const { kind, file } of cases) {
        const { score } = await bayes.classify(await corpus.read({ kind, file }));
        scores.push({ kind, score });
      }
      return scores;
    },
  };
}

/** One process for many messages: quickest for both. */
function bogofilter(folder: string): Rival {
  return {
    name: 'bogofilter',
    async train(cases) {
      for (const kind of ['spam', 'ham'] as const) {
        const files = cases.filter((one) => one.kind === kind).map(({ file }) => corpus.path(file));
        run('bogofilter', ['-C', '-d', folder, kind === 'spam' ? '-s' : '-n', '-b'], files.join('\n'));
      }
    },
    async score(cases) {
      const paths = cases.map(({ file }) => corpus.path(file));
      const output = run('bogofilter', ['-C', '-d', folder, '-T', '-b'], paths.join('\n'));
      const found = new Map(
        output.split('\n').map((line) => {
          const [file = '', , score = ''] = line.split(/ +/);
          return [file, Number(score)];
        }),
      );
      return cases.map(({ kind, file }) => ({ kind, score: found.get(corpus.path(file)) ?? 0.5 }));
    },
  };
}

function run(program: string, args: readonly string[], input: string): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  // bogofilter's status says what the last message was.
  if (error !== undefined || (status ?? 3) > 2) throw new Error(`${program}: ${error?.message ?? stderr}`);
  return stdout;
}

async function newFolder(name: string): Promise<string> {
  const folder = join(directory.path, name);
  await mkdir(folder);
  return folder;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file)).size;
}

function seconds(since: number): number {
  return (performance.now() - since) / 1_000;
}

console.log(
  `${cpus()[0]?.model.trim()}, ${cpus().length} cores, Node ${process.version}, corpus of ${corpus.all.length}`,
);

// P1, the attacks, speed and sizes.
const file = join(directory.path, 'p1/bayes.db');
const bogo = await newFolder('bogo-p1');
{
  await using bayes = await openBayes({ url: `sqlite:${file}` });
  for (const rival of [bogofilter(bogo), ours(bayes)]) {
    let began = performance.now();
    await rival.train(corpus.firstHalf);
    const trained = seconds(began);
    const scores = await rival.score(corpus.secondHalf);
    began = performance.now();
    await rival.score(corpus.secondHalf);
    const rate = corpus.secondHalf.length / seconds(began);
    console.log(
      `P1 ${rival.name}: ${evaluate(scores)}; trained in ${trained.toFixed(1)} s, then ${rate.toFixed(0)}/s`,
    );
  }
  // As mail systems run it: a process for each message.
  const some = corpus.secondHalf.filter((_, i) => i % 20 === 0);
  let began = performance.now();
  for (const one of some) {
    spawnSync('bogofilter', ['-C', '-d', bogo, '-T'], { input: await corpus.read(one) });
  }
  console.log(`bogofilter, a process for each: ${(some.length / seconds(began)).toFixed(0)}/s`);
  const messages = await Promise.all(corpus.secondHalf.map((one) => corpus.read(one)));
  for (const atOnce of [1, 16]) {
    const usage = process.cpuUsage();
    began = performance.now();
    const left = messages.values();
    const work = async (): Promise<void> => {
      for (const message of left) await bayes.classify(message);
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    const took = seconds(began);
    const { user, system } = process.cpuUsage(usage);
    const cpu = (user + system) / 1e6;
    console.log(
      `libmilter/bayes, ${atOnce} at once: ${(messages.length / took).toFixed(0)}/s, by CPU time of all threads ${(messages.length / cpu).toFixed(0)}/s`,
    );
  }
  for (const set of ['attacks', 'attacks-innocent'] as const) {
    const rows: string[] = [];
    for (const { name, message } of await attacks(set)) {
      await writeFile(join(directory.path, 'one.eml'), message);
      const theirs = run(
        'bogofilter',
        ['-C', '-d', bogo, '-T', '-B', join(directory.path, 'one.eml')],
        '',
      ).split(/ +/);
      const { score } = await bayes.classify(message);
      rows.push(
        `${name.replace('.eml', '').padEnd(24)} ${score.toFixed(3)}  ${Number(theirs.at(2)).toFixed(3)}`,
      );
    }
    console.log(`${set} (libmilter/bayes, bogofilter)\n${rows.join('\n')}`);
  }
  const statistics = await bayes.statistics();
  await bayes.close();
  console.log(
    `P1 dictionaries: libmilter/bayes ${await sizeOf(file)} bytes, ${statistics[0]?.tokens} tokens of ${(statistics[0]?.spam ?? 0) + (statistics[0]?.ham ?? 0)} messages learned; bogofilter ${await sizeOf(join(bogo, 'wordlist.db'))} bytes`,
  );
}

// P2.
const pooled = new Map<string, Scored[]>();
for (let fold = 0; fold < folds; fold++) {
  const isTest = (_: Case, i: number): boolean => i % 10 === fold;
  const url = values.url === 'memory:' ? 'memory:' : `sqlite:${join(directory.path, `p2-${fold}/bayes.db`)}`;
  await using bayes = await openBayes({ url });
  const folder = await newFolder(`bogo-p2-${fold}`);
  for (const rival of [bogofilter(folder), ours(bayes)]) {
    await rival.train(corpus.all.filter((one, i) => !isTest(one, i)));
    const scores = pooled.get(rival.name) ?? [];
    scores.push(...(await rival.score(corpus.all.filter(isTest))));
    pooled.set(rival.name, scores);
  }
  await bayes.close();
  const theirs = await sizeOf(join(folder, 'wordlist.db'));
  if (url !== 'memory:')
    console.log(`fold ${fold}: ${await sizeOf(url.slice(7))} bytes; bogofilter ${theirs}`);
}
for (const [name, scores] of pooled) console.log(`P2 (${folds} folds) ${name}: ${evaluate(scores)}`);
