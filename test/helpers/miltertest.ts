/** miltertest, OpenDKIM's MTA for Lua scripts: an MTA that is not of our making. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Runs a Lua script in which `spec` is the filter's address, so that `mt.connect(spec)` connects to it. Gives what
 * the script printed with mt.echo.
 * @throws Error with miltertest's output when the script fails
 */
export async function runMiltertest(spec: string, script: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'miltertest-'));
  try {
    const file = join(directory, 'script.lua');
    await writeFile(file, script);
    const { stdout } = await run('miltertest', ['-D', `spec=${spec}`, '-s', file], { timeout: 60_000 });
    return stdout;
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string };
    throw new Error(`miltertest failed: ${stdout}${stderr}`, { cause: error });
  } finally {
    await rm(directory, { recursive: true });
  }
}
