/** The SpamAssassin public corpus and the attacks, where they are. Copied nowhere: the senders of the mails own their texts. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from './directory.ts';

const FOLDER = join(import.meta.dirname, '../../../shared/cases/bayes');

/** Whether it is there. */
export const hasCorpus: boolean = existsSync(join(FOLDER, 'sa-messages.tar.xz'));

/** One mail of the corpus. */
export interface Case {
  readonly kind: 'spam' | 'ham';
  readonly file: string;
}

/** A mail's score by some filter. */
export interface Scored {
  readonly kind: 'spam' | 'ham';
  readonly score: number;
}

/** Unpacks it. */
export async function openCorpus() {
  const directory = await temporaryDirectory();
  const { status, stderr } = spawnSync('tar', [
    'xJf',
    join(FOLDER, 'sa-messages.tar.xz'),
    '-C',
    directory.path,
  ]);
  if (status !== 0) throw new Error(`tar: ${stderr}`);
  return {
    /** By time. */
    all: listOf('sa-index'),
    /** Protocol P1: both classes in turn. */
    firstHalf: listOf('sa-P1i.train'),
    secondHalf: listOf('sa-P1.test'),
    path: (file: string): string => join(directory.path, file),
    read: ({ file }: Case): Promise<Buffer> => readFile(join(directory.path, file)),
    async [Symbol.asyncDispose](): Promise<void> {
      await directory[Symbol.asyncDispose]();
    },
  };
}

function listOf(name: string): readonly Case[] {
  const lines = readFileSync(join(FOLDER, name), 'utf8').trim().split('\n');
  return lines.map((line) => {
    const [kind, file = ''] = line.split(' ');
    return { kind: kind === 'spam' ? 'spam' : 'ham', file };
  });
}

/** The attacks of one set, by name. */
export async function attacks(
  set: 'attacks' | 'attacks-innocent',
): Promise<readonly { readonly name: string; readonly message: Buffer }[]> {
  const names = (await readdir(join(FOLDER, set))).sort();
  return await Promise.all(
    names.map(async (name) => ({ name, message: await readFile(join(FOLDER, set, name)) })),
  );
}

/** Figures of scores, in percent where they are shares. */
export interface Figures {
  readonly falsePositives: number;
  readonly falseNegatives: number;
  readonly unsureHam: number;
  readonly unsureSpam: number;
  /** One less the area under the curve of false positives and true positives. */
  readonly error: number;
  /** Spam missed where one ham of a thousand, or of a hundred, is lost. */
  readonly missed: readonly [atThousandth: number, atHundredth: number];
}

/** Measures scores at the cut-offs 0.99 and 0.45. */
export function figures(scores: readonly Scored[]): Figures {
  const of = (kind: Case['kind']): number[] =>
    scores.filter((one) => one.kind === kind).map(({ score }) => score);
  const ham = of('ham').sort((a, b) => b - a);
  const spam = of('spam').sort((a, b) => b - a);
  let below = 0;
  let wins = 0;
  for (const score of spam.toReversed()) {
    while (below < ham.length && (ham[ham.length - 1 - below] ?? 0) < score) below++;
    const ties = ham.filter((one) => one === score).length;
    wins += below + ties / 2;
  }
  const missedAt = (share: number): number => {
    const threshold = ham[Math.floor(share * ham.length)] ?? 0;
    return (100 * spam.filter((score) => score <= threshold).length) / spam.length;
  };
  const isUnsure = (score: number): boolean => score > 0.45 && score < 0.99;
  return {
    falsePositives: ham.filter((score) => score >= 0.99).length,
    falseNegatives: spam.filter((score) => score <= 0.45).length,
    unsureHam: ham.filter(isUnsure).length,
    unsureSpam: spam.filter(isUnsure).length,
    error: 100 * (1 - wins / (ham.length * spam.length)),
    missed: [missedAt(0.001), missedAt(0.01)],
  };
}

/** The figures as a line. */
export function evaluate(scores: readonly Scored[]): string {
  const { falsePositives, falseNegatives, unsureHam, unsureSpam, error, missed } = figures(scores);
  return (
    `FP ${falsePositives} FN ${falseNegatives} unsure ham ${unsureHam} spam ${unsureSpam}, (1-ROCA)% ${error.toFixed(4)}, ` +
    `FN% at 0.1 % FP ${missed[0].toFixed(2)}, at 1 % ${missed[1].toFixed(2)}`
  );
}
