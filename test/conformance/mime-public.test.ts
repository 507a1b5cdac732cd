/**
 * Mails in which readers open what tools did not see, made after public reports: in each the dangerous thing must be found
 * by its name, replaced, and removed.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defang, parseMessage } from '../../lib/mime/index.ts';

const folder = join(import.meta.dirname, '../../../shared/cases/public');
const isHere = existsSync(folder);
if (!isHere) console.warn(`skipped: no mails of public reports at ${folder}`);
const files = isHere ? readdirSync(folder).filter((name) => name.endsWith('.eml')) : [];

describe.skipIf(!isHere)('a mail of a public report', () => {
  it.each(files)('has nothing left that a reader could open: %s', async (file) => {
    const bytes = readFileSync(join(folder, file));
    const message = parseMessage(bytes);
    expect(message.toBytes().equals(bytes)).toBe(true);
    const { removed, html } = await defang(message);
    const found = removed.map(({ reason }) => ('name' in reason ? reason.name : reason.kind));
    if (file.startsWith('svg')) expect(html.map(({ name }) => name)).toContain('script');
    else expect(found.join()).toMatch(/\.exe/);
    const clean = message.toBytes();
    expect(await defang(parseMessage(clean))).toMatchObject({ modified: false });
  });
});
