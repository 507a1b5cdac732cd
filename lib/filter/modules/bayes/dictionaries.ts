/** Whose dictionary is asked, and taught. */
import { type Bayes, type MessageOptions, openBayes, type Training } from '../../../bayes/index.ts';
import { comparableAddress, type Services } from '../../kit.ts';
import type { BayesOptions } from './options.ts';

/** The dictionaries of one configuration. */
export class Dictionaries {
  readonly #bayes: Bayes;
  readonly #options: BayesOptions;

  constructor(bayes: Bayes, options: BayesOptions) {
    this.#bayes = bayes;
    this.#options = options;
  }

  /** Opens those of a configuration. */
  static async open(
    options: BayesOptions,
    { dictionaries: url, now }: Pick<Services, 'dictionaries' | 'now'>,
  ): Promise<Dictionaries> {
    return new Dictionaries(await openBayes({ url, now, minTrained: options.min_trained }), options);
  }

  get bayes(): Bayes {
    return this.#bayes;
  }

  /** How mail to a recipient is looked at. Recipients with the same dictionary get the same key. */
  optionsFor(recipient: string | undefined): MessageOptions & { readonly key: string } {
    const { headers_only, triage, users } = this.#options;
    if (headers_only) {
      return { headersOnly: true, key: '', ...(triage === 'shared' ? {} : { user: triage }) };
    }
    const user = recipient === undefined ? undefined : userOf(users, recipient);
    return user === undefined ? { key: '' } : { user, key: user };
  }

  /** Learns a message in the dictionary of whose mail it is: also what its header alone teaches, where that is judged. */
  async learn(
    message: Uint8Array,
    kind: 'spam' | 'ham',
    owner: string | undefined,
  ): Promise<Training['outcome']> {
    const { key: _, ...how } = this.optionsFor(owner);
    return (await this.#bayes.train(message, kind, how)).outcome;
  }

  async close(): Promise<void> {
    await this.#bayes.close();
  }
}

function userOf(users: BayesOptions['users'], recipient: string): string | undefined {
  if (users === 'shared') return undefined;
  if (users !== 'each') return users.groups.groupOf(recipient);
  // However it is written: one who reads it has one dictionary.
  const name = comparableAddress(recipient);
  return name === '' || name.length > 320 ? undefined : name;
}
