/** The memory that `milter run` has V8 take for new objects. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const HEAP = new URL('../../../lib/cli/heap.ts', import.meta.url).href;

it('grows to what mail needs, and no further', async () => {
  // Work that keeps each object for a while, as mail does.
  const script = `
    import { setImmediate as turn } from 'node:timers/promises';
    import v8 from 'node:v8';
    import { boundHeap } from '${HEAP}';
    boundHeap();
    const kept = [];
    for (let n = 0; n < 2_000_000; n++) {
      kept[n % 100_000] = { n, texts: [String(n)] };
      if (n % 1_000 === 0) await turn();
    }
    console.log(v8.getHeapSpaceStatistics().find((one) => one.space_name === 'new_space').space_size);`;
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', script]);
  const size = Number(stdout) / 2 ** 20;
  expect(size).toBeGreaterThanOrEqual(8);
  // V8 alone may take three times 16 MiB and more, at what moment is its own affair.
  expect(size).toBeLessThan(48);
});
