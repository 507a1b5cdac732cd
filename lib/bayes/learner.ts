/** Judges and learns messages: tokens on one side, a store on the other. Runs in the thread of `thread.ts`. */
import { digestOf } from './digest.ts';
import { keyOf, type Secret } from './hash.ts';
import { combine, decides, probability, scoreOf, type Totals } from './score.ts';
import {
  type DictionaryStore,
  type Kind,
  type Lesson,
  type Outcome,
  type Reading,
  SHARED,
} from './store/store.ts';
import { type Envelope, type MessageTokens, messageTokens } from './tokens/message.ts';

/** How a message is looked at. */
export interface MessageOptions {
  /**
   * Whose dictionary is taken, together with the shared one: a user's name, or a group's. Training goes into this dictionary
   * alone. @default the shared dictionary
   */
  readonly user?: string | undefined;
  /** What was said before the message came. @default nothing is known */
  readonly envelope?: Envelope | undefined;
  /** Judged and learned by the header alone, with dictionaries apart from the others. @default false */
  readonly headersOnly?: boolean | undefined;
}

/** A token that decided. */
export interface Clue {
  /** The word, or what kind of thing it is and the thing, such as `from:example.com` or `url:example.com`. Text from mail: escape it. */
  readonly token: string;
  /** How likely a message with it is spam, from 0 to 1. */
  readonly probability: number;
  /** Messages with it that were learned as spam and as ham, in the dictionaries that were asked. */
  readonly spam: number;
  readonly ham: number;
}

/** What a message is taken for. */
export interface Classification {
  /** From 0, ham, to 1, spam. Spam from 0.99 on and ham up to 0.45 are good choices; between, it is unsure. */
  readonly score: number;
  /** Whether enough was learned of both kinds for the score to be relied on. */
  readonly trained: boolean;
  /** The tokens that decided, the strongest first; at most 30. */
  readonly clues: readonly Clue[];
}

/** What came of training. */
export interface Training {
  /** Whether the message was learned now. */
  readonly learned: boolean;
  /**
   * `learned`; `moved`: what it had taught as the other kind was unlearned before; `known`: it had been learned as this kind, and
   * was not learned again; `sure`: it was recognised by a wide margin, and there was nothing to learn.
   */
  readonly outcome: 'learned' | 'moved' | 'known' | 'sure';
  /** Its score before. */
  readonly score: number;
}

/** What came of untraining. */
export interface Untraining {
  /** False where nothing had been learned from it. */
  readonly unlearned: boolean;
}

/** A message that nothing is known of, or nothing that can be undone. */
export class UnlearnError extends Error {}

const MOST_CLUES = 30;
/** What is scored with a wider margin teaches nothing. */
const MARGIN = 0.0003;

interface Judged {
  readonly classification: Classification;
  /** The score of all tokens together, which says whether there is something to learn. */
  readonly whole: number;
  readonly lesson: Lesson;
  readonly dictionary: string;
  /** Keys of tokens that were learned before. */
  readonly known: readonly number[];
}

/** The learner of one store. */
export class Learner {
  readonly #store: DictionaryStore;
  readonly #minTrained: number;
  readonly #secret: Secret;

  /** @param minTrained messages of each kind that must have been learned before its score is to be relied on */
  constructor(store: DictionaryStore, secret: Secret, minTrained: number) {
    this.#store = store;
    this.#secret = secret;
    this.#minTrained = minTrained;
  }

  async classify(message: Uint8Array, options: MessageOptions): Promise<Classification> {
    return (await this.#judge(message, options, false)).classification;
  }

  async train(message: Uint8Array, kind: Kind, options: MessageOptions, now: number): Promise<Training> {
    const { classification, whole, lesson, dictionary, known } = await this.#judge(message, options, true);
    const { score, trained } = classification;
    const record = await this.#store.record(dictionary, lesson.digest, now);
    const isSure = trained && (kind === 'spam' ? whole >= 1 - MARGIN : whole <= MARGIN);
    // A mistake is put right however sure the filter is by now.
    const isMistake = record?.isLearned === true && record.kind !== kind;
    const outcome =
      isSure && !isMistake
        ? await this.#store.perform(
            dictionary,
            { call: 'note', kind },
            { ...lesson, header: known, body: [] },
            now,
          )
        : await this.#store.perform(dictionary, { call: 'learn', kind }, lesson, now);
    refuse(outcome);
    if (outcome === 'noted') return { learned: false, outcome: 'sure', score };
    if (outcome === 'known') return { learned: false, outcome: 'known', score };
    return { learned: true, outcome: outcome === 'moved' ? 'moved' : 'learned', score };
  }

