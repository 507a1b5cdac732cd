/**
 * What verifying and signing cost, and for how long they hold the event loop: mailauth in this very thread, and in the thread
 * of module `auth`. `node test/bench/auth.ts`; DNS is a table in memory.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { dkimSign } from 'mailauth';
import { hashBody } from '../../lib/filter/modules/auth/canonical.ts';
import { verify } from '../../lib/filter/modules/auth/mailauth.ts';
import { signMail } from '../../lib/filter/modules/auth/sign.ts';
import type { Records } from '../../lib/filter/modules/auth/verified.ts';
import { openVerifier } from '../../lib/filter/modules/auth/verifier.ts';
import { parseMessage } from '../../lib/mime/index.ts';
import { MemoryResolver } from '../../lib/testing/index.ts';
import { rsaKey } from '../helpers/dkim.ts';

const key = rsaKey();
const records = new Map([
  ['s._domainkey.example.org', key.record],
  ['_dmarc.example.org', 'v=DMARC1; p=reject'],
]);
const zone = Object.fromEntries([...records].map(([name, text]) => [name, { TXT: [text] }]));
const resolver = new MemoryResolver(zone);
const ask = async (name: string): Promise<Records> => {
  const text = records.get(name);
  return text === undefined ? { code: 'ENOTFOUND' } : { records: [text] };
};

const HEAD = [
  'Received: from mail.example.org by mx.example.com; Thu, 26 Nov 2026 10:00:00 +0000',
  'From: A <a@example.org>',
  'To: b@example.com',
  'Subject: a message of usual size',
  'Date: Thu, 26 Nov 2026 10:00:00 +0000',
  'Message-ID: <1@example.org>',
  'MIME-Version: 1.0',
  'Content-Type: text/plain; charset=utf-8',
  'X-Mailer: none',
];

async function makeMessage(
  bodySize: number,
  more = '',
): Promise<{ head: Buffer; body: Buffer; whole: Buffer }> {
  const body = Buffer.from(
    'The quick brown fox jumps over the lazy dog, again and again.\r\n'.repeat(bodySize / 63),
  );
  const unsigned = Buffer.concat([Buffer.from(`${more}${HEAD.join('\r\n')}\r\n\r\n`), body]);
  const signer = { signingDomain: 'example.org', selector: 's', privateKey: key.pem };
  const { signatures } = await dkimSign(unsigned, { ...signer, signatureData: [signer] });
  const whole = Buffer.concat([Buffer.from(signatures), unsigned]);
  return { head: whole.subarray(0, whole.length - body.length), body, whole };
}

/** Runs so many, some at once. */
async function runAll(count: number, run: () => Promise<unknown>): Promise<void> {
  let left = count;
  const runner = async (): Promise<void> => {
    while (left-- > 0) await run();
  };
  await Promise.all(Array.from({ length: 8 }, runner));
}

/** Says what it costs, and how long the turns of the event loop are meanwhile: in CPU time, which a busy machine leaves as it is. */
async function measure(what: string, count: number, run: () => Promise<unknown>): Promise<void> {
  await runAll(Math.min(count, 50), run);
  const began = process.cpuUsage();
  await runAll(count, run);
  const { user, system } = process.cpuUsage(began);
  const turns: number[] = [];
  let over = false;
  const watch = (async () => {
    for (let at = ownTime(); !over; ) {
      await turn();
      const now = ownTime();
      turns.push(now - at);
      at = now;
    }
  })();
  await runAll(count, run);
  over = true;
  await watch;
  turns.sort((a, b) => b - a);
  const [longest = 0, usual = 0] = [turns[0], turns[Math.floor(count / 2)]];
  const cost = ((user + system) / 1_000 / count).toFixed(2);
  process.stdout.write(
    `${what.padEnd(46)} ${cost.padStart(8)} ms CPU a message; turns: ${usual.toFixed(2).padStart(8)} ms usual, ${longest.toFixed(1).padStart(7)} longest\n`,
  );
}

/** Milliseconds of CPU that this thread has used. */
function ownTime(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

const verifier = openVerifier();
const messages = [
  ['4 kB', 2_000, await makeMessage(4_000)],
  ['1 MB', 100, await makeMessage(1_000_000)],
  ['20 MB', 8, await makeMessage(20_000_000)],
  ['4 kB, 400 kB of header', 20, await makeMessage(4_000, `X-Long: ${'x'.repeat(900)}\r\n`.repeat(440))],
] as const;
for (const [what, count, { head, body, whole }] of messages) {
  const question = { head, hasBody: true, authors: [], spf: undefined, now: Date.now() };
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield body;
  };
  await measure(`${what}: mailauth in this thread`, count, () => verify(question, chunks(), ask));
  await measure(`${what}: in a thread of its own`, count, () =>
    verifier.verify({ head, body, authors: [], spf: undefined, now: Date.now(), resolver }),
  );
  const fields = [...parseMessage(whole).root.headers];
  const signer = {
    domain: 'example.org',
    selector: 's',
    key: { key: key.privateKey, algorithm: 'rsa-sha256' as const },
  };
  await measure(`${what}: signed`, count, async () => {
    await signMail({ fields, bodyHash: await hashBody(body), time: 1_795_000_000 }, signer);
  });
}
await verifier.dispose();
