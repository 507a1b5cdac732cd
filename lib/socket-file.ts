/** What may lie where a unix socket is to be: another program's socket, one of a server that crashed, or a file. */
import { lstatSync, type Stats, statSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { MilterError } from './errors.ts';

/**
 * Makes room for a unix socket: removes the file of one that nobody listens at any more, if `remove` says so.
 * @param spec as errors call it
 * @throws MilterError `ERR_MILTER_ADDRESS_IN_USE` when somebody does listen, `ERR_MILTER_SOCKET` when the file is to
 *   stay, or is no socket, or its folder is not there
 */
export async function clearSocketFile(spec: string, path: string, remove: boolean): Promise<void> {
  const stat = statOf(spec, path);
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

/** What lies there, if anything. */
function statOf(spec: string, path: string): Stats | undefined {
  const folder = dirname(path);
  let why: string;
  let cause: unknown;
  try {
    // Node.js would call a folder that is not there a lack of permission.
    const there = statSync(folder, { throwIfNoEntry: false });
    if (there?.isDirectory() === true) return lstatSync(path, { throwIfNoEntry: false });
    why = there === undefined ? `the folder ${folder} does not exist` : `${folder} is no folder`;
  } catch (error) {
    cause = error;
    why = (error as Error).message;
  }
  throw new MilterError('ERR_MILTER_SOCKET', `cannot listen at ${spec}: ${why}`, { cause });
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
