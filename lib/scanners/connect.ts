/** Connections to scanners. */
import { connect, type Socket } from 'node:net';
import { abortFault, ScannerError, unlessAborted } from './error.ts';

/** Where a scanner listens: a unix socket, or a host and its port. */
export type ScannerAddress =
  | { readonly path: string; readonly host?: undefined }
  | { readonly host: string; readonly port: number; readonly path?: undefined };

/** As it stands in a log. */
export function showAddress(address: ScannerAddress): string {
  if (address.path !== undefined) return address.path;
  const { host, port } = address;
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/**
 * A connection that is open. The caller listens for its errors from then on.
 * @param scanner as errors call it
 * @throws ScannerError where there is none
 */
export async function openConnection(
  scanner: string,
  address: ScannerAddress,
  signal: AbortSignal,
): Promise<Socket> {
  if (signal.aborted) throw abortFault(scanner, signal);
  const socket =
    address.path === undefined
      ? connect({ host: address.host, port: address.port, noDelay: true })
      : connect({ path: address.path });
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
  socket.once('connect', resolve);
  socket.once('error', (error) => {
    reject(new ScannerError('down', `${scanner} cannot be reached: ${describe(error)}`, { cause: error }));
  });
  try {
    await unlessAborted(scanner, signal, opened);
    return socket;
  } catch (error) {
    socket.on('error', () => {});
    socket.destroy();
    throw error;
  }
}

/** A host with several addresses fails with one error for each, and no message of its own. */
function describe(error: Error): string {
  if (!(error instanceof AggregateError)) return error.message;
  const messages: readonly unknown[] = error.errors.map((one: unknown) =>
    one instanceof Error ? one.message : one,
  );
  return messages.join(', ');
}
