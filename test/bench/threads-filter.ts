/** For threads.ts: each message costs so many rounds of a hash, which the parameter `rounds` of this file's URL says. */
import { createHash } from 'node:crypto';
import { Milter } from 'libmilter';

const rounds = Number(new URL(import.meta.url).searchParams.get('rounds'));

/** Work of the processor alone. */
export function burn(rounds: number): void {
  let bytes: Buffer = Buffer.alloc(1_024);
  for (let i = 0; i < rounds; i++)
    bytes = Buffer.concat([createHash('sha256').update(bytes).digest()], 1_024);
}

export default class Burning extends Milter {
  override eom(): void {
    burn(rounds);
  }
}
