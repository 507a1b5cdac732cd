#!/usr/bin/env node
// Runs the tests that drive the addon while tools watch its memory and its threads: `npm run check:memory`, or some of its
// parts: `npm run check:memory -- address thread`. What a tool finds counts where our code or libmilter is in one of its
// stacks, and a race where our code made one of the accesses; all else is Node's own, which is built without any of them, or
// libmilter's (native/README.md tells of its faults). Exit code 1 when something counts or a test fails.
//
//   core       the tests of native/core, under AddressSanitizer with UBSan and under ThreadSanitizer
//   address    the addon in Node under AddressSanitizer with UBSan, leaks included
//   thread     the addon in Node under ThreadSanitizer
//   valgrind   the addon in Node under valgrind's memcheck, leaks included; a minute or more a file
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const node = join(root, 'node_modules/node/bin/node');
const require = createRequire(import.meta.url);

/** The tests that drive the addon in their own process: what a program of its own does would be watched in vain. */
const SHORT = [
  ...['addon', 'close', 'compose', 'failures', 'garbage', 'late-early', 'log', 'macros', 'mime-filter'],
  ...['negotiation', 'one-tree', 'session-message', 'slots', 'sockets', 'spf-filter', 'verdicts'],
];
/** These too, but not where all takes ten times as long: they send tens of megabytes, or compare times. */
const TESTS = [...SHORT, 'actions', 'body', 'burst', 'deadlines', 'factories', 'headers-text', 'threads'];

/** Whether the addon or libmilter is anywhere in a report; what starting again makes libmilter forget is its own. */
const mentionsUs = (report) =>
  /\bmilter\.node|libmilter\.so|memfd/.test(report) && !/smfi_(?:register|setconn)\b/.test(report);

