/** What module attachments finds, and what follows from it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { openFilter } from '../../../../lib/filter/index.ts';
import { parseMessage } from '../../../../lib/mime/index.ts';
import { fakeSession } from '../../../../lib/testing/index.ts';
import { attached, PROGRAM } from '../../../fixtures/filter/attached.ts';
import { makeTar, makeZip } from '../../../fixtures/mime/archives.ts';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { keepingLogger, type TestMail, testFilter } from '../../../helpers/filter.ts';

const attachments = (options = ''): string => `[[module]]\nuse = "attachments"\n${options}\n`;
const EXE = attached({ name: 'a.exe' });

async function sent(options: string, eml: string, mail: TestMail = {}, more = '') {
  await using filter = await testFilter(more + attachments(options));
  const { verdict, message, reply } = await filter.send({ eml, ...mail });
  const record = await filter.last();
  const lines = message.headers.map(({ name, raw }) => `${name}:${raw.toString('latin1')}`);
  const tree = parseMessage(
    Buffer.from(`${lines.join('\r\n')}\r\n\r\n${message.body.toString('latin1')}`, 'latin1'),
  );
  return {
    verdict,
    reply,
    found: record?.findings.map(({ name, action }) => `${name.replace('attachments-', '')} ${action}`) ?? [],
    note: record?.findings[0]?.note,
    /** What is delivered: the names of the parts, or their text. */
    parts: [...tree.parts()]
      .filter(({ isLeaf }) => isLeaf)
      .map((part) =>
        part.contentType === 'text/plain' && part.names[0] === undefined ? part.text().trim() : part.names[0],
      ),
    text: message.body.toString(),
  };
}

async function found(
  options: string,
  eml: string,
  mail: TestMail = {},
  more = '',
): Promise<readonly string[]> {
  return (await sent(options, eml, mail, more)).found;
}

describe('names', () => {
  it.each([
    ['a.exe'],
    ['A.EXE '],
    ['a.txt.scr'],
    ['a.xlsm'],
    ['a.iso'],
    ['a\u200b.exe'],
    ['=?utf-8?B?YS5leGU=?='],
  ])('%s is dangerous, and replaced by a warning', async (name) => {
    const { found, parts } = await sent('', attached({ name }, { name: 'b.pdf' }));
    expect(found[0]).toBe('extensions defang');
    expect(parts).toEqual(['hello', 'WARNING.TXT', 'b.pdf']);
  });

  it('are those of 2005', async () => {
    expect(await found('extensions = "seed"', EXE)).toEqual(['extensions defang']);
    expect(await found('extensions = "seed"', attached({ name: 'a.xlsm' }))).toEqual([]);
  });

  it('are those of a list', async () => {
    const list = 'extensions = [".PDF", "doc"]';
    expect(await found(list, attached({ name: 'a.pdf' }))).toEqual(['extensions defang']);
    expect(await found(list, EXE)).toEqual([]);
  });

  it('are those of a file inside a text, too', async () => {
    const eml = 'From: a@example.org\n\nhello\nbegin 644 a.exe\n#86)C\n`\nend\nbye\n';
    const { found, text } = await sent('', eml);
    expect(found).toEqual(['extensions defang']);
    expect(text).toContain('"a.exe"');
    expect(text).not.toContain('begin 644');
  });
});

