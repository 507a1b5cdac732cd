/** The parsers written in C++, under libFuzzer: native/fuzz says what each target holds them to. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { runs, seed } from '../helpers/fuzz.ts';
import { clang, describeWith } from '../helpers/requirements.ts';

const root = join(import.meta.dirname, '../..');
const build = join(root, 'build-cmake/fuzzer');
/** Where libFuzzer leaves what it found. */
const findings = join(root, '.cache/fuzz');

function run(
  program: string,
  ...args: readonly string[]
): { readonly status: number | null; output: string } {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8' });
  if (error) throw error;
  return { status, output: `${stdout}${stderr}` };
}

describeWith(['clang'], 'under libFuzzer', () => {
  beforeAll(() => {
    const configured = run(
      'cmake',
      ...['-S', '.', '-B', build, '-DSANITIZE=fuzzer', `-DCMAKE_CXX_COMPILER=${clang()}`],
    );
    expect(configured.status, configured.output).toBe(0);
    const built = run('cmake', '--build', build, '--parallel', '4');
    expect(built.status, built.output).toBe(0);
    mkdirSync(findings, { recursive: true });
  }, 300_000);

  it.each([
    { target: 'answers', usual: 20_000, longest: 500 },
    { target: 'records', usual: 2_000, longest: 2_000 },
  ])('$target of any bytes are as promised', { timeout: 3_600_000 }, ({ target, usual, longest }) => {
    // libFuzzer writes what it learns into the first folder.
    const learnt = mkdtempSync(join(tmpdir(), `milter-fuzz-${target}-`));
    try {
      const { status, output } = run(
        join(build, `${target}_fuzz`),
        ...[`-runs=${runs(usual).numRuns}`, `-seed=${seed}`, `-max_len=${longest}`],
        // Seconds for one input, and MiB for the whole.
        ...['-timeout=10', '-rss_limit_mb=1024', `-artifact_prefix=${join(findings, `${target}-`)}`],
        ...[learnt, join(root, 'test/fixtures/fuzz', target)],
      );
      expect(status, `seed ${seed}\n${output}`).toBe(0);
    } finally {
      rmSync(learnt, { recursive: true });
    }
  });
});
