/**
 * Three filters behind one Postfix, on one Redis with sentinels: a balancer spreads the sessions over them. They are as one, also
 * when one of them is killed, and when the Redis that they share is.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { spf, startZone } from '../helpers/all-modules.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import type { TestServer } from '../helpers/dns-server.ts';
import { forwarded, lesson } from '../helpers/lessons.ts';
import { startServer } from '../helpers/mta.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type SentinelledRedis, startSentinelledRedis } from '../helpers/redis.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SmtpReply } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

/** By which address the internal client comes; any other of loopback is a stranger's. */
const INTERNAL = '127.0.0.9';
const STRANGER = '127.0.0.1';
const LIMIT = 12;

const configuration = (port: number, dns: string, store: string): string => `
socket = "inet:${port}@127.0.0.1"
hostname = "mx.test.invalid"
data = "data"
[store]
url = "${store}"
[dns]
servers = ["${dns}"]
[log]
format = "json"
[[module]]
use = "networks"
internal = ["${INTERNAL}"]
domains = ["test.invalid"]
[[module]]
use = "spf"
[[module]]
use = "bayes"
learn = [{ spam = "spam@test.invalid", ham = "ham@test.invalid" }]
min_trained = 5
[[module]]
use = "known"
[[module]]
use = "greylist"
delay = "1s"
spare = ["known"]
after = 0
[[module]]
use = "ratelimit"
match = { from = ["much.example"] }
limits = [{ name = "senders", key = "sender", when = ["external"], messages = ${LIMIT}, per = "1h" }]
`;

interface Filter {
  readonly port: number;
  readonly file: string;
  running: RunningMilter;
}

/** HAProxy, as `docs/scaling.md` has it. */
const balancer = (port: number, filters: readonly Filter[]): string => `
defaults
  mode tcp
  timeout connect 2s
  timeout client 30m
  timeout server 30m
  retries 3
  option redispatch 1
listen milter
  bind 127.0.0.1:${port}
  balance roundrobin
  default-server check inter 2s
${filters.map((filter, i) => `  server filter${i} 127.0.0.1:${filter.port}`).join('\n')}
`;

