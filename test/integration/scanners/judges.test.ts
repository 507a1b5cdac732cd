/** The clients of spamd and rspamd: with real ones, and with such as do what none should. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Rspamd, type RspamdMail, ScannerError, Spamd } from '../../../lib/scanners/index.ts';
import { startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { GTUBE, startRspamd, startSpamd, type TestRspamd, type TestSpamd } from '../../helpers/scanners.ts';
import { type Script, scriptedServer } from '../../helpers/scripted-server.ts';
import { unusedPort } from '../../helpers/wait.ts';

const soon = (): AbortSignal => AbortSignal.timeout(30_000);
const eml = (text: string): Buffer =>
  Buffer.from(
    `Subject: t\r\nFrom: a@example.com\r\nTo: b@example.com\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n${text}\r\n`,
  );
const HAM = eml('Hello, see you at lunch.');
const SPAM = eml(GTUBE);
const MAIL: RspamdMail = {
  ip: '192.0.2.7',
  hostname: 'mail.example.org',
  helo: 'mail.example.org',
  sender: 'a@example.com',
  recipients: ['b@example.com'],
  queueId: 'ABC',
  user: undefined,
};

async function faultOf(asked: Promise<unknown>): Promise<string> {
  return await asked.then(
    () => 'none',
    (error: unknown) => {
      if (!(error instanceof ScannerError)) throw error;
      return error.fault;
    },
  );
}

describeWith(['spamd'], 'a real spamd', () => {
  let server: TestSpamd;
  beforeAll(async () => {
    server = await startSpamd();
  });
  afterAll(async () => await server[Symbol.asyncDispose]());

  it('judges, in pieces too, and many at once', async () => {
    const spamd = new Spamd({ host: '127.0.0.1', port: server.port });
    await spamd.ping(soon());
    const [ham, spam] = await Promise.all([
      spamd.check([HAM.subarray(0, 50), HAM.subarray(50)], soon()),
      spamd.check([SPAM], soon()),
    ]);
    expect(ham).toMatchObject({ spam: false, threshold: 5 });
    expect(ham.score).toBeLessThan(1);
    expect(spam).toMatchObject({ spam: true, score: 1000 });
    expect(spam.rules).toContainEqual({ name: 'GTUBE', points: 1000 });
  });

  it('learns, and learns again', async () => {
    const spamd = new Spamd({ host: '127.0.0.1', port: server.port });
    await spamd.learn([SPAM], 'spam', soon());
    await spamd.learn([SPAM], 'spam', soon());
    await spamd.learn([HAM], 'ham', soon());
  });
});

describeWith(['rspamd', 'redis'], 'a real rspamd', () => {
  let server: TestRspamd;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  beforeAll(async () => {
    redis = await startRedis();
    server = await startRspamd(redis.port);
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });

  it('judges what it is told', async () => {
    const rspamd = new Rspamd(new URL(`http://127.0.0.1:${server.port}`));
    await rspamd.ping(soon());
    expect(await rspamd.check(MAIL, [SPAM], soon())).toMatchObject({
      action: 'reject',
      score: 15,
      required: 15,
      message: 'Gtube pattern',
    });
    const names = async (mail: RspamdMail): Promise<readonly string[]> =>
      (await rspamd.check(mail, [HAM], soon())).rules.map(({ name }) => name);
    expect(await names(MAIL)).toContain('TO_MATCH_ENVRCPT_ALL');
    expect(await names({ ...MAIL, recipients: ['x@example.com', 'c@example.com'] })).not.toContain(
      'TO_MATCH_ENVRCPT_ALL',
    );
    expect(await names({ ...MAIL, sender: 'x@example.org' })).toContain('FROM_NEQ_ENVFROM');
    expect(
      await names({ ...MAIL, ip: undefined, hostname: undefined, helo: '', queueId: undefined }),
    ).not.toEqual([]);
  });

  it('learns, what it knows and what it does not want is no fault, and who has not the password is refused', async () => {
    const rspamd = new Rspamd(new URL(`http://127.0.0.1:${server.port}`));
    const { password } = server;
    const controller = new URL(`http://127.0.0.1:${server.controller}`);
    for (const as of ['spam', 'spam', 'ham', 'ham'] as const) {
      await rspamd.learn([as === 'spam' ? SPAM : HAM], { controller, password, as }, soon());
    }
    const wrong = rspamd.learn([HAM], { controller, password: 'wrong', as: 'ham' }, soon());
    await expect(wrong).rejects.toThrow('rspamd says 401 "{"error":"Unauthorized"}"');
  });
});

/** When it has heard the client's last word. */
const atEnd =
  (reply: string): Script =>
  (socket) =>
    socket.on('end', () => socket.end(reply, 'latin1'));

