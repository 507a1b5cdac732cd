import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  bannedExtension,
  bannedExtensions,
  createPart,
  type DefangPolicy,
  defang,
  type MimeMessage,
  modernBannedExtensions,
  type PoisonousPart,
  parseMessage,
} from '../../../lib/mime/index.ts';
import { makeZip } from '../../fixtures/mime/archives.ts';

function fixture(name: string): MimeMessage {
  return parseMessage(readFileSync(join(import.meta.dirname, '../../fixtures/mime', `${name}.eml`)));
}

async function reasons(name: string, policy?: DefangPolicy): Promise<readonly unknown[]> {
  const { removed } = await defang(fixture(name), policy);
  return removed.map(({ reason }) => ('extension' in reason ? reason.name : reason.kind));
}

describe('a poisonous part', () => {
  it.each([
    ['a double extension', 'double-extension', 'LETTER-FOR-YOU.TXT.vbs'],
    ['an odd boundary', 'odd-boundary', 'pictures.pif'],
    ['an open delimiter at the end', 'open-end', 'readme.exe'],
    ['fields indented into Content-Type', 'tabbed-fields', 'song.exe'],
    ['nothing but itself in the message', 'single-program', 'FAX7.exe'],
    ['a message around it, whose boundary is declared wrong', 'inside-message', 'doc.pif'],
    ['brackets in its name and a part that is cut off behind it', 'cut-off', 'story[1].scr'],
    ['semicolons in its name', 'unquoted-semicolons', '123456[1].scr'],
    ['an encoded word for a name', 'encoded-name', 'a.exe'],
    ['a name in a charset of its own', 'charset-name', 'résumé.exe'],
    ['a zip file around it', 'zip-bad-name', 'setup.exe'],
    ['two zip files around it', 'zip-in-zip', 'a.scr'],
    ['no boundary declared', 'missing-boundary', 'x.exe'],
  ])('is found with %s', async (_, name, found) => {
    expect(await reasons(name)).toEqual([found]);
  });

  it('becomes a warning that names it', async () => {
    const message = fixture('double-extension');
    const before = message.toBytes().toString();
    const { modified } = await defang(message, { save: () => 'Q123' });
    expect(modified).toBe(true);
    const [text, warning] = parseMessage(message.toBytes()).root.children;
    expect(warning?.contentType).toBe('text/plain');
    expect(warning?.names).toEqual(['WARNING.TXT']);
    expect(warning?.text()).toMatch(/LETTER-FOR-YOU\.TXT\.vbs.*\n.*\.vbs are not let through\.\n.*Q123/);
    const untouched = before.slice(0, before.indexOf('--frontier\nContent-Type: application'));
    expect(message.toBytes().toString().startsWith(untouched)).toBe(true);
    expect(text?.changed).toBe(false);
  });

  it('is handed to the save hook as it was', async () => {
    const saved: PoisonousPart[] = [];
    const message = fixture('single-program');
    const bytes = message.toBytes();
    await defang(message, { save: (part) => void saved.push(part) });
    expect(saved).toHaveLength(1);
    expect(saved[0]).toMatchObject({ names: ['FAX7.exe'], contentType: 'application/octet-stream', bytes });
    expect(saved[0]?.content.toString('latin1', 0, 2)).toBe('MZ');
  });

  it('may be a whole message, which is then changed in header and body', async () => {
    const message = fixture('single-program');
    await defang(message);
    const { headers, body } = message.changes();
    expect(headers.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      'change Content-Type',
      'delete Content-Transfer-Encoding',
      'delete Content-Disposition',
    ]);
    expect(body?.toString()).toContain('FAX7.exe');
  });

  it('may be a part inside an encoded message', async () => {
    const inner = fixture('single-program').toBytes().toString('base64');
    const message = parseMessage(
      Buffer.from(`Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n${inner}\n`),
    );
    expect((await defang(message)).removed).toHaveLength(1);
    expect(parseMessage(message.toBytes()).root.children[0]?.text()).toContain('FAX7.exe');
  });

  it('is known by its first bytes, whatever it is called', async () => {
    const part = createPart({ contentType: 'image/gif', name: 'a.gif', content: Buffer.from('MZ\x90') });
    const { removed } = await defang(parseMessage(part.toBytes()));
    expect(removed[0]?.reason).toEqual({ kind: 'program', format: 'Windows program', member: undefined });
  });

  it('is known by its first bytes behind much that is no base64', async () => {
    const head = 'Content-Type: image/gif\r\nContent-Transfer-Encoding: base64\r\n\r\n';
    const message = parseMessage(Buffer.from(`${head}${'\r\n'.repeat(5000)}TVqQ\r\n`));
    expect((await defang(message)).removed).toHaveLength(1);
  });

  it('is known by its content type, and by a rule of your own', async () => {
    const bytes = createPart({ contentType: 'application/hta', content: Buffer.from('x') }).toBytes();
    expect((await defang(parseMessage(bytes))).removed[0]?.reason.kind).toBe('content-type');
    const { removed } = await defang(fixture('harmless'), {
      check: async (part) => (part.contentType === 'application/pdf' ? 'no PDF today' : undefined),
    });
    expect(removed.map(({ reason }) => reason)).toEqual([{ kind: 'check', text: 'no PDF today' }]);
  });
});

