/** Certificates for tests, made by openssl. */
import { execFile } from 'node:child_process';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A certificate and its key, as PEM, and where they are. */
export interface Certificate {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Makes a certificate in this folder; signed by itself unless by another, which becomes an authority by that. */
export async function makeCertificate(
  directory: string,
  commonName: string,
  authority?: Certificate,
): Promise<Certificate> {
  const file = join(directory, `${commonName}-${authority === undefined ? 'own' : 'signed'}`);
  const [certFile, keyFile] = [`${file}.pem`, `${file}.key`];
  const signing = authority === undefined ? [] : ['-CA', authority.certFile, '-CAkey', authority.keyFile];
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', `/CN=${commonName}`, '-keyout', keyFile, '-out', certFile, ...signing],
  ]);
  await chmod(keyFile, 0o600);
  return { cert: await readFile(certFile), key: await readFile(keyFile), certFile, keyFile };
}