const REPORT = 'SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\nSpam: True ; 6.3 / 5.0\r\n\r\nrule';

describe('a spamd that does what none should', () => {
  it.each<[what: string, fault: string, script: Script]>([
    ['answers', 'none', atEnd(REPORT)],
    ['hangs', 'late', () => {}],
    ['hangs up', 'cut-off', (socket) => socket.destroy()],
    ['says nothing', 'cut-off', atEnd('')],
    ['dies in its answer', 'cut-off', atEnd(REPORT.slice(0, -1))],
    [
      'resets in its answer',
      'cut-off',
      (socket) => socket.on('end', () => socket.write(REPORT.slice(0, -1), () => socket.resetAndDestroy())),
    ],
    ['answers in half, and hangs', 'late', (socket) => socket.on('end', () => socket.write(REPORT))],
    [
      'talks without end',
      'nonsense',
      (socket) => socket.on('end', () => socket.write('x'.repeat(2_000_000))),
    ],
    ['speaks SMTP', 'nonsense', atEnd('220 mx.example.org ESMTP\r\n')],
    ['complains at once', 'refused', (socket) => socket.end('SPAMD/1.0 76 Bad header line\r\n')],
  ])('%s: %s', async (_, fault, script) => {
    await using server = await scriptedServer(script);
    const spamd = new Spamd({ host: '127.0.0.1', port: server.port });
    const signal = fault === 'late' ? AbortSignal.timeout(100) : soon();
    expect(await faultOf(spamd.check([HAM], signal))).toBe(fault);
  });

  it('is asked as its protocol says', async () => {
    await using server = await scriptedServer(atEnd(REPORT));
    const spamd = new Spamd({ host: '127.0.0.1', port: server.port });
    await spamd.check([HAM], soon());
    expect(server.heard[0]).toBe(
      `REPORT SPAMC/1.5\r\nContent-length: ${HAM.length}\r\n\r\n${HAM.toString('latin1')}`,
    );
    await spamd.learn([HAM], 'ham', soon());
    expect(server.heard[1]).toBe(
      `TELL SPAMC/1.5\r\nContent-length: ${HAM.length}\r\nMessage-class: ham\r\nSet: local\r\n\r\n${HAM.toString('latin1')}`,
    );
  });

  it('says that it does not learn', async () => {
    await using server = await scriptedServer(
      atEnd('SPAMD/1.0 69 Service Unavailable: TELL commands are not enabled\r\n'),
    );
    const learned = new Spamd({ host: '127.0.0.1', port: server.port }).learn([HAM], 'ham', soon());
    await expect(learned).rejects.toThrow(/--allow-tell/);
  });

  it('is not there', async () => {
    expect(
      await faultOf(new Spamd({ host: '127.0.0.1', port: await unusedPort() }).check([HAM], soon())),
    ).toBe('down');
  });

  const shared = join(import.meta.dirname, '../../../../shared/cases/spamd');
  const replies = existsSync(shared) ? readdirSync(shared).filter((name) => name.endsWith('.reply')) : [];
  it.each(replies)('says what a real one said: %s', async (name) => {
    const reply = readFileSync(join(shared, name), 'latin1');
    await using server = await scriptedServer(atEnd(reply));
    const fault = await faultOf(new Spamd({ host: '127.0.0.1', port: server.port }).check([HAM], soon()));
    expect(fault === 'none').toBe(/^Spam: /m.test(reply));
  });
});

const JSON_REPLY = '{"score":1.5,"required_score":15,"action":"no action","symbols":{}}';
const http = (status: string, body: string, length = body.length): string =>
  `HTTP/1.1 ${status}\r\nContent-Length: ${length}\r\n\r\n${body}`;
