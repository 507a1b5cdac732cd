/** The threat model names the test that holds each of its lines. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const text = readFileSync(join(root, 'SECURITY.md'), 'utf8');

/** The rows below the heading, without head and rule of each table. */
const [, model = ''] = text.split('\n## Threats, and what holds them off\n');
const lines = model.split('\n');
const rows = lines.filter(
  (line, i) => line.startsWith('|') && !line.startsWith('|-') && !lines[i + 1]?.startsWith('|-'),
);

const threats = rows.map((row) => {
  const [threat = '', , named = ''] = row.replace(/^\| | \|$/g, '').split(' | ');
  return { threat, named };
});

describe('SECURITY.md', () => {
  it('says how to report, and what is supported', () => {
    expect(text).toMatch(/^## Reporting$/m);
    expect(text).toMatch(/^## Supported versions$/m);
    expect(threats.length).toBeGreaterThan(60);
  });

  it.each(threats)('$threat: has a test', ({ named }) => {
    const [, file = '', title = ''] = /^`(test\/[^`]+\.test\.ts)`: (.+)$/.exec(named) ?? [];
    expect(existsSync(join(root, file)) && file, named).toBeTruthy();
    expect(title).not.toBe('');
    // As it stands in the source, at the beginning of a test or of a group of them.
    const quoted = title.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const source = readFileSync(join(root, file), 'utf8');
    expect(source, `${file} has no test of that name`).toMatch(
      new RegExp(`(?:[(\\[]|\\s)(?:'|"|\`)${quoted}(?:'|"|\`),`),
    );
  });
});
