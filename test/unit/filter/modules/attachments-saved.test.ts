/** What is left of a part that module attachments takes out: a warning, and the original where it was saved. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { SavedParts } from '../../../../lib/filter/modules/attachments/saved.ts';
import { attached, PROGRAM } from '../../../fixtures/filter/attached.ts';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { testFilter } from '../../../helpers/filter.ts';
import { until } from '../../../helpers/wait.ts';

const attachments = (options = ''): string => `[[module]]\nuse = "attachments"\n${options}\n`;
const EXE = attached({ name: '../../etc/a.exe', content: PROGRAM });

async function delivered(options: string, eml: string): Promise<string> {
  await using filter = await testFilter(attachments(options));
  return (await filter.send({ eml })).message.body.toString();
}

describe('the warning', () => {
  it('says what was there and why', async () => {
    const text = await delivered('', EXE);
    expect(text).toContain('WARNING: an attachment of this message was removed: "../../etc/a.exe"');
    expect(text).toContain('Reason: files ending in .exe are not let through.');
  });

  it('is a template, in any script', async () => {
    const text = await delivered(
      'warning = "Entfernt für %{sender} auf %{hostname}: %{name}; %{reason}; [%{saved}]"',
      EXE,
    );
    expect(text).toContain('charset=utf-8');
    expect(text).toContain('Entfernt f=C3=BCr a@example.org auf mx.example.com: ../../etc/a.exe');
    expect(text.replaceAll('=\r\n', '')).toContain('files ending in .exe are not let through; []');
  });

  it('is a file', async () => {
    await using directory = await temporaryDirectory();
    writeFileSync(join(directory.path, 'warning'), 'Gone: %{name}\n');
    expect(await delivered(`warning = "file:${join(directory.path, 'warning')}"`, EXE)).toContain(
      'Gone: ../../etc/a.exe',
    );
  });

  it('has nothing of a name that could do harm', async () => {
    const name = `a\u202e\u0007${'b'.repeat(400)}.exe`;
    const text = await delivered('warning = "%{name}"', attached({ name }));
    const plain = text.replaceAll('=\r\n', '');
    expect(plain).toContain(`\r\na??${'b'.repeat(197)}=E2=80=A6`);
    expect(plain).not.toContain('b'.repeat(198));
  });
});

describe('the original', () => {
  it('is saved as it came, under a name of ours, for us alone', async () => {
    const now = Date.UTC(2026, 6, 28, 10, 11, 12);
    const filter = await testFilter(attachments('save = "removed/"\nwarning = "saved as %{saved}."'), {
      now: () => now,
    });
    await using _ = filter;
    const { data } = filter;
    const { message } = await filter.send({ eml: EXE });
    const [name = '', ...others] = readdirSync(join(data, 'removed'));
    expect(others).toEqual([]);
    expect(name).toMatch(/^20260728T101112Z-[\da-f]{16}\.eml$/);
    expect(message.body.toString()).toContain(`saved as ${name}.`);
    expect(statSync(join(data, 'removed', name)).mode & 0o777).toBe(0o600);
    expect(statSync(join(data, 'removed')).mode & 0o777).toBe(0o700);
    const saved = readFileSync(join(data, 'removed', name), 'latin1');
    expect(saved).toContain('filename="../../etc/a.exe"');
    expect(saved).toContain(PROGRAM.toString('base64'));
  });

  it('of a file in a text is the text', async () => {
    await using filter = await testFilter(attachments('save = "removed/"'));
    await filter.send({ eml: 'From: a@example.org\n\nhello\nbegin 644 a.exe\n#86)C\n`\nend\nbye\n' });
    const [name = ''] = readdirSync(join(filter.data, 'removed'));
    const saved = readFileSync(join(filter.data, 'removed', name), 'latin1');
    expect(saved).toMatch(/^From: a@example\.org\r\n\r\nhello\r\nbegin 644 a\.exe/);
  });

  it.each([
    ['is renamed', 'extension_action = "rename"\nprograms = "rename"'],
    ['stays', 'mode = "observe"'],
    ['is rejected', 'extension_action = "reject"'],
  ])('is not saved where it %s', async (_, options) => {
    await using directory = await temporaryDirectory();
    await using filter = await testFilter(attachments(`save = "${directory.path}/removed"\n${options}`));
    await filter.send({ eml: EXE });
    expect(existsSync(join(directory.path, 'removed'))).toBe(false);
  });

  it('that cannot be saved is not lost: the message comes again', async () => {
    await using directory = await temporaryDirectory();
    writeFileSync(join(directory.path, 'file'), '');
    await using filter = await testFilter(attachments(`save = "${directory.path}/file/removed"`));
    const { verdict, message } = await filter.send({ eml: EXE });
    expect(verdict).toBe('tempfail');
    expect(message.body.toString()).not.toContain('WARNING');
    expect((await filter.send()).verdict).toBe('continue');
  });

  it('needs room', async () => {
    await using directory = await temporaryDirectory();
    await using filter = await testFilter(
      attachments(`save = "${directory.path}/removed"\nsave_max = "200B"`),
    );
    const verdicts = [];
    for (let i = 0; i < 3; i++) verdicts.push((await filter.send({ eml: EXE })).verdict);
    expect(verdicts).toEqual(['continue', 'tempfail', 'tempfail']);
    expect(readdirSync(join(directory.path, 'removed'))).toHaveLength(1);
  });

  it('is kept as long as the configuration says', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      let now = Date.UTC(2026, 0, 1);
      const filter = await testFilter(attachments('save = "removed/"\nsave_keep = "1h"'), { now: () => now });
      await using _ = filter;
      const kept = () => readdirSync(join(filter.data, 'removed')).length;
      await filter.send({ eml: EXE });
      now += 3_500_000;
      await filter.send({ eml: EXE });
      expect(kept()).toBe(2);
      now += 200_000;
      vi.advanceTimersByTime(600_000);
      await until('the older one to be gone', () => kept() === 1 || undefined);
    } finally {
      vi.useRealTimers();
    }
  });

  it('goes when it is old, and nothing else does', async () => {
    await using directory = await temporaryDirectory();
    let now = Date.UTC(2026, 0, 1);
    const saved = new SavedParts(directory.path, 1_000, 100, () => now);
    await saved.save(Buffer.alloc(60));
    writeFileSync(join(directory.path, 'notes'), '');
    writeFileSync(join(directory.path, '.new-20250101T000000Z-0123456789abcdef.eml'), 'half');
    await saved.expire();
    expect(readdirSync(directory.path)).toHaveLength(2);
    await expect(saved.save(Buffer.alloc(60))).rejects.toThrow('save_max');
    now += 2_000;
    await saved.expire();
    expect(readdirSync(directory.path)).toEqual(['notes']);
    await saved.save(Buffer.alloc(60));
  });
});