/** When it has heard the whole mail. */
const atMail =
  (reply: string): Script =>
  (socket, heard) =>
    socket.on('data', () => heard().endsWith('lunch.\r\n') && socket.end(reply, 'latin1'));

describe('an rspamd that does what none should', () => {
  it.each<[what: string, fault: string, script: Script]>([
    ['answers', 'none', atMail(http('200 OK', JSON_REPLY))],
    ['hangs', 'late', () => {}],
    ['hangs up', 'cut-off', (socket) => socket.destroy()],
    ['dies in its answer', 'cut-off', atMail(http('200 OK', JSON_REPLY, 1_000))],
    [
      'dies in its answer of no known length',
      'nonsense',
      atMail(`HTTP/1.1 200 OK\r\n\r\n${JSON_REPLY.slice(0, -1)}`),
    ],
    [
      'answers in half, and hangs',
      'late',
      (socket) => socket.on('data', () => socket.write(http('200 OK', JSON_REPLY, 1_000))),
    ],
    ['says that it failed', 'refused', atMail(http('500 Error', '{"error":"invalid command"}'))],
    ['says so with 200', 'refused', atMail(http('200 OK', '{"error":"invalid command"}'))],
    ['answers no JSON', 'nonsense', atMail(http('200 OK', 'pong\r\n'))],
    [
      'moved',
      'refused',
      atMail('HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n'),
    ],
    [
      'talks without end',
      'nonsense',
      (socket) => socket.on('data', () => socket.write(`HTTP/1.1 200 OK\r\n\r\n${'x'.repeat(5_000_000)}`)),
    ],
    ['speaks SMTP', 'cut-off', (socket) => socket.write('220 mx.example.org ESMTP\r\n')],
  ])('%s: %s', async (_, fault, script) => {
    await using server = await scriptedServer(script);
    const rspamd = new Rspamd(new URL(`http://127.0.0.1:${server.port}/`));
    const signal = fault === 'late' ? AbortSignal.timeout(100) : soon();
    expect(await faultOf(rspamd.check(MAIL, [HAM], signal))).toBe(fault);
  });

  it('is told of the client and the envelope, below the path of its URL', async () => {
    await using server = await scriptedServer(atMail(http('200 OK', JSON_REPLY)));
    const rspamd = new Rspamd(new URL(`http://127.0.0.1:${server.port}/scan/`));
    await rspamd.check(
      { ...MAIL, user: 'ann', recipients: ['b@example.com', 'c@example.com'] },
      [HAM],
      soon(),
    );
    const [asked = ''] = server.heard;
    expect(asked).toMatch(/^POST \/scan\/checkv2 HTTP\/1\.1\r\n/);
    for (const line of [
      'Ip: 192.0.2.7',
      'Hostname: mail.example.org',
      'Helo: mail.example.org',
      'From: a@example.com',
      'Rcpt: b@example.com',
      'Rcpt: c@example.com',
      'Queue-Id: ABC',
      'User: ann',
      'Connection: close',
    ]) {
      expect(asked).toContain(`\r\n${line}\r\n`);
    }
    expect(asked).not.toContain('Deliver-To');
  });

  it('is told nothing that ends a header', async () => {
    await using server = await scriptedServer(atMail(http('200 OK', JSON_REPLY)));
    const rspamd = new Rspamd(new URL(`http://127.0.0.1:${server.port}`));
    const bad = 'a\r\nPassword: x\0\u{dc80}ü';
    const mail = {
      ip: bad,
      hostname: bad,
      helo: bad,
      sender: bad,
      recipients: [bad],
      queueId: bad,
      user: bad,
    };
    await rspamd.check(mail, [HAM], soon());
    expect(server.heard[0]).not.toMatch(/^Password/m);
    expect(server.heard[0]).toContain(
      `\r\nHelo: a??Password: x?${Buffer.from('\u{fffd}ü').toString('latin1')}\r\n`,
    );
  });

  it('is not there', async () => {
    const rspamd = new Rspamd(new URL(`http://127.0.0.1:${await unusedPort()}`));
    expect(await faultOf(rspamd.check(MAIL, [HAM], soon()))).toBe('down');
  });
});
