/** What attachments and html leave of odd and hostile messages: nothing that they would find when it came again. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testFilter } from '../helpers/filter.ts';

const folders = [
  join(import.meta.dirname, '../fixtures/mime'),
  join(import.meta.dirname, '../../../shared/cases/public'),
  join(import.meta.dirname, '../../../shared/cases/mime'),
];
const files = folders.filter(existsSync).flatMap((folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(eml|msg)$/.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name)),
);

const modules = (word: string): string =>
  `[[module]]\nuse = "html"\nremote_images = "remove"\n[[module]]\nuse = "attachments"\nextension_action = "${word}"\nprograms = "${word}"\nencrypted_archive = "${word}"\nunread_archive = "${word}"\nbroken_archive = "${word}"\n`;

describe.each(['defang', 'remove'])('attachments with %s, and html', (word) => {
  it('leave nothing that they would find again', async () => {
    await using filter = await testFilter(modules(word));
    const found = async () => (await filter.last())?.findings.map(({ name, note }) => `${name}: ${note}`);
    let dangerous = 0;
    for (const path of files) {
      const { verdict, message } = await filter.send({ eml: readFileSync(path) });
      expect({ path, verdict, failed: (await found())?.filter((name) => name.includes('-error')) }).toEqual({
        path,
        verdict: 'continue',
        failed: [],
      });
      if ((await found())?.length === 0) continue;
      dangerous++;
      const fields = message.headers.flatMap(({ name, raw }) => [
        Buffer.from(`${name}:`),
        raw,
        Buffer.from('\r\n'),
      ]);
      await filter.send({ eml: Buffer.concat([...fields, Buffer.from('\r\n'), message.body]) });
      expect({ path, again: await found() }).toEqual({ path, again: [] });
    }
    expect(dangerous).toBeGreaterThanOrEqual(13);
  });
});
