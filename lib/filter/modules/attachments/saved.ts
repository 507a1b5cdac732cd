/**
 * The folder of originals: each the part as it came, header fields and all, under a name that nothing in the mail chose. They
 * go when they are old.
 */
import { randomBytes } from 'node:crypto';
import { opendir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FolderSize, makeFolder, writeSafely } from '../../kit.ts';

/** When it was saved, and a number that nobody guesses. */
const NAME = /^(?:\.new-)?(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[\da-f]{16}\.eml$/;

/** The folder. */
export class SavedParts {
  readonly #path: string;
  readonly #keep: number;
  readonly #size: FolderSize;
  readonly #now: () => number;

  /**
   * @param keep milliseconds
   * @param most bytes
   */
  constructor(path: string, keep: number, most: number, now: () => number) {
    this.#path = path;
    this.#keep = keep;
    this.#size = new FolderSize(most, () => this.#sum());
    this.#now = now;
  }

  /** Saves a part; resolves to its name in the folder when it is safe on disk. Rejects where there is no room for it. */
  async save(bytes: Buffer): Promise<string> {
    await makeFolder(this.#path, 0o700);
    await this.#size.measure();
    if (!this.#size.take(bytes.length)) {
      const { used } = this.#size;
      throw new Error(`no room to save what is removed: ${this.#path} holds ${used} bytes (save_max)`);
    }
    const time = new Date(this.#now()).toISOString().replace(/[-:]|\.\d+/g, '');
    const name = `${time}-${randomBytes(8).toString('hex')}.eml`;
    try {
      await writeSafely([bytes], join(this.#path, `.new-${name}`), () => join(this.#path, name));
    } catch (error) {
      this.#size.giveBack(bytes.length);
      throw error;
    }
    return name;
  }

  /** Removes what is older than is to be kept. To be called now and then. */
  async expire(): Promise<void> {
    for await (const name of this.#names()) {
      const [, year, month, day, hour, minute, second] = NAME.exec(name) ?? [];
      const saved = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
      if (this.#now() - saved > this.#keep) await rm(join(this.#path, name), { force: true });
    }
    this.#size.outdate();
  }

  async #sum(): Promise<number> {
    let bytes = 0;
    for await (const name of this.#names()) bytes += await sizeOf(join(this.#path, name));
    return bytes;
  }

  /** The files of ours, half written ones too. */
  async *#names(): AsyncGenerator<string> {
    try {
      for await (const { name } of await opendir(this.#path)) if (NAME.test(name)) yield name;
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}

/** Nothing where somebody has just removed it. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
