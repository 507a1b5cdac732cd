/** Several processes on one store, some of which are killed: no count is lost, none is gained. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it } from 'vitest';
import { openBayes } from '../../../lib/bayes/index.ts';
import { mailOf } from '../../helpers/bayes-mail.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';

const CHILD = join(import.meta.dirname, '../../fixtures/bayes/learner-child.ts');

/** Has a process learn mails; kills it after `most` of them. Resolves to the last that it said. */
async function learn(
  url: string,
  from: number,
  to: number,
  most = Number.POSITIVE_INFINITY,
): Promise<number> {
  const child = spawn(process.execPath, [CHILD, url, String(from), String(to)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  let last = from - 1;
  for await (const line of createInterface(child.stdout)) {
    last = Number(line);
    if (last - from + 1 >= most) child.kill('SIGKILL');
  }
  await closed;
  return last;
}

const kindOf = (n: number): 'spam' | 'ham' => (n % 2 === 0 ? 'spam' : 'ham');

/** What one process alone makes of these mails. */
async function alone(to: number) {
  await using bayes = await openBayes({ url: 'memory:', minTrained: 1_000_000 });
  for (let n = 0; n < to; n++) await bayes.train(mailOf(kindOf(n), n), kindOf(n));
  return await bayes.statistics();
}

function suite(place: () => Promise<{ readonly url: string } & AsyncDisposable>): void {
  it('count what each of them learns, and the same mail once', async () => {
    await using store = await place();
    // The middle third is learned by both.
    await Promise.all([learn(store.url, 0, 80), learn(store.url, 40, 120)]);
    await using bayes = await openBayes({ url: store.url, minTrained: 1_000_000 });
    expect(await bayes.statistics()).toEqual(await alone(120));
    // Unlearning all of it leaves nothing: every count was right.
    for (let n = 0; n < 120; n++)
      expect(await bayes.untrain(mailOf(kindOf(n), n))).toEqual({ unlearned: true });
    expect(await bayes.statistics()).toMatchObject([{ spam: 0, ham: 0, tokens: 0 }]);
  });

  it('have learned whole messages when they are killed', async () => {
    await using store = await place();
    let next = 0;
    for (const most of [3, 10, 25]) {
      const last = await learn(store.url, next, 1_000, most);
      // What was acknowledged was learned; the next one maybe, and then it is known.
      next = last + 1;
    }
    await learn(store.url, next, next + 2);
    await using bayes = await openBayes({ url: store.url, minTrained: 1_000_000 });
    expect(await bayes.statistics()).toEqual(await alone(next + 2));
    for (let n = 0; n < next + 2; n++) await bayes.untrain(mailOf(kindOf(n), n));
    expect(await bayes.statistics()).toMatchObject([{ spam: 0, ham: 0, tokens: 0 }]);
  });
}

describe('processes on one file of SQLite', () =>
  suite(async () => {
    const directory = await temporaryDirectory();
    return {
      url: `sqlite:${join(directory.path, 'bayes.db')}`,
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  }));

describeWith(['redis'], 'processes on one Redis', () =>
  suite(async () => {
    const redis = await startRedis(['--appendfsync', 'no']);
    return { url: redis.url.url, [Symbol.asyncDispose]: () => redis[Symbol.asyncDispose]() };
  }),
);
