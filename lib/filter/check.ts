/**
 * What a sound configuration needs of its surroundings, and what of it is unwise: for `milter check`. Nothing is changed
 * by it.
 */
import { lookup } from 'node:dns/promises';
import { constants } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { createConnection, isIP } from 'node:net';
import { dirname, resolve } from 'node:path';
import { isFailure } from '../dns/index.ts';
import { type Logger, parseSocket } from '../index.ts';
import { show } from '../options.ts';
import type { Config, ConfiguredModule } from './config/config.ts';
import type { Endpoint } from './config/kinds.ts';
import type { Path } from './config/toml.ts';
import { readAccounts } from './http/accounts.ts';
import { makeResolver } from './open.ts';
import { canSend } from './outgoing/outgoing.ts';
import { openStore } from './store/open.ts';

/** Something that is not as the configuration needs it, or that is unwise. */
export interface Problem {
  /** A fault: the filter cannot run so, or not do what it is to do. */
  readonly isFault: boolean;
  /** From 1; 0 where the key does not stand in the file. */
  readonly line: number;
  /** `networks.domains` for a module's key. */
  readonly key: string;
  readonly message: string;
}

/** Milliseconds for a connection, or an answer from DNS. */
const PATIENCE = 5_000;

/** Tries what the configuration names, and looks for what is unwise. */
export async function checkConfig(config: Config): Promise<readonly Problem[]> {
  const found = await Promise.all([
    ...settingsProblems(config),
    folderProblems(config),
    releaseProblems(config),
    accountProblems(config),
    storeProblems(config),
    nameServerProblems(config),
    endpointProblems(config),
    ...config.modules.map(async (module) => await moduleProblems(config, module)),
  ]);
  return found.flat().sort((a, b) => Number(b.isFault) - Number(a.isFault) || a.line - b.line);
}

function settingsProblems(config: Config): Problem[] {
  const { settings, modules } = config;
  const { socket, on_error, store, history, http } = settings;
  const problems: Problem[] = [];
  const warn = (key: string, message: string): void => {
    problems.push({ isFault: false, ...placeOf(config, key), message });
  };
  if (socket.some(isEverywhere)) {
    warn(
      'socket',
      'listens on all addresses: whoever reaches it can ask the filter, and is told what it thinks',
    );
  }
  if (on_error === 'accept' || on_error === 'continue') {
    warn('on_error', `is "${on_error}": mail passes unseen while a module fails`);
  }
  if (store.url.kind === 'memory') warn('store.url', 'is "memory:": all is forgotten when the filter ends');
  if (history.max === 0) warn('history.max', 'is 0: `milter why` can explain nothing');
  if (http.listen?.host !== undefined && !isLoopback(http.listen.host)) {
    warn('http.listen', 'is not on this machine alone, and it speaks no TLS: put a reverse proxy before it');
  }
  const running = modules.filter(({ mode }) => mode !== 'off');
  if (running.length === 0) warn('module', 'there is none: the filter does nothing');
  else if (!running.some(({ definition }) => definition.name === 'networks')) {
    warn(
      'module',
      'there is no "networks": nobody is internal and nothing is ours, so that all mail is incoming',
    );
  }
  if (!running.some(({ definition }) => definition.name === 'score')) {
    const scoring = running.find(
      ({ definition, options }) => definition.name === 'spam' || Object.values(options).some(isScore),
    );
    if (scoring !== undefined) {
      warn('module', `there is no "score", which would add up the points of "${scoring.name}"`);
    }
  }
  return problems;
}

/** What the filter writes to, and where its sockets are to be. */
async function folderProblems(config: Config): Promise<Problem[]> {
  const { settings } = config;
  const problems: Problem[] = [];
  const check = async (key: string, folder: string): Promise<void> => {
    const why = await whyNotWritable(folder);
    if (why !== undefined) problems.push({ isFault: true, ...placeOf(config, key), message: why });
  };
  await check('data', settings.data);
  await check('quarantine.path', settings.quarantine.path ?? settings.data);
  for (const spec of settings.socket) {
    const why = await whyNotListening(spec);
    if (why !== undefined) problems.push({ isFault: true, ...placeOf(config, 'socket'), message: why });
  }
  const { path: pagePath } = settings.http.listen ?? {};
  const why = pagePath === undefined ? undefined : await whyNoSocket(pagePath);
  if (why !== undefined) problems.push({ isFault: true, ...placeOf(config, 'http.listen'), message: why });
  return problems;
}

/** Why nobody can listen there, whoever does so already. */
async function whyNotListening(spec: string): Promise<string | undefined> {
  const { unixPath } = parseSocket(spec);
  if (unixPath !== '') return await whyNoSocket(unixPath);
  const host = /^inet6?:\d+@(.+)$/.exec(spec)?.[1];
  if (host === undefined || isIP(host) !== 0) return undefined;
  return await lookup(host).then(
    () => undefined,
    () => `the host name ${show(host)} cannot be resolved`,
  );
}

