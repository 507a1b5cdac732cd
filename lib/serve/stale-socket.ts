/** What a server that crashed leaves behind: the file of its unix socket. */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { MilterError } from '../errors.ts';
import type { Socket } from '../protocol/socket.ts';

/**
 * Removes a socket file that nobody listens at any more.
 * @throws MilterError `ERR_MILTER_ADDRESS_IN_USE` when somebody does, `ERR_MILTER_SOCKET` when it is no socket
 */
export async function removeStaleSocket({ spec, unixPath }: Socket): Promise<void> {
  const stat = lstatSync(unixPath, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new MilterError(
      'ERR_MILTER_SOCKET',
      `socket ${JSON.stringify(spec)} names a file that is no socket; it is left alone`,
    );
  if (await answers(unixPath)) {
    throw new MilterError(
      'ERR_MILTER_ADDRESS_IN_USE',
      `${spec}: another program listens there; stop it first`,
    );
  }
  try {
    unlinkSync(unixPath);
  } catch (cause) {
    throw new MilterError('ERR_MILTER_SOCKET', `${spec}: the stale socket there cannot be removed`, {
      cause,
    });
  }
}

/** Only a refusal proves that nobody listens: a full queue, say, does not. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const dial = connect(path);
    dial.once('connect', () => {
      dial.destroy();
      resolve(true);
    });
    dial.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'));
  });
}
