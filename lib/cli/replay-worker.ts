/** A thread of `milter replay`: plays messages through one configuration, or two, and tells what becomes of each. */
import { parentPort, workerData } from 'node:worker_threads';
import type { HistoryRecord } from '../filter/index.ts';
import { fakeSession } from '../testing/index.ts';
import { type CorpusItem, readItem } from './corpus.ts';
import { guessEnvelope, type KnownEnvelope } from './envelope.ts';
import { openTrial, type Trial } from './trial.ts';

/** What a thread is started with. */
export interface ReplayTask {
  /** Undefined: that of milter run. */
  readonly config: string | undefined;
  readonly other: string | undefined;
  readonly envelope: KnownEnvelope;
}

/** What became of one message. */
export type Fate = Pick<HistoryRecord, 'verdict' | 'recipients' | 'findings' | 'changedBy'>;

/** What a thread tells. */
export type FromReplay =
  | { readonly ready: true }
  | { readonly item: CorpusItem; readonly fate: Fate; readonly other: Fate | undefined }
  | { readonly item: CorpusItem; readonly fault: string };

const { config, other, envelope } = workerData as ReplayTask;
const trial = await openTrial(config);
const otherTrial = other === undefined ? undefined : await openTrial(other);
let played = 0;

parentPort?.on('message', (item: CorpusItem) => {
  void play(item).then(
    (message) => tell(message),
    (error: unknown) => tell({ item, fault: error instanceof Error ? error.message : String(error) }),
  );
});
tell({ ready: true });

function tell(message: FromReplay): void {
  parentPort?.postMessage(message);
}

async function play(item: CorpusItem): Promise<FromReplay> {
  const eml = await readItem(item);
  const fate = await playThrough(trial, eml);
  return { item, fate, other: otherTrial === undefined ? undefined : await playThrough(otherTrial, eml) };
}

async function playThrough({ filter, serving }: Trial, eml: Buffer): Promise<Fate> {
  const id = `R${++played}`;
  const session = fakeSession(filter.Filter, serving);
  try {
    const result = await session.sendMessage(eml, {
      ...guessEnvelope(eml, envelope),
      macros: { j: 'localhost', i: id },
    });
    const [record] = await filter.history.find({ id });
    // Without a record the filter itself failed, and the MTA was told to try again.
    if (record === undefined) return { verdict: result.verdict, recipients: [], findings: [], changedBy: [] };
    const { verdict, recipients, findings, changedBy } = record;
    return { verdict, recipients, findings, changedBy };
  } finally {
    await session.close();
  }
}
