/** The rules of module attachments: the first that matches an attachment decides about it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { attached, PROGRAM } from '../../../fixtures/filter/attached.ts';
import { makeZip } from '../../../fixtures/mime/archives.ts';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';

const EXE = attached({ name: 'a.exe', content: PROGRAM });
const zip = (...names: readonly string[]): string =>
  attached({ name: 'a.zip', content: makeZip(names.map((name) => ({ name, content: PROGRAM }))) });

/** The findings, for a message with these rules. */
async function found(
  rules: string,
  eml: string,
  mail: TestMail = {},
  options = '',
): Promise<readonly string[]> {
  await using filter = await testFilter(`[[module]]\nuse = "attachments"\n${options}\nrules = [${rules}]\n`);
  await filter.send({ eml, ...mail });
  return (await filter.last())?.findings.map(({ name, action }) => `${name.slice(12)} ${action}`) ?? [];
}

it.each([
  ['types = ["exe"]', /types\[0\]: "exe" is no content type: write/],
  ['rules = [{ types = ["exe"], action = "reject" }]', /rules\[0\]\.types\[0\]: "exe" is no content type/],
  ['save_keep = "5m"', /save_keep: must be an hour at least/],
])('%s is refused: it would do nothing, or lose what is saved', async (options, fault) => {
  await expect(testFilter(`[[module]]\nuse = "attachments"\n${options}\n`)).rejects.toThrow(fault);
});

describe('a rule that lets something through', () => {
  const lab = '{ to = ["lab@example.com"], extensions = ["exe"], action = "continue" }';

  it('permits the name and the program', async () => {
    expect(await found(lab, EXE, { recipients: ['lab@example.com'] })).toEqual([]);
    expect(await found(lab, EXE)).toEqual(['extensions defang', 'programs defang']);
  });

  it('needs all recipients', async () => {
    const recipients = ['lab@example.com', 'b@example.com'];
    expect(await found(lab, EXE, { recipients })).toEqual(['extensions defang', 'programs defang']);
    const tagging = lab.replace('continue', 'tag');
    expect(await found(tagging, EXE, { recipients })).toEqual(['extensions defang', 'programs defang']);
    expect(await found(tagging, EXE, { recipients: ['lab@example.com'] })).toEqual(['rules tag']);
  });

  it('needs all names of a part', async () => {
    const two = EXE.replace('application/octet-stream', 'application/octet-stream; name="a.scr"');
    expect(await found('{ extensions = ["exe"], action = "continue" }', two)).toContain('extensions defang');
    expect(await found('{ extensions = ["exe", "scr"], action = "continue" }', two)).toEqual([]);
  });

  it('permits members of archives, each by its own name', async () => {
    const rule = '{ extensions = ["exe"], action = "continue" }';
    expect(await found(rule, zip('b.exe'))).toEqual([]);
    expect(await found(rule, zip('b.exe', 'c.scr'))).toEqual(['extensions defang']);
    expect(await found(rule, zip('b.exe', 'c.pdf'))).toEqual(['programs defang']);
  });

  it('permits an archive with all that is in it', async () => {
    expect(await found('{ extensions = ["zip"], action = "continue" }', zip('b.exe'))).toEqual([]);
  });

  it('does not permit a program by another name', async () => {
    const eml = attached({ name: 'a.pdf', content: PROGRAM });
    expect(await found('{ extensions = ["exe"], action = "continue" }', eml)).toEqual(['programs defang']);
  });

  it('is for its senders', async () => {
    const rule = '{ from = ["vendor@example.net"], extensions = ["exe"], action = "continue" }';
    expect(await found(rule, EXE, { sender: 'vendor@example.net' })).toEqual([]);
    expect(await found(rule, EXE)).toHaveLength(2);
  });
});

describe('a rule that asks for more', () => {
  it('concerns any of the recipients', async () => {
    const rule = '{ to = ["ceo@example.com"], extensions = ["pdf"], action = "remove" }';
    const eml = attached({ name: 'a.pdf' });
    expect(await found(rule, eml, { recipients: ['ceo@example.com', 'b@example.com'] })).toEqual([
      'rules remove',
    ]);
    expect(await found(rule, eml)).toEqual([]);
  });

  it('concerns members of archives', async () => {
    const rule = '{ extensions = ["docx"], action = "reject" }';
    const eml = attached({ name: 'a.zip', content: makeZip([{ name: 'b.docx', content: 'x' }]) });
    expect(await found(rule, eml)).toEqual(['rules reject']);
    expect(await found(rule, eml, {}, 'archives = false')).toEqual([]);
  });

  it('concerns what is larger, as it is when decoded', async () => {
    const eml = attached({ name: 'a', content: 'x'.repeat(1_000) });
    expect(await found('{ larger = "999B", action = "tempfail" }', eml)).toEqual(['rules tempfail']);
    expect(await found('{ larger = "1kB", action = "tempfail" }', eml)).toEqual([]);
  });

  it('concerns a type, messages and what is to be read too', async () => {
    expect(await found('{ types = ["text/plain"], action = "hold" }', EXE)).toContain('rules hold');
    const inside = attached({ type: 'message/rfc822', content: 'From: x\n\ny' });
    expect(await found('{ types = ["message/*"], action = "hold" }', inside)).toEqual(['rules hold']);
  });

  it('concerns attachments alone where it does not say what they are', async () => {
    const rule = '{ from = ["example.org"], action = "reject" }';
    expect(await found(rule, attached({ name: 'a.pdf' }))).toEqual(['rules reject']);
    expect(await found(rule, 'From: a@example.org\n\nhello\n')).toEqual([]);
    expect(await found(rule, attached())).toEqual([]);
  });

  it('needs all that it says', async () => {
    const rule = '{ extensions = ["pdf"], types = ["application/pdf"], larger = "10B", action = "reject" }';
    const [name, type, content] = ['a.pdf', 'application/pdf', 'x'.repeat(11)];
    expect(await found(rule, attached({ name, type, content }))).toEqual(['rules reject']);
    expect(await found(rule, attached({ name, type }))).toEqual([]);
    expect(await found(rule, attached({ name, content }))).toEqual([]);
    expect(await found(rule, attached({ type, content }))).toEqual([]);
  });
});

it('is the first that matches', async () => {
  const rules = '{ extensions = ["exe"], action = "score 1" }, { extensions = ["exe"], action = "reject" }';
  expect(await found(rules, EXE)).toEqual(['rules score 1']);
});

it('knows the words of the option', async () => {
  expect(await found('{ extensions = "seed", action = "score 1" }', EXE)).toEqual(['rules score 1']);
});

it('reads lists in files anew', async () => {
  await using directory = await temporaryDirectory();
  writeFileSync(join(directory.path, 'extensions'), '# ours\n.foo\n');
  const filter = await testFilter('[[module]]\nuse = "attachments"\nextensions = ["file:extensions"]\n', {
    directory: directory.path,
  });
  await using _ = filter;
  const names = async () => {
    await filter.send({ eml: attached({ name: 'a.foo' }) });
    return (await filter.last())?.findings.length;
  };
  expect(await names()).toBe(1);
  writeFileSync(join(directory.path, 'extensions'), 'quite-other\n');
  await filter.config.files.refresh();
  expect(await names()).toBe(0);
});
