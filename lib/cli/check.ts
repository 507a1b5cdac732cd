/** The command `milter check`. */
import { styleText } from 'node:util';
import { MilterError } from '../errors.ts';
import { type Config, checkConfig, type Learned, openTeacher, type Problem } from '../filter/index.ts';
import { groupId } from '../group.ts';
import type { Logger } from '../index.ts';
import { show } from '../options.ts';
import { type Difference, diffConfigs, shownValue } from './config-diff.ts';
import { chooseConfig, readChosen } from './config-file.ts';
import { postfixProblems } from './postconf.ts';
import { printable } from './printable.ts';
import { findUser, Privileges } from './privileges.ts';
import { learnedSentence } from './train.ts';
import { openTrial } from './trial.ts';
import { type CommandIo, oneAtMost, readArguments } from './usage.ts';

const USAGE = `Usage: milter check [options] [FILE.toml]

Reads the configuration and all files that it names, and tries what it needs: folders, the store, name servers, DNS
lists, other servers, and the limits of a Postfix on this machine. Nothing is changed, and a filter that runs does not
notice. Without FILE.toml it is the configuration that milter run would take.

  --diff OLD.toml     also show which values in force are different in OLD.toml
  --json              print JSON
  --help              show this

Exit status: 0 when the filter can run so, warnings or not; 1 when it cannot, with all faults; 2 for wrong arguments.
`;

const OPTIONS = {
  diff: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs `milter check` with the arguments behind that, and resolves to the exit status. */
export async function runCheck(args: readonly string[], { stdout }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    stdout.write(USAGE);
    return 0;
  }
  const file = oneAtMost('FILE.toml', positionals);
  const { name } = chooseConfig(file);
  const config = await readChosen(file);
  const differences =
    values.diff === undefined ? undefined : diffConfigs(await readChosen(values.diff), config);
  const postfix = await postfixProblems(config);
  const { nameServerProblems } = await import('./name-server.ts');
  const learned = await asItsUser(config, async () => await learnedIn(config));
  const found = [
    ...accountProblems(config),
    ...(await asItsUser(config, async () => await checkConfig(config))),
  ];
  const problems = [
    ...found,
    // Modules may warn when they are set up of what their own check says.
    ...(await setUpProblems(file, config)).filter(
      ({ message }) => !found.some((known) => known.message === message),
    ),
    ...(await asItsUser(config, async () => nameServerProblems(config))),
    ...learned.filter(({ isTrained }) => !isTrained).map((one) => untrainedProblem(config, one)),
    ...(postfix ?? []),
  ];
  const isSound = !problems.some(({ isFault }) => isFault);
  if (values.json === true) {
    const modules = config.modules.map((module) => ({ name: module.name, mode: module.mode }));
    stdout.write(
      `${JSON.stringify({ file: name, isSound, modules, problems, learned, differences }, null, 2)}\n`,
    );
  } else {
    const paint = (style: 'green' | 'red' | 'yellow', text: string): string =>
      styleText(style, text, { stream: stdout });
    for (const problem of problems) {
      const kind = problem.isFault ? paint('red', 'fault') : paint('yellow', 'warning');
      stdout.write(`${kind}: ${printable(problemLine(name, problem))}\n`);
    }
    for (const one of learned.filter(({ isTrained }) => isTrained)) {
      stdout.write(`${one.name} ${learnedSentence(one)}\n`);
    }
    if (differences !== undefined) stdout.write(formatDifferences(differences));
    const verdict = isSound ? paint('green', 'can be run') : paint('red', 'cannot be run');
    stdout.write(`${name} ${verdict}: ${describeModules(config)}\n`);
    if (postfix === undefined) stdout.write('No Postfix was found here, so its limits were not looked at.\n');
  }
  return isSound ? 0 : 1;
}

