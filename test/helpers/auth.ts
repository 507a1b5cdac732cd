/** Signed mail for tests of module `auth`. */
import { dkimSign } from 'mailauth';
import { afterAll, beforeAll } from 'vitest';
import { openVerifier, type Verifier } from '../../lib/filter/modules/auth/verifier.ts';
import type { MessageResult } from '../../lib/testing/index.ts';
import { ed25519Key, rsaKey, type TestKey } from './dkim.ts';

/** Keys take a while to make: these are for all tests of a file. */
export const rsa: TestKey = rsaKey();
export const ed25519: TestKey = ed25519Key();

/** How mailauth signs. */
export interface Signing {
  readonly domain?: string;
  readonly selector?: string;
  readonly key?: TestKey;
  readonly canonicalization?: string;
  readonly signTime?: Date;
  readonly expires?: Date;
  /** `l=`. */
  readonly maxBodyLength?: number;
}

/** The message with a signature above it. */
export async function signed(
  eml: string | Buffer,
  {
    domain = 'example.org',
    selector = 's',
    key = rsa,
    canonicalization = 'relaxed/relaxed',
    ...rest
  }: Signing = {},
): Promise<Buffer> {
  const bytes = Buffer.from(eml);
  const { signTime, expires, maxBodyLength } = rest;
  const signer = { signingDomain: domain, selector, privateKey: key.pem };
  const { signatures, errors } = await dkimSign(bytes, {
    ...signer,
    canonicalization,
    ...(signTime === undefined ? {} : { signTime }),
    ...(expires === undefined ? {} : { expires }),
    signatureData: [{ ...signer, ...(maxBodyLength === undefined ? {} : { maxBodyLength }) }],
  });
  if (errors.length > 0) throw new Error(String(errors[0]?.err));
  return Buffer.concat([Buffer.from(signatures), bytes]);
}

/** The Authentication-Results that a message was given, unfolded. */
export function resultsIn({ message }: Pick<MessageResult, 'message'>): readonly string[] {
  return message.headers
    .filter(({ name }) => name === 'Authentication-Results')
    .map(({ value }) => value.replace(/\s+/g, ' '));
}

/** The thread that verifies stays while the tests of this file run, though each opens a filter of its own. */
export function keepVerifier(): void {
  let verifier: Verifier;
  beforeAll(() => {
    verifier = openVerifier();
  });
  afterAll(() => verifier.dispose());
}
