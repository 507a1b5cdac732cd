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
case "$6" in *unknown*) echo "no such user" >&2; exit 67;; esac
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

async function idOf(who = owner): Promise<string> {
  const { out } = await milter(['quarantine', 'list', '--owner', who, '--json', '--config', config]);
  return (JSON.parse(out) as { id: string }[])[0]?.id ?? '';
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
