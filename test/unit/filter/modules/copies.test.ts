import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FilterConfigError } from '../../../../lib/filter/index.ts';
import { fromLine } from '../../../../lib/filter/mail/local-form.ts';
import { safeName } from '../../../../lib/filter/modules/copies/safe-name.ts';
import { type TestFilter, type TestMail, testFilter } from '../../../helpers/filter.ts';

const NETWORKS =
  '[[module]]\nuse = "networks"\ndomains = ["example.com"]\ninternal_as_other = "continue"\nexternal_as_ours = "continue"\n';
const copies = (...lines: string[]): string =>
  `${NETWORKS}[[module]]\nuse = "copies"\ncopy = [\n${lines.map((line) => `  ${line},\n`).join('')}]\n`;
const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;

/** From a user of ours to the world. */
const OUT: TestMail = {
  address: '127.0.0.1',
  sender: 'Boss@example.com',
  recipients: ['x@example.net'],
};
const LOCAL: TestMail = { ...OUT, recipients: ['b@example.com'] };
const IN: TestMail = { recipients: ['b@example.com', 'c@example.com'] };

async function recipients(config: string, mail: TestMail): Promise<readonly string[]> {
  await using filter = await testFilter(config);
  return (await filter.send(mail)).message.recipients;
}

/** Paths of all files below the folder of stored things, and what is in them. */
async function stored({ data }: TestFilter): Promise<Readonly<Record<string, string>>> {
  const names = await readdir(data, { recursive: true }).catch(() => []);
  const files: Record<string, string> = {};
  for (const name of names.sort()) {
    if ((await stat(join(data, name))).isFile()) files[name] = await readFile(join(data, name), 'latin1');
  }
  return files;
}

function textOf({ data }: TestFilter, name: string): Promise<string> {
  return readFile(join(data, name), 'latin1');
}

async function faults(config: string): Promise<readonly string[]> {
  try {
    await (await testFilter(config)).close();
    return [];
  } catch (error) {
    if (!(error instanceof FilterConfigError)) throw error;
    return error.faults.map(({ key, message }) => `${key}: ${message}`);
  }
}

