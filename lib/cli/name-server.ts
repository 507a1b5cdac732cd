/** The name server that a configuration describes in `[dns_server]`. */
import { statSync } from 'node:fs';
import {
  BadValue,
  type Config,
  type ConfigFault,
  type Entries,
  FilterConfigError,
  isDomain,
  type ListFile,
  ListFiles,
  type ListWatcher,
  type Problem,
  sesOptions,
  signingIn,
} from '../filter/index.ts';
import { parseIp } from '../ip.ts';
import {
  LineFault,
  makeSesCheck,
  PatternList,
  type SesCheck,
  type SesCheckOptions,
  type ZoneOptions,
} from '../nameserver/index.ts';

/** The lines of a file of patterns. */
class PatternEntries implements Entries {
  readonly wholeLines = true;
  readonly list = new PatternList();

  add(entry: string, line: number): void {
    try {
      this.list.add(entry, line);
    } catch (error) {
      throw error instanceof LineFault ? new BadValue(error.message) : error;
    }
  }
}

/** Tells these files from others. */
const PATTERNS = {};
const MAX_TTL = 7 * 86_400_000;
const EMPTY = new PatternList();

/** What is served, and where. */
export class ConfiguredNameServer {
  readonly host: string;
  readonly port: number;
  readonly zoneName: string;
  readonly rate: number;
  readonly isUnlimited: (address: string) => boolean;
  readonly #files: ListFiles;
  readonly #config: Config;
  readonly #patterns: ListFile<PatternEntries> | undefined;
  readonly #ttl: number;
  readonly #nameServers: readonly string[];
  readonly #mailbox: string;
  readonly #ses: SesCheck | undefined;

  /**
   * Reads the file of patterns.
   * @param isUsed whether a signature was used up; without it nobody knows
   * @param before what this one follows: a file that both have is not read again
   * @throws FilterConfigError with everything that is wrong
   */
  constructor(config: Config, isUsed?: SesCheckOptions['isUsed'], before?: ConfiguredNameServer) {
    const { listen, zone, patterns, ses, ttl, name_servers, rate_limit, unlimited } =
      config.settings.dns_server;
    const { hostname } = config.settings;
    const faults: ConfigFault[] = [];
    const fault = (key: string, message: string): void => {
      const place = config.text.position(['dns_server', key]);
      faults.push({ file: config.file, ...place, key: `dns_server.${key}`, message });
    };
    const [host, port] = listen?.host === undefined ? ['', 0] : [listen.host, listen.port];
    if (listen === undefined)
      fault('listen', 'is missing; it must be an address and port such as "127.0.0.1:5353"');
    else if (parseIp(host) === undefined)
      fault('listen', 'must be an IP address and port, such as "127.0.0.1:5353" or "[::]:53"');
    if (zone === undefined) fault('zone', 'is missing; it must be a domain such as "rhs.example.org"');
    if (patterns === undefined && !ses)
      fault('patterns', 'is missing: there is nothing to answer from; name a file, or write ses = true');
    if (ttl > MAX_TTL) fault('ttl', 'must be "7d" at most');
    const nameServers = name_servers.length > 0 ? name_servers : [hostname.toLowerCase()];
    for (const name of nameServers) {
      const key = name_servers.length > 0 ? 'name_servers' : 'zone';
      if (!isDomain(name))
        fault(key, `needs hosts for its NS records, and ${JSON.stringify(name)} is none: write name_servers`);
      else if (zone !== undefined && `.${name}`.endsWith(`.${zone}`))
        fault(
          key,
          `has the name server ${name} within the zone ${zone}, which holds no addresses: write another in name_servers`,
        );
    }
    const signing = ses ? signingIn(config) : undefined;
    if (ses && signing === undefined)
      fault('ses', 'needs a [[module]] with use = "srs", by whose secrets signatures are known');
    this.#files = new ListFiles(before === undefined ? undefined : before.#files);
    this.#config = config;
    try {
      if (patterns !== undefined)
        this.#patterns = this.#files.open(patterns, PATTERNS, () => new PatternEntries());
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      if (error.inFile.length === 0) fault('patterns', error.message);
      faults.push(...error.inFile.map((one) => ({ ...one, key: '' })));
    }
    this.#files.settle();
    if (faults.length > 0) throw new FilterConfigError(faults);
    this.host = host;
    this.port = port;
    this.zoneName = zone ?? '';
    this.rate = rate_limit;
    this.isUnlimited = (address) => unlimited.hasAddress(address);
    this.#ttl = Math.ceil(ttl / 1000);
    this.#nameServers = nameServers;
    this.#mailbox = `postmaster@${isDomain(hostname) ? hostname.toLowerCase() : zone}`;
    this.#ses = signing && makeSesCheck({ signing: () => sesOptions(signing, Date.now), isUsed });
  }

  /** The file of patterns; undefined where there is none. */
  get patternsFile(): string | undefined {
    return this.#patterns?.path;
  }

  get list(): PatternList {
    return this.#patterns?.entries.list ?? EMPTY;
  }

  get ses(): SesCheck | undefined {
    return this.#ses;
  }

  /** Reads what has changed, which is to be done every few seconds. Never rejects. */
  async refresh(watcher: ListWatcher): Promise<void> {
    await this.#files.refresh(watcher);
    const { failed } = watcher;
    await this.#config.files.refresh({ ...(failed && { failed }) });
  }

  /** The zone as its file is now. @param least the serial number is this one or a later one */
  zone(least: number): ZoneOptions {
    return {
      name: this.zoneName,
      list: this.list,
      ttl: this.#ttl,
      serial: Math.max(least, this.#changedAt()),
      nameServers: this.#nameServers,
      mailbox: this.#mailbox,
      ses: this.#ses,
    };
  }

  /** Seconds since 1970. */
  #changedAt(): number {
    try {
      return this.patternsFile === undefined ? 1 : Math.floor(statSync(this.patternsFile).mtimeMs / 1000);
    } catch {
      return 1; // It is gone, and its list stays.
    }
  }
}

/** What of the name server `milter check` has to say; nothing where none is configured. */
export function nameServerProblems(config: Config): Problem[] {
  const { settings, text } = config;
  const { listen, zone, patterns, ses } = settings.dns_server;
  if (listen === undefined && zone === undefined && patterns === undefined && !ses) return [];
  try {
    new ConfiguredNameServer(config);
    if (!ses || settings.store.url.kind !== 'memory') return [];
    const message =
      'nobody sees which signatures are used up while store.url is "memory:": each of ours that has not expired is good';
    const { line } = text.position(['dns_server', 'ses']);
    return [{ isFault: false, line, key: 'dns_server.ses', message }];
  } catch (error) {
    if (!(error instanceof FilterConfigError)) throw error;
    return error.faults.map(({ file, line, column, key, message }) =>
      file === config.file
        ? { isFault: true, line, key, message }
        : {
            isFault: true,
            line: 0,
            key: 'dns_server.patterns',
            message: `${file}:${line}:${column}: ${message}`,
          },
    );
  }
}