/** Whether one of two accesses that race was made by the addon's own code, not by libmilter's or V8's called from it. */
const racesUs = (report) =>
  report.split('\n\n').some((stack) => {
    if (!/^(?:WARNING| {2}(?:Previous )?(?:atomic )?(?:write|read) )/i.test(stack)) return false;
    const frames = stack.split('\n').filter((line) => /^ +#\d+ /.test(line) && !line.includes('libtsan'));
    return /\(milter\.node\+/.test(frames[0] ?? '');
  });

/** How each tool takes hold of Node, where it writes, and how what it finds begins. */
const TOOLS = {
  address: {
    sanitizer: 'address',
    tests: TESTS,
    command: (log) => [
      ...['env', `LD_PRELOAD=${runtime('libasan.so')}`, `ASAN_OPTIONS=log_path=${log}:detect_leaks=1`],
      ...[`UBSAN_OPTIONS=print_stacktrace=1:log_path=${log}`, 'LSAN_OPTIONS=exitcode=0', node],
    ],
    finding: /^(?==+\d+==ERROR: AddressSanitizer|(?:Direct|Indirect) leak |.*runtime error: )/m,
    isOurs: mentionsUs,
  },
  thread: {
    sanitizer: 'thread',
    tests: SHORT,
    command: (log) => [
      ...['env', `LD_PRELOAD=${runtime('libtsan.so')}`, `TSAN_OPTIONS=log_path=${log}:exitcode=0`, node],
    ],
    finding: /^(?=WARNING: ThreadSanitizer)/m,
    isOurs: racesUs,
  },
  valgrind: {
    sanitizer: '',
    // All takes thirty times as long there.
    tests: ['addon', 'close', 'compose', 'late-early', 'macros', 'negotiation', 'slots', 'verdicts'],
    command: (log) => [
      ...['valgrind', '--quiet', '--smc-check=all-non-file', '--fair-sched=yes', '--num-callers=40'],
      ...['--leak-check=full', '--show-leak-kinds=definite', `--log-file=${log}.%p`, node],
    ],
    finding: /^==\d+== \n/m,
    isOurs: mentionsUs,
  },
};

function runtime(name) {
  return spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim();
}

function run(program, args, options = {}) {
  const { error, status } = spawnSync(program, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) throw error;
  return status === 0;
}

/** Builds the addon for a tool, and gives the folder in which node-gyp-build finds it. */
function build(name, sanitizer) {
  const folder = join(root, 'build-cmake', `addon-${name}`);
  const headers = [require('node-addon-api').include_dir, require('node-api-headers').include_dir].join(';');
  const done =
    run('cmake', [
      ...['-S', '.', '-B', folder, `-DSANITIZE=${sanitizer}`, `-DCMAKE_JS_INC=${headers}`],
      ...[`-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${folder}/build/Release`, '--log-level=ERROR'],
    ]) && run('cmake', ['--build', folder, '--parallel', '4']);
  if (!done) throw new Error(`the addon cannot be built for ${name}`);
  return folder;
}

/** What a tool found in our code. */
function findings(folder, { finding, isOurs }) {
  const logs = readdirSync(folder).filter((name) => name.startsWith('log'));
  return logs.flatMap((name) => readFileSync(join(folder, name), 'utf8').split(finding).filter(isOurs));
}

function watch(name, chosen) {
  const tool = TOOLS[name];
  const addon = build(name, tool.sanitizer);
  const folder = mkdtempSync(join(tmpdir(), `milter-${name}-`));
  try {
    const wrapper = join(folder, 'node');
    const quoted = tool.command(join(folder, 'log')).map((word) => `'${word}'`);
    // Whom vitest ends, by a signal, shall come to its end, where leaks are looked for. In tests process.exit is vitest's.
    const ending = `data:text/javascript,const{exit}=process;process.on('SIGTERM',()=>exit.call(process))`;
    writeFileSync(
      wrapper,
      `#!/bin/sh\nexec ${quoted.join(' ')} --import '${ending.replaceAll("'", '"')}' "$@"\n`,
    );
    chmodSync(wrapper, 0o755);
    // vitest starts its workers with what it takes for itself. Its patience with them, all of it half a second and more, must
    // be longer here: whom it kills tells of no leaks.
    const preload = `data:text/javascript,${encodeURIComponent(`
      process.execPath = ${JSON.stringify(wrapper)};
      const { setTimeout } = globalThis;
      globalThis.setTimeout = (task, ms, ...rest) => setTimeout(task, ms >= 500 ? ms * 100 : ms, ...rest);
    `)}`;
    const tests = (chosen ?? tool.tests).map((test) => `test/integration/${test}.test.ts`);
    const limits = ['--testTimeout=600000', '--hookTimeout=600000', '--no-file-parallelism'];
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const passed = run(node, ['--import', preload, vitest, 'run', ...limits, ...tests], {
      env: { ...process.env, LIBMILTER_PREBUILD: addon },
    });
    const found = findings(folder, tool);
    for (const block of found.slice(0, 20)) console.log(block);
    const looked = readdirSync(folder).filter((file) => file.startsWith('log')).length;
    // There is always something of Node's own to tell.
    if (looked === 0) throw new Error(`${name} left no log: nothing was watched`);
    console.log(
      `${name}: ${passed ? 'tests passed' : 'TESTS FAILED'}, ${found.length} findings in our code, of ${looked} logs`,
    );
    if (process.env.KEEP_LOGS) run('cp', ['-r', folder, process.env.KEEP_LOGS]);
    return passed && found.length === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function core() {
  return ['test:native:address', 'test:native:thread'].every((script) =>
    run('npm', ['run', '--silent', script]),
  );
}

const parts = process.argv.slice(2).filter((word) => !word.startsWith('--tests='));
const only = process.argv
  .find((word) => word.startsWith('--tests='))
  ?.slice('--tests='.length)
  .split(',');
const wanted = parts.length > 0 ? parts : ['core', ...Object.keys(TOOLS)];
const unknown = wanted.find((part) => part !== 'core' && !(part in TOOLS));
if (unknown !== undefined) {
  console.error(`check:memory: "${unknown}" is none of core, ${Object.keys(TOOLS).join(', ')}`);
  process.exit(2);
}
if (!existsSync(node)) throw new Error('run npm run setup first');
const failed = wanted.filter((part) => !(part === 'core' ? core() : watch(part, only)));
if (failed.length > 0) console.log(`check:memory: ${failed.join(', ')} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