function problemLine(file: string, { line, key, message }: Problem): string {
  if (key.startsWith('Postfix: ')) return `${key} ${message}`;
  return line === 0 ? `${file}: ${key}: ${message}` : `${file}:${line}: ${key}: ${message}`;
}

function describeModules({ modules }: Config): string {
  const of = (mode: string): string[] =>
    modules.filter((module) => module.mode === mode).map(({ name }) => name);
  const [enforced, observed, off] = [of('enforce'), of('observe'), of('off')];
  const parts = [
    ...(enforced.length > 0 ? [`in force ${enforced.join(' ')}`] : []),
    ...(observed.length > 0 ? [`only observing ${observed.join(' ')}`] : []),
    ...(off.length > 0 ? [`off ${off.join(' ')}`] : []),
  ];
  return parts.length === 0 ? 'no modules' : parts.join('; ');
}

function formatDifferences(differences: readonly Difference[]): string {
  if (differences.length === 0) return 'No value in force is different.\n';
  const lines = differences.map((one) => `${one.key}: ${shownValue(one.old)} → ${shownValue(one.new)}`);
  return `${lines.map(printable).join('\n')}\n`;
}

/** Users and groups that it names. */
function accountProblems({ settings: { user, socket_group: group }, text }: Config): Problem[] {
  const fault = (key: string, message: string): Problem => ({
    isFault: true,
    line: text.position([key]).line,
    key,
    message,
  });
  return [
    ...(user === undefined || findUser(user) !== undefined
      ? []
      : [fault('user', `there is no user ${JSON.stringify(user)} in /etc/passwd`)]),
    ...(group === undefined || groupId(group) !== undefined
      ? []
      : [fault('socket_group', `there is no group ${JSON.stringify(group)} in /etc/group`)]),
  ];
}

/** What the filter may do is what its user may do; who is not root can only look as himself. */
async function asItsUser<T>({ settings: { user } }: Config, work: () => Promise<T>): Promise<T> {
  const canBecome = process.getuid?.() === 0 && user !== undefined && findUser(user) !== undefined;
  return await new Privileges(canBecome ? user : undefined).meanwhile(work);
}

/** What its modules `bayes` have learned. Where their dictionaries cannot be opened, the modules cannot be set up either. */
async function learnedIn(config: Config): Promise<readonly Learned[]> {
  try {
    const teacher = await openTeacher(config, { looking: true });
    const learned = await teacher.learned().finally(() => teacher.close());
    const isOff = (name: string): boolean =>
      config.modules.some((module) => module.name === name && module.mode === 'off');
    return learned.filter(({ name }) => !isOff(name));
  } catch (error) {
    if (!(error instanceof MilterError)) throw error;
    return [];
  }
}

function untrainedProblem({ modules, text }: Config, learned: Learned): Problem {
  const index = modules.find(({ name }) => name === learned.name)?.index ?? 0;
  return {
    isFault: false,
    line: text.position(['module', index]).line,
    key: learned.name,
    message: `${learnedSentence(learned)} (milter replay --train)`,
  };
}

/** Whether the modules can be set up, and what they log then. */
async function setUpProblems(file: string | undefined, { modules, text }: Config): Promise<Problem[]> {
  const problems: Problem[] = [];
  const note: Logger['warn'] = ({ module, ...fields }, message) => {
    const { name: key = 'module', index } = modules.find(({ name }) => name === module) ?? {};
    const line = index === undefined ? 0 : text.position(['module', index]).line;
    const details = Object.entries(fields).map(([name, value]) => `${name} ${show(value)}`);
    const more = details.length === 0 ? '' : ` (${details.join(', ')})`;
    problems.push({ isFault: false, line, key, message: `${message}${more}` });
  };
  try {
    const trial = await openTrial(file, { debug: () => {}, info: () => {}, warn: note, error: note });
    await trial.filter.close();
  } catch (error) {
    if (!(error instanceof MilterError)) throw error;
    problems.push({ isFault: true, line: 0, key: 'module', message: error.message });
  }
  return problems;
}
