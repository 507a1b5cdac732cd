/** What may lie where a unix socket is to be: another program's socket, one of a server that crashed, or a file. */
import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { MilterError } from './errors.ts';

/**
 * Makes room for a unix socket: removes the file of one that nobody listens at any more, if `remove` says so.
 * @param spec as errors call it
 * @throws MilterError `ERR_MILTER_ADDRESS_IN_USE` when somebody does listen, `ERR_MILTER_SOCKET` when the file is to
 *   stay, or is no socket
 */
export async function clearSocketFile(spec: string, path: string, remove: boolean): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket())
    throw new MilterError(
      'ERR_MILTER_SOCKET',
      `socket ${JSON.stringify(spec)} names a file that is no socket; it is left alone`,
    );
  if (await answers(path)) {
    throw new MilterError(
      'ERR_MILTER_ADDRESS_IN_USE',
      `${spec}: another program listens there; stop it first`,
    );
  }
  if (!remove) {
    throw new MilterError(
      'ERR_MILTER_SOCKET',
      `${spec}: a program that runs no more left its socket there; remove the file, or let that be done for you ` +
        '(removeSocket)',
    );
  }
  try {
    unlinkSync(path);
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
