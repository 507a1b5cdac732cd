/** Listening at a libmilter spec by Node's own sockets. */

import { lookup } from 'node:dns/promises';
import { chmodSync, chownSync, fstatSync, lstatSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { createServer, isIP, type ListenOptions, type Server, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { MilterError } from '../../errors.ts';
import type { EngineOptions } from '../engine.ts';
import { startFault } from '../start-fault.ts';

/** A socket that listens. */
export interface Listener {
  /** As a libmilter spec with the real port. */
  readonly address: string;
  readonly isTcp: boolean;
  readonly server: Server;
  /** Takes no more connections, and removes the file of a unix socket. */
  close(): void;
}

/** SOMAXCONN of Linux; the system has its own limit. */
const MOST_BACKLOG = 4096;

/** @throws MilterError `ERR_MILTER_SOCKET`, `ERR_MILTER_ADDRESS_IN_USE` */
export async function listen(options: EngineOptions, accept: (socket: Socket) => void): Promise<Listener> {
  const { spec, unixPath } = options.socket;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
  try {
    if (unixPath !== '') return await listenAtPath(server, options);
    if (spec.startsWith('fd:')) return await listenAtDescriptor(server, Number(spec.slice(3)), options);
    const [, six, port = '', host] = /^inet(6?):([^@]+)(?:@(.+))?$/.exec(spec) ?? [];
    const family = six === '6' ? 6 : 4;
    const address = host === undefined ? (family === 6 ? '::' : '0.0.0.0') : await addressOf(host, family);
    await listening(server, { host: address, port: portOf(port) }, options);
    return { address: specOf(server, spec), isTcp: true, server, close: () => void server.close() };
  } catch (error) {
    server.close();
    throw await faultOf(error, options);
  }
}

function listening(
  server: Server,
  where: ListenOptions & { readonly fd?: number },
  { backlog }: EngineOptions,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...where, backlog: backlog > 0 ? backlog : MOST_BACKLOG, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/**
 * Nobody shall connect before the socket has its mode and group, so it is made under another name. That is also all that
 * Node.js removes at the end: what stands at the path then may be another program's. A path so long that no other name
 * fits beside it is used itself.
 */
async function listenAtPath(server: Server, options: EngineOptions): Promise<Listener> {
  const { socket, socketMode, socketGroup } = options;
  const path = socket.unixPath;
  const passing = join(dirname(path), `.${process.pid.toString(36)}${(passings++).toString(36)}`);
  const isShort = Buffer.byteLength(passing) <= Math.max(Buffer.byteLength(path), 100);
  const made = isShort ? passing : path;
  await listening(server, { path: made }, options);
  try {
    if (socketGroup >= 0) chownSync(made, -1, socketGroup);
    if (socketMode >= 0) chmodSync(made, socketMode);
    if (made !== path) {
      if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
        throw Object.assign(new Error(`${basename(path)} is there`), { code: 'EADDRINUSE' });
      }
      renameSync(made, path);
    }
  } catch (error) {
    unlinkSync(made);
    throw error;
  }
  const ours = lstatSync(path);
  const close = (): void => {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && stat.dev === ours.dev && stat.ino === ours.ino) unlinkSync(path);
    server.close();
  };
  return { address: `unix:${path}`, isTcp: false, server, close };
}

let passings = 0;

/** A socket that was passed to this process, as by a systemd socket unit. */
async function listenAtDescriptor(server: Server, fd: number, options: EngineOptions): Promise<Listener> {
  const kind = listeningKind(fd);
  if (kind === undefined) {
    throw new Error(
      `descriptor ${fd} is no listening socket; it must be passed to this process, as by a systemd socket unit`,
    );
  }
  await listening(server, { fd }, options);
  const { spec } = options.socket;
  const address = kind.path === undefined ? specOf(server, spec) : `unix:${kind.path}`;
  return { address, isTcp: kind.isTcp, server, close: () => void server.close() };
}

/** What a descriptor listens at, as the kernel tells it; undefined where it does not listen. */
function listeningKind(
  fd: number,
): { readonly isTcp: boolean; readonly path?: string | undefined } | undefined {
  let inode: string;
  try {
    const stat = fstatSync(fd);
    if (!stat.isSocket()) return undefined;
    inode = String(stat.ino);
  } catch {
    return undefined;
  }
  // Elsewhere nothing tells but trying.
  if (process.platform !== 'linux') return { isTcp: true };
  const rowsOf = (table: string): string[][] => {
    try {
      const lines = readFileSync(`/proc/net/${table}`, 'latin1').split('\n').slice(1);
      return lines.map((line) => line.trim().split(/ +/));
    } catch {
      return [];
    }
  };
  // sl local remote state … inode, where state 0A listens.
  for (const table of ['tcp', 'tcp6']) {
    if (rowsOf(table).some((row) => row[9] === inode && row[3] === '0A')) return { isTcp: true };
  }
  // num refs protocol flags type state inode path, where flag 0x10000 listens.
  const row = rowsOf('unix').find(
    (row) => row[6] === inode && (Number.parseInt(row[3] ?? '', 16) & 0x10000) !== 0,
  );
  return row && { isTcp: false, path: row[7]?.startsWith('/') ? row[7] : undefined };
}

async function addressOf(host: string, family: 4 | 6): Promise<string> {
  if (isIP(host) === family) return host;
  return (await lookup(host, { family })).address;
}

/** A port by number, or by its name in /etc/services. */
function portOf(port: string): number {
  if (/^\d+$/.test(port)) return Number(port);
  const services = readFileSync('/etc/services', 'latin1').split('\n');
  for (const line of services) {
    const [name, number, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (number?.endsWith('/tcp') && [name, ...aliases].includes(port)) return Number.parseInt(number, 10);
  }
  throw new Error(`/etc/services has no TCP port called ${port}`);
}

/** Where it listens. */
function specOf(server: Server, spec: string): string {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') return spec;
  return `${bound.family === 'IPv6' ? 'inet6' : 'inet'}:${bound.port}@${bound.address}`;
}

async function faultOf(error: unknown, { socket }: EngineOptions): Promise<unknown> {
  if (error instanceof MilterError || !(error instanceof Error)) return error;
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return await startFault(socket, 'ERR_MILTER_ADDRESS_IN_USE', '');
  if (syscall === 'chown') {
    return await startFault(socket, '', `cannot give the socket to the group: ${error.message}`);
  }
  return await startFault(socket, '', error.message);
}