async function whyNoSocket(path: string): Promise<string | undefined> {
  const folder = dirname(path);
  if (!(await exists(folder))) return `${show(folder)} does not exist`;
  const why = await whyNotWritable(folder);
  if (why !== undefined || !(await exists(path))) return why;
  return (await stat(path)).isSocket() ? undefined : `${show(path)} is there, and is no socket`;
}

/** Who may sign in to the page, if there is one. */
async function accountProblems(config: Config): Promise<Problem[]> {
  const { http } = config.settings;
  if (http.listen === undefined || !http.review) return [];
  const problem = (key: string, message: string, isFault = false): Problem => ({
    isFault,
    ...placeOf(config, key),
    message,
  });
  const problems: Problem[] = [];
  const holds = config.modules.some(
    ({ mode, options }) => mode === 'enforce' && Object.entries(options).some(isHolding),
  );
  if (!holds) {
    problems.push(
      problem('http.review', 'no module holds anything in the quarantine, so the page has nothing to review'),
    );
  }
  const { accounts: path } = http;
  if (path === undefined) {
    return [
      ...problems,
      problem(
        'http.accounts',
        'names no file, so nobody can sign in to the page: write accounts = "file:accounts" and run `milter user add`, or review = false',
      ),
    ];
  }
  try {
    const { accounts, mode } = await readAccounts(path);
    if (accounts.size === 0) {
      problems.push(
        problem('http.accounts', 'nobody can sign in to the page yet: run `milter user add NAME`'),
      );
    }
    if (mode !== undefined && (mode & 0o077) !== 0) {
      const shown = `0${mode.toString(8)}`;
      problems.push(
        problem('http.accounts', `${show(path)} has mode ${shown}: others may read it; chmod 600 ${path}`),
      );
    }
    const [admin] = [...accounts.values()].filter(({ isAdmin }) => isAdmin);
    if (accounts.size > 0 && admin === undefined) {
      problems.push(problem('http.accounts', 'has no --admin, so nobody sees the status page'));
    }
  } catch (error) {
    problems.push(problem('http.accounts', `${show(path)} ${text(error)}`, true));
  }
  return problems;
}

/** `score` holds from so many points on. */
function isHolding([key, value]: readonly [key: string, value: unknown]): boolean {
  if (key === 'quarantine_from') return true;
  return typeof value === 'object' && value !== null && 'word' in value && value.word === 'quarantine';
}

/** Where it is not there yet, the nearest folder above it counts, in which it would be made. */
async function whyNotWritable(folder: string): Promise<string | undefined> {
  let at = folder;
  while (!(await exists(at)) && dirname(at) !== at) at = dirname(at);
  try {
    if (!(await stat(at)).isDirectory()) return `${show(at)} is no folder`;
    await access(at, constants.W_OK | constants.X_OK);
    if (!(await isOfKernel(at))) return undefined;
    return `nothing can be kept in ${show(folder)}: it is the kernel's`;
  } catch {
    return at === folder
      ? `nothing can be written into ${show(at)}`
      : `${show(folder)} does not exist, and cannot be made in ${show(at)}`;
  }
}

/** Of /proc and /sys it says that root may write there. */
async function isOfKernel(path: string): Promise<boolean> {
  return KERNELS.has((await statfs(path)).type);
}

/** procfs, sysfs, cgroup2. */
const KERNELS: ReadonlySet<number> = new Set([0x9fa0, 0x6265_6572, 0x6367_7270]);

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

/** How what is held gets to its owners. */
async function releaseProblems(config: Config): Promise<Problem[]> {
  const { outgoing, quarantine, http } = config.settings;
  const problems: Problem[] = [];
  const warn = (key: string, message: string): void => {
    problems.push({ isFault: false, ...placeOf(config, key), message });
  };
  const { sendmail } = outgoing;
  if (sendmail !== undefined) {
    const canRun = await access(sendmail, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!canRun) warn('outgoing.sendmail', `${show(sendmail)} is no program that can be run`);
  }
  // Defaults hold what hardly ever comes.
  const holds = config.modules.some(
    ({ mode, index }) =>
      mode === 'enforce' && Object.entries(given(config, index)).flat().includes('quarantine'),
  );
  if (holds && !canSend(outgoing))
    warn('outgoing', 'says neither smtp nor sendmail: what is held cannot be released to its owners');
  if (
    quarantine.digest !== undefined &&
    (http.url === undefined || !http.review || http.listen === undefined)
  )
    warn(
      'quarantine.digest',
      'digests have no links, for want of a page: see listen, review and url in [http]',
    );
  return problems;
}

async function storeProblems(config: Config): Promise<Problem[]> {
  const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
  try {
    const { url } = config.settings.store;
    // A file that is not there yet is made when something is first written.
    const why = url.kind === 'sqlite' ? await whyNotWritable(dirname(url.path)) : undefined;
    if (why !== undefined) throw new Error(why);
    const store = await openStore(url, { now: Date.now, log: silent });
    try {
      await store.get('check');
    } finally {
      await store.close();
    }
    return [];
  } catch (error) {
    return [
      { isFault: true, ...placeOf(config, 'store.url'), message: `it cannot be opened: ${text(error)}` },
    ];
  }
}

