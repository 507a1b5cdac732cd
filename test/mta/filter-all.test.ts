/** Every module at once, served by the command, under a real Postfix, with a real Redis, and DNS on loopback. */
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { makeZip } from '../fixtures/mime/archives.ts';
import {
  GOOD_CLIENT,
  INTERNAL,
  LISTED,
  STRANGER,
  startZone,
  writeAllModules,
} from '../helpers/all-modules.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import type { TestServer } from '../helpers/dns-server.ts';
import { forwarded, lesson } from '../helpers/lessons.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type Redis, startRedis } from '../helpers/redis.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SubmissionReplies } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

interface Sent {
  readonly client?: string;
  readonly helo?: string;
  readonly recipients?: readonly string[];
  readonly headers?: string;
  readonly body?: string;
}

describeWith(['postfix', 'redis'], 'all modules together', () => {
  let folder: string;
  let file: string;
  let zone: TestServer;
  let redis: Redis;
  let running: RunningMilter;
  let postfix: Postfix;
  let port: number;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'filter-all-'));
    zone = await startZone();
    redis = await startRedis();
    port = await unusedPort();
    file = writeAllModules(folder, {
      socket: `inet:${port}@127.0.0.1`,
      dns: zone.spec,
      store: redis.url.url,
    });
    running = new RunningMilter([file]);
    postfix = await startPostfix({
      milters: [await running.address()],
      main: ['mynetworks = 127.0.0.0/8 10.0.0.0/8'],
    });
  });
  afterAll(async () => {
    await postfix?.[Symbol.asyncDispose]();
    await running?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
    await zone?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  let sent = 0;
  async function clientAt(address: string, helo: string): Promise<SmtpClient> {
    const client = await SmtpClient.open(postfix.port);
    await client.command(`XCLIENT ADDR=${address} NAME=[UNAVAILABLE]`);
    await client.command(`EHLO ${helo}`);
    return client;
  }

  /** Sends a message, and gives its id with the replies. */
  async function send(
    sender: string,
    {
      client = GOOD_CLIENT,
      helo = 'mail.good.example',
      recipients = ['bob@test.invalid'],
      ...content
    }: Sent = {},
  ): Promise<SubmissionReplies & { readonly id: string }> {
    const id = `<${++sent}.${process.pid}@all.test>`;
    const {
      headers = 'MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n',
      body = 'hello\r\n',
    } = content;
    await using session = await clientAt(client, helo);
    const replies = await session.send({
      sender,
      recipients,
      message: `Message-Id: ${id}\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\nFrom: ${sender}\r\nSubject: all\r\n${headers}\r\n${body}`,
    });
    await session.command('QUIT');
    return { ...replies, id };
  }

  async function copiesOf(id: string): Promise<readonly string[]> {
    await postfix.settled();
    return (await postfix.delivered(0)).filter((mail) => mail.includes(`Message-Id: ${id}`));
  }

  const forWhom = (mails: readonly string[]) =>
    mails.map((mail) => /^Delivered-To: (\S+)@/im.exec(mail)?.[1]).sort();
  const said = ({ recipients, end, mail }: SubmissionReplies) => end ?? recipients[0] ?? mail;

  it('lets internal mail out, with a footer, and copies it to an address and into a folder', async () => {
    const reply = await send('ann@test.invalid', {
      client: INTERNAL,
      helo: 'desk.test.invalid',
      recipients: ['carl@far.example'],
    });
    expect(said(reply).code).toBe(250);
    const copies = await copiesOf(reply.id);
    expect(forWhom(copies)).toEqual(['archive']);
    expect(copies[0]).toContain('This message came through a filter.');
    const kept = readdirSync(join(folder, 'data/copies/ann/new'));
    const texts = kept.map((name) => readFileSync(join(folder, 'data/copies/ann/new', name), 'utf8'));
    expect(texts.filter((text) => text.includes(reply.id))).toHaveLength(1);
    expect(texts.join()).toContain('This message came through a filter.');
    await postfix.logged(/to=<carl@far\.example>.*status=sent/);
  });

  it('lets clean mail in, without a delay, and says what SPF said', async () => {
    const reply = await send('paul@good.example');
    expect(said(reply).code).toBe(250);
    const [copy] = await copiesOf(reply.id);
    expect(copy).toMatch(/^Received-SPF: pass /im);
    expect(copy).toMatch(/^X-Scanned-By: milter on mx\.test\.invalid$/im);
    expect(copy).not.toContain('came through a filter');
    expect(readFileSync(join(folder, 'data/incoming.mbox'), 'utf8')).toContain(reply.id);
  });

  it.each([
    ['a forged sender', 'eve@forged.example', STRANGER, '5.7.23', 'spf-fail'],
    ['a sender of ours', 'ann@test.invalid', STRANGER, '5.7.1', 'networks-external-as-ours'],
    ['a sender that the postmaster does not want', 'x@enemy.example', STRANGER, '5.7.1', 'access-'],
    ['a client that a list names', 'x@new.example', LISTED, '5.7.1', 'dnsbl-'],
  ])(
    'refuses %s at RCPT, with a reference that explains it',
    async (_, sender, client, enhanced, finding) => {
      const { recipients, end } = await send(sender, { client, helo: 'client.new.example' });
      expect(end).toBeUndefined();
      expect(recipients[0]).toMatchObject({ code: 550, enhanced });
      const ref = / \[ref (\w+)\]/.exec(recipients[0]?.lines.join(' ') ?? '')?.[1] ?? '';
      const why = await until('the history', async () => {
        const { out } = await milter(['why', '--config', file, ref]);
        return out.includes('refused because of') && out;
      });
      expect(why).toContain(`refused because of ${finding}`);
    },
  );

  it('refuses who does not exist', async () => {
    const { recipients } = await send('paul@good.example', {
      recipients: ['bob@test.invalid', 'nobody@test.invalid'],
    });
    expect(recipients.map(({ code }) => code)).toEqual([250, 550]);
  });

  it('takes poisonous parts out, and what acts out of a page', async () => {
    const zip = makeZip([{ name: 'invoice.exe', content: 'MZ' }]).toString('base64');
    const headers = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n';
    const body = [
      '--b',
      'Content-Type: text/html',
      '',
      '<p onclick="go()">hello</p><script>steal()</script>',
      '--b',
      'Content-Type: application/octet-stream; name="a.exe"',
      'Content-Transfer-Encoding: base64',
      '',
      'TVqQAAMAAAAEAAAA',
      '--b',
      'Content-Type: application/zip; name="b.zip"',
      'Content-Transfer-Encoding: base64',
      '',
      zip,
      '--b--',
      '',
    ].join('\r\n');
    const reply = await send('paul@good.example', { headers, body });
    expect(said(reply).code).toBe(250);
    const [copy = ''] = await copiesOf(reply.id);
    expect(copy).toContain('hello');
    for (const poison of ['TVqQAAMAAAAEAAAA', zip.slice(0, 40), 'steal()', 'onclick'])
      expect(copy).not.toContain(poison);
  });

  it('learns what a user forwards, and holds what looks like it', async () => {
    for (const kind of ['spam', 'ham'] as const) {
      const messages = [1, 2, 3, 4, 5, 6].map((n) => lesson(kind, n));
      const [, headers = '', body = ''] = /^(.*?\r\n)\r\n(.*)$/s.exec(forwarded(...messages)) ?? [];
      const taught = await send('ann@test.invalid', {
        client: INTERNAL,
        helo: 'desk.test.invalid',
        recipients: [`${kind}@test.invalid`],
        headers: headers.replace(/^(?:From|Subject):.*\r\n/gm, ''),
        body,
      });
      expect(said(taught).code).toBe(250);
      expect(await copiesOf(taught.id)).toEqual([]);
    }
    const body = /\r\n\r\n(.*)$/s.exec(lesson('spam', 9))?.[1] ?? '';
    const spam = await send('paul@good.example', { body });
    expect(said(spam).code).toBe(250);
    expect(await copiesOf(spam.id)).toEqual([]);
    const { out } = await milter(['quarantine', 'list', '--config', file]);
    expect(out).toContain('bob@test.invalid');
  });

  it('lets who is new wait, and takes it when the MTA comes again by itself', async () => {
    await using sender = await startPostfix({
      milters: [],
      main: [
        `relayhost = [127.0.0.1]:${postfix.port}`,
        'virtual_mailbox_domains =',
        'default_transport = smtp',
        'smtp_helo_name = client.new.example',
        // Longer than it is to wait: a queue manager that comes back while its own client still holds the file leaves it lying.
        'minimal_backoff_time = 8s',
        'maximal_backoff_time = 8s',
        'queue_run_delay = 1s',
      ],
    });
    const id = `<greylisted.${process.pid}@all.test>`;
    await sender.submit(
      'new@new.example',
      ['bob@test.invalid'],
      `Message-Id: ${id}\nSubject: first\n\nhello\n`,
    );
    await until('the delivery', async () => (await copiesOf(id)).length === 1, 60_000);
    await sender.logged(/status=deferred .*451 4\.7\.1 .*try again/);
  }, 90_000);

  it('stops a user who sends too much, and nobody else', async () => {
    await using session = await clientAt(INTERNAL, 'desk.test.invalid');
    const codes: number[] = [];
    for (let i = 0; i < 52; i++) {
      await session.command('RSET');
      await session.command('MAIL FROM:<flood@test.invalid>');
      const { code } = await session.command('RCPT TO:<bob@test.invalid>');
      codes.push(code);
      if (code !== 250) continue;
      await session.command('DATA');
      await session.command(`Subject: ${i}\r\nFrom: flood@test.invalid\r\n\r\nflood\r\n.`);
    }
    expect(codes).toEqual([...Array.from({ length: 50 }, () => 250), 451, 451]);
    expect(said(await send('ann@test.invalid', { client: INTERNAL, helo: 'desk.test.invalid' })).code).toBe(
      250,
    );
  });

  it('is reloaded under load, and neither loses nor misjudges a message', async () => {
    const good: Promise<SubmissionReplies & { readonly id: string }>[] = [];
    const bad: Promise<SubmissionReplies>[] = [];
    for (let round = 0; round < 6; round++) {
      for (let i = 0; i < 6; i++) {
        good.push(send(`paul${round}.${i}@good.example`));
        bad.push(send(`eve${round}.${i}@forged.example`, { client: STRANGER, helo: 'client.new.example' }));
      }
      const before = running.err.split('is in force').length;
      running.child.kill('SIGHUP');
      await until('the reload', () => running.err.split('is in force').length > before);
    }
    for (const reply of await Promise.all(bad))
      expect(said(reply)).toMatchObject({ code: 550, enhanced: '5.7.23' });
    const accepted = await Promise.all(good);
    expect(accepted.map((reply) => said(reply).code)).toEqual(accepted.map(() => 250));
    await postfix.settled();
    const all = (await postfix.delivered(0)).join('\n');
    for (const { id } of accepted) expect(all.split(`Message-Id: ${id}`)).toHaveLength(2);
  });

  it('does what each module says while Redis is away, and goes on when it is back', async () => {
    const during = Array.from({ length: 12 }, (_, i) => send(`paul${i}@good.example`));
    await redis.stop();
    // ratelimit has on_error = "tempfail", the default; whoever was counted before goes through.
    const answers = await Promise.all(during);
    for (const reply of answers) expect([250, 451]).toContain(said(reply).code);
    await postfix.settled();
    const all = (await postfix.delivered(0)).join('\n');
    for (const reply of answers)
      expect(all.split(`Message-Id: ${reply.id}`)).toHaveLength(said(reply).code === 250 ? 2 : 1);
    const away = await send('paul@good.example');
    expect(away.end).toBeUndefined();
    expect(away.recipients[0]).toMatchObject({ code: 451, enhanced: '4.3.0' });
    expect(running.err).toContain('module ratelimit failed');
    await redis.start();
    await until('the store', async () => said(await send('paul@good.example')).code === 250, 60_000);
  });

  it('loses no copy, and leaves none by half, when it is killed in the middle', async () => {
    const accepted: string[] = [];
    const body = `${'a line of a message that is not short\r\n'.repeat(4_000)}its end\r\n`;
    let stopped = false;
    const sender = async (name: string): Promise<void> => {
      while (!stopped) {
        const reply = await send(`${name}@good.example`, { body }).catch(() => undefined);
        if (reply?.end?.code === 250) accepted.push(reply.id);
      }
    };
    const senders = ['p', 'q', 'r', 's'].map(sender);
    for (let round = 0; round < 3; round++) {
      const before = accepted.length;
      await until('messages to be copied', () => accepted.length >= before + 4, 60_000);
      running.child.kill('SIGKILL');
      await once(running.child, 'close');
      running = new RunningMilter([file]);
      await running.address();
    }
    const before = accepted.length;
    await until('messages to be copied', () => accepted.length > before, 60_000);
    stopped = true;
    await Promise.all(senders);
    const copies = readFileSync(join(folder, 'data/incoming.mbox'), 'utf8')
      .split(/^From .*\n/m)
      .slice(1);
    for (const id of accepted) {
      const whole = copies.filter((copy) => copy.includes(`Message-Id: ${id}`));
      expect(whole.length).toBeGreaterThan(0);
    }
    const long = copies.filter((copy) => copy.includes('a line of a message that is not short'));
    expect(long.every((copy) => copy.trimEnd().endsWith('its end'))).toBe(true);
    await postfix.settled();
    const delivered = (await postfix.delivered(0)).join('\n');
    for (const id of accepted) expect(delivered).toContain(`Message-Id: ${id}`);
  }, 120_000);
});
