import { generateKeyPairSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { dkimSign, dkimVerify } from 'mailauth';
import { describe, expect, it } from 'vitest';
import { makeHeader } from '../../lib/headers.ts';
import { defang, type MessageChanges, parseHeadersAndBody, parseMessage } from '../../lib/mime/index.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

async function resolver(name: string): Promise<string[][]> {
  if (name === 's._domainkey.example.com') return [[`v=DKIM1; p=${publicKey.toString('base64')}`]];
  throw Object.assign(new Error(`no ${name}`), { code: 'ENOTFOUND' });
}

/** Signed without any leniency: a single byte more or less, anywhere, breaks it. */
async function sign(mail: Buffer): Promise<Buffer> {
  const key = { signingDomain: 'example.com', selector: 's', privateKey };
  const { signatures } = await dkimSign(mail, {
    canonicalization: 'simple/simple',
    ...key,
    signatureData: [key],
  });
  return Buffer.concat([Buffer.from(signatures), mail]);
}

async function verify(mail: Buffer): Promise<string> {
  const { results } = await dkimVerify(mail, { resolver });
  return results.map(({ status }) => status.result).join();
}

const fixtures = join(import.meta.dirname, '../fixtures/mime');
const mails = readdirSync(fixtures)
  .filter((name) => name.endsWith('.eml'))
  .map((name) => ({
    name,
    bytes: Buffer.from(readFileSync(join(fixtures, name), 'latin1').replaceAll('\n', '\r\n'), 'latin1'),
  }));

/** A message taken apart and put together as a milter and its MTA do. */
async function throughFilter(
  mail: Buffer,
  edit: (message: ReturnType<typeof parseMessage>) => void,
): Promise<Buffer> {
  const split = mail.indexOf('\r\n\r\n') + 2;
  const fields = [...parseMessage(mail).root.headers].map(({ name, raw }) =>
    makeHeader(name, Buffer.from(raw.toString('latin1').replaceAll('\r\n', '\n'), 'latin1')),
  );
  const body = mail.subarray(split + 2);
  const message = await parseHeadersAndBody(fields, body);
  edit(message);
  const changes = message.changes();
  return Buffer.concat([applyToFields(fields, changes), Buffer.from('\r\n'), changes.body ?? body]);
}

function applyToFields(
  fields: readonly { name: string; raw: Buffer }[],
  { headers }: MessageChanges,
): Buffer {
  const counts = new Map<string, number>();
  const kept = fields.flatMap(({ name, raw }) => {
    const occurrence = (counts.get(name) ?? 0) + 1;
    counts.set(name, occurrence);
    const change = headers.find(
      (one) => one.kind !== 'add' && one.name === name && one.occurrence === occurrence,
    );
    if (change?.kind === 'delete') return [];
    return [{ name, raw: change?.raw ?? raw }];
  });
  const added = headers.filter((change) => change.kind === 'add');
  const lines = [...kept, ...added].map(
    ({ name, raw }) => `${name}:${raw.toString('latin1').replaceAll('\n', '\r\n')}\r\n`,
  );
  return Buffer.from(lines.join(''), 'latin1');
}

describe('a signature', () => {
  it.each(mails)('of $name holds when nothing is edited', async ({ bytes }) => {
    const signed = await sign(bytes);
    expect(await verify(parseMessage(signed).toBytes())).toBe('pass');
    expect(await verify(await throughFilter(signed, () => {}))).toBe('pass');
  });

  it('holds when a field is added that it does not cover', async () => {
    const signed = await sign(mails.find(({ name }) => name === 'harmless.eml')?.bytes ?? Buffer.alloc(0));
    const out = await throughFilter(signed, ({ root }) => root.headers.add('X-Scanned-By', 'test'));
    expect(out.length).toBeGreaterThan(signed.length);
    expect(await verify(out)).toBe('pass');
  });

  it('holds when a harmless message is defanged, and breaks when a poisonous one is', async () => {
    for (const { name, bytes } of mails) {
      const message = parseMessage(await sign(bytes));
      const { modified } = await defang(message);
      expect(await verify(message.toBytes()), name).toBe(modified ? 'neutral' : 'pass');
    }
  });
});
