/** `milter replay --train`: the dictionaries of module bayes learn from corpora, beside the filter or before it ever ran. */
import { existsSync, mkdirSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { openBayes } from '../../../lib/bayes/index.ts';
import { runReplay } from '../../../lib/cli/replay.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { configured, folderWith } from '../../helpers/configured.ts';
import { lesson, lessons } from '../../helpers/lessons.ts';
import { until } from '../../helpers/wait.ts';

const bayes = (options = ''): string => `[[module]]\nuse = "bayes"\nmin_trained = 5\n${options}\n`;

/** In this process; standard input and other users need one of their own. */
async function replay(
  ...args: readonly string[]
): Promise<{ readonly status: number; readonly out: string }> {
  let out = '';
  const stdout = new Writable({
    write(chunk: Buffer, _, done) {
      out += chunk.toString();
      done();
    },
  });
  const status = await runReplay(args, { stdout, stderr: stdout });
  return { status, out };
}

const train = async (file: string, kind: string, ...args: string[]) =>
  await replay('--config', file, '--train', kind, ...args);

const dictionary = (file: string): string => join(dirname(file), 'data', 'bayes.db');
async function learnedIn(file: string) {
  await using own = await openBayes({ url: `sqlite:${dictionary(file)}` });
  return (await own.statistics()).map(({ user, headersOnly, spam, ham }) => ({
    user,
    headersOnly,
    spam,
    ham,
  }));
}

describe('milter replay --train', () => {
  it('learns a corpus, each message once, and tells what was learned', async () => {
    const file = configured(bayes());
    const folder = folderWith({ mbox: lessons('ham', 6) });
    mkdirSync(join(folder, 'Maildir/cur'), { recursive: true });
    mkdirSync(join(folder, 'Maildir/new'));
    for (let n = 0; n < 6; n++) writeFileSync(join(folder, 'Maildir/cur', `${n}`), lesson('spam', n));
    writeFileSync(join(folder, 'Maildir/new/copy'), lesson('spam', 0).replaceAll('\r\n', '\n'));

    const spam = await train(file, 'spam', join(folder, 'Maildir'));
    expect(spam).toMatchObject({ status: 0 });
    expect(spam.out).toMatch(/^7 messages in .* a second\n {2}learned as spam +6\n {2}known already +1\n/);
    expect(spam.out).toMatch(
      /\nbayes has learned 6 spam and 0 ham; it does not judge yet, but from 5 of each on\n$/,
    );
    const ham = await train(file, 'ham', '--json', join(folder, 'mbox'));
    expect(JSON.parse(ham.out)).toMatchObject({
      trained: 'ham',
      messages: 6,
      learned: expect.any(Number),
      unreadable: [],
      dictionaries: [{ name: 'bayes', spam: 6, judgesFrom: 5, isTrained: true }],
    });
    const moved = await train(file, 'ham', join(folder, 'Maildir/cur/3'));
    expect(moved.out).toMatch(/^ {2}learned as ham, and no more as spam +1$/m);
    expect(moved.out).toContain('bayes has learned 5 spam and ');
    const again = await train(file, 'spam', join(folder, 'Maildir/cur/1'), join(folder, 'Maildir/cur/2'));
    expect(again.out).toMatch(/^ {2}(?:known already|recognised by a wide margin: nothing to learn) +[12]$/m);
    expect(again.out).not.toContain('learned as spam');
  });

  it('takes a message, or an mbox, from standard input', async () => {
    const file = configured(bayes());
    expect(
      (await milter(['replay', '--config', file, '--train', 'spam', '-'], lesson('spam', 1))).status,
    ).toBe(0);
    const { out } = await milter(['replay', '--config', file, '--train', 'ham', '-'], lessons('ham', 3));
    expect(out).toMatch(/^3 messages/);
    expect(await learnedIn(file)).toEqual([{ user: undefined, headersOnly: false, spam: 1, ham: 3 }]);
    expect(await milter(['replay', '--config', file, '--train', 'ham', '-'], '')).toMatchObject({
      status: 2,
      err: expect.stringContaining('no message in -'),
    });
    // Played, too.
    expect((await milter(['replay', '--config', file, '-'], lessons('ham', 2))).out).toMatch(/^2 messages/);
  });

  it('names what it could not read, and learns the rest', async () => {
    const folder = folderWith({ a: lesson('spam', 1), empty: '', z: lesson('spam', 2) });
    writeFileSync(join(folder, 'huge'), 'x');
    truncateSync(join(folder, 'huge'), 256 * 1024 * 1024 + 1);
    const { status, out } = await train(configured(bayes()), 'spam', folder);
    expect(status).toBe(1);
    expect(out).toMatch(/^2 messages/);
    expect(out).toContain(`not read: ${folder}/huge: it is larger than 256 MiB\n`);
  });

  it('teaches the dictionary of a user, of a group, and of header triage', async () => {
    const groups = join(folderWith({ groups: 'sales: ann@example.com\n' }), 'groups');
    const mbox = join(folderWith({ mbox: lessons('spam', 2) }), 'mbox');
    const each = configured(bayes('users = "each"'));
    expect((await train(each, 'spam', '--user', 'Ann@Example.com', mbox)).out).toContain(
      'bayes has learned 0 spam and 0 ham for all, and 1 dictionary of users; ',
    );
    expect(await learnedIn(each)).toMatchObject([{ user: 'ann@example.com', spam: 2 }]);
    const grouped = configured(bayes(`users = { groups = "file:${groups}" }`));
    await train(grouped, 'spam', '--user', 'ann@example.com', mbox);
    expect(await learnedIn(grouped)).toMatchObject([{ user: 'sales', spam: 2 }]);
    await expect(train(grouped, 'spam', '--user', 'bob@example.com', mbox)).rejects.toThrow(
      'bob@example.com has no dictionary apart',
    );
    const both = configured(`${bayes()}${bayes('name = "door"\nheaders_only = true\ntriage = "front"')}`);
    const { out } = await train(both, 'spam', mbox);
    expect(out).toContain('\nbayes has learned 2 spam and 0 ham; ');
    expect(out).toContain('\ndoor has learned 2 spam and 0 ham; ');
    expect(await learnedIn(both)).toMatchObject([
      { user: undefined, headersOnly: false, spam: 2 },
      { user: 'front', headersOnly: true, spam: 2 },
    ]);
  });

  it('takes over what bogofilter learned', async () => {
    const dump = '.MSG_COUNT 20 30 20261101\nviagra 15 0 20261101\nsubj:meeting 0 22 20261030\nnonsense\n';
    const file = configured(bayes());
    const { status, out } = await milter(['replay', '--config', file, '--train', 'bogofilter', '-'], dump);
    expect(status).toBe(0);
    expect(out).toBe(
      '2 tokens were taken over\nbayes has learned 20 spam and 30 ham; it judges from 5 of each on\n',
    );
    const path = join(folderWith({ 'wordlist.db': '\0\0SQLite\0' }), 'wordlist.db');
    await expect(train(file, 'bogofilter', path)).rejects.toThrow('what "bogoutil -d wordlist.db" prints');
    await expect(train(file, 'bogofilter', `${path}.gone`)).rejects.toThrow(`cannot read ${path}.gone`);
  });

  it.each([
    ['', ['--train', 'spam', 'x'], 'has no module "bayes"'],
    [bayes(), ['--train', 'junk', 'x'], '--train needs spam, ham, bogofilter, got "junk"'],
    [bayes(), ['--train', 'spam', '--rcpt', 'a@example.com', 'x'], '--rcpt does not go with --train'],
    [bayes(), ['--user', 'a@example.com', 'x'], '--user goes with --train only'],
    [bayes(), ['--train', 'spam', '--user', 'a@example.com', 'x'], 'a@example.com has no dictionary apart'],
    [bayes(), ['--train', 'spam', '/dev/null/x'], 'cannot read /dev/null/x'],
    [`${bayes()}[store]\nurl = "memory:"`, ['--train', 'spam', 'x'], 'store.url is "memory:"'],
  ])('%j with %j is refused', async (modules, args, words) => {
    await expect(replay('--config', configured(modules), ...args)).rejects.toThrow(words);
  });

  it.runIf(process.getuid?.() === 0)(
    'reads the corpus as root, and leaves files that the filter can use',
    async () => {
      const file = configured(bayes(), 'user = "nobody"');
      const corpus = folderWith({ mbox: lessons('spam', 3) });
      mkdirSync(join(corpus, 'secret'), { mode: 0o700 });
      writeFileSync(join(corpus, 'secret/1'), lesson('spam', 9), { mode: 0o600 });
      for (const kind of ['spam', 'ham'])
        expect(await milter(['replay', '--config', file, '--train', kind, corpus])).toMatchObject({
          status: 0,
          err: '',
        });
      const data = dirname(dictionary(file));
      const owners = readdirSync(data).map((name) => statSync(join(data, name)).uid);
      expect(new Set([statSync(data).uid, ...owners])).toEqual(new Set([statSync(data).uid]));
      expect(statSync(data).uid).not.toBe(0);
    },
  );

  it('loses nothing that was learned when it is killed, and goes on where it was', async () => {
    const count = 3_000;
    const file = configured(bayes());
    const mbox = join(folderWith({ mbox: lessons('spam', count) }), 'mbox');
    const running = new RunningMilter(['--config', file, '--train', 'spam', mbox], {}, 'replay');
    const written = (): number => statSync(`${dictionary(file)}-wal`, { throwIfNoEntry: false })?.size ?? 0;
    await until('some to be learned', () => written() > 500_000);
    await running[Symbol.asyncDispose]();
    const before = (await learnedIn(file))[0]?.spam ?? 0;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(count);
    const { out } = await train(file, 'spam', mbox);
    expect(out).toMatch(
      new RegExp(`^ {2}learned as spam +${count - before}\n {2}known already +${before}$`, 'm'),
    );
    expect(await learnedIn(file)).toMatchObject([{ spam: count }]);
  });
});

describe('milter check', () => {
  it('says how much was learned, and changes nothing', async () => {
    const file = configured(bayes());
    const untrained = await milter(['check', file]);
    expect(untrained.out).toMatch(
      /^warning: .*: bayes: has learned 0 spam and 0 ham; it does not judge yet, but from 5 of each on \(milter replay --train\)$/m,
    );
    expect(existsSync(dictionary(file))).toBe(false);
    const corpus = folderWith({ spam: lessons('spam', 5), ham: lessons('ham', 5) });
    for (const kind of ['spam', 'ham']) await train(file, kind, join(corpus, kind));
    expect((await milter(['check', file])).out).toMatch(
      /^bayes has learned 5 spam and 5 ham; it judges from 5 of each on$/m,
    );
    const json = JSON.parse((await milter(['check', '--json', file])).out);
    expect(json.learned).toMatchObject([{ name: 'bayes', spam: 5, ham: 5, users: 0, isTrained: true }]);
  });
});
