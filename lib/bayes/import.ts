/** Takes over what bogofilter learned: the lines of `bogoutil -d`, each a token with its counts and a day. */
import { dayOf } from './counts.ts';
import { keyOf, type Secret } from './hash.ts';
import { type DictionaryStore, type Import, SHARED } from './store/store.ts';

/** What bogofilter puts before tokens of headers, and what is put there here. */
const PREFIXES: Readonly<Record<string, string>> = {
  subj: '',
  from: 'from:',
  to: 'to:',
  cc: 'cc:',
  rtrn: 'env-from:',
  rcvd: 'received:',
  url: 'url:',
};

/** Adds the counts of lines to a store. */
export class Importer {
  readonly #store: DictionaryStore;
  readonly #secret: Secret;

  constructor(store: DictionaryStore, secret: Secret) {
    this.#store = store;
    this.#secret = secret;
  }

  /** Resolves to how many tokens were of use. Lines that are no tokens are left out. */
  async add(lines: readonly string[], user: string | undefined, now: number): Promise<number> {
    const totals = { spam: 0, ham: 0 };
    const tokens: Import[] = [];
    for (const line of lines) {
      const [, word, spamText, hamText, date] =
        /^(\S+) (\d{1,9}) (\d{1,9})(?: (\d{8}))?\s*$/.exec(line) ?? [];
      if (word === undefined) continue;
      const [spam, ham] = [Number(spamText), Number(hamText)];
      if (word === '.MSG_COUNT') {
        totals.spam += spam;
        totals.ham += ham;
      }
      const token = tokenOf(word);
      if (token === undefined || spam + ham === 0) continue;
      tokens.push({ key: keyOf(token, this.#secret), spam, ham, day: dayOfDate(date, now) });
    }
    await this.#store.import(user === undefined ? SHARED : `@${user}`, tokens, totals);
    return tokens.length;
  }
}

function tokenOf(word: string): string | undefined {
  if (word.startsWith('.')) return undefined;
  const [, prefix = '', rest = ''] = /^([a-z]{2,4}):(.+)$/.exec(word) ?? [];
  if (rest === '') return word.toLowerCase();
  const ours = PREFIXES[prefix];
  return ours === undefined ? undefined : ours + rest.toLowerCase();
}

function dayOfDate(date: string | undefined, now: number): number {
  const time = Date.parse(`${date?.slice(0, 4)}-${date?.slice(4, 6)}-${date?.slice(6)}`);
  return dayOf(Number.isNaN(time) ? now : Math.min(time, now));
}
