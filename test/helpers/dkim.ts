/** Keys for signing, and dkimpy, which signs and verifies as another implementation does. */
import { spawn } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DEBIAN_PYTHON } from './requirements.ts';

/** A pair of keys. */
export interface TestKey {
  readonly pem: string;
  /** What DNS has of it. */
  readonly record: string;
  readonly privateKey: KeyObject;
  /** As dkimpy wants it: its Ed25519 keys are bare. */
  readonly forDkimpy: string;
}

/** An RSA key of so many bits. */
export function rsaKey(bits = 2_048): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const der = publicKey.export({ type: 'spki', format: 'der' });
  return { pem, record: `v=DKIM1; k=rsa; p=${der.toString('base64')}`, privateKey, forDkimpy: pem };
}

/** An Ed25519 key. */
export function ed25519Key(): TestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const bare = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64');
  return {
    pem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
    record: `v=DKIM1; k=ed25519; p=${bare}`,
    privateKey,
    forDkimpy: privateKey.export({ type: 'pkcs8', format: 'der' }).subarray(-32).toString('base64'),
  };
}

/** Names and the texts of their TXT records. */
export type KeyZone = Readonly<Record<string, string>>;

/** By which key dkimpy signs. */
export interface DkimpyKey {
  readonly selector: string;
  readonly domain: string;
  readonly key: string;
}

/** How dkimpy signs. */
export interface DkimpySigning extends DkimpyKey {
  /** `relaxed/simple` and so on. */
  readonly canonicalize?: string;
  readonly algorithm?: 'rsa-sha256' | 'ed25519-sha256' | 'rsa-sha1';
  readonly fields?: readonly string[];
  /** With `l=`. */
  readonly length?: boolean;
}

/** A dkimpy that answers until it is disposed of. */
export class Dkimpy implements AsyncDisposable {
  readonly #child = spawn(DEBIAN_PYTHON, [join(import.meta.dirname, 'dkimpy.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  readonly #lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
  readonly #exited = once(this.#child, 'exit');

  /** The message with its signature above it. */
  async sign(message: Buffer, options: DkimpySigning): Promise<Buffer> {
    const whole = { canonicalize: 'relaxed/relaxed', ...options };
    return Buffer.concat([await this.#bytes('sign', message, whole), message]);
  }

  /** The message with a set of ARC, made of the Authentication-Results of `id` in it. */
  async seal(message: Buffer, options: DkimpyKey & { readonly id: string }): Promise<Buffer> {
    return Buffer.concat([await this.#bytes('seal', message, options), message]);
  }

  /** What it says of each signature, from the top: true, or what is wrong. */
  async verify(message: Buffer, dns: KeyZone): Promise<unknown> {
    return await this.#ask('verify', message, dns);
  }

  /** What it says of the chain of ARC. */
  async verifyArc(message: Buffer, dns: KeyZone): Promise<unknown> {
    return await this.#ask('verify-arc', message, dns);
  }

  async #bytes(what: string, message: Buffer, options: object): Promise<Buffer> {
    return Buffer.from(String(await this.#ask(what, message, {}, options)), 'base64');
  }

  async #ask(what: string, message: Buffer, dns: KeyZone, options: object = {}): Promise<unknown> {
    const request = { do: what, message: message.toString('base64'), dns, options };
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value } = await this.#lines.next();
    const { answer, error } = JSON.parse(String(value ?? '{"error":"it ended"}')) as {
      answer?: unknown;
      error?: string;
    };
    if (error !== undefined) throw new Error(`dkimpy: ${error}`);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#exited;
  }
}
