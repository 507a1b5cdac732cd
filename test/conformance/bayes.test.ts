/**
 * How well mails are told apart, in short: the first protocol and the attacks of the corpus, where it is there. `npm run bench -- bayes`
 * is the long form, with bogofilter beside.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bayes, openBayes } from '../../lib/bayes/index.ts';
import { attacks, figures, hasCorpus, openCorpus, type Scored } from '../helpers/bayes-corpus.ts';

if (!hasCorpus) console.warn('skipped: accuracy of libmilter/bayes: ../shared/cases/bayes is not there');

describe.skipIf(!hasCorpus)('trained with the older half of the corpus', () => {
  let bayes: Bayes;
  let corpus: Awaited<ReturnType<typeof openCorpus>>;

  beforeAll(async () => {
    corpus = await openCorpus();
    bayes = await openBayes({ url: 'memory:' });
    for (const one of corpus.firstHalf) await bayes.train(await corpus.read(one), one.kind);
  });
  afterAll(async () => {
    await bayes.close();
    await corpus[Symbol.asyncDispose]();
  });

  it('it tells the newer half apart', async () => {
    const scores: Scored[] = [];
    for (const one of corpus.secondHalf) {
      scores.push({ kind: one.kind, score: (await bayes.classify(await corpus.read(one))).score });
    }
    const { falsePositives, error, missed } = figures(scores);
    // Half of bogofilter's: 1.79 and 51.5.
    expect([falsePositives, error < 0.89, missed[0] < 25.7]).toEqual([0, true, true]);
  });

  for (const set of ['attacks', 'attacks-innocent'] as const) {
    it(`it is not taken in by ${set}`, async () => {
      for (const { name, message } of await attacks(set)) {
        const { score } = await bayes.classify(message);
        const number = Number(name.slice(0, 2));
        if (number === 21) expect([name, score <= 0.1]).toEqual([name, true]);
        // Spaced letters, l33t, quoted ham, pictures and lone links may do what they can.
        else if (![9, 10, 13, 14, 20].includes(number)) expect([name, score >= 0.9]).toEqual([name, true]);
      }
    });
  }
});
