/** `milter quarantine`, beside a filter that runs. */
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { type OpenedFilter, openFilter } from '../../lib/filter/index.ts';
import { fakeSession, type MessageResult } from '../../lib/testing/index.ts';
import { milter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { keepingLogger, probeDirectory } from '../helpers/filter.ts';

const EML = 'From: a@example.org\r\nSubject: \x1b[31mred\r\n\r\nhello\r\nfrom here\r\n';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let filter: OpenedFilter;
let config: string;
let number = 0;

/** Whom it was sent to, and what, instead of a mail server. */
const sendmail = (path: string): string => `#!/bin/sh
[ "$#" = 6 ] || exit 64
case "$6" in *busy*) echo "no room now" >&2; exit 75;; *unknown*) echo "no such user" >&2; exit 67;; esac
{ echo "$*"; cat; } > "${path}/sent"
`;

beforeAll(async () => {
  directory = await temporaryDirectory();
  const { path } = directory;
  await writeFile(join(path, 'sendmail'), sendmail(path));
  await chmod(join(path, 'sendmail'), 0o755);
  const text = `socket = "inet:8894@127.0.0.1"
hostname = "mx.example.com"
data = "${path}/data"
[outgoing]
sendmail = "${path}/sendmail"
[[module]]
use = "${probeDirectory}/probe.ts"
message = "quarantine"
`;
  config = join(path, 'milter.toml');
  await writeFile(config, text);
  filter = await openFilter(text, { logger: keepingLogger() });
});

afterAll(async () => {
  await filter.close();
  await directory[Symbol.asyncDispose]();
});

async function hold(eml: string, ...recipients: string[]): Promise<MessageResult> {
  await using mta = fakeSession(filter.Filter);
  return await mta.sendMessage(eml, { sender: 'a@example.org', recipients });
}

/** An owner whom no other test knows. */
let owner: string;
beforeEach(() => {
  number++;
  owner = `b${number}@example.com`;
});

/** Of the newest for whom `who` is, or is a part of. */
async function idOf(who = owner): Promise<string> {
  const { out } = await milter(['quarantine', 'list', '--owner', who, '--json', '--config', config]);
  const items = JSON.parse(out) as { id: string; owner: string }[];
  return (items.find((item) => item.owner === who) ?? items[0])?.id ?? '';
}

const run = (...args: string[]) => milter(['quarantine', ...args, '--config', config]);

it('lists what is held, and shows a message without letting it steer the terminal', async () => {
  await hold(EML, owner);
  const listed = await run('list', '--owner', owner);
  const id = await idOf();
  expect(listed.out).toMatch(
    new RegExp(
      `^${id.slice(0, 12)}  \\d{4}-\\d\\d-\\d\\dT\\S+Z  ${owner}  <a@example.org>  probe-message  \\\\x1b\\[31mred\n$`,
    ),
  );
  const shown = await run('show', id.slice(0, 8));
  expect(shown.out).toContain(`owner:  ${owner}\n`);
  expect(shown.out).toContain('\n\nFrom: a@example.org\nSubject: \\x1b[31mred\n\nhello\n');
  expect(shown.out + listed.out).not.toContain('\x1b');
  expect((await run('show', id, '--raw')).out).toBe(EML);
});

it('sends a message to its owner alone, to the byte but for the mark, and lets that pass', async () => {
  await hold(EML, owner, `other-${owner}`);
  const id = await idOf();
  const { status, out, err } = await run('release', id);
  expect({ status, out, err }).toEqual({ status: 0, out: `released ${id} to ${owner}\n`, err: '' });
  const [, args, mark = '', rest] =
    /^([^\n]*)\nX-Milter-Released: ([^\n]*)\n(.*)$/s.exec(
      await readFile(join(directory.path, 'sent'), 'latin1'),
    ) ?? [];
  expect(args).toBe(`-i -G -f a@example.org -- ${owner}`);
  expect(rest).toBe(EML.replaceAll('\r\n', '\n'));
  expect((await run('list', '--owner', owner)).out.split('\n')).toHaveLength(2);
  expect((await run('list', '--owner', owner, '--all')).out).toContain('  released  ');
  expect(await run('release', id)).toMatchObject({
    status: 1,
    err: expect.stringContaining('It is released already'),
  });

  const marked = `X-Milter-Released: ${mark}\r\n${EML}`;
  const back = await hold(marked, owner);
  expect(back.verdict).toBe('continue');
  expect(back.message.toBytes().toString('latin1')).toBe(EML);
  // For nobody else, and not with another proof.
  expect((await hold(marked, `third-${owner}`)).verdict).toBe('discard');
  expect(
    (
      await hold(
        marked.replace(/[\da-f]\r/, (end) => (end === '0\r' ? '1\r' : '0\r')),
        owner,
      )
    ).verdict,
  ).toBe('discard');
});

it('says why a message could not be sent, and holds it still', async () => {
  await hold(EML, `unknown-${owner}`);
  const { status, err } = await run('release', await idOf());
  expect(status).toBe(1);
  expect(err).toContain('no such user');
  expect((await run('list', '--owner', owner)).out).toContain(`unknown-${owner}`);
});

it('leaves a message that the mail server does not take yet to the filter that runs', async () => {
  await hold(EML, `busy-${owner}`);
  const id = await idOf();
  const { status, out } = await run('release', id);
  expect(status).toBe(0);
  expect(out).toMatch(/^releasing .*no room now; the filter that runs asks again\n$/);
  expect((await run('list', '--owner', owner)).out).toContain('  releasing  ');
  expect((await run('show', id)).out).toMatch(/^next: {3}\S+Z, after 1 so far$/m);
  expect((await run('delete', id)).status).toBe(0);
});

it('finds, exports, trains and deletes many at once', async () => {
  for (const subject of ['one', 'two', 'three'])
    await hold(`From: a@example.org\r\nSubject: ${subject} ${owner}\r\n\r\nFrom here\r\n`, owner);
  expect((await run('list', '--search', `TWO ${owner}`)).out.split('\n')).toHaveLength(2);
  const { out } = await run('export', '--search', owner);
  expect(out.match(/^From a@example\.org /gm)).toHaveLength(3);
  expect(out.match(/^>From here$/gm)).toHaveLength(3);
  expect(out.indexOf('Subject: one')).toBeLessThan(out.indexOf('Subject: three'));
  const file = join(directory.path, `${owner}.mbox`);
  expect(await run('export', await idOf(), '--to', file)).toMatchObject({
    status: 0,
    out: `1 message is in ${file}\n`,
  });
  expect(await readFile(file, 'latin1')).toMatch(/^From a@example\.org .*\n.*\nSubject: three/);
  expect(await run('train', 'ham', '--search', owner)).toMatchObject({
    status: 1,
    err: expect.stringContaining('No module of this configuration learns'),
  });
  const learning = join(directory.path, 'learning.toml');
  await writeFile(
    learning,
    `${await readFile(config, 'utf8')}[[module]]\nuse = "${probeDirectory}/learner.ts"\n`,
  );
  const trained = await milter(['quarantine', 'delete', '--spam', '--search', owner, '--config', learning]);
  expect(trained.out.match(/ is spam: learner learned it\n/g)).toHaveLength(3);
  expect(trained.out.match(/^deleted /gm)).toHaveLength(3);
  expect((await run('list', '--owner', owner)).out).toBe('Nothing is held.\n');
  expect(await run('delete', '--owner', owner)).toMatchObject({
    status: 1,
    err: expect.stringContaining('there is no such message'),
  });
});

it('allows a sender where something proves who it is, lists and forgets it', async () => {
  await hold(EML, owner);
  expect(await run('allow', await idOf())).toMatchObject({
    status: 1,
    err: expect.stringContaining('Nothing proves who sent it'),
  });
  await filter.quarantine.allowed.add({ owner, kind: 'from', address: 'a@example.org', by: 'test', at: 0 });
  expect((await run('allowed', '--owner', owner)).out).toBe(`${owner}  from:a@example.org  by test\n`);
  expect(await run('allowed', '--owner', owner, '--remove', 'from:a@example.org')).toMatchObject({
    status: 0,
    out: `${owner} no longer allows from:a@example.org\n`,
  });
  expect((await run('allowed', '--owner', owner, '--remove', 'from:a@example.org')).status).toBe(1);
  expect((await run('allowed', '--owner', owner)).out).toBe('Nobody is allowed.\n');
  expect((await run('allowed', '--owner', owner, '--json')).out).toBe('[]\n');
});

it('knows an owner however the domain is written', async () => {
  const written = owner.replace('example.com', 'B\u00fccher.example');
  await hold(EML, written);
  const one = owner.replace('example.com', 'xn--bcher-kva.example');
  for (const text of [written, one, '@b\u00fccher.example'])
    expect((await run('list', '--owner', text)).out, text).toContain(`  ${one}  `);
  await filter.quarantine.allowed.add({
    owner: one,
    kind: 'from',
    address: 'a@example.org',
    by: 'test',
    at: 0,
  });
  expect((await run('allowed', '--owner', written, '--remove', 'from:A@example.org')).out).toBe(
    `${one} no longer allows from:A@example.org\n`,
  );
});

it('writes a message into a file that is new', async () => {
  await hold(EML, owner);
  const file = join(directory.path, `${owner}.eml`);
  expect((await run('release', await idOf(), '--to', file)).status).toBe(0);
  expect(await readFile(file, 'latin1')).toBe(EML);
  await hold(EML.replace('hello', 'again'), owner);
  const again = await run('release', await idOf(), '--to', file);
  expect(again).toMatchObject({ status: 1, err: expect.stringContaining('EEXIST') });
  expect((await run('release', await idOf(), '--to', '-')).out).toBe(EML.replace('hello', 'again'));
});

it('deletes', async () => {
  await hold(EML.replace('hello', owner), owner);
  const id = await idOf();
  expect(await run('delete', id)).toMatchObject({ status: 0, out: `deleted ${id} of ${owner}\n` });
  expect((await run('list', '--owner', owner)).out).toBe('Nothing is held.\n');
  expect(await run('show', id, '--raw')).toMatchObject({
    status: 1,
    err: expect.stringContaining('is deleted'),
  });
});

it('checks, and tells by its status that a message is lost', async () => {
  expect(await run('check')).toMatchObject({
    status: 0,
    out: expect.stringMatching(/^\d+ held, in \d+ files/),
  });
  await hold(EML.replace('hello', owner), owner);
  const [item] = JSON.parse((await run('list', '--owner', owner, '--json')).out) as {
    sha256: string;
    id: string;
  }[];
  const file = join(directory.path, 'data/quarantine', `${item?.sha256}.eml.gz`);
  await writeFile(file, 'damaged');
  const { status, out } = await run('check');
  expect(status).toBe(1);
  expect(out).toContain(`lost: ${item?.id} for ${owner}`);
  await run('delete', item?.id ?? '');
  expect((await readdir(join(directory.path, 'data/quarantine'))).includes(`${item?.sha256}.eml.gz`)).toBe(
    false,
  );
});

it.each([
  [[], 2, 'say what to do'],
  [['lst'], 2, 'did you mean "list"'],
  [['show'], 2, 'needs an ID'],
  [['show', 'a', 'b'], 2, 'takes one ID'],
  [['list', 'a'], 2, 'takes no ID'],
  [['show', 'ffffffffffffffffffff'], 1, 'there is no message "ffffffffffffffffffff"'],
  [['show', '../x'], 1, 'there is no message "../x"'],
  [['delete'], 2, 'needs an ID, --search or --owner'],
  [['delete', 'abc', '--search', 'x'], 2, 'give IDs, or --search and --owner, and not both'],
  [['train', 'abc'], 2, 'train needs spam or ham'],
  [['show', 'abc', '--all'], 2, '--all does not go with show'],
  [['release', 'abc', '--ham', '--spam'], 2, '--ham and --spam exclude each other'],
  [['allowed', '--remove', 'x@y.test'], 2, '--remove takes from:ADDRESS'],
  [['list', '--limit', 'x'], 2, '--limit needs a whole number'],
])('refuses %j', async (args, status, message) => {
  const { status: got, err } = await run(...args);
  expect(err).toContain(message);
  expect(got).toBe(status);
});

it('needs a store that others can look into, and a way for mail to leave', async () => {
  const text = await readFile(config, 'utf8');
  const other = join(directory.path, 'other.toml');
  await writeFile(other, text.replace('[outgoing]', '[store]\nurl = "memory:"\n[outgoing]'));
  expect((await milter(['quarantine', 'list', '--config', other])).err).toContain('store.url is "memory:"');
  await writeFile(other, text.replace(/sendmail = .*\n/, ''));
  expect((await milter(['quarantine', 'release', 'abc', '--config', other])).err).toContain(
    '[outgoing] says neither',
  );
});
