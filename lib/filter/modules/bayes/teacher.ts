/** What the dictionaries of a configuration have learned, and how to teach them: for those who do so beside the filter. */
import type { BayesStatistics, Training } from '../../../bayes/index.ts';
import type { Config } from '../../config/config.ts';
import { existingDictionaries } from '../../config/dictionaries.ts';
import { Dictionaries } from './dictionaries.ts';
import type { BayesOptions } from './options.ts';

/** What one module `bayes` has learned. */
export interface Learned {
  /** The module's name. */
  readonly name: string;
  /** Messages of each kind, in the dictionary that all share. */
  readonly spam: number;
  readonly ham: number;
  /** Dictionaries of single users, or of groups. */
  readonly users: number;
  /** Messages of each kind from which it judges. */
  readonly judgesFrom: number;
  /** Whether it judges anybody's mail. */
  readonly isTrained: boolean;
}

/** How likely it is that somebody wants to know of it, when several modules learn from one message. */
const TOLD: readonly Training['outcome'][] = ['learned', 'moved', 'known', 'sure'];

interface Pupil {
  readonly name: string;
  readonly options: BayesOptions;
  readonly dictionaries: Dictionaries;
}

/** Teaches all modules `bayes` of a configuration, those that only observe or are off included. */
export class Teacher {
  readonly #pupils: readonly Pupil[];

  /** @see openTeacher */
  constructor(pupils: readonly Pupil[]) {
    this.#pupils = pupils;
  }

  /** Whether an address has a dictionary apart from that of all: its own, or that of its group. */
  hasOwn(owner: string): boolean {
    return this.#pupils.some((pupil) => isApart(pupil, owner));
  }

  /**
   * Teaches one message; resolves to what came of it, see `Training` of `libmilter/bayes`.
   * @param owner whose dictionary it goes to, where users or groups have their own; undefined: to that of all
   * @throws MilterError `ERR_MILTER_STORE` where it could not be learned
   */
  async learn(
    message: Uint8Array,
    kind: 'spam' | 'ham',
    owner: string | undefined,
  ): Promise<Training['outcome']> {
    const outcomes = new Set<Training['outcome']>();
    for (const { dictionaries } of this.#pupils) {
      outcomes.add(await dictionaries.learn(message, kind, owner));
    }
    return TOLD.find((one) => outcomes.has(one)) ?? 'known';
  }

  /**
   * Adds what bogofilter learned, as `bogoutil -d wordlist.db` prints it; resolves to how many tokens were of use. Header
   * triage has no use for it.
   * @param owner as for {@link learn}
   */
  async importBogofilter(dump: AsyncIterable<string>, owner: string | undefined): Promise<number> {
    const pupils = this.#pupils.filter(({ options }) => !options.headers_only);
    // All are in one store: it goes there once.
    const pupil = pupils.find((one) => owner !== undefined && isApart(one, owner)) ?? pupils[0];
    if (pupil === undefined) return 0;
    const { key: _, ...how } = pupil.dictionaries.optionsFor(owner);
    return await pupil.dictionaries.bayes.importBogofilter(dump, how);
  }

  /** What each module has learned. */
  async learned(): Promise<readonly Learned[]> {
    return await Promise.all(
      this.#pupils.map(async (pupil) => learnedOf(pupil, await pupil.dictionaries.bayes.statistics())),
    );
  }

  async close(): Promise<void> {
    for (const { dictionaries } of this.#pupils) await dictionaries.close();
  }
}

/**
 * Opens the dictionaries of a configuration, those of all its modules `bayes`. To be closed.
 * @param looking for those who only look: what is not there is not made
 * @throws MilterError `ERR_MILTER_STORE` where they cannot be opened
 */
export async function openTeacher(
  { modules, dictionaries: url }: Config,
  { looking = false }: { readonly looking?: boolean } = {},
): Promise<Teacher> {
  const own = modules.filter(({ definition }) => definition.name === 'bayes');
  const where = { dictionaries: looking ? existingDictionaries(url) : url, now: Date.now };
  const pupils: Pupil[] = [];
  const teacher = new Teacher(pupils);
  try {
    for (const { name, options } of own) {
      const settings = options as BayesOptions;
      pupils.push({ name, options: settings, dictionaries: await Dictionaries.open(settings, where) });
    }
    return teacher;
  } catch (error) {
    await teacher.close();
    throw error;
  }
}

function isApart({ dictionaries, options }: Pupil, owner: string): boolean {
  return !options.headers_only && dictionaries.optionsFor(owner).key !== '';
}

function learnedOf({ name, options, dictionaries }: Pupil, all: readonly BayesStatistics[]): Learned {
  const { headers_only, min_trained, users } = options;
  const rows = all.filter(({ headersOnly }) => headersOnly === headers_only);
  // Header triage has one dictionary for all, whatever its name; beside it counts the shared one.
  const { user: triage } = dictionaries.optionsFor(undefined);
  const ofAll = rows.filter(({ user }) => user === undefined || user === triage);
  const others = headers_only || users === 'shared' ? [] : rows.filter(({ user }) => user !== undefined);
  const spam = sum(ofAll.map((row) => row.spam));
  const ham = sum(ofAll.map((row) => row.ham));
  const isTrained = [{ spam: 0, ham: 0 }, ...others].some(
    (own) => Math.min(spam + own.spam, ham + own.ham) >= min_trained,
  );
  return { name, spam, ham, users: others.length, judgesFrom: min_trained, isTrained };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