describe('bcc', () => {
  it('gets the copy of what goes out, under the sender’s name', async () => {
    const config = copies('{ of = "outgoing", bcc = "copy-%{user}@archive.%{domain}" }');
    expect(await recipients(config, OUT)).toEqual(['<x@example.net>', '<copy-Boss@archive.example.com>']);
    expect(await recipients(config, LOCAL)).toEqual(['<b@example.com>']);
    expect(await recipients(config, IN)).toEqual(['<b@example.com>', '<c@example.com>']);
  });

  it('and an archive know a domain however it is written', async () => {
    const config = copies(
      '{ of = "incoming", bcc = "all@archive.%{domain}" }',
      '{ of = "incoming", maildir = "m/%{domain}/%{user}" }',
    ).replace('"example.com"', '"b\u00fccher.example"');
    await using filter = await testFilter(config);
    const owners = ['bob@b\u00fccher.example', 'Bob@xn--bcher-kva.example'];
    const { message } = await filter.send({ recipients: owners });
    expect(message.recipients.slice(2)).toEqual(['<all@archive.xn--bcher-kva.example>']);
    expect(Object.keys(await stored(filter))).toEqual([
      expect.stringMatching(/^m\/xn--bcher-kva\.example\/bob\/new\//),
    ]);
  });

  it('gets one for each recipient of ours of what comes in', async () => {
    const config = copies('{ of = "incoming", bcc = "%{user}@archive.example" }');
    expect(await recipients(config, { recipients: ['b@example.com', 'x@example.net'] })).toEqual([
      '<b@example.com>',
      '<x@example.net>',
      '<b@archive.example>',
    ]);
    expect(await recipients(config, OUT)).toEqual(['<x@example.net>']);
  });

  it('gets what is local, and all', async () => {
    expect(await recipients(copies('{ of = "local", bcc = "a@archive.example" }'), LOCAL)).toContain(
      '<a@archive.example>',
    );
    for (const mail of [OUT, LOCAL, IN]) {
      expect(await recipients(copies('{ of = "all", bcc = "a@archive.example" }'), mail)).toContain(
        '<a@archive.example>',
      );
    }
  });

  it('is chosen by the sender', async () => {
    const config = copies('{ of = "all", from = [".example.org"], bcc = "a@archive.example" }');
    expect(await recipients(config, { ...IN, sender: 'x@mail.example.org' })).toContain(
      '<a@archive.example>',
    );
    expect(await recipients(config, { ...IN, sender: 'x@example.net' })).not.toContain('<a@archive.example>');
  });

  it('is chosen by the recipients', async () => {
    const config = copies('{ of = "incoming", for = ["c@example.com"], bcc = "%{user}@archive.example" }');
    expect((await recipients(config, IN)).slice(2)).toEqual(['<c@archive.example>']);
    expect(await recipients(config, { recipients: ['b@example.com'] })).toEqual(['<b@example.com>']);
    const out = copies('{ of = "outgoing", for = ["example.net"], bcc = "%{user}@archive.example" }');
    expect((await recipients(out, OUT)).slice(1)).toEqual(['<Boss@archive.example>']);
    expect(await recipients(out, { ...OUT, recipients: ['x@example.org'] })).toEqual(['<x@example.org>']);
  });

  it('is not added to those who get the message anyway, nor twice', async () => {
    const config = copies('{ of = "all", bcc = "b@example.com" }', '{ of = "all", bcc = "b@EXAMPLE.com" }');
    expect(await recipients(config, IN)).toEqual(['<b@example.com>', '<c@example.com>']);
    expect(await recipients(config, OUT)).toEqual(['<x@example.net>', '<b@example.com>']);
  });

  it('is written as an address whatever the sender is called', async () => {
    const config = copies('{ of = "outgoing", bcc = "copy-%{user}@archive.example" }');
    const to = async (sender: string) => (await recipients(config, { ...OUT, sender })).slice(1);
    expect(await to('"a b"@example.com')).toEqual(['<"copy-a b"@archive.example>']);
    expect(await to('"a>b"@example.com')).toEqual(['<"copy-a>b"@archive.example>']);
    expect(await to('<>')).toEqual(['<copy-mailer-daemon@archive.example>']);
  });

  it('that cannot be written follows on_error', async () => {
    await using filter = await testFilter(copies('{ of = "outgoing", bcc = "copy@archive.%{domain}" }'));
    expect((await filter.send({ ...OUT, sender: 'a@[192.0.2.1]' })).verdict).toBe('tempfail');
  });

  it('is not for those who do not get the message', async () => {
    const config =
      probe('recipient = "quarantine"\nrecipients = ["c@example.com"]') +
      copies('{ of = "incoming", bcc = "%{user}@archive.example" }');
    expect(await recipients(config, IN)).toEqual(['<b@example.com>', '<b@archive.example>']);
  });
});

describe('cc', () => {
  const config = copies('{ of = "incoming", for = ["b@example.com"], cc = "assistant@example.com" }');
  const cc = async (head: string): Promise<readonly string[]> => {
    await using filter = await testFilter(config);
    const { message } = await filter.send({ ...IN, eml: `${head}Subject: x\n\nhello\n` });
    expect(message.recipients).toContain('<assistant@example.com>');
    return message.headers.filter(({ name }) => /^cc$/i.test(name)).map(({ value }) => value);
  };

  it('is seen', async () => {
    expect(await cc('')).toEqual(['assistant@example.com']);
    expect(await cc('Cc: d@example.com\n')).toEqual(['d@example.com,\n\tassistant@example.com']);
    expect(await cc('CC: d@example.com,\n e@example.com\n')).toEqual([
      'd@example.com,\n e@example.com,\n\tassistant@example.com',
    ]);
  });

  it('is not written where it can be seen already', async () => {
    expect(await cc('Cc: Ann <assistant@EXAMPLE.com>\n')).toEqual(['Ann <assistant@EXAMPLE.com>']);
    expect(await cc('To: assistant@example.com\n')).toEqual([]);
  });

  it('cannot be hidden by what is there', async () => {
    expect(await cc('Cc: "open <d@example.com>\n')).toEqual([
      '"open <d@example.com>',
      'assistant@example.com',
    ]);
    expect(await cc('Cc: d@example.com\nCc: e@example.com\n')).toEqual([
      'd@example.com',
      'e@example.com',
      'assistant@example.com',
    ]);
  });

  it('is in the files too', async () => {
    await using filter = await testFilter(
      copies('{ of = "all", mbox = "all" }', '{ of = "all", cc = "assistant@example.com" }'),
    );
    await filter.send(IN);
    expect(await textOf(filter, 'all')).toContain('\nCc: assistant@example.com\n');
  });
});

describe('a maildir', () => {
  it('gets what will be delivered, all changes of all modules in it', async () => {
    const config = `${probe('message = "tag"\nsender = "score 7"\nmark = "[SPAM?] "\nadd = "yes"')}[[module]]\nuse = "score"\n${copies('{ of = "all", maildir = "archive/%{direction}/%{domain}/%{user}" }')}`;
    await using filter = await testFilter(config);
    const { message } = await filter.send({ recipients: ['b@example.com'] });
    const files = Object.entries(await stored(filter));
    expect(files).toHaveLength(1);
    const [path = '', text = ''] = files[0] ?? [];
    expect(path).toMatch(/^archive\/incoming\/example\.com\/b\/new\/[\da-f]{40}\.milter$/);
    expect(text).toBe(message.toBytes().toString('latin1').replaceAll('\r\n', '\n'));
    for (const part of [
      'X-Milter-Findings: probe-message',
      'X-Spam-Score: 7.0',
      'Subject: [SPAM?] x',
      'X-Probe: yes',
    ]) {
      expect(text).toContain(part);
    }
  });

  it('is one for each recipient, or for the sender', async () => {
    const config = copies('{ of = "all", maildir = "%{direction}/%{user}" }');
    const folders = async (mail: TestMail): Promise<readonly string[]> => {
      await using filter = await testFilter(config);
      await filter.send(mail);
      return Object.keys(await stored(filter)).map((path) => path.replace(/\/new\/.*/, ''));
    };
    expect(await folders(IN)).toEqual(['incoming/b', 'incoming/c']);
    expect(await folders({ ...OUT, recipients: ['x@example.net', 'y@example.net'] })).toEqual([
      'outgoing/boss',
    ]);
    expect(await folders({ ...LOCAL, sender: '<>' })).toEqual(['local/mailer-daemon']);
  });

  it('holds a message once that was sent again, and two that differ', async () => {
    await using filter = await testFilter(copies('{ of = "all", maildir = "all" }'));
    await filter.send(IN);
    await filter.send(IN);
    expect(Object.keys(await stored(filter))).toHaveLength(1);
    await filter.send({ ...IN, eml: 'Subject: x\n\nother\n' });
    expect(Object.keys(await stored(filter))).toHaveLength(2);
  });

  it('never leaves its folder', async () => {
    await using filter = await testFilter(copies('{ of = "all", maildir = "archive/%{domain}/%{user}" }'));
    const users = [
      '../../../x',
      '..',
      '.',
      '/etc/passwd',
      'a/b',
      'new',
      'tmp',
      'x.lock',
      '\u0000',
      'a\\b',
      '%2e%2e',
      'ü',
      'x'.repeat(400),
    ];
    for (const user of users)
      await filter.send({
        ...OUT,
        sender: `"${user.replaceAll('\\', '\\\\').replaceAll('\u0000', '')}"@example.com`,
      });
    const paths = Object.keys(await stored(filter));
    expect(paths).toHaveLength(new Set(users).size);
    for (const path of paths)
      expect(path).toMatch(/^archive\/example\.com\/[^/.][^/]*\/new\/[\da-f]+\.milter$/);
  });

  it('never leaves it by a symbolic link either', async () => {
    await using filter = await testFilter(copies('{ of = "all", maildir = "archive/%{user}" }'));
    await mkdir(join(filter.data, 'archive'), { recursive: true });
    await mkdir(join(filter.data, 'elsewhere'));
    await symlink('../elsewhere', join(filter.data, 'archive/boss'));
    expect((await filter.send(OUT)).verdict).toBe('tempfail');
    expect(await stored(filter)).toEqual({});
  });

  it('has the rights that are asked for', async () => {
    const owner = process.getuid?.() === 0 ? '54000:54001' : `${process.getuid?.()}:${process.getgid?.()}`;
    await using filter = await testFilter(
      copies(`{ of = "all", maildir = "a/m", mode = "0640", owner = "${owner}" }`),
    );
    await filter.send(IN);
    const [file = ''] = Object.keys(await stored(filter));
    const of = async (path: string) => {
      const { mode, uid, gid } = await stat(join(filter.data, path));
      return { mode: mode & 0o777, owner: `${uid}:${gid}` };
    };
    expect(await of(file)).toEqual({ mode: 0o640, owner });
    for (const folder of ['a/m', 'a/m/new', 'a/m/tmp', 'a/m/cur'])
      expect(await of(folder)).toEqual({ mode: 0o750, owner });
  });

  it('is private where nothing else is said', async () => {
    await using filter = await testFilter(
      copies('{ of = "all", maildir = "m" }', '{ of = "all", mbox = "box" }'),
    );
    await filter.send(IN);
    for (const path of Object.keys(await stored(filter))) {
      expect((await stat(join(filter.data, path))).mode & 0o777).toBe(0o600);
    }
  });
});

describe('an mbox', () => {
  const eml = 'Subject: x\n\nFrom here on\n>From there\nfrom nowhere\n';

  it('gets entry after entry, its From lines quoted', async () => {
    await using filter = await testFilter(copies('{ of = "all", mbox = "archive/%{user}.mbox" }'), {
      now: () => Date.UTC(2026, 10, 6, 7, 8, 9),
    });
    await filter.send({ ...OUT, eml });
    await filter.send({ ...OUT, eml: 'Subject: y\n\nno end of line' });
    expect(await stored(filter)).toEqual({
      'archive/boss.mbox':
        'From Boss@example.com Fri Nov  6 07:08:09 2026\nSubject: x\n\n>From here on\n>>From there\nfrom nowhere\n\n' +
        'From Boss@example.com Fri Nov  6 07:08:09 2026\nSubject: y\n\nno end of line\n\n',
    });
  });

  it('quotes in large messages too, wherever they are cut', async () => {
    await using filter = await testFilter(copies('{ of = "all", mbox = "box" }'));
    const lines = Array.from({ length: 40_000 }, (_, i) =>
      i % 3 === 0 ? `From ${i}` : `${'x'.repeat(i % 50)}From ${i}`,
    );
    const long = `${'y'.repeat(700_000)}From the middle`;
    await filter.send({ eml: `Subject: x\n\n${lines.join('\n')}\n${long}\n` });
    const [, body = ''] = (await textOf(filter, 'box')).split(/\n\n(.*)/s);
    expect(body).toBe(`${lines.map((line) => line.replace(/^From /, '>From ')).join('\n')}\n${long}\n\n`);
  });

  it('gets all of many at once', async () => {
    await using filter = await testFilter(copies('{ of = "all", mbox = "box" }'));
    await Promise.all(Array.from({ length: 20 }, (_, i) => filter.send({ eml: `Subject: ${i}\n\nhello\n` })));
    const text = await textOf(filter, 'box');
    expect(text.match(/^From .*\nSubject: \d+\n\nhello\n\n/gm)).toHaveLength(20);
    expect(Object.keys(await stored(filter))).toEqual(['box']);
  });

  it('loses what was cut off, and nothing that others wrote', async () => {
    await using filter = await testFilter(copies('{ of = "all", mbox = "box" }'));
    await mkdir(filter.data);
    const before = 'From x Thu Jan  1 00:00:00 1970\nSubject: before\n\n\n';
    const entry = 'From y Thu Jan  1 00:00:00 1970\nSubject: cut\n\nof the whole only this\n\n';
    const undo = `${String(before.length).padStart(16, '0')}\n${entry}`;
    await writeFile(join(filter.data, 'box'), before + entry.slice(0, 50));
    await writeFile(join(filter.data, 'box.undo'), undo);
    await filter.send();
    const { box = '', ...others } = await stored(filter);
    expect(box.startsWith(`${before}From a@example.org`)).toBe(true);
    expect(others).toEqual({});
    // Somebody else appended behind the cut.
    const other = `${before}${entry.slice(0, 50)}From z Thu Jan  1 00:00:00 1970\n\n`;
    await writeFile(join(filter.data, 'box'), other);
    await writeFile(join(filter.data, 'box.undo'), undo);
    await filter.send();
    expect((await textOf(filter, 'box')).startsWith(`${other}From a@example.org`)).toBe(true);
  });

  it('breaks the lock of a process that is gone, and respects that of one that is there', async () => {
    await using filter = await testFilter(copies('{ of = "all", mbox = "box" }'));
    await mkdir(filter.data);
    const lock = join(filter.data, 'box.lock');
    await writeFile(lock, JSON.stringify({ pid: process.pid, started: '1', host: hostname() }));
    expect((await filter.send()).verdict).toBe('continue');
    // Another program's, just made.
    await writeFile(lock, '0');
    const sending = filter.send({ eml: 'Subject: y\n\nlater\n' });
    await expect.poll(async () => (await readdir(filter.data)).includes('box.lock')).toBe(true);
    expect(await textOf(filter, 'box')).not.toContain('later');
    await rm(lock);
    expect((await sending).verdict).toBe('continue');
    expect(await textOf(filter, 'box')).toContain('later');
  });

  it('is not written through a symbolic link', async () => {
    await using filter = await testFilter(copies('{ of = "all", mbox = "box" }'));
    await mkdir(filter.data);
    await writeFile(join(filter.data, 'other'), 'precious');
    await symlink('other', join(filter.data, 'box'));
    expect((await filter.send()).verdict).toBe('tempfail');
    expect(await readFile(join(filter.data, 'other'), 'utf8')).toBe('precious');
  });

  it('has a first line that no sender can break', () => {
    expect(fromLine('<"a b\n"@example.org>', 0)).toBe('From "a?b?"@example.org Thu Jan  1 00:00:00 1970');
    expect(fromLine('<>', 0)).toBe('From MAILER-DAEMON Thu Jan  1 00:00:00 1970');
  });
});

describe('a copy that fails', () => {
  it('keeps the message from being delivered, or not, as on_error says', async () => {
    for (const [onError, verdict] of [
      ['', 'tempfail'],
      ['on_error = "continue"\n', 'continue'],
      ['on_error = "reject"\n', 'reject'],
    ]) {
      await using filter = await testFilter(
        copies('{ of = "all", maildir = "archive" }').replace(
          'use = "copies"\n',
          `use = "copies"\n${onError}`,
        ),
      );
      await mkdir(filter.data);
      await writeFile(join(filter.data, 'archive'), 'a file');
      expect((await filter.send()).verdict).toBe(verdict);
    }
  });

  it('does nothing in observe mode', async () => {
    const config = copies('{ of = "all", maildir = "m", bcc = "a@archive.example" }').replace(
      'use = "copies"\n',
      'use = "copies"\nmode = "observe"\n',
    );
    await using filter = await testFilter(config);
    expect((await filter.send()).message.recipients).toEqual(['<b@example.com>']);
    expect(await stored(filter)).toEqual({});
  });
});

describe('what cannot be', () => {
  it.each([
    ['{ of = "all" }', 'says not where'],
    ['{ of = "everything", bcc = "a@b.example" }', 'must be "outgoing"'],
    ['{ bcc = "a@b.example" }', 'must be "outgoing"'],
    ['{ of = "all", bcc = "nobody" }', 'must be an address'],
    ['{ of = "all", bcc = "a b@c.example" }', 'must be an address'],
    ['{ of = "all", bcc = "%{usr}@c.example" }', 'did you mean "%{user}"'],
    ['{ of = "all", mbox = "%{helo}" }', 'not known of a copy'],
    ['{ of = "all", maildir = "" }', 'must be a path'],
    ['{ of = "all", maildir = "m", mode = "rw" }', 'permission bits'],
    ['{ of = "all", maildir = "m", owner = "a b" }', '"user"'],
    ['{ of = "all", maildir = "m", colour = "red" }', 'colour'],
  ])('%s is refused', async (line, message) => {
    expect((await faults(copies(line))).join('\n')).toContain(message);
  });

  it('a user who does not exist is refused', async () => {
    await expect(testFilter(copies('{ of = "all", mbox = "m", owner = "no-such-user" }'))).rejects.toThrow(
      'there is no user "no-such-user"',
    );
  });
});

it('a name of a file tells two texts apart', () => {
  const texts = [
    'a',
    'a%',
    '%61',
    '.a',
    '%2Ea',
    '',
    '_',
    '..',
    'new',
    'x.lock',
    'a/b',
    'a b',
    'ä',
    'x'.repeat(300),
    'x'.repeat(301),
  ];
  const names = texts.map(safeName);
  expect(new Set(names).size).toBe(texts.length - 1);
  for (const name of names) expect(name).toMatch(/^[\w@+\-=%][\w@+\-=%.]{0,130}$/);
});
