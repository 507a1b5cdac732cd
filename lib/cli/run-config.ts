/** What `milter run FILE.toml` does. */
import { extname } from 'node:path';
import {
  type Config,
  FilterTeam,
  type HttpServer,
  ReloadableFilter,
  stageDeadlines,
  startHttp,
} from '../filter/index.ts';
import { type ServeOptions, type Server, serve } from '../index.ts';
import { MAX_INT } from '../options.ts';
import { packageJson } from '../package.ts';
import { type ChosenConfig, opening } from './config-file.ts';
import { engineInWords } from './engine.ts';
import { adviseMta } from './mta-advice.ts';
import { Privileges } from './privileges.ts';
import { untilEnd } from './until-end.ts';
import { type CommandIo, given } from './usage.ts';

/** What the command line says besides. */
export interface RunFlags {
  /** In place of the configuration's. */
  readonly socket: string | undefined;
  readonly grace: number | undefined;
  readonly debug: number | undefined;
}

/** Serves a configuration until a signal ends it, and resolves to the exit status. */
export async function runConfig(
  chosen: ChosenConfig,
  flags: RunFlags,
  { stdout }: CommandIo,
): Promise<number> {
  const first = await chosen.read({});
  const { settings } = first;
  const privileges = new Privileges(settings.user);
  if (keepsData(first)) await privileges.makeData(settings.data);
  const filter = await privileges.meanwhile(
    async () =>
      await opening(chosen.name, async () => await ReloadableFilter.open(chosen.read, { config: first })),
  );
  const { logger } = filter;
  let team: FilterTeam | undefined;
  const sockets = flags.socket === undefined ? settings.socket : [flags.socket];
  const servers: Server[] = [];
  let isOpen = false;
  let http: HttpServer | undefined;
  const grace = given<{ deadline?: number }>({ deadline: flags.grace });
  try {
    team = await privileges.meanwhile(async () => await startTeam(chosen, settings, filter));
    http = await startHttp(
      {
        metrics: filter.current.metrics,
        store: filter.current.store,
        log: logger,
        isListening: () => isOpen,
        site: { current: () => filter.current, log: logger, troubles: () => filter.troubles },
      },
      settings.http,
    );
    for (const socket of sockets)
      servers.push(await serve(team?.threads ?? filter.filter, serveOptions(first, socket, flags, logger)));
    // At once: from now on mail comes.
    privileges.drop();
    isOpen = true;
  } catch (error) {
    await http?.close();
    await Promise.all(servers.map((server) => server.close({ deadline: 0 })));
    await team?.close();
    await filter.close();
    throw error;
  }
  const end = untilEnd({
    servers,
    closing: () => {
      isOpen = false;
    },
    grace,
    logger,
    // What the main thread refuses no other is asked to take.
    reload: () => void filter.reload().then((isTaken) => isTaken && team?.reload()),
    closed: async () => {
      await http?.close();
      await team?.close();
      await filter.close();
    },
  });
  // Who reads this may send a signal at once.
  for (const { address } of servers) logger.info({ address, configuration: chosen.name }, 'listening');
  if (!isForPrograms(settings.log.format)) stdout.write(banner(chosen, servers));
  if (http !== undefined) logger.info({ address: http.address }, 'HTTP is listening');
  return await end;
}

/** What says nothing of `data` and remembers nothing there may do without it: in a container, for a try. */
function keepsData({ text: { values }, settings }: Config): boolean {
  return 'data' in values || settings.user !== undefined || settings.store.url.kind === 'sqlite';
}

/** Where there is to be more than one thread, the main thread serves no mail itself. */
async function startTeam(
  { path }: ChosenConfig,
  { threads, data }: Config['settings'],
  filter: ReloadableFilter,
): Promise<FilterTeam | undefined> {
  if (threads === 1) return undefined;
  const url = new URL(`./filter-thread${extname(import.meta.filename)}`, import.meta.url);
  if (path !== undefined) url.searchParams.set('config', path);
  url.searchParams.set('data', data);
  return await FilterTeam.start(url, threads, filter);
}

function serveOptions(
  { settings }: Config,
  socket: string,
  { debug }: RunFlags,
  logger: ServeOptions['logger'],
): ServeOptions {
  const { engine, socket_mode, socket_group, on_error, max_body, max_connections, timeout } = settings;
  return given<ServeOptions>({
    socket,
    engine,
    socketMode: socket_mode,
    socketGroup: socket_group,
    onError: on_error,
    maxBody: max_body,
    maxConnections: max_connections,
    // libmilter counts in an int.
    timeout: Math.min(timeout, MAX_INT),
    deadlines: stageDeadlines,
    debug,
    logger,
  });
}

/** Whoever reads the log by program, the journal or a collector, needs no advice. */
function isForPrograms(format: Config['settings']['log']['format']): boolean {
  const { JOURNAL_STREAM } = process.env;
  return format === 'json' || format === 'journal' || JOURNAL_STREAM !== undefined;
}

function banner({ name, path }: ChosenConfig, servers: readonly Server[]): string {
  const addresses = servers.map(({ address }) => address);
  const [first] = servers;
  const engine = first === undefined ? '' : `, ${engineInWords(first)}`;
  const what = path === undefined ? `${name}, which refuses and changes nothing,` : name;
  return `milter ${packageJson.version}${engine}: ${what} listens at ${addresses.join(' and at ')}

${adviseMta(addresses[0] ?? '')}
${path === undefined ? 'Make a configuration of your own with: milter init\n' : ''}Stop it with Ctrl-C or SIGTERM: running messages may finish first. SIGHUP has it read its configuration again.
`;
}
