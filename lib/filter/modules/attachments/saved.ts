/**
 * The folder of originals: each the part as it came, header fields and all, under a name that nothing in the mail chose. They
 * go when they are old.
 */
import { randomBytes } from 'node:crypto';
import { opendir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder, writeSafely } from '../../kit.ts';

/** When it was saved, and a number that nobody guesses. */
const NAME = /^(?:\.new-)?(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z-[\da-f]{16}\.eml$/;
/** Milliseconds for which a measurement is good: others may save here too. */
const MEASURE_EVERY = 60_000;

/** The folder. */
export class SavedParts {
  readonly #path: string;
  readonly #keep: number;
  readonly #most: number;
  readonly #now: () => number;
  /** Bytes in it when it was last measured, and those saved since. */
  #used = 0;
  #measured = Number.NEGATIVE_INFINITY;
  #measuring: Promise<void> | undefined;

  /**
   * @param keep milliseconds
   * @param most bytes
   */
  constructor(path: string, keep: number, most: number, now: () => number) {
    this.#path = path;
    this.#keep = keep;
    this.#most = most;
    this.#now = now;
  }

  /** Saves a part; resolves to its name in the folder when it is safe on disk. Rejects where there is no room for it. */
  async save(bytes: Buffer): Promise<string> {
    await makeFolder(this.#path, 0o700);
    await this.#measure();
    if (this.#used + bytes.length > this.#most) {
      this.#measured = Number.NEGATIVE_INFINITY;
      throw new Error(`no room to save what is removed: ${this.#path} holds ${this.#used} bytes (save_max)`);
    }
    this.#used += bytes.length;
    const time = new Date(this.#now()).toISOString().replace(/[-:]|\.\d+/g, '');
    const name = `${time}-${randomBytes(8).toString('hex')}.eml`;
    try {
      await writeSafely([bytes], join(this.#path, `.new-${name}`), () => join(this.#path, name));
    } catch (error) {
      this.#used -= bytes.length;
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
    this.#measured = Number.NEGATIVE_INFINITY;
  }

  async #measure(): Promise<void> {
    if (performance.now() - this.#measured < MEASURE_EVERY) return;
    this.#measuring ??= this.#sum().finally(() => {
      this.#measuring = undefined;
    });
    await this.#measuring;
  }

  async #sum(): Promise<void> {
    const before = this.#used;
    let bytes = 0;
    for await (const name of this.#names()) bytes += await sizeOf(join(this.#path, name));
    // What was saved meanwhile may be in both: rather too much than too little.
    this.#used = bytes + this.#used - before;
    this.#measured = performance.now();
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