describe('what follows from it', () => {
  it('is that the part is removed', async () => {
    const { found, parts } = await sent(
      'extension_action = "remove"',
      attached({ name: 'a.exe' }, { name: 'b' }),
    );
    expect(found).toEqual(['extensions remove']);
    expect(parts).toEqual(['hello', 'b']);
  });

  it('is that the part is renamed and retyped, once', async () => {
    const eml = attached({ name: 'a.exe', content: PROGRAM, type: 'application/x-msdownload' });
    const { found, parts, text } = await sent('extension_action = "rename"\nprograms = "rename"', eml);
    expect(found).toEqual(['extensions rename', 'programs rename']);
    expect(parts).toEqual(['hello', 'a.exe.defang']);
    expect(text).not.toContain('msdownload');
  });

  it('is not done again to what was renamed on the way here', async () => {
    const eml = attached({ name: 'a.exe.defang', content: PROGRAM });
    expect((await sent('programs = "rename"', eml)).parts).toEqual(['hello', 'a.exe.defang']);
    expect((await sent('', eml)).parts).toEqual(['hello', 'WARNING.TXT']);
  });

  it('is the gravest of several', async () => {
    const eml = attached({ name: 'a.exe', content: PROGRAM }, { name: 'b.vbs' });
    const { parts } = await sent('extension_action = "rename"\nprograms = "remove"', eml);
    expect(parts).toEqual(['hello', 'b.vbs.defang']);
  });

  it('is an action', async () => {
    const { verdict, reply, parts } = await sent('extension_action = "reject"', EXE);
    expect(verdict).toBe('reject');
    expect(reply).toMatchObject({ code: 550, enhanced: '5.7.1' });
    expect(reply?.lines[0]).toMatch(
      /^We do not take the attachment "a.exe": files ending in .exe are not let through \[ref/,
    );
    expect(parts).toContain('a.exe');
    expect(await found('extension_action = "score 3"', EXE)).toEqual(['extensions score 3']);
    expect((await sent('extension_action = "continue"', EXE)).parts).toContain('a.exe');
  });

  it('is also done to outgoing mail', async () => {
    const { parts } = await sent('', EXE, { address: '127.0.0.1' }, '[[module]]\nuse = "networks"\n');
    expect(parts).toContain('WARNING.TXT');
  });

  it('is done although another finding says accept', async () => {
    const accept = '[[module]]\nuse = "./probe.ts"\nmessage = "accept"\n';
    expect((await sent('extension_action = "reject"', EXE, {}, accept)).verdict).toBe('reject');
  });

  it('is nothing where access says so, or all recipients are exempt', async () => {
    await using directory = await temporaryDirectory();
    const map = join(directory.path, 'access');
    writeFileSync(map, 'attachments-extensions:example.org\tOK\n');
    const access = `[[module]]\nuse = "access"\nmap = "file:${map}"\n`;
    expect((await sent('', EXE, {}, access)).parts).toContain('a.exe');
    const recipients = '[[module]]\nuse = "recipients"\nunfiltered = ["postmaster@"]\n';
    const abuse = { recipients: ['postmaster@example.com'] };
    expect((await sent('', EXE, abuse, recipients)).parts).toContain('a.exe');
    const both = { recipients: ['postmaster@example.com', 'b@example.com'] };
    expect((await sent('', EXE, both, recipients)).parts).toContain('WARNING.TXT');
  });

  it('is nothing in observe mode', async () => {
    const { found, parts } = await sent('mode = "observe"', EXE);
    expect(found).toEqual(['extensions defang']);
    expect(parts).toContain('a.exe');
  });

  it('is one finding and one warning a part, however many reasons there are', async () => {
    const names = Array.from({ length: 8 }, (_, i) => ({ name: `${i}.exe` }));
    const { found, note, parts } = await sent('', attached(...names));
    expect(found).toEqual(['extensions defang']);
    expect(note).toMatch(/^0\.exe: files ending in \.exe.*; 3 more$/);
    expect(parts.filter((name) => name === 'WARNING.TXT')).toHaveLength(8);
  });

  it('is done in signed mail too', async () => {
    const eml = attached({ name: 'a.exe' }).replace('multipart/mixed', 'multipart/signed');
    expect((await sent('', eml)).parts).toContain('WARNING.TXT');
  });

  it('is done to a message that is nothing else', async () => {
    const eml =
      'From: a@example.org\nMIME-Version: 1.0\nContent-Type: application/octet-stream; name=a.exe\n\nx\n';
    const { text } = await sent('extension_action = "remove"', eml);
    expect(text).toMatch(/^WARNING: an attachment of this message was removed: "a.exe"/);
  });
});

describe('programs', () => {
  it('are known by their bytes, whatever the name', async () => {
    const eml = attached({ name: 'a.pdf', content: PROGRAM });
    const { found, parts } = await sent('', eml);
    expect(found).toEqual(['programs defang']);
    expect(parts).toEqual(['hello', 'WARNING.TXT']);
    expect((await sent('programs = "score 4"', eml)).found).toEqual(['programs score 4']);
  });
});

describe('types', () => {
  const eml = attached({ name: 'a', type: 'video/mpeg' });

  it('are dangerous where they are listed', async () => {
    expect(await found('', eml)).toEqual([]);
    expect(await found('types = ["video/*"]', eml)).toEqual(['types defang']);
    expect(await found('types = ["VIDEO/mpeg"]\ntype_action = "tempfail"', eml)).toEqual(['types tempfail']);
  });
});

describe('archives', () => {
  const zip = (name: string, content: Uint8Array | string = 'x', more = {}) =>
    attached({ name: 'a.zip', content: makeZip([{ name, content, ...more }]) });

  it.each([
    ['a name', zip('b.exe'), 'extensions defang'],
    ['a program', zip('b.pdf', PROGRAM), 'programs defang'],
    ['a name in a nested one', zip('b.zip', makeZip([{ name: 'c.scr', content: 'x' }])), 'extensions defang'],
    [
      'a name in tar and gz',
      attached({ name: 'a.tgz', content: gzipSync(makeTar([{ name: 'b.js', content: 'x' }])) }),
      'extensions defang',
    ],
    ['a lack of the password', zip('b.txt', 'x', { encrypted: true }), 'encrypted-archive score 2'],
    ['another format', attached({ name: 'a.rar' }), 'unread-archive continue'],
    ['damage', attached({ name: 'a.zip', content: 'PK\x03\x04xx' }), 'broken-archive defang'],
  ])('show %s', async (_, eml, finding) => {
    expect(await found('', eml)).toContain(finding);
    const { parts } = await sent('', eml);
    expect(parts.includes('WARNING.TXT')).toBe(finding.endsWith('defang'));
  });

  it('are bombs', async () => {
    const flat = gzipSync(Buffer.alloc(150_000_000));
    expect(await found('', attached({ name: 'a.gz', content: flat }))).toEqual(['broken-archive defang']);
    let deep = makeZip([{ name: 'x', content: 'x' }]);
    for (let i = 0; i < 8; i++) deep = makeZip([{ name: 'x.zip', content: deep }]);
    expect(await found('', attached({ name: 'a.zip', content: deep }))).toEqual(['broken-archive defang']);
  });

  it.each([
    ['encrypted', zip('b.txt', 'x', { encrypted: true })],
    ['unread', attached({ name: 'a.7z' })],
    ['broken', attached({ name: 'a.zip', content: 'PK\x03\x04xx' })],
  ])('that are %s have what the configuration says', async (kind, eml) => {
    expect(await found(`${kind}_archive = "tag"`, eml)).toEqual([`${kind}-archive tag`]);
  });

  it('are not looked into', async () => {
    expect(await found('archives = false', zip('b.exe'))).toEqual([]);
  });
});

describe('messages inside the message', () => {
  const eml = attached({ name: 'a', type: 'message/rfc822', content: EXE }).replace(
    /Content-Transfer-Encoding: base64\n\n([A-Za-z\d+/=\n]+)\n--b--/,
    (_, text: string) =>
      `\n${Buffer.from(text, 'base64').toString().replaceAll('--b', '--c').replace('=b', '=c')}\n--b--`,
  );

  it('are looked into', async () => {
    const { found, text } = await sent('', eml);
    expect(found).toEqual(['extensions defang']);
    expect(text).toContain('message/rfc822');
    expect(text).toContain('WARNING.TXT');
  });

  it('are not looked into', async () => {
    expect(await found('attached_messages = false', eml)).toEqual([]);
  });
});

describe('senders', () => {
  it('are rejected in place of being helped', async () => {
    const options = 'senders_rejected = ["example.org"]\nencrypted_archive = "rename"';
    expect((await sent(options, EXE)).verdict).toBe('reject');
    expect(await found(options, EXE, { sender: 'a@example.net' })).toEqual(['extensions defang']);
    const zip = attached({ name: 'a.zip', content: makeZip([{ name: 'x', content: 'x', encrypted: true }]) });
    expect(await found(options, zip)).toEqual(['encrypted-archive reject']);
  });
});

describe('max_parts', () => {
  it('bounds the parts of a message', async () => {
    expect(await found('max_parts = 3', attached({ name: 'a' }))).toEqual([]);
    const { verdict, reply, found: parts } = await sent('max_parts = 2', attached({ name: 'a' }));
    expect(verdict).toBe('reject');
    expect(parts).toEqual(['max-parts reject']);
    expect(reply?.lines[0]).toContain('it has more than 2 parts');
  });

  it('goes for what the parser does not follow', async () => {
    let eml = 'Content-Type: text/plain\n\nx';
    for (let i = 0; i < 1_100; i++)
      eml = `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n${eml}\n--b${i}--`;
    expect(await found('max_parts = 50000', `From: a@example.org\n${eml}\n`)).toEqual(['max-parts reject']);
  });
});

it('says that a message is too big to be looked at', async () => {
  const filter = await openFilter(
    `socket = "inet:8894@127.0.0.1"\n[store]\nurl = "memory:"\n${attachments()}`,
    {
      logger: keepingLogger(),
    },
  );
  const mta = fakeSession(filter.Filter, { maxBody: 10 });
  const { verdict } = await mta.sendMessage(EXE, { sender: 'a@example.org', recipients: ['b@example.com'] });
  expect(verdict).toBe('continue');
  expect((await filter.history.find({}))[0]?.findings).toMatchObject([{ name: 'attachments-too-big' }]);
  await mta.close();
  await filter.close();
});

it.each([
  ['extensions = "new"', 'extensions: must be "modern", "seed", or a list of extensions'],
  ['extensions = ["tar.gz"]', 'extensions[0]: "tar.gz" is no extension'],
  ['extensions = 5', 'extensions: must be "modern", "seed", or a list of extensions'],
  ['extension_action = "drop"', 'extension_action: must be an action'],
  ['warning = "%{nam}"', 'did you mean "%{name}"?'],
  ['max_parts = 0', 'max_parts: '],
  ['save_max = "1 GB"', 'save_max: must be a size'],
  ['rules = [{ extensions = ["exe"] }]', 'rules[0].action: is missing'],
  ['rules = [{ extension = ["exe"], action = "continue" }]', 'did you mean "extensions"?'],
])('refuses %s', async (options, message) => {
  await expect(testFilter(attachments(options))).rejects.toThrow(message);
});
