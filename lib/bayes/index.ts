/**
 * A statistical filter: learns from messages which are spam and which are not, and says what a new one is likely to be.
 */
import { checkNode } from '../node-version.ts';
import { RETENTION } from './expiry.ts';
import type { Retention } from './store/store.ts';

export type { Classification, Clue, MessageOptions, Training, Untraining } from './learner.ts';
export { type Bayes, type BayesOptions, type BayesStatistics, openBayes } from './open.ts';
export type { Kind, Retention } from './store/store.ts';
export type { Envelope } from './tokens/message.ts';

/** How long, and how many, things are kept unless told otherwise. */
export const defaultRetention: Retention = RETENTION;

checkNode();
