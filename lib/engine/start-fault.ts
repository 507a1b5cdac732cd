/** Why a server does not start, in words for the administrator. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { MilterError } from '../errors.ts';
import type { Socket } from '../protocol/socket.ts';

/** Makes the error of what the addon told: its code, and its reason, which is libmilter's or the system's. */
export async function startFault({ spec }: Socket, code: string, reason: string): Promise<MilterError> {
  if (code === 'ERR_MILTER_UNSUPPORTED' || code === 'ERR_MILTER_RESOURCE')
    return new MilterError(code, reason);
  if (code === 'ERR_MILTER_ADDRESS_IN_USE')
    return new MilterError(code, `${spec}: another program listens there; stop it first`);
  const why = (await resolutionFault(spec)) ?? reason;
  return new MilterError('ERR_MILTER_SOCKET', `cannot listen at ${spec}: ${why}`);
}

/** libmilter says nothing of a name that it could not resolve. Undefined where that is not the fault. */
async function resolutionFault(spec: string): Promise<string | undefined> {
  const [, six, host] = /^inet(6?):[^@]*@(.+)$/.exec(spec) ?? [];
  if (host === undefined || isIP(host) !== 0) return undefined;
  const family = six === '6' ? 6 : 4;
  const found = await errorOf(lookup(host, { family }));
  if (found === undefined) return undefined;
  const other = family === 4 ? 6 : 4;
  if ((await errorOf(lookup(host, { family: other }))) === undefined)
    return `${host} has an IPv${other} address only; write ${other === 6 ? 'inet6' : 'inet'}:`;
  return `the host name ${host} cannot be resolved (${found})`;
}

async function errorOf(looking: Promise<unknown>): Promise<string | undefined> {
  try {
    await looking;
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
