/** What a thread of `milter run FILE.toml` serves: the configuration's filter, without what is done once for all threads. */
import { workerData } from 'node:worker_threads';
import { ReloadableFilter, TeamMember } from '../filter/index.ts';
import { chooseConfig, opening } from './config-file.ts';

const parameters = new URL(import.meta.url).searchParams;
const { path, name, read } = chooseConfig(parameters.get('config') ?? undefined);
const data = parameters.get('data') ?? '';
const { number } = workerData as { readonly number: number };
const member = new TeamMember(parameters.get('channel') ?? '', number);
const { logger, metrics } = member;

const filter = await opening(
  path ?? name,
  async () =>
    await ReloadableFilter.open(async (options) => await read({ data, ...options }), {
      logger,
      metrics,
      chores: false,
    }),
);
member.onReload(() => void filter.reload());
process.on('unhandledRejection', (error) => {
  logger.error({ error }, 'a promise was rejected outside of every handler');
});

export default filter.filter;

/** The thread ends. */
export async function close(): Promise<void> {
  await filter.close();
  member.close();
}
