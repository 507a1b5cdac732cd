/** Private keys for signing: in files that are read when the configuration is, and anew when they change. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync, type Stats, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import type { Resolver } from '../../../dns/index.ts';
import { isFailure } from '../../../dns/index.ts';
import type { Logger } from '../../../index.ts';
import { BadValue, kinds, reporting } from '../../kit.ts';

/** What a key signs with (RFC 8301, RFC 8463). */
export type Algorithm = 'rsa-sha256' | 'ed25519-sha256';

/** Verifiers need not take shorter ones nor longer (RFC 8301 section 3.2). */
const MIN_BITS = 1_024;
const MAX_BITS = 4_096;
/** Shorter ones are not what one makes today. */
const GOOD_BITS = 2_048;
const MAX_BYTES = 64 * 1024;

interface KeyState {
  readonly key: KeyObject;
  readonly algorithm: Algorithm;
}

/** A key in a file. */
export class KeyFile {
  readonly path: string;
  #state: KeyState;
  /** Of the version read last, good or bad; of a fault its words. */
  #version: string;

  /** @throws BadValue where it cannot be used */
  constructor(path: string) {
    this.path = path;
    try {
      this.#version = versionOf(statSync(path));
      this.#state = readKey(readFileSync(path, 'utf8'));
    } catch (error) {
      throw new BadValue(`cannot be used: ${path}: ${reasonOf(error)}`);
    }
  }

  get key(): KeyObject {
    return this.#state.key;
  }

  get algorithm(): Algorithm {
    return this.#state.algorithm;
  }

  /** Reads it anew if it has changed; a bad one is told of once, and the old one stays. */
  async refresh(log: Logger): Promise<void> {
    const before = this.#version;
    try {
      this.#version = versionOf(await stat(this.path));
      if (this.#version === before) return;
      this.#state = readKey(await readFile(this.path, 'utf8'));
      log.info({ path: this.path }, 'a signing key was read anew');
    } catch (error) {
      const reason = reasonOf(error);
      if (this.#version === before) this.#version = reason;
      if (this.#version === before) return;
      log.error({ path: this.path }, `a signing key cannot be used, and the old one stays: ${reason}`);
    }
  }

  /** What of it is unwise: sentences. */
  warnings(): string[] {
    const { mode } = statSync(this.path);
    const bits = this.key.asymmetricKeyDetails?.modulusLength ?? GOOD_BITS;
    const found: string[] = [];
    if ((mode & 0o007) !== 0) found.push(`${this.path} can be read by everybody on this machine: chmod 640`);
    else if ((mode & 0o020) !== 0) found.push(`${this.path} can be written by its group: chmod 640`);
    if (bits < GOOD_BITS) found.push(`${this.path} has ${bits} bits only: make one of ${GOOD_BITS}`);
    return found;
  }

  /** `p=` of the record that belongs to it. */
  get published(): string {
    const spki = createPublicKey(this.key).export({ type: 'spki', format: 'der' });
    // An Ed25519 key stands there bare (RFC 8463 section 4.2): the last 32 bytes.
    return (this.algorithm === 'rsa-sha256' ? spki : spki.subarray(-32)).toString('base64');
  }
}

/** A key file, as "file:keys/2026.pem". */
export function keyFile() {
  return kinds.givenPath().transform((path, context) =>
    reporting(context, () => {
      if (path === undefined) throw new BadValue('must be a key file such as "file:keys/2026.pem"');
      return new KeyFile(path);
    }),
  );
}

/** What is wrong with the key that DNS has for a signature of ours. */
export async function publishedFault(
  { domain, selector, key }: { readonly domain: string; readonly selector: string; readonly key: KeyFile },
  resolver: Resolver,
): Promise<string | undefined> {
  const name = `${selector}._domainkey.${domain}`;
  const type = key.algorithm === 'rsa-sha256' ? 'rsa' : 'ed25519';
  const wanted = `v=DKIM1; k=${type}; p=${key.published}`;
  const answer = await resolver.resolve(name, 'TXT');
  if (isFailure(answer)) return `DNS does not say whether the key is published at ${name}`;
  if (answer.status !== 'ok') return `no key is published at ${name}; publish: ${wanted}`;
  const records = answer.records.map((texts) => Buffer.concat(texts).toString('latin1'));
  const isThere = records.some(
    (text) => /(?:^|;)\s*p\s*=([^;]*)/.exec(text)?.[1]?.replace(/\s/g, '') === key.published,
  );
  return isThere ? undefined : `another key than ${key.path} is published at ${name}; publish: ${wanted}`;
}

function readKey(pem: string): KeyState {
  if (/-----BEGIN (?:RSA )?PUBLIC KEY-----/.test(pem))
    throw new Error('it is the public key; the private one is needed');
  if (/ENCRYPTED/.test(pem)) throw new Error('it has a passphrase; take it off');
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: pem, format: 'pem' });
  } catch (cause) {
    throw new Error('it is no private key in PEM', { cause });
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  if (type === 'ed25519') return { key, algorithm: 'ed25519-sha256' };
  if (type !== 'rsa') throw new Error(`it is a key of type ${type}; RSA or Ed25519 is needed`);
  const bits = details?.modulusLength ?? 0;
  if (bits < MIN_BITS || bits > MAX_BITS)
    throw new Error(`it has ${bits} bits; from ${MIN_BITS} to ${MAX_BITS} are needed, best ${GOOD_BITS}`);
  return { key, algorithm: 'rsa-sha256' };
}

function versionOf(found: Stats): string {
  if (!found.isFile()) throw new Error('it is no file');
  if (found.size > MAX_BYTES) throw new Error('it is too large for a key');
  return `${found.ino} ${found.size} ${found.mtimeMs}`;
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
