/** The quarantine of a configuration, for a filter that runs and for the command beside it. */
import type { Logger } from '../../index.ts';
import type { Config } from '../config/config.ts';
import type { Learner } from '../facts.ts';
import { phrasesOf } from '../findings/phrases.ts';
import { send } from '../outgoing/outgoing.ts';
import type { Store } from '../store/store.ts';
import type { Metrics } from '../watch/metrics.ts';
import { AllowedSenders } from './allowed.ts';
import { check, expire } from './check.ts';
import { HeldMail } from './held-mail.ts';
import type { QuarantineReport } from './quarantine.ts';
import { Releases } from './releases.ts';
import { Review } from './review.ts';

/** What the quarantine works with. */
export interface QuarantineParts {
  /** The whole of it. */
  readonly store: Store;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Asked when somebody trains. @default nobody learns */
  readonly learners?: () => readonly Learner[];
}

/** A quarantine. */
export interface OpenQuarantine {
  readonly held: HeldMail;
  readonly releases: Releases;
  readonly allowed: AllowedSenders;
  readonly review: Review;
  /** Forgets what is older than `keep`, and removes files that nobody has named for so long. To be called now and then. */
  expire(): Promise<void>;
  /** Compares items and files, and mends what can be mended. Every file is read. */
  check(): Promise<QuarantineReport>;
}

/** Opens it: nothing is made before something is held. */
export function openQuarantine(config: Config, parts: QuarantineParts): OpenQuarantine {
  const { settings } = config;
  const { store, learners = () => [], ...shared } = parts;
  const phrases = phrasesOf(config);
  const held = new HeldMail(settings.quarantine, settings.data, {
    ...shared,
    store: store.part('quarantine'),
    hostname: settings.hostname,
    phraseOf: (finding) => phrases.get(finding),
  });
  const releases = new Releases({
    ...shared,
    held,
    deliver: (mail, handing) => send(settings, mail, handing),
  });
  const allowed = new AllowedSenders(store.part('allowed'));
  const review = new Review({ ...shared, held, releases, allowed, learners, outgoing: settings.outgoing });
  const tidying = { ...shared, held };
  return {
    held,
    releases,
    allowed,
    review,
    expire: () => expire(tidying),
    check: () => check(tidying),
  };
}
