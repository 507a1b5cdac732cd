/** Configuration files for tests of the command, in a folder of their own. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A folder with these files. It is removed when the test is over. */
export function folderWith(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'milter-configured-'));
  chmodSync(folder, 0o755);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** A configuration with a store of its own beside it. Its path. */
export function configured(modules: string, top = ''): string {
  const text = `socket = "inet:0@127.0.0.1"\ndata = "data"\n${top}\n${modules}`;
  return join(folderWith({ 'milter.toml': text }), 'milter.toml');
}
