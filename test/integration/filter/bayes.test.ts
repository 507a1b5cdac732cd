/** Module bayes on the real libmilter, as `milter run` serves it: taught through the wire, with its dictionaries in SQLite and in Redis. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBayes } from '../../../lib/bayes/index.ts';
import { connectMta, type SendOptions } from '../../../lib/testing/index.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { configured, folderWith } from '../../helpers/configured.ts';
import { forwarded, lesson } from '../../helpers/lessons.ts';
import { type Redis, startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { until } from '../../helpers/wait.ts';

const NETWORKS =
  '[[module]]\nuse = "networks"\ninternal = ["10.0.0.0/8"]\ndomains = ["example.com"]\nexternal_as_ours = "continue"\nfrom_as_ours = "continue"\n';

const config = (options: string, store = ''): string =>
  configured(
    `${NETWORKS}[[module]]\nuse = "bayes"\nmin_trained = 5\nlearn = [{ spam = "spam@example.com", ham = "ham@example.com" }]\n${options}\n`,
    store === '' ? '' : `[store]\nurl = "${store}"`,
  );

const INSIDE = { client: { address: '10.0.0.5', hostname: 'desk.example.com' }, sender: 'ann@example.com' };
const OUTSIDE = { client: { address: '192.0.2.9', hostname: 'far.example' }, sender: 'x@far.example' };

/** Each over a connection of its own, since that has one client. */
async function send(filter: RunningMilter, eml: string, options: SendOptions) {
  await using mta = await connectMta(await filter.address());
  return await mta.sendMessage(eml, options);
}

const teach = async (filter: RunningMilter, kind: 'spam' | 'ham', eml: string) =>
  await send(filter, eml, { ...INSIDE, recipients: [`${kind}@example.com`] });

async function teachBoth(filter: RunningMilter): Promise<void> {
  for (const kind of ['spam', 'ham'] as const) {
    const { verdict } = await teach(
      filter,
      kind,
      forwarded(...[1, 2, 3, 4, 5, 6].map((n) => lesson(kind, n))),
    );
    expect(verdict).toBe('discard');
  }
}

async function dictionariesAt(url: string) {
  await using bayes = await openBayes({ url });
  return (await bayes.statistics()).map(({ user, spam, ham, tokens }) => ({ user, spam, ham, tokens }));
}

function suite(open: () => Promise<AsyncDisposable & { readonly store: string }>): void {
  it('judges each recipient by what that one forwarded, holds spam, and is asked by who only tries', async () => {
    await using place = await open();
    const file = config('users = "each"\ntraps = ["trap@example.com"]\nauto = true', place.store);
    const url = place.store === '' ? `sqlite:${join(dirname(file), 'data/bayes.db')}` : place.store;
    await using running = new RunningMilter([file]);
    await teachBoth(running);
    const spam = await send(running, lesson('spam', 9), {
      ...OUTSIDE,
      recipients: ['ann@example.com', 'bob@example.com'],
    });
    expect(spam.message.recipients).toEqual(['<bob@example.com>']);
    expect(spam.message.headers.find(({ name }) => name === 'X-Bayes')?.value).toMatch(/^spam /);
    const held = await milter(['quarantine', 'list', '--json', '--config', file]);
    expect(held.out).toContain('ann@example.com');
    const ham = await send(running, lesson('ham', 9), { ...OUTSIDE, recipients: ['ann@example.com'] });
    expect(ham.verdict).toBe('continue');
    expect(ham.message.headers.find(({ name }) => name === 'X-Bayes')?.value).toMatch(/^ham /);

    const before = await dictionariesAt(url);
    expect(before).toMatchObject([{ user: 'ann@example.com', spam: 6 }]);
    const eml = join(folderWith({ eml: lesson('spam', 8) }), 'eml');
    const on = ['--config', file, '--client', '192.0.2.9', '--from', 'x@far.example', '--rcpt'];
    expect((await milter(['try', ...on, 'ann@example.com', eml])).out).toContain('bayes-spam');
    expect((await milter(['replay', ...on, 'trap@example.com', eml])).out).toContain('bayes-trap');
    expect(await dictionariesAt(url)).toEqual(before);
  });

  it('loses nothing that it took to learn when it is killed', async () => {
    await using place = await open();
    const file = config('', place.store);
    const url = place.store === '' ? `sqlite:${join(dirname(file), 'data/bayes.db')}` : place.store;
    let taken = 0;
    let asked = 0;
    for (let round = 0; round < 2; round++) {
      await using running = new RunningMilter([file]);
      await running.address();
      const wanted = taken + 10;
      for (;;) {
        const answer = teach(running, 'spam', forwarded(lesson('spam', ++asked)));
        // The last one is under way when it ends.
        if (taken >= wanted) {
          running.child.kill('SIGKILL');
          taken += (await answer.catch(() => undefined))?.verdict === 'discard' ? 1 : 0;
          break;
        }
        expect((await answer).verdict).toBe('discard');
        taken++;
      }
      const [shared] = await dictionariesAt(url);
      expect(shared?.spam).toBeGreaterThanOrEqual(taken);
      expect(shared?.spam).toBeLessThanOrEqual(asked);
    }
  });
}