  async untrain(message: Uint8Array, options: MessageOptions, now: number): Promise<Untraining> {
    const { lesson, dictionary } = this.#lesson(message, options, true);
    const outcome = await this.#store.perform(dictionary, { call: 'unlearn' }, lesson, now);
    refuse(outcome);
    return { unlearned: outcome === 'unlearned' };
  }

  #lesson(message: Uint8Array, options: MessageOptions, isToLearn: boolean) {
    const tokens = messageTokens(message, options);
    const keysOf = (list: readonly string[]) => list.map((token) => keyOf(token, this.#secret));
    const header = keysOf(tokens.header);
    const body = keysOf(tokens.body);
    // Hashing a message is for those who learn from it.
    const digest = isToLearn ? digestOf(tokens.root) : Buffer.alloc(0);
    const dictionary =
      (options.headersOnly === true ? 'headers/' : '') +
      (options.user === undefined ? SHARED : `@${options.user}`);
    return { tokens, lesson: { digest, header, body }, dictionary };
  }

  async #judge(message: Uint8Array, options: MessageOptions, isToLearn: boolean): Promise<Judged> {
    const { tokens, lesson, dictionary } = this.#lesson(message, options, isToLearn);
    // What header and body share counts once.
    const inHeader = new Set(tokens.header);
    const isFirst = (_: unknown, i: number): boolean => !inHeader.has(tokens.body[i] ?? '');
    const words = [...tokens.header, ...tokens.body.filter(isFirst)];
    const keys = [...lesson.header, ...lesson.body.filter(isFirst)];
    const shared = await this.#store.read(options.headersOnly === true ? 'headers/' : SHARED, keys);
    const own = options.user === undefined ? undefined : await this.#store.read(dictionary, keys);
    const { totals, counts } = blend(shared, own, this.#minTrained);
    const trained = Math.min(totals.spam, totals.ham) >= this.#minTrained;
    const known = keys.filter((_, i) => (counts[2 * i] ?? 0) + (counts[2 * i + 1] ?? 0) > 0);
    return { ...judge(tokens, words, counts, totals, trained), lesson, dictionary, known };
  }
}

function refuse(outcome: Outcome): void {
  if (outcome === 'unknown') {
    throw new UnlearnError(
      'the message was not trained here, or so long ago that the record of it has expired',
    );
  }
  if (outcome === 'other-release') {
    throw new UnlearnError(
      'the message was learned by a release that took it apart in another way: it cannot be unlearned exactly',
    );
  }
}

/**
 * What both dictionaries know, which need not be whole numbers. A user's own messages count as messages of the shared one; as soon as
 * there are enough to judge by them alone, as much as all of the shared one's together.
 */
function blend(
  shared: Reading,
  own: Reading | undefined,
  minTrained: number,
): { readonly totals: Totals; readonly counts: ArrayLike<number> } {
  if (own === undefined) return shared;
  const isOwnTrained = Math.min(own.totals.spam, own.totals.ham) >= minTrained;
  const weight = (kind: Kind): number =>
    isOwnTrained ? Math.max(1, shared.totals[kind] / own.totals[kind]) : 1;
  const [spamWeight, hamWeight] = [weight('spam'), weight('ham')];
  return {
    totals: {
      spam: shared.totals.spam + spamWeight * own.totals.spam,
      ham: shared.totals.ham + hamWeight * own.totals.ham,
    },
    counts: Float64Array.from(
      shared.counts,
      (count, i) => count + (i % 2 === 0 ? spamWeight : hamWeight) * (own.counts[i] ?? 0),
    ),
  };
}

function judge(
  tokens: MessageTokens,
  words: readonly string[],
  counts: ArrayLike<number>,
  totals: Totals,
  trained: boolean,
): Pick<Judged, 'classification' | 'whole'> {
  const clues = new Map<string, Clue>();
  for (const [i, token] of words.entries()) {
    const spam = counts[2 * i] ?? 0;
    const ham = counts[2 * i + 1] ?? 0;
    if (spam + ham === 0) continue;
    const p = probability({ spam, ham }, totals);
    if (decides(p)) clues.set(token, { token, probability: p, spam, ham });
  }
  const segments = tokens.segments.map((segment) =>
    segment.flatMap((token) => {
      const clue = clues.get(token);
      return clue === undefined ? [] : [clue.probability];
    }),
  );
  const all = [...clues.values()];
  const strongest = all.toSorted((a, b) => Math.abs(b.probability - 0.5) - Math.abs(a.probability - 0.5));
  const whole = combine(all.map((clue) => clue.probability));
  const score = scoreOf(whole, segments);
  return { classification: { score, trained, clues: strongest.slice(0, MOST_CLUES) }, whole };
}
