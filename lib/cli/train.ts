/** `milter replay --train`: a corpus teaches the dictionaries of a configuration. */
import { createReadStream } from 'node:fs';
import { MilterError } from '../errors.ts';
import { type Config, type Learned, openTeacher, type Teacher } from '../filter/index.ts';
import { optionFault } from '../options.ts';
import { readChosen } from './config-file.ts';
import { itemName, readCorpus, readItem } from './corpus.ts';
import { printable, toJson } from './printable.ts';
import { Privileges } from './privileges.ts';
import { Progress } from './progress.ts';
import type { CommandIo } from './usage.ts';
import { refuseMemory } from './with-store.ts';

/** What a corpus can be; `bogofilter`: what its `bogoutil -d` prints. */
export const LESSONS = ['spam', 'ham', 'bogofilter'] as const;

/** How a corpus is to teach. */
export interface TrainOptions {
  readonly lesson: (typeof LESSONS)[number];
  /** Whose dictionary is taught; undefined: that of all. */
  readonly user: string | undefined;
  /** Undefined: that of milter run. */
  readonly config: string | undefined;
  readonly json: boolean;
}

/** So many messages that could not be read are named. */
const MAX_NAMED = 10_000;

/** Teaches with all that is at these paths, and resolves to the exit status. */
export async function runTraining(
  paths: readonly string[],
  { lesson, user, config: given, json }: TrainOptions,
  { stdout, stderr }: CommandIo,
): Promise<number> {
  const config = await readChosen(given);
  const teacher = await openForTraining(config);
  try {
    if (user !== undefined && !teacher.hasOwn(user)) {
      throw optionFault(`--user: by the option "users" of module bayes, ${user} has no dictionary apart`);
    }
    if (lesson === 'bogofilter') {
      const tokens = await importAll(paths, teacher, user);
      const learned = await teacher.learned();
      stdout.write(json ? toJson({ tokens, dictionaries: learned }) : toldImport(tokens, learned));
      return 0;
    }
    const report = new TrainingReport(lesson);
    const progress = new Progress(stderr, report);
    try {
      await teachAll(paths, teacher, { lesson, user }, report);
    } finally {
      progress.end();
    }
    if (report.messages === 0 && report.unreadable.length === 0) {
      throw optionFault(`no message in ${paths.join(', ')}`);
    }
    const learned = await teacher.learned();
    stdout.write(json ? toJson(report.toJSON(learned)) : report.toText(learned));
    return report.unreadable.length > 0 ? 1 : 0;
  } finally {
    await teacher.close();
  }
}

/** What a module has learned, as a sentence without its name. */
export function learnedSentence({ spam, ham, users, judgesFrom, isTrained }: Learned): string {
  const others = users === 0 ? '' : ` for all, and ${users} dictionar${users === 1 ? 'y' : 'ies'} of users`;
  const judges = isTrained ? 'judges from' : 'does not judge yet, but from';
  return `has learned ${spam} spam and ${ham} ham${others}; it ${judges} ${judgesFrom} of each on`;
}

/** As the user that the filter is: what root made there the filter could not use. The corpus is read by who started the command. */
async function openForTraining(config: Config): Promise<Teacher> {
  if (!config.modules.some(({ definition }) => definition.name === 'bayes')) {
    throw optionFault(`${config.file} has no module "bayes", which could learn`);
  }
  refuseMemory(config);
  const privileges = new Privileges(config.settings.user);
  await privileges.makeData(config.settings.data);
  return await privileges.meanwhile(async () => await openTeacher(config));
}

/** One after the other: the same corpus makes the same dictionary, since what is recognised already teaches nothing. */
async function teachAll(
  paths: readonly string[],
  teacher: Teacher,
  { lesson, user }: { readonly lesson: 'spam' | 'ham'; readonly user: string | undefined },
  report: TrainingReport,
): Promise<void> {
  for await (const item of readCorpus(paths)) {
    let message: Buffer;
    try {
      message = await readItem(item);
    } catch (error) {
      report.addUnreadable(itemName(item), error instanceof Error ? error.message : String(error));
      continue;
    }
    try {
      report.add(await teacher.learn(message, lesson, user));
    } catch (error) {
      if (!(error instanceof MilterError)) throw error;
      throw new MilterError(
        error.code,
        `${error.message}; before, ${report.messages} messages were worked on, and will be known when it is started again`,
        { cause: error.cause },
      );
    }
  }
}

async function importAll(
  paths: readonly string[],
  teacher: Teacher,
  user: string | undefined,
): Promise<number> {
  let total = 0;
  for (const path of paths) {
    const dump: NodeJS.ReadableStream = path === '-' ? process.stdin : createReadStream(path);
    dump.setEncoding('utf8');
    try {
      total += await teacher.importBogofilter(dump as AsyncIterable<string>, user);
    } catch (cause) {
      if (cause instanceof MilterError) throw cause;
      throw new MilterError('ERR_MILTER_OPTION', `cannot read ${path}`, { cause });
    }
  }
  if (total > 0) return total;
  throw optionFault(`no token in ${paths.join(', ')}: it must be what "bogoutil -d wordlist.db" prints`);
}

function toldImport(tokens: number, learned: readonly Learned[]): string {
  return `${tokens} tokens were taken over\n${toldLearned(learned)}`;
}

function toldLearned(learned: readonly Learned[]): string {
  return learned.map((one) => `${one.name} ${learnedSentence(one)}\n`).join('');
}

type Outcome = Awaited<ReturnType<Teacher['learn']>>;

/** What came of the messages, counted. */
class TrainingReport {
  readonly unreadable: string[] = [];
  readonly #lesson: 'spam' | 'ham';
  readonly #outcomes: Record<Outcome, number> = { learned: 0, moved: 0, known: 0, sure: 0 };
  readonly #began = performance.now();

  constructor(lesson: 'spam' | 'ham') {
    this.#lesson = lesson;
  }

  add(outcome: Outcome): void {
    this.#outcomes[outcome]++;
  }

  addUnreadable(name: string, why: string): void {
    if (this.unreadable.length < MAX_NAMED) this.unreadable.push(`${name}: ${why}`);
  }

  get messages(): number {
    return Object.values(this.#outcomes).reduce((sum, one) => sum + one, 0);
  }

  get seconds(): number {
    return (performance.now() - this.#began) / 1_000;
  }

  toJSON(dictionaries: readonly Learned[]): Readonly<Record<string, unknown>> {
    const { messages, seconds, unreadable } = this;
    return { trained: this.#lesson, messages, seconds, ...this.#outcomes, unreadable, dictionaries };
  }

  toText(dictionaries: readonly Learned[]): string {
    const { messages, seconds } = this;
    const { learned, moved, known, sure } = this.#outcomes;
    const other = this.#lesson === 'spam' ? 'ham' : 'spam';
    const rows: readonly (readonly [string, number])[] = [
      [`learned as ${this.#lesson}`, learned],
      [`learned as ${this.#lesson}, and no more as ${other}`, moved],
      ['known already', known],
      ['recognised by a wide margin: nothing to learn', sure],
    ];
    const shown = rows.filter(([, count]) => count > 0);
    const width = Math.max(...shown.map(([name]) => name.length), 0);
    return [
      `${messages} message${messages === 1 ? '' : 's'} in ${seconds.toFixed(1)} s, ${(messages / seconds).toFixed(0)} a second\n`,
      ...shown.map(([name, count]) => `  ${name.padEnd(width)} ${String(count).padStart(8)}\n`),
      ...this.unreadable.map((line) => `not read: ${printable(line)}\n`),
      toldLearned(dictionaries),
    ].join('');
  }
}
