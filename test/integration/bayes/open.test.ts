/** The filter as its users have it, on each kind of store. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bayes, openBayes } from '../../../lib/bayes/index.ts';
import { mailOf } from '../../helpers/bayes-mail.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';

const DAY = 86_400_000;
const START = Date.UTC(2026, 0, 1);

async function trainAll(bayes: Bayes, from = 0, to = 60): Promise<void> {
  for (let n = from; n < to; n++) {
    for (const kind of ['spam', 'ham'] as const) await bayes.train(mailOf(kind, n), kind);
  }
}

function suite(newUrl: () => Promise<string>): void {
  it('says that it is untrained, learns, and tells spam from ham', async () => {
    await using bayes = await openBayes({ url: await newUrl() });
    expect(await bayes.classify(mailOf('spam', 1))).toEqual({ score: 0.5, trained: false, clues: [] });
    await trainAll(bayes, 0, 49);
    const early = await bayes.classify(mailOf('spam', 99));
    expect(early).toMatchObject({ trained: false, score: expect.closeTo(1, 2) });
    await trainAll(bayes, 49, 60);
    const spam = await bayes.classify(mailOf('spam', 99));
    expect(spam).toMatchObject({ trained: true, score: expect.closeTo(1, 2) });
    expect(spam.clues[0]).toMatchObject({ token: expect.any(String), spam: expect.any(Number), ham: 0 });
    expect((await bayes.classify(mailOf('ham', 99))).score).toBeLessThan(0.05);
  });

  it('has a score of the first message on, of one kind alone too, and says that it is early', async () => {
    await using bayes = await openBayes({ url: await newUrl() });
    await bayes.train(mailOf('spam', 1), 'spam');
    expect(await bayes.classify(mailOf('spam', 2))).toMatchObject({ trained: false });
    expect((await bayes.classify(mailOf('spam', 2))).score).toBeGreaterThan(0.9);
    await bayes.train(mailOf('ham', 1), 'ham');
    expect((await bayes.classify(mailOf('ham', 2))).score).toBeLessThan(0.2);
    await bayes.untrain(mailOf('spam', 1));
    await bayes.untrain(mailOf('ham', 1));
    expect(await bayes.classify(mailOf('spam', 2))).toEqual({ score: 0.5, trained: false, clues: [] });
  });

  it('learns a message once, as it is said last, and takes it back exactly', async () => {
    await using bayes = await openBayes({ url: await newUrl(), minTrained: 5 });
    await trainAll(bayes, 0, 5);
    const before = await bayes.statistics();
    const odd = Buffer.concat([
      mailOf('spam', 200),
      Buffer.from('entirely unheard words xylophone quagmire\r\n'),
    ]);
    expect(await bayes.train(odd, 'ham')).toMatchObject({ learned: true, outcome: 'learned' });
    const [learned] = await bayes.statistics();
    expect(learned?.ham).toBe(6);
    expect(await bayes.train(odd, 'ham')).toMatchObject({ learned: false, outcome: 'known' });
    expect(await bayes.statistics()).toEqual([learned]);
    expect(await bayes.train(odd, 'spam')).toMatchObject({ learned: true, outcome: 'moved' });
    expect((await bayes.statistics())[0]).toEqual({ ...learned, spam: 6, ham: 5 });
    // Another copy, as it comes back from a mailbox.
    const copy = Buffer.from(`Received: from x by y\nX-More: z\n${odd.toString().replaceAll('\r\n', '\n')}`);
    expect(await bayes.untrain(copy)).toEqual({ unlearned: true });
    expect(await bayes.statistics()).toEqual(before);
    await expect(bayes.untrain(odd)).rejects.toMatchObject({ code: 'ERR_MILTER_NOT_TRAINED' });
    expect(await bayes.statistics()).toEqual(before);
  });

  it('learns nothing from what it is sure of, and says so', async () => {
    await using bayes = await openBayes({ url: await newUrl() });
    await trainAll(bayes);
    const before = await bayes.statistics();
    expect(await bayes.train(mailOf('spam', 99), 'spam')).toMatchObject({ learned: false, outcome: 'sure' });
    expect(await bayes.statistics()).toEqual(before);
    expect(await bayes.untrain(mailOf('spam', 99))).toEqual({ unlearned: false });
    // A mistake is learned however sure it is of the contrary.
    expect(await bayes.train(mailOf('spam', 99), 'ham')).toMatchObject({ learned: true });
  });

  it('keeps users apart, and lets all have what is shared', async () => {
    await using bayes = await openBayes({ url: await newUrl() });
    await trainAll(bayes);
    for (let n = 0; n < 60; n++)
      await bayes.train(mailOf('spam', n + 300), 'ham', { user: 'odd@example.org' });
    for (let n = 0; n < 60; n++)
      await bayes.train(mailOf('ham', n + 300), 'spam', { user: 'odd@example.org' });
    const spam = mailOf('spam', 500);
    const shared = await bayes.classify(spam);
    expect((await bayes.classify(spam, { user: 'other@example.org' })).score).toBe(shared.score);
    expect((await bayes.classify(spam, { user: 'odd@example.org' })).score).toBeLessThan(shared.score);
    expect((await bayes.statistics()).map(({ user }) => user)).toEqual([undefined, 'odd@example.org']);
  });

  it('judges headers alone with a dictionary of their own', async () => {
    await using bayes = await openBayes({ url: await newUrl(), minTrained: 20 });
    for (let n = 0; n < 20; n++) {
      for (const kind of ['spam', 'ham'] as const) {
        await bayes.train(mailOf(kind, n), kind, {
          headersOnly: true,
          envelope: { helo: `${kind}.example` },
        });
      }
    }
    expect((await bayes.classify(mailOf('spam', 99))).trained).toBe(false);
    const header = Buffer.from('From: deals1@offers.example.biz\r\nSubject: winner casino\r\n\r\n');
    const { score } = await bayes.classify(header, { headersOnly: true, envelope: { helo: 'spam.example' } });
    expect(score).toBeGreaterThan(0.9);
    expect(await bayes.statistics()).toMatchObject([{ headersOnly: true, spam: 20, ham: 20 }]);
  });

  it('lets go of what is no longer of use', async () => {
    let now = START;
    await using bayes = await openBayes({ url: await newUrl(), now: () => now, minTrained: 5 });
    await trainAll(bayes, 0, 10);
    const [before] = await bayes.statistics();
    expect(await bayes.expire()).toBe(0);
    now += 20 * DAY;
    expect(await bayes.expire()).toBeGreaterThan(0);
    const [after] = await bayes.statistics();
    expect(after?.tokens).toBeLessThan(before?.tokens ?? 0);
    now += 400 * DAY;
    await bayes.expire();
    expect(await bayes.statistics()).toMatchObject([{ tokens: 0, spam: before?.spam, ham: before?.ham }]);
  });

  it('takes over what bogofilter learned', async () => {
    await using bayes = await openBayes({ url: await newUrl() });
    const dump = [
      '.MSG_COUNT 100 100 20260101\n',
      'casino 50 0 20260101\nmee',
      'ting 0 50 20260101\nsubj:Winner 40 1 20260101\nhead:x 1 1 20260101\nno token',
    ];
    expect(await bayes.importBogofilter(dump)).toBe(3);
    const { score, clues, trained } = await bayes.classify(Buffer.from('Subject: winner\r\n\r\ncasino\r\n'));
    expect([trained, score > 0.9]).toEqual([true, true]);
    expect(clues.map(({ token, spam, ham }) => [token, spam, ham])).toEqual(
      expect.arrayContaining([
        ['casino', 50, 0],
        ['winner', 40, 1],
      ]),
    );
  });
}

describe('in memory', () => suite(async () => 'memory:'));

describe('in SQLite', () => {
  let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  let count = 0;
  beforeAll(async () => {
    directory = await temporaryDirectory();
  });
  afterAll(() => directory[Symbol.asyncDispose]());
  suite(async () => `sqlite:${join(directory.path, `${count++}/bayes.db`)}`);

  it('is a file for nobody else to read', async () => {
    const folder = join(directory.path, 'private');
    const before = process.umask(0);
    try {
      await using bayes = await openBayes({ url: `sqlite:${join(folder, 'bayes.db')}` });
      await bayes.train(mailOf('spam', 1), 'spam');
      const modes = readdirSync(folder).map((name) => statSync(join(folder, name)).mode & 0o777);
      expect(statSync(folder).mode & 0o777).toBe(0o700);
      expect(new Set(modes)).toEqual(new Set([0o600]));
    } finally {
      process.umask(before);
    }
  });

  it('keeps what it learned, and what others learn counts at once', async () => {
    const url = `sqlite:${join(directory.path, 'kept/bayes.db')}`;
    await using other = await openBayes({ url });
    {
      await using bayes = await openBayes({ url });
      await trainAll(bayes, 0, 50);
      expect((await other.classify(mailOf('spam', 99))).score).toBeGreaterThan(0.9);
    }
    await other.untrain(mailOf('spam', 3));
    expect(await other.statistics()).toMatchObject([{ spam: 49, ham: 50 }]);
    expect((await other.classify(mailOf('spam', 99))).trained).toBe(false);
  });

  it('scores as memory does', async () => {
    await using one = await openBayes({ url: `sqlite:${join(directory.path, 'same/bayes.db')}` });
    await using other = await openBayes({ url: 'memory:' });
    for (const bayes of [one, other]) await trainAll(bayes);
    for (const kind of ['spam', 'ham'] as const) {
      for (let n = 90; n < 110; n++) {
        expect(await one.classify(mailOf(kind, n))).toEqual(await other.classify(mailOf(kind, n)));
      }
    }
  });

  it('refuses what is no database of its own', async () => {
    await expect(openBayes({ url: `sqlite:${import.meta.filename}` })).rejects.toMatchObject({
      code: 'ERR_MILTER_STORE',
    });
  });

  it('stays below its caps', async () => {
    const url = `sqlite:${join(directory.path, 'capped/bayes.db')}`;
    await using bayes = await openBayes({ url, retention: { sharedTokens: 10_000 }, minTrained: 1_000 });
    for (let n = 0; n < 12; n++) {
      const text = Array.from({ length: 1_500 }, (_, i) => `word${n}x${i}`).join(' ');
      await bayes.train(Buffer.from(`Subject: ${n}\r\n\r\n${text}\r\n`), 'ham');
    }
    const [{ tokens = 0 } = {}] = await bayes.statistics();
    expect(tokens).toBeLessThanOrEqual(10_000);
    expect(tokens).toBeGreaterThan(8_000);
  });
});

describeWith(['redis'], 'in Redis', () => {
  let redis: Awaited<ReturnType<typeof startRedis>>;
  beforeAll(async () => {
    redis = await startRedis(['--appendfsync', 'no']);
  });
  afterAll(() => redis[Symbol.asyncDispose]());
  suite(async () => {
    await redis.ask('FLUSHALL');
    return redis.url.url;
  });

  it('what others learn counts at once', async () => {
    await redis.ask('FLUSHALL');
    await using one = await openBayes({ url: redis.url.url, minTrained: 5 });
    await using other = await openBayes({ url: redis.url.url, minTrained: 5 });
    await trainAll(one, 0, 5);
    const mail = mailOf('spam', 99);
    const before = await other.classify(mail);
    await one.untrain(mailOf('spam', 1));
    expect(before.trained).toBe(true);
    expect((await other.classify(mail)).trained).toBe(false);
  });

  it('says that the server is away, and goes on when it is back', async () => {
    await redis.ask('FLUSHALL');
    await using bayes = await openBayes({ url: redis.url.url });
    await redis.stop();
    await expect(bayes.classify(mailOf('spam', 1))).rejects.toMatchObject({
      code: 'ERR_MILTER_STORE',
      message: expect.stringMatching(/^the Bayes store fails: redis:\/\/127\.0\.0\.1:\d+ is away: /),
    });
    await redis.start();
    await expect
      .poll(() => bayes.classify(mailOf('spam', 1)).catch(() => undefined), { timeout: 20_000 })
      .toMatchObject({ trained: false });
  });
});

describe('options', () => {
  it('that cannot be are refused', async () => {
    const wrong = (options: object): Promise<unknown> =>
      expect(openBayes(options as { url: string })).rejects.toThrow(TypeError);
    await wrong({ url: 'mysql://x' });
    await wrong({ url: 'sqlite:' });
    await wrong({ url: 'memory:', minTraind: 5 });
    await wrong({ url: 'memory:', minTrained: 0 });
    await wrong({ url: 'memory:', retention: { records: 1 } });
    await using bayes = await openBayes({ url: 'memory:' });
    await expect(bayes.classify('text' as unknown as Uint8Array)).rejects.toThrow(TypeError);
    await expect(bayes.train(mailOf('ham', 1), 'eggs' as 'ham')).rejects.toThrow(TypeError);
    await expect(bayes.classify(mailOf('ham', 1), { user: '' })).rejects.toThrow(TypeError);
  });

  it('a closed one says so', async () => {
    const bayes = await openBayes({ url: 'memory:' });
    await bayes.close();
    await bayes.close();
    await expect(bayes.classify(mailOf('ham', 1))).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
  });
});
