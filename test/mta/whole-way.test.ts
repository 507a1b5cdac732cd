/**
 * The whole way of a message that is held by mistake: its owner is told of it, frees it in a browser, and what is like it comes
 * through from then on. All of it is real: Postfix, `milter run`, the browser, and what the documentation says of Postfix. Twice it
 * waits until the filter looks at the clock, every ten seconds.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openBayes } from '../../lib/bayes/index.ts';
import { loadConfig, openStore } from '../../lib/filter/index.ts';
import { parseMessage } from '../../lib/mime/index.ts';
import { GOOD_CLIENT, startZone } from '../helpers/all-modules.ts';
import { axeFaults, openWindow, picture, startBrowser } from '../helpers/browser.ts';
import { makeCertificate } from '../helpers/certificates.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import type { TestServer } from '../helpers/dns-server.ts';
import { keepingLogger } from '../helpers/filter.ts';
import { Mail } from '../helpers/filtered.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SmtpReply } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const OWNERS = ['bob@test.invalid', 'carol@test.invalid'] as const;

/** What the office gets, what spammers write, and a newsletter that has the words of both. */
const OFFICE = 'minutes meeting budget report schedule draft agenda deadline colleague project lunch server';
const SPAM = 'winner casino bonus pills discount replica jackpot free trial unlimited offer prize';
const NEWSLETTER = 'discount free offer bonus seeds garden tulips rake compost greenhouse trial prize';

/** A mail of so many of these words, each time in another order. */
function eml(words: string, n: number, from: string): string {
  const list = words.split(' ');
  const body = Array.from({ length: 36 }, (_, i) => list[(n * 5 + i * 7 + ((n * i) % 3)) % list.length]);
  return [
    `From: ${from}`,
    'To: everybody@test.invalid',
    `Subject: ${body.slice(0, 3).join(' ')} no. ${n}`,
    `Message-Id: <${n}.${from}>`,
    'Date: Thu, 26 Nov 2026 10:00:00 +0000',
    '',
    body.join(' '),
    '',
  ].join('\r\n');
}

const newsletter = (n: number): string => eml(NEWSLETTER, n, 'garden@good.example');

/** The recipe for Postfix that the documentation gives, at another port. */
function recipe(port: number): string {
  const text = readFileSync(join(import.meta.dirname, '../../docs/quarantine.md'), 'utf8');
  const [, services] = /^Postfix, in `master\.cf`:\n\n```\n([^`]*)```/m.exec(text) ?? [];
  if (services === undefined) throw new Error('docs/quarantine.md has no recipe for Postfix');
  return services.replace('127.0.0.1:10025', `127.0.0.1:${port}`);
}

/** The time of day that a clock shows so many minutes from now. */
function timeOfDay(minutes: number): string {
  const at = new Date(Date.now() + minutes * 60_000);
  return [at.getHours(), at.getMinutes()].map((n) => String(n).padStart(2, '0')).join(':');
}

describeWith(['postfix', 'chromium', 'openssl'], 'the whole way of what is held by mistake', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let zone: TestServer;
  let running: RunningMilter;
  let postfix: Postfix;
  let browser: Browser;
  let file: string;
  /** Where the filter listens, serves its page, and hands mail over. */
  let ports: readonly [filter: number, page: number, released: number];

  function configure(digest: string): void {
    const [filter, page, released] = ports;
    writeFileSync(
      file,
      `socket = "inet:${filter}@127.0.0.1"
hostname = "mx.test.invalid"
data = "data"
[dns]
servers = ["${zone.spec}"]
[outgoing]
smtp = "127.0.0.1:${released}"
from = "postmaster@test.invalid"
[quarantine]
digest = "${digest}"
[http]
listen = "127.0.0.1:${page}"
accounts = "file:accounts"
url = "http://127.0.0.1:${page}"