/** Any answer will do, even that there is no such name. */
async function nameServerProblems(config: Config): Promise<Problem[]> {
  const answer = await makeResolver(config).resolve(config.settings.hostname, 'A', {
    signal: AbortSignal.timeout(PATIENCE),
  });
  if (!isFailure(answer)) return [];
  const message = `the name servers do not answer (${answer.reason ?? answer.status}); modules that ask DNS will fail`;
  return [{ isFault: false, ...placeOf(config, 'dns.servers'), message }];
}

/** Servers that the configuration names, but those that the filter is itself. */
async function endpointProblems(config: Config): Promise<Problem[]> {
  const { outgoing } = config.settings;
  const named: readonly (readonly [key: string, path: Path, value: unknown])[] = [
    ['outgoing.smtp', ['outgoing', 'smtp'], outgoing.smtp],
    ...config.modules
      .filter(({ mode }) => mode !== 'off')
      .flatMap(({ name, options, index }) =>
        Object.entries(options).map(
          ([key, value]) => [`${name}.${key}`, ['module', index, key], value] as const,
        ),
      ),
  ];
  const found = await Promise.all(
    named.map(async ([key, path, value]) => {
      const endpoint = toEndpoint(value);
      const why = endpoint === undefined ? undefined : await whyNotReachable(endpoint);
      if (why === undefined) return [];
      const { line } = config.text.position(path);
      return [{ isFault: false, line, key, message: `the server cannot be reached: ${why}` }];
    }),
  );
  return found.flat();
}

function toEndpoint(value: unknown): Endpoint | undefined {
  if (value instanceof URL) {
    return {
      host: value.hostname,
      port: Number(value.port === '' ? (value.protocol === 'https:' ? 443 : 80) : value.port),
    };
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { host, port, path } = value as { host?: unknown; port?: unknown; path?: unknown };
  if (typeof host === 'string' && typeof port === 'number') return { host, port };
  return typeof path === 'string' && Object.keys(value).length === 1 ? { path } : undefined;
}

async function whyNotReachable(endpoint: Endpoint): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = createConnection(endpoint.path === undefined ? { ...endpoint } : { path: endpoint.path });
  socket.setTimeout(PATIENCE, () => resolve('it does not answer'));
  socket.once('connect', () => resolve(undefined));
  socket.once('error', (error) => resolve(error.message));
  return await promise.finally(() => socket.destroy());
}

async function moduleProblems(config: Config, module: ConfiguredModule): Promise<Problem[]> {
  const { definition, options, name, index, mode } = module;
  if (mode === 'off') return [];
  const { line } = config.text.position(['module', index]);
  const problem = (message: string): Problem => ({ isFault: false, line, key: name, message });
  const problems: Problem[] = [];
  if (definition.name === 'networks' && isEmptyList(config, index, 'domains')) {
    problems.push({
      ...problem('is empty: no address is ours, and forged ones are not known'),
      key: `${name}.domains`,
    });
  }
  for (const { module: wanted, why, when } of definition.wants ?? []) {
    const isThere = config.modules.some((other) => other.definition.name === wanted && other.mode !== 'off');
    if (isThere || mode === 'observe' || when?.(options) === false) continue;
    problems.push(problem(`would do more with a [[module]] with use = "${wanted}", ${why}`));
  }
  if (definition.sends?.(options) === true && !canSend(config.settings.outgoing)) {
    problems.push({ ...problem('sends mail, and needs smtp or sendmail in [outgoing]'), isFault: true });
  }
  for (const [key, folder] of definition.folders?.(options) ?? []) {
    const why = await whyNotWritable(resolve(config.settings.data, folder));
    if (why === undefined) continue;
    const { line: at } = config.text.position(['module', index, key]);
    problems.push({ isFault: mode === 'enforce', line: at, key: `${name}.${key}`, message: why });
  }
  try {
    const more = (await definition.check?.(options, makeResolver(config))) ?? [];
    return [...problems, ...more.map(problem)];
  } catch (error) {
    return [...problems, { ...problem(`cannot be checked: ${text(error)}`), isFault: true }];
  }
}

function isEmptyList(config: Config, index: number, key: string): boolean {
  const list = given(config, index)[key];
  return list === undefined || (Array.isArray(list) && list.length === 0);
}

/** What the file says of a module, without defaults. */
function given({ text: { values } }: Config, index: number): Readonly<Record<string, unknown>> {
  const { module = [] } = values as { readonly module?: readonly Readonly<Record<string, unknown>>[] };
  return module[index] ?? {};
}

/** Where a key stands; `table.key` or a key of the top level. */
function placeOf(config: Config, key: string): Pick<Problem, 'line' | 'key'> {
  const path = key.split('.');
  const [first = ''] = path;
  const isGiven = Object.hasOwn(config.text.values, first);
  return { line: isGiven ? config.text.position(path).line : 0, key };
}

function isEverywhere(spec: string): boolean {
  const host = /^inet6?:\d+(?:@(.*))?$/.exec(spec);
  return host !== null && ['', '0.0.0.0', '::', '*'].includes(host[1] ?? '');
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}

function isScore(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'word' in value && value.word === 'score';
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