describe('module bayes, in SQLite', () => {
  suite(async () => ({ store: '', [Symbol.asyncDispose]: async () => {} }));

  it('is not opened, with one line that names the file, where that is no dictionary', async () => {
    const file = config('');
    await milter(['replay', '--config', file, '--train', 'spam', '-'], lesson('spam', 1));
    writeFileSync(join(dirname(file), 'data/bayes.db'), 'this is no database, '.repeat(1_000));
    const run = await milter(['run', file]);
    expect(run.status).toBe(1);
    expect(run.err).toMatch(/^milter run: .*Bayes.*not a database[^\n]*\n$/);
    const { status, out } = await milter(['check', file]);
    expect(status).toBe(1);
    expect(out).toMatch(/^fault: .*not a database/m);
  });

  it('is taught by the script for a mail reader that moves messages to Junk', async () => {
    const docs = readFileSync(join(import.meta.dirname, '../../../docs/modules/bayes.md'), 'utf8');
    const script = /```sh\n(#!\/bin\/sh\n.*?)```/s.exec(docs)?.[1] ?? '';
    const made = spawnSync(
      'sh',
      ['-c', script.replace(/\/usr\/sbin\/sendmail.*/, 'cat'), 'teach', 'spam', 'ann@example.com'],
      { input: lesson('spam', 1).replaceAll('\r\n', '\n'), encoding: 'utf8' },
    );
    expect(made.stderr).toBe('');
    const file = config('users = "each"');
    await using running = new RunningMilter([file]);
    expect((await teach(running, 'spam', made.stdout.replaceAll('\n', '\r\n'))).verdict).toBe('discard');
    const url = `sqlite:${join(dirname(file), 'data/bayes.db')}`;
    expect(await dictionariesAt(url)).toMatchObject([{ user: 'ann@example.com', spam: 1, ham: 0 }]);
    // The same message, from a folder: it is known.
    const { out } = await milter(
      ['replay', '--config', file, '--train', 'spam', '--user', 'ann@example.com', '-'],
      lesson('spam', 1),
    );
    expect(out).toMatch(/^ {2}known already +1$/m);
  });
});

describeWith(['redis'], 'module bayes, in Redis', () => {
  suite(async () => {
    const redis = await startRedis();
    return { store: redis.url.url, [Symbol.asyncDispose]: async () => await redis[Symbol.asyncDispose]() };
  });

  it('shares with other machines what one was taught', async () => {
    await using redis = await startRedis();
    const files = [config('', redis.url.url), config('', redis.url.url)] as const;
    await using one = new RunningMilter([files[0]]);
    await using other = new RunningMilter([files[1]]);
    await teachBoth(one);
    const sent = await send(other, lesson('spam', 9), { ...OUTSIDE, recipients: ['bob@example.com'] });
    expect(sent.verdict).toBe('discard');
    expect((await milter(['check', files[1]])).out).toMatch(/^bayes has learned 6 spam and /m);
  });

  it('starts while the server is away, does as on_error says, and judges when it is there', async () => {
    await using redis = await startRedis();
    const files = [
      config('spam = "reject"', redis.url.url),
      config('on_error = "tempfail"', redis.url.url),
    ] as const;
    await redis.stop();
    await using lax = new RunningMilter([files[0]]);
    await using strict = new RunningMilter([files[1]]);
    const spam = { ...OUTSIDE, recipients: ['bob@example.com'] };
    expect((await send(lax, lesson('spam', 9), spam)).verdict).toBe('continue');
    expect((await send(strict, lesson('spam', 9), spam)).reply?.code).toBe(451);
    expect(strict.err).toMatch(
      /module bayes failed: the Bayes store fails: redis:\S+ is away: connect ECONNREFUSED/,
    );
    await redis.start();
    await until('the server to be found', async () => {
      const answer = await teach(lax, 'spam', forwarded(lesson('spam', 1)));
      return answer.verdict === 'discard';
    });
    await teachBoth(lax);
    expect((await send(lax, lesson('spam', 9), spam)).verdict).toBe('reject');
  });

  it('lets mail wait once, and not again and again, for a server that says nothing', async () => {
    await using redis = await startRedis();
    await using running = new RunningMilter([config('', redis.url.url)]);
    await teachBoth(running);
    redis.signal('SIGSTOP');
    const spam = { ...OUTSIDE, recipients: ['bob@example.com'] };
    const seen = await Promise.all(
      Array.from({ length: 30 }, async () => (await send(running, lesson('spam', 9), spam)).verdict),
    );
    expect(new Set(seen)).toEqual(new Set(['continue']));
    const why =
      running.err.match(/module bayes failed: [^\n"]*?(no answer within 5 s|not asked for a while)/g) ?? [];
    expect(why).toHaveLength(30);
    // Eight are asked at once, and wait; the others are not asked.
    expect(why.filter((line) => line.includes('not asked'))).toHaveLength(22);
  });

  const away: readonly (readonly [string, (redis: Redis) => Promise<void>])[] = [
    ['is stopped', async (redis) => await redis.stop()],
    ['hangs', async (redis) => redis.signal('SIGSTOP')],
  ];
  it.each(away)(
    'does as on_error says while the server %s, and has teachers come again',
    async (_, leave) => {
      await using redis = await startRedis();
      const files = [
        config('spam = "reject"', redis.url.url),
        config('on_error = "tempfail"', redis.url.url),
      ] as const;
      await using lax = new RunningMilter([files[0]]);
      await using strict = new RunningMilter([files[1]]);
      // It opens the dictionaries when it starts.
      await strict.address();
      await teachBoth(lax);
      const spam = { ...OUTSIDE, recipients: ['bob@example.com'] };
      expect((await send(lax, lesson('spam', 9), spam)).verdict).toBe('reject');
      await leave(redis);
      expect((await send(lax, lesson('spam', 9), spam)).verdict).toBe('continue');
      expect((await send(strict, lesson('spam', 9), spam)).reply?.code).toBe(451);
      expect((await teach(lax, 'spam', forwarded(lesson('spam', 7)))).reply?.code).toBe(451);
      expect(lax.err).toContain('module bayes failed');
    },
    60_000,
  );
});