[[module]]
use = "networks"
domains = ["test.invalid"]
[[module]]
use = "spf"
[[module]]
use = "bayes"
[[module]]
use = "score"
`,
    );
  }

  beforeAll(async () => {
    folder = await temporaryDirectory();
    zone = await startZone();
    ports = [await unusedPort(), await unusedPort(), await unusedPort()];
    file = join(folder.path, 'milter.toml');
    mkdirSync(join(folder.path, 'data'));
    // The digest of today has been sent: what comes now is told of tomorrow.
    configure(timeOfDay(-2));
    await using bayes = await openBayes({ url: `sqlite:${join(folder.path, 'data/bayes.db')}` });
    for (let n = 0; n < 60; n++) {
      await bayes.train(Buffer.from(eml(SPAM, n, `deals${n % 9}@offers.example`)), 'spam');
      await bayes.train(Buffer.from(eml(OFFICE, n, `ann${n % 9}@office.example`)), 'ham');
    }
    await bayes.close();
    running = new RunningMilter([file]);
    const certificate = await makeCertificate(folder.path, 'mx.test.invalid');
    postfix = await startPostfix({
      milters: [await running.address()],
      services: [recipe(ports[2])],
      // As Debian sets it up, and what many add against strangers.
      main: [
        'smtpd_tls_security_level = may',
        `smtpd_tls_cert_file = ${certificate.certFile}`,
        `smtpd_tls_key_file = ${certificate.keyFile}`,
        'smtpd_helo_required = yes',
        'smtpd_sender_restrictions = check_sender_access inline:{good.example=permit}, reject',
      ],
    });
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await postfix?.[Symbol.asyncDispose]();
    await running?.[Symbol.asyncDispose]();
    await zone?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });

  async function send(n: number): Promise<SmtpReply | undefined> {
    await using client = await SmtpClient.open(postfix.port);
    await client.command(`XCLIENT ADDR=${GOOD_CLIENT} NAME=mail.good.example`);
    await client.command('EHLO mail.good.example');
    const message = newsletter(n);
    return (await client.send({ sender: 'garden@good.example', recipients: OWNERS, message })).end;
  }

  async function deliveredTo(owner: string): Promise<readonly Mail[]> {
    await postfix.settled();
    const mails = (await postfix.delivered(0)).map((mail) => new Mail(mail));
    return mails.filter((mail) => mail.get('Delivered-To') === owner);
  }

  async function held(): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const { out } = await milter(['quarantine', 'list', '--all', '--json', '--config', file]);
    return JSON.parse(out) as readonly Readonly<Record<string, unknown>>[];
  }

  it('ends with its owner having it once, and the next one like it coming through', async () => {
    expect((await send(1))?.code).toBe(250);
    const items = await held();
    expect(items.map(({ owner, state }) => [owner, state]).sort()).toEqual(
      OWNERS.map((owner) => [owner, 'held']),
    );
    expect(JSON.stringify(items)).toContain('bayes-spam');
    for (const owner of OWNERS) expect(await deliveredTo(owner)).toEqual([]);

    // Once the filter knows that it has told everything so far, an administrator wants the digest now.
    const { settings } = await loadConfig(file);
    const store = await openStore(settings.store.url, { now: Date.now, log: keepingLogger() });
    await until('the filter to look at the clock', async () => await store.part('daily').get('digest'));
    await store.close();
    configure(timeOfDay(0));
    running.child.kill('SIGHUP');
    const links = new Map<string, string>();
    for (const owner of OWNERS) {
      const [digest] = await until(
        `the digest for ${owner}`,
        async () => {
          const mails = await deliveredTo(owner);
          return mails.length > 0 && mails;
        },
        60_000,
      );
      expect(digest?.get('Subject')).toBe('1 message is held for you');
      expect(digest?.get('Return-Path')).toBe('<>');
      const { root } = parseMessage(Buffer.from(`${digest?.head}\n${digest?.body}`, 'latin1'));
      const text = root.children[0]?.text() ?? '';
      links.set(owner, /^Release: (http:\S+)$/m.exec(text)?.[1] ?? text);
    }

    await using window = await openWindow(browser);
    const { page } = window;
    const link = links.get('bob@test.invalid') ?? '';
    // Whatever looks into mail follows links.
    for (let i = 0; i < 2; i++) expect((await page.goto(link))?.status()).toBe(200);
    await page.getByText('looks like what was learned as spam').waitFor();
    expect(await axeFaults(page)).toEqual([]);
    await picture(page, 'whole-way-link');
    expect((await held()).map(({ state }) => state)).toEqual(['held', 'held']);
    await page.getByRole('button', { name: 'Is not spam: release' }).click();
    await page.getByText('The message is released').waitFor();
    await picture(page, 'whole-way-done');
    // It acts once.
    expect((await page.goto(link))?.status()).toBe(200);
    expect(await page.getByRole('button').count()).toBe(0);

    const [freed, ...more] = (await deliveredTo('bob@test.invalid')).filter(isNoDigest);
    expect(more).toEqual([]);
    expect(freed?.get('Return-Path')).toBe('<garden@good.example>');
    expect(asSent(freed)).toBe(newsletter(1).replaceAll('\r\n', '\n'));
    expect((await deliveredTo('carol@test.invalid')).filter(isNoDigest)).toEqual([]);
    expect(Object.fromEntries((await held()).map(({ owner, state }) => [owner, state]))).toEqual({
      'bob@test.invalid': 'released',
      'carol@test.invalid': 'held',
    });

    // Both have the next one, while Carol has yet to decide about hers.
    expect((await send(2))?.code).toBe(250);
    for (const owner of OWNERS) {
      const next = (await deliveredTo(owner)).filter((mail) => mail.get('Message-Id')?.startsWith('<2.'));
      expect(next, owner).toHaveLength(1);
      expect(next[0]?.get('X-Bayes')).not.toMatch(/^spam /);
    }
    expect(await held()).toHaveLength(2);
    expect(window.trouble).toEqual([]);
  }, 120_000);
});

const isNoDigest = (mail: Mail): boolean => mail.get('Return-Path') !== '<>';

/** Without what the MTA adds, and the mark of a release. */
function asSent(mail: Mail | undefined): string {
  const added = /^(?:Return-Path|X-Original-To|Delivered-To|Received|X-Milter-Released):.*\n(?:[ \t].*\n)*/gm;
  return `${mail?.head}\n${mail?.body}`.replace(added, '');
}
