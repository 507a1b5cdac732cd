/** The command `milter dns`. */
import { type Config, FilterConfigError, faultLine, isSesUsed, makeLogger } from '../filter/index.ts';
import type { Logger } from '../index.ts';
import { NameServer } from '../nameserver/index.ts';
import { optionFault } from '../options.ts';
import { packageJson } from '../package.ts';
import type { SesReport } from '../srs/index.ts';
import { type ChosenConfig, chooseConfig } from './config-file.ts';
import { ConfiguredNameServer } from './name-server.ts';
import { Privileges } from './privileges.ts';
import { SesUses } from './ses-uses.ts';
import { untilEnd } from './until-end.ts';
import { type CommandIo, oneAtMost, readArguments } from './usage.ts';
import { withStore } from './with-store.ts';

const USAGE = `Usage: milter dns [FILE.toml]                      serve the list
       milter dns --test NAME [FILE.toml]          what would be answered, and why

Serves the list that [dns_server] of the configuration names: an authoritative name server for names, networks and
patterns. Without FILE.toml it is the configuration that milter run would take.

  --test NAME         an address, a domain, a name within the zone, or a signed sender's address: show which lines of
                      the list match it; nothing is served
  --config FILE.toml  the same as FILE.toml
  --json              print the result of --test as JSON
  --help              show this

The list is read again when its file changes, and on SIGHUP, which has it read the configuration again too; one with
faults is logged, and the old one stays. SIGTERM and SIGINT end the command.
Exit status: 0 after such an end, and of --test whatever its result; 1 when the configuration or the list has faults, or
nothing can be served; 2 for wrong arguments.
`;

const OPTIONS = {
  test: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Milliseconds between two looks at the file of patterns. */
const REFRESH = 2_000;

/** Runs `milter dns` with the arguments behind that, and resolves to the exit status when a signal has ended it. */
export async function runDns(args: readonly string[], { stdout }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    stdout.write(USAGE);
    return 0;
  }
  const file = oneAtMost('FILE.toml', positionals);
  if (file !== undefined && values.config !== undefined) throw optionFault('--config goes with no FILE.toml');
  if (values.json === true && values.test === undefined) throw optionFault('--json goes with --test');
  const chosen = chooseConfig(file ?? values.config);
  const config = await chosen.read({});
  if (values.test === undefined) return await serveZone(chosen, config, stdout);
  const { testName } = await import('./dns-test.ts');
  const isUsed = async (report: SesReport): Promise<boolean> =>
    await withStore(config, async (store) => await isSesUsed(store, report));
  const hasStore = config.settings.store.url.kind !== 'memory';
  const server = new ConfiguredNameServer(config, hasStore ? isUsed : undefined);
  stdout.write(await testName(values.test, server, values.json === true));
  return 0;
}

async function serveZone(
  chosen: ChosenConfig,
  first: Config,
  stdout: NodeJS.WritableStream,
): Promise<number> {
  const privileges = new Privileges(first.settings.user);
  const logger = makeLogger(first.settings.log);
  const uses = new SesUses(logger);
  let configured = await privileges.meanwhile(async () => new ConfiguredNameServer(first, uses.isUsed));
  await uses.open(first);
  let zone = configured.zone(1);
  const { host, port, rate } = configured;
  const server = await NameServer.listen({
    host,
    port,
    rate,
    isUnlimited: (address) => configured.isUnlimited(address),
    zone,
  });
  privileges.drop();
  await uses.reach();

  const replace = (): void => {
    zone = configured.zone(zone.serial + 1);
    server.zone = zone;
    logger.info({ zone: zone.name, serial: zone.serial }, 'another version of the list is served');
  };
  const refresh = async (): Promise<void> =>
    await configured.refresh({
      changed: replace,
      failed: (path, faults) => {
        const lines = faults.map((fault) => faultLine({ ...fault, key: '' }));
        logger.error({ path, faults: lines }, 'a file has changed and has faults; the one before stays');
      },
    });
  const reload = async (): Promise<void> => {
    try {
      const config = await chosen.read({});
      const next = new ConfiguredNameServer(config, uses.isUsed, configured);
      await uses.open(config);
      void uses.reach();
      warnOfFixed(next, configured, logger);
      configured = next;
      replace();
    } catch (error) {
      if (!(error instanceof FilterConfigError)) throw error;
      logger.error(
        { configuration: chosen.name, faults: error.message.split('\n') },
        'the configuration has faults; the one before stays',
      );
    }
    await refresh();
  };
  const timer = setInterval(() => void refresh(), REFRESH);
  const end = untilEnd({
    servers: [server],
    grace: {},
    logger,
    reload: () => void reload(),
    closing: () => clearInterval(timer),
    closed: () => uses.close(),
  });
  // Who reads this may send a signal at once.
  logger.info({ address: server.address, zone: zone.name, serial: zone.serial }, 'listening');
  stdout.write(
    `milter ${packageJson.version}: the name server of ${zone.name} listens at ${server.address} for UDP and TCP\n`,
  );
  return await end;
}

/** What a running server keeps. */
function warnOfFixed(next: ConfiguredNameServer, now: ConfiguredNameServer, logger: Logger): void {
  if (next.host !== now.host || next.port !== now.port || next.rate !== now.rate)
    logger.warn({}, 'listen and rate_limit of [dns_server] hold when the command is started anew');
}
