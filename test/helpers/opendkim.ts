/** A real opendkim on a socket of its own: it signs what comes from inside, and verifies the rest. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectMta } from '../../lib/testing/index.ts';
import { temporaryDirectory } from './directory.ts';
import type { KeyZone } from './dkim.ts';
import { until } from './wait.ts';

/** An opendkim. */
export interface Opendkim extends AsyncDisposable {
  /** What it writes into Authentication-Results. */
  verify(message: Buffer): Promise<string>;
  /** The message with its signature, simple/simple, above it. */
  sign(message: Buffer): Promise<Buffer>;
}

const INSIDE = '10.0.0.1';

/** Starts one that knows these public keys, and signs by a private one. */
export async function startOpendkim(
  keys: KeyZone,
  signer: { readonly domain: string; readonly selector: string; readonly pem: string },
): Promise<Opendkim> {
  const folder = await temporaryDirectory();
  const file = (name: string): string => join(folder.path, name);
  const socket = file('socket');
  await writeFile(
    file('keys'),
    Object.entries(keys)
      .map(([name, text]) => `${name} ${text}\n`)
      .join(''),
  );
  await writeFile(file('private'), signer.pem, { mode: 0o600 });
  await writeFile(
    file('conf'),
    [
      `Socket local:${socket}`,
      'Mode sv',
      'Canonicalization simple/simple',
      `Domain ${signer.domain}`,
      `Selector ${signer.selector}`,
      `KeyFile ${file('private')}`,
      'RequireSafeKeys no',
      `TestPublicKeys ${file('keys')}`,
      'AuthservID opendkim.test',
      'AlwaysAddARHeader yes',
      'Syslog no',
      `InternalHosts ${INSIDE}`,
      '',
    ].join('\n'),
  );
  const child = spawn('opendkim', ['-f', '-x', file('conf')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const exited = once(child, 'exit');
  await until('opendkim to listen', async () => {
    if (child.exitCode !== null) throw new Error(`opendkim ended: ${said}`);
    const mta = await connectMta(`unix:${socket}`).catch(() => undefined);
    await mta?.close();
    return mta !== undefined;
  });
  async function send(eml: Buffer, address: string) {
    const mta = await connectMta(`unix:${socket}`);
    try {
      const sent = await mta.sendMessage(eml, {
        client: { hostname: 'mail.example.net', address },
        sender: 'a@example.org',
        recipients: ['b@example.com'],
        macros: { i: 'queue' },
      });
      return sent.message;
    } finally {
      await mta.close();
    }
  }
  return {
    verify: async (eml) => {
      const { headers } = await send(eml, '192.0.2.7');
      return headers
        .filter(({ name }) => name === 'Authentication-Results')
        .map(({ value }) => value.replace(/\s+/g, ' '))
        .join('\n');
    },
    sign: async (eml) => (await send(eml, INSIDE)).toBytes(),
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await exited;
      await folder[Symbol.asyncDispose]();
    },
  };
}