describe('a part that claims to be several things', () => {
  it('is judged by all of them', async () => {
    const types =
      'Content-Type: text/plain\nContent-Type: text/html; name=a.exe\nContent-Disposition: inline\n';
    const message = parseMessage(Buffer.from(`${types}\n<script>x</script>`));
    expect(message.root.names).toEqual(['a.exe']);
    expect(await defang(message, { extensions: [] })).toMatchObject({ html: [{ name: 'script' }] });
  });
});

describe('an archive', () => {
  it('that cannot be read is poisonous, an empty one is not', async () => {
    expect(await reasons('zip-corrupt')).toEqual(['archive']);
    expect(await reasons('zip-empty')).toEqual([]);
    expect(await reasons('zip-harmless')).toEqual([]);
  });

  it('is not looked into when that is not wanted', async () => {
    expect(await reasons('zip-bad-name', { archives: false })).toEqual([]);
  });

  it('that is encrypted stays or goes as the policy says', async () => {
    const zip = makeZip([{ name: 'a.txt', content: 'x', encrypted: true }]);
    const bytes = createPart({ name: 'a.zip', content: zip }).toBytes();
    const kept = await defang(parseMessage(bytes));
    expect(kept).toMatchObject({ modified: false, problems: [{ kind: 'encrypted', path: 'a.zip' }] });
    const { removed } = await defang(parseMessage(bytes), { encryptedArchives: 'remove' });
    expect(removed).toHaveLength(1);
  });
});

describe('a harmless message', () => {
  it('may have a boundary or a server that ends like a program', async () => {
    for (const type of [
      'multipart/mixed; boundary="=_1.example.com"',
      'message/external-body; site=ftp.example.com',
    ]) {
      const message = parseMessage(Buffer.from(`Content-Type: ${type}\n\ncut short`));
      expect((await defang(message)).modified, type).toBe(false);
    }
  });

  it.each(['harmless', 'zip-harmless', 'zip-empty'])('is not touched (%s)', async (name) => {
    const message = fixture(name);
    expect((await defang(message)).modified).toBe(false);
    expect(message.changed).toBe(false);
  });

  it('loses only what acts in its HTML, in any charset', async () => {
    const message = fixture('html-latin1');
    const before = message.toBytes().toString('latin1');
    const { html, removed } = await defang(message);
    expect(removed).toEqual([]);
    expect(html.map(({ name }) => name)).toEqual(['script', 'onclick']);
    expect(message.toBytes().toString('latin1')).toBe(
      before.replace('<script>alert(1)</script>', '').replace(' onclick="x()"', ''),
    );
    const kept = await defang(fixture('html-latin1'), { html: false });
    expect(kept.modified).toBe(false);
  });

  it('keeps messages inside it unsearched when that is wanted', async () => {
    expect(await reasons('inside-message', { messages: false })).toEqual([]);
  });
});

it('lets others work while it works', async () => {
  const page = '<p>a=3Db</p>=\r\n<p onclick=3D"x">y</p>\r\n'.repeat(200_000);
  const head = 'Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n';
  const message = parseMessage(Buffer.from(head + page));
  let turns = 0;
  let isDone = false;
  const turn = () => {
    turns++;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  const { html } = await defang(message);
  isDone = true;
  expect(html).toHaveLength(200_000);
  // Decoding, searching and encoding take several turns each.
  expect(turns).toBeGreaterThan(6);
});

it('refuses a policy with a misspelled option', async () => {
  const policy = { extension: ['exe'] } as DefangPolicy;
  await expect(defang(fixture('harmless'), policy)).rejects.toThrow('unknown defang option "extension"');
});

describe('a name', () => {
  const banned = new Set([...bannedExtensions, ...modernBannedExtensions]);

  it.each([
    ['a.exe', 'exe'],
    ['A.EXE', 'exe'],
    ['a.exe. . ', 'exe'],
    ['a.txt\u202egpj.exe', 'exe'],
    ['a.e\u200bxe', 'exe'],
    ['a．exe', 'exe'],
    ['a.txt.{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}', '{3050f4d8-98b5-11cf-bb82-00aa00bdce0b}'],
    ['folder/a.iso', 'iso'],
    ['.exe', 'exe'],
    ['exe', undefined],
    ['a.exe.txt', undefined],
    ['a.executive', undefined],
    ['', undefined],
  ])('like %j ends in %j', (name, extension) => {
    expect(bannedExtension(name, banned)).toBe(extension);
  });
});