describeWith(['postfix', 'redis', 'sentinel', 'haproxy'], 'three filters that share a Redis', () => {
  let folder: string;
  let zone: TestServer;
  let redis: SentinelledRedis;
  const filters: Filter[] = [];
  let haproxy: Awaited<ReturnType<typeof startServer>>;
  let postfix: Postfix;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'several-filters-'));
    const domains = ['good.example', 'new.example', 'spam.example', 'much.example'];
    const policy = spf('v=spf1 ip4:127.0.0.0/8 -all');
    zone = await startZone(Object.fromEntries(domains.map((name) => [name, policy])));
    redis = await startSentinelledRedis();
    for (const name of ['a', 'b', 'c']) {
      mkdirSync(join(folder, name));
      const [port, file] = [await unusedPort(), join(folder, name, 'milter.toml')];
      writeFileSync(file, configuration(port, zone.spec, redis.url.url));
      const running = new RunningMilter([file]);
      filters.push({ port, file, running });
      await running.address();
    }
    const port = await unusedPort();
    writeFileSync(join(folder, 'haproxy.cfg'), balancer(port, filters));
    const isReady = async (): Promise<boolean> => true;
    haproxy = await startServer('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], isReady);
    postfix = await startPostfix({
      milters: [`inet:${port}@127.0.0.1`],
      main: ['mynetworks = 127.0.0.9/32'],
    });
  }, 60_000);
  afterAll(async () => {
    await postfix?.[Symbol.asyncDispose]();
    haproxy?.kill('SIGKILL');
    for (const { running } of filters) await running[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
    await zone?.[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  let sent = 0;
  /** Sends a message in a session of its own; gives the last reply. */
  async function send(
    sender: string,
    { from = STRANGER, to = 'bob@test.invalid', body = 'hello\r\n', headers = '' } = {},
  ): Promise<SmtpReply & { readonly id: string }> {
    const id = `<${++sent}.${process.pid}@several.test>`;
    await using session = await SmtpClient.open(postfix.port, 'client.test', from);
    const message = `Message-Id: ${id}\r\nFrom: ${sender}\r\nSubject: several\r\n${headers}\r\n${body}`;
    const { mail, recipients, end } = await session.send({ sender, recipients: [to], message });
    return { ...(end ?? recipients[0] ?? mail), id };
  }

  /** As an MTA does: again until there is a lasting answer. Gives the id under which it was taken. */
  async function sendUntilTaken(sender: string, more: Parameters<typeof send>[1] = {}): Promise<string> {
    return await until(`${sender} to be let in`, async () => {
      const reply = await send(sender, more).catch(() => undefined);
      if (reply === undefined || reply.code < 300) return reply?.id;
      if (reply.code >= 500) throw new Error(reply.lines.join());
      return undefined;
    });
  }

  async function teach(kind: 'spam' | 'ham', from: number): Promise<void> {
    const messages = [1, 2, 3, 4, 5, 6].map((n) => lesson(kind, from + n));
    const [, headers = '', body = ''] = /^(.*?\r\n)\r\n(.*)$/s.exec(forwarded(...messages)) ?? [];
    await sendUntilTaken('ann@test.invalid', {
      from: INTERNAL,
      to: `${kind}@test.invalid`,
      headers: headers.replace(/^(?:From|Subject):.*\r\n/gm, ''),
      body,
    });
  }

  /** Resolves when the quarantine of each filter shows a sender's mail. */
  async function shownToAll(sender: string): Promise<void> {
    for (const { file } of filters) {
      await until('the held message to be shown', async () =>
        (await milter(['quarantine', 'list', '--config', file])).out.includes(sender),
      );
    }
  }

  const spam = { body: /\r\n\r\n(.*)$/s.exec(lesson('spam', 90))?.[1] ?? '' };
  const writeTo = (to: string): Promise<string> => sendUntilTaken('bob@test.invalid', { from: INTERNAL, to });

  it('are as one', async () => {
    for (const { running } of filters) {
      await until('each filter to reach the store', async () => {
        await send(`${sent}@new.example`);
        return running.err.includes('greylist-delay');
      });
    }
    for (const sender of ['new@new.example', 'early@new.example', 'x@spam.example', 'y@spam.example']) {
      expect(await send(sender)).toMatchObject({ code: 451, enhanced: '4.7.1' });
    }
    // Whom one saw written to by us no other lets wait.
    for (const sender of ['paul@good.example', 'loud@much.example', 'quiet@much.example'])
      await writeTo(sender);
    for (const _ of filters) expect(await send('paul@good.example')).toMatchObject({ code: 250 });
    // A limit is that of all.
    const codes: number[] = [];
    for (let i = 0; i < LIMIT + 3; i++) codes.push((await send('loud@much.example')).code);
    expect(codes).toEqual([...Array.from({ length: LIMIT }, () => 250), 451, 451, 451]);
    for (const { running } of filters) expect(running.err).toContain('loud@much.example');
    // What one learned another knows, and what it holds all show. Whom one let wait another lets in.
    await teach('spam', 0);
    await teach('ham', 0);
    await sendUntilTaken('x@spam.example', spam);
    await sendUntilTaken('new@new.example');
    await shownToAll('x@spam.example');
  }, 60_000);

  it('lose nothing, and hold their limits, when one of them is killed, and their Redis', async () => {
    const taken: string[] = [];
    let quiet = 0;
    let stopped = false;
    const sending = async (): Promise<void> => {
      while (!stopped) {
        const reply = await send('paul@good.example').catch(() => undefined);
        if (reply?.code === 250) taken.push(reply.id);
        if (taken.length % 4 === 0 && (await send('quiet@much.example').catch(() => undefined))?.code === 250)
          quiet++;
      }
    };
    const senders = [sending(), sending()];
    const goOn = async (): Promise<void> => {
      const before = taken.length;
      await until('more messages to be taken', () => taken.length > before + 3, 30_000);
    };
    await goOn();
    const [first, ...others] = filters as [Filter, ...Filter[]];
    first.running.child.kill('SIGKILL');
    await once(first.running.child, 'close');
    await goOn();
    const master = await redis.master();
    await master.stop();
    await until('the failover', async () => (await redis.master()) !== master, 30_000);
    for (const { running } of others) {
      await until('each filter to find the new master', () => running.err.includes(' is back'), 30_000);
    }
    await goOn();
    stopped = true;
    await Promise.all(senders);
    first.running = new RunningMilter([first.file]);
    await first.running.address();

    await postfix.settled();
    const delivered = (await postfix.delivered(0)).join('\n');
    for (const id of taken) expect(delivered).toContain(`Message-Id: ${id}`);
    // What they knew, they know.
    expect(await send('early@new.example')).toMatchObject({ code: 250 });
    expect(await send('late@new.example')).toMatchObject({ code: 451, enhanced: '4.7.1' });
    const isTooMuch = ({ lines }: SmtpReply): boolean => lines.join().startsWith('Too much mail');
    expect(await send('loud@much.example')).toSatisfy(isTooMuch);
    await until('the limit', async () => {
      const reply = await send('quiet@much.example');
      if (reply.code === 250) quiet++;
      return quiet > LIMIT || isTooMuch(reply);
    });
    expect(quiet).toBeLessThanOrEqual(LIMIT);
    await sendUntilTaken('y@spam.example', spam);
    await shownToAll('x@spam.example');
    await shownToAll('y@spam.example');
  }, 60_000);
});
