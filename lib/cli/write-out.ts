/** Messages on their way out of a command: to standard output or into a new file. */
import { type FileHandle, open } from 'node:fs/promises';
import { MilterError } from '../errors.ts';
import type { CommandIo } from './usage.ts';

/** Somewhere to write to. */
export interface Sink extends AsyncDisposable {
  write(bytes: Buffer): Promise<void>;
  /** Resolves when all of it is on disk. */
  finish(): Promise<void>;
}

/**
 * Opens a new file, or standard output for `-`.
 * @throws MilterError where there is such a file already, or it cannot be made
 */
export async function openSink(path: string, { stdout }: CommandIo): Promise<Sink> {
  if (path === '-') {
    return {
      write: async (bytes) => {
        await new Promise((resolve) => stdout.write(bytes, resolve));
      },
      finish: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
  }
  const file = await openNew(path);
  return {
    write: async (bytes) => {
      await file.writeFile(bytes);
    },
    finish: async () => {
      await file.sync();
    },
    [Symbol.asyncDispose]: async () => {
      await file.close();
    },
  };
}

async function openNew(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error;
    throw new MilterError('ERR_MILTER_UNSUPPORTED', `--to: ${error.message}`);
  }
}
