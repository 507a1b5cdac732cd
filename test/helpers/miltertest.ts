/** miltertest, OpenDKIM's MTA for Lua scripts: an MTA that is not of our making. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** miltertest itself does not say what is wrong with a script. */
const RUNNER = `
local chunk, problem = loadfile(script)
local good = false
if chunk then good, problem = pcall(chunk) end
if not good then
  mt.echo(problem)
  error(problem)
end
`;

/**
 * Runs a Lua script in which `spec` is the filter's address, so that `mt.connect(spec)` connects to it. Gives what
 * the script printed with mt.echo.
 * @throws Error with what it printed and what is wrong when the script fails
 */
export async function runMiltertest(spec: string, script: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'miltertest-'));
  const [runner, file] = [join(directory, 'runner.lua'), join(directory, 'script.lua')];
  try {
    await writeFile(runner, RUNNER);
    await writeFile(file, script);
    const globals = ['-D', `spec=${spec}`, '-D', `script=${file}`];
    const { stdout } = await run('miltertest', [...globals, '-s', runner], { timeout: 60_000 });
    return stdout;
  } catch (error) {
    const output = error instanceof Error && 'stdout' in error ? error.stdout : '';
    throw new Error(`miltertest failed: ${output}`, { cause: error });
  } finally {
    await rm(directory, { recursive: true });
  }
}
