/** A configuration's filter that leaves nothing behind: for `milter try`, `milter replay` and `milter check`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type HistoryRecord,
  makeLogger,
  type OpenedFilter,
  openConfig,
  type Phrases,
  phrasesOf,
  stageDeadlines,
} from '../filter/index.ts';
import type { Logger, ServeOptions } from '../index.ts';
import { opening, readChosen } from './config-file.ts';

/** A filter on trial. */
export interface Trial {
  readonly filter: OpenedFilter;
  /** What of the configuration is for `serve`. */
  readonly serving: Pick<ServeOptions, 'deadlines' | 'onError' | 'maxBody'>;
  readonly phrases: Phrases;
  /** What is known of the message that was played last. */
  record(): Promise<HistoryRecord | undefined>;
}

/** Opens it. What its modules store goes into a folder that is gone when the process ends. */
export async function openTrial(
  given?: string,
  // What became of messages is shown; the log is for what goes wrong.
  logger: Logger = makeLogger({ level: 'warn', format: 'text' }),
): Promise<Trial> {
  const data = mkdtempSync(join(tmpdir(), 'milter-trial-'));
  process.once('exit', () => rmSync(data, { recursive: true, force: true }));
  const config = await readChosen(given, { trial: true, data });
  const { on_error, max_body } = config.settings;
  const filter = await opening(config.file, async () => await openConfig(config, { trial: true, logger }));
  return {
    filter,
    serving: { deadlines: stageDeadlines, onError: on_error, maxBody: max_body },
    phrases: phrasesOf(config),
    record: async () => (await filter.history.find({}, 1))[0],
  };
}
