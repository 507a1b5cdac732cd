#!/usr/bin/env node
// Runs every check and test, and counts them: the last line is `N passed, N failed, N skipped`. Arguments go to vitest,
// and then only that runs: `npm test -- test/unit`. Run by `npm test`, which does the set-up first.
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = join(root, 'node_modules/.bin');
const plain = process.stdout.isTTY ? {} : { NO_COLOR: '1' };
// Tests start hundreds of processes: each would compile lib anew, which is most of what a short one costs.
const compiled = mkdtempSync(join(tmpdir(), 'compiled-'));
process.on('exit', () => rmSync(compiled, { recursive: true, force: true }));
const env = { ...process.env, ...plain, PATH: `${bin}:${process.env.PATH}`, NODE_COMPILE_CACHE: compiled };
/** libmilter as other systems have it, once `.ci/libmilter.mjs` was run. */
const libraryOf = (build) => join(root, '.cache/libmilter', build, 'libmilter.so');
const total = { passed: 0, failed: 0, skipped: 0 };

function add({ passed = 0, failed = 0, skipped = 0 }) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
}

/** Runs a program quietly; what it printed is shown when it fails. Returns that, or undefined. */
function succeeds(name, program, args, more = {}) {
  const started = performance.now();
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    cwd: root,
    env: { ...env, ...more },
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const passed = status === 0;
  if (!passed) process.stdout.write(`${stdout ?? ''}${stderr ?? ''}${error ? `${error.message}\n` : ''}`);
  console.log(
    `${passed ? 'ok    ' : 'FAIL  '}${name} (${((performance.now() - started) / 1000).toFixed(1)} s)`,
  );
  return { passed, output: stdout ?? '' };
}

function check(name, program, args) {
  add(succeeds(name, program, args).passed ? { passed: 1 } : { failed: 1 });
}

function runVitest(args, more = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'vitest-'));
  try {
    const report = join(folder, 'report.json');
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const { status } = spawnSync('vitest', ['run', ...reporters, ...args], {
      cwd: root,
      env: { ...env, ...more },
      stdio: 'inherit',
    });
    const counted = countVitest(readFileSync(report, 'utf8'));
    // An error outside of every test fails the run although no test failed.
    if (status !== 0 && counted.failed === 0) counted.failed = 1;
    add(counted);
  } catch (error) {
    console.log(`FAIL  vitest left no report: ${error.message}`);
    add({ failed: 1 });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function countVitest(json) {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(json);
  // A file that cannot even be loaded has no tests that could fail.
  const broken = testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  );
  return {
    passed: numPassedTests,
    failed: numFailedTests + broken.length,
    skipped: numPendingTests + numTodoTests,
  };
}

/** The core's own tests, which need no Node: plain, and under each sanitizer. */
function runNative() {
  if (spawnSync('cmake', ['--version']).status !== 0) {
    console.log('skipped: tests of native/core: cmake is not installed');
    add({ skipped: 1 });
    return;
  }
  // The core's tests never see what stands between it and JavaScript.
  check('addon under AddressSanitizer', 'node', ['.ci/memory.mjs', 'address', '--tests=addon,close']);
  for (const script of ['test:native', 'test:native:address', 'test:native:thread']) {
    countNative(succeeds(script, 'npm', ['run', '--silent', script]));
  }
  for (const build of ['poll', 'select']) {
    if (!hasLibrary(build)) continue;
    const more = { MILTER_LIBRARY: libraryOf(build) };
    countNative(
      succeeds(`core tests on libmilter with ${build}()`, 'build-cmake/plain/core_tests', [], more),
    );
  }
}

function countNative({ passed, output }) {
  const [, good = 0, bad = 0] = /(\d+) passed, (\d+) failed\s*$/.exec(output) ?? [];
  add({ passed: Number(good), failed: passed ? Number(bad) : Math.max(1, Number(bad)) });
}

function hasLibrary(build) {
  if (existsSync(libraryOf(build))) return true;
  console.log(`skipped: tests on libmilter with ${build}(): run node .ci/libmilter.mjs first`);
  add({ skipped: 1 });
  return false;
}

/** What drives the addon, and what plays messages without it. */
const LIBRARY = ['addon', 'close', 'compose', 'fake-session', 'log'];

/** What may differ by the release of Node: the unit tests, and of the others those of the library itself. */
function runOnOtherNodes() {
  const nodes = join(root, '.cache/nodes');
  if (!existsSync(nodes)) {
    console.log('skipped: tests on other releases of Node.js: run node .ci/nodes.mjs first');
    add({ skipped: 1 });
    return;
  }
  const tests = ['test/unit', ...LIBRARY.map((name) => `test/integration/${name}.test.ts`)];
  // Sources and documents are the same for all of them.
  const apart = ['layout', 'package/{docs,documented,sbom}'].flatMap((name) => [
    '--exclude',
    `test/unit/${name}.test.ts`,
  ]);
  for (const version of readdirSync(nodes)) {
    console.log(`once more on Node.js ${version}:`);
    runVitest([...tests, ...apart], { PATH: `${join(nodes, version, 'bin')}:${env.PATH}` });
  }
}

const chosen = process.argv.slice(2);
if (chosen.length === 0) {
  check('biome', 'biome', ['check']);
  check('types', 'tsc', ['--noEmit']);
  check('clang-format', 'clang-format', [
    '--dry-run',
    '--Werror',
    ...globSync('native/**/*.{cc,h}', { cwd: root }),
  ]);
  runNative();
}
/** Tests that a second pass leaves out: they start no server of the library's, or are of what stands upon it. */
const BESIDE = [
  'integration/{bayes,scanners}/**',
  'integration/filter/!(run|clients|crossings|memory).test.ts',
  'integration/{cli-dns*,cli-examples,cli-filter-file,cli-loading,cli-quarantine,dns-*,filter-modules,mime-*,spf-*}.test.ts',
  'integration/{engines,js-engine,nameserver,package,platforms,prebuilds,soak,srs-socket-map,threads}.test.ts',
  'lifecycle/{kept-mail,releases}.test.ts',
  'mta/{access-map,auth,bounces*,callout*,dns-*,filter-*,first-contacts*,kept-mail,mime-*,sandbox,scanners,several-filters,spf-*,srs-*,whole-way}.test.ts',
];

function runAgain(folders, more, without = []) {
  const excluded = [...BESIDE, ...without].flatMap((name) => ['--exclude', `test/${name}`]);
  runVitest([...folders, ...excluded], more);
}

runVitest(chosen);
if (chosen.length === 0) {
  if (hasLibrary('poll')) {
    console.log('once more on libmilter without a pool of workers, as other systems have it:');
    // What the filter does around libmilter is the same with any; cli-run has `milter run` serve and end with this one.
    runAgain(['test/integration', 'test/lifecycle'], { MILTER_LIBRARY: libraryOf('poll') }, [
      'integration/filter/run.test.ts',
    ]);
  }
  console.log('once more on the engine in TypeScript:');
  runAgain(['test/integration', 'test/mta'], { MILTER_ENGINE: 'js' }, [
    'integration/{addon,library}.test.ts',
  ]);
  runOnOtherNodes();
}
const { passed, failed, skipped } = total;
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
