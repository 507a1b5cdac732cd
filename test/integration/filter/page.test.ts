/** The page for people, asked over real sockets: who may sign in, for how long, and what is refused. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startHttp } from '../../../lib/filter/http/server.ts';
import { StoreError } from '../../../lib/filter/store/store.ts';
import { PASSWORD, testPage } from '../../helpers/page.ts';

const MODULES = '[[module]]\nuse = "helo"\naddress = "quarantine"\n';

describe('signing in', () => {
  it('is asked for first, and leads to where one wanted to go', async () => {
    await using page = await testPage(MODULES);
    const bob = page.visitor();
    expect(await bob.ask('/status?x=1')).toMatchObject({
      status: 303,
      headers: { location: '/sign-in?next=%2Fstatus%3Fx%3D1' },
    });
    const form = await bob.ask('/sign-in?next=%2Fstatus%3Fx%3D1');
    expect(form.body).toContain('name="next" value="/status?x=1"');
    const signed = await bob.send('/sign-in', { name: 'root', password: PASSWORD, next: '/status?x=1' });
    expect(signed).toMatchObject({ status: 303, headers: { location: '/status?x=1' } });
    expect(await bob.ask('/status')).toMatchObject({ status: 200 });
    expect(page.filter.logger.lines).toContainEqual({
      level: 'info',
      fields: { account: 'root', from: '127.0.0.1', action: 'sign in' },
      message: 'done on the page',
    });
  });

  it('leads nowhere else', async () => {
    await using page = await testPage(MODULES);
    for (const next of [
      '//evil.example',
      '/\\evil.example',
      'https://evil.example/',
      '/\t/evil.example',
      'javascript:alert(1)',
      '',
    ]) {
      const bob = page.visitor();
      const { headers } = await bob.send('/sign-in', { name: 'bob', password: PASSWORD, next });
      expect(headers.location, next).toBe('/quarantine');
    }
    const seen = await page.visitor({ 'sec-fetch-site': 'cross-site' }).ask('//evil.example');
    expect(seen).toMatchObject({ headers: { refresh: '0; url=/quarantine' } });
    expect(seen.body).not.toContain('evil');
  });

  it('says the same of a wrong name and a wrong password', async () => {
    await using page = await testPage(MODULES);
    const answers = [];
    for (const name of ['bob', 'nobody', '<script>']) {
      const { status, body } = await page.visitor().signIn(name, 'wrong password');
      answers.push({ status, said: /id="fault" role="alert">([^<]*)</.exec(body)?.[1] });
      expect(body).not.toContain('<script>');
    }
    // What was typed into the wrong field is in no log.
    const warned = page.filter.logger.lines.filter(({ level }) => level === 'warn');
    expect(warned.map(({ fields }) => fields['account'])).toEqual(['bob', '(unknown)', '(unknown)']);
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify({ status: 403, said: 'The name or the password is wrong.' })]),
    );
  });

  it('has cookies that scripts and other sites cannot use, and over TLS none but it', async () => {
    await using page = await testPage(MODULES);
    const plain = await page.visitor().signIn('bob');
    expect(plain.headers['set-cookie']?.[0]).toMatch(
      /^milter=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/,
    );
    const secure = page.visitor({ 'x-forwarded-proto': 'https', 'x-forwarded-for': '10.0.0.1, 192.0.2.7' });
    expect((await secure.signIn('bob')).headers['set-cookie']?.[0]).toMatch(
      /^__Host-milter=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
    );
    // What the nearest proxy saw, and not what the client says of itself.
    expect(page.filter.logger.lines.at(-1)).toMatchObject({ fields: { from: '192.0.2.7' } });
  });

  it('is locked after ten failures, for the account, and for that time also with the right password', async () => {
    let now = Date.parse('2026-11-26T12:00:00Z');
    await using page = await testPage(MODULES, { source: { now: () => now } });
    for (let i = 0; i < 10; i++) expect((await page.visitor().signIn('bob', 'wrong')).status).toBe(403);
    const locked = await page.visitor().signIn('bob');
    expect(locked).toMatchObject({ status: 429, headers: { 'retry-after': '900' } });
    expect(locked.body).toContain('Please try again in 15 minutes.');
    // BOB is the same, and carol another.
    expect((await page.visitor().signIn('BOB')).status).toBe(429);
    expect((await page.visitor().signIn('carol')).status).toBe(303);
    now += 15 * 60_000;
    expect((await page.visitor().signIn('bob')).status).toBe(303);
  });

  it('is locked for an address that tries many names, and not for others', async () => {
    const accounts = Array.from({ length: 31 }, (_, i) => ({ name: `user${i}` }));
    await using page = await testPage(MODULES, { accounts });
    const from = (address: string) => page.visitor({ 'x-forwarded-for': address });
    for (let i = 0; i < 30; i++) await from(`2001:db8:1:2::${i + 1}`).signIn(`user${i}`, 'wrong');
    expect((await from('2001:db8:1:2:3:4:5:6').signIn('user30')).status).toBe(429);
    expect((await from('2001:db8:1:3::1').signIn('user30')).status).toBe(303);
    expect((await from('192.0.2.1').signIn('user30')).status).toBe(303);
  });

  it('is not got around by trying many at once', async () => {
    await using page = await testPage(MODULES);
    const visitors = Array.from({ length: 25 }, () => page.visitor());
    const statuses = await Promise.all(
      visitors.map(async (visitor) => (await visitor.signIn('bob', 'wrong')).status),
    );
    expect(statuses.filter((status) => status === 403).length).toBeLessThanOrEqual(10);
  });

  it('needs the form of this very browser', async () => {
    await using page = await testPage(MODULES);
    const [bob, other] = [page.visitor(), page.visitor()];
    const { body } = await other.ask('/sign-in');
    const token = /name="token" value="([^"]*)"/.exec(body)?.[1] ?? '';
    const form = new URLSearchParams({ name: 'bob', password: PASSWORD, token }).toString();
    expect((await bob.ask('/sign-in', { body: form })).status).toBe(403);
    expect((await other.ask('/sign-in', { body: form })).status).toBe(303);
  });

  it('ends by signing out, and the cookie is worth nothing then', async () => {
    await using page = await testPage(MODULES);
    const root = page.visitor();
    await root.signIn('root');
    const cookies = new Map(root.cookies);
    expect(await root.send('/sign-out', {}, '/status')).toMatchObject({
      status: 303,
      headers: { location: '/sign-in?out' },
    });
    for (const [name, value] of cookies) root.cookies.set(name, value);
    expect((await root.ask('/status')).status).toBe(303);
  });

  it('lasts an hour without use, and twelve in all', async () => {
    const began = Date.parse('2026-11-26T12:00:00Z');
    let now = began;
    await using page = await testPage(MODULES, { source: { now: () => now } });
    const root = page.visitor();
    await root.signIn('root');
    for (; now < began + 12 * 3_600_000; now += 59 * 60_000)
      expect((await root.ask('/status')).status).toBe(200);
    expect((await root.ask('/status')).status).toBe(303);
    await root.signIn('root');
    now += 61 * 60_000;
    expect((await root.ask('/status')).status).toBe(303);
  });

  it('ends when the account gets another password, other rights, or goes', async () => {
    await using page = await testPage(MODULES);
    const changes = [
      ['correct horse', [{ name: 'root', isAdmin: true, password: 'another one' }]],
      [
        'another one',
        [{ name: 'root', isAdmin: true, password: 'another one', addresses: ['a@example.com'] }],
      ],
      ['another one', []],
    ] as const;
    for (const [password, accounts] of changes) {
      const root = page.visitor();
      expect((await root.signIn('root', password)).status).toBe(303);
      expect((await root.ask('/status')).status).toBe(200);
      await page.setAccounts(accounts);
      expect((await root.ask('/status')).status).toBe(303);
    }
  });

  it('goes by the accounts that were there, where the file is damaged', async () => {
    await using page = await testPage(MODULES);
    expect(statSync(page.accounts).mode & 0o777).toBe(0o600);
    expect((await page.visitor().signIn('bob')).status).toBe(303);
    const text = readFileSync(page.accounts, 'utf8');
    writeFileSync(page.accounts, `${text}mallory admin - plain\n`);
    expect((await page.visitor().signIn('bob')).status).toBe(303);
    expect((await page.visitor().signIn('mallory', 'plain')).status).toBe(403);
    const complaints = page.filter.logger.lines.filter(({ level }) => level === 'error');
    expect(complaints).toMatchObject([{ message: 'the accounts cannot be read, and the old ones stay' }]);
  });
});

describe('forms', () => {
  it('are heeded with the token of the session alone, and never from another site', async () => {
    await using page = await testPage(MODULES);
    const root = page.visitor();
    await root.signIn('root');
    const { body } = await root.ask('/status');
    const token = /name="token" value="([^"]*)"/.exec(body)?.[1] ?? '';
    const send = async (form: string, headers: Record<string, string> = {}): Promise<number> =>
      (await root.ask('/sign-out', { body: form, headers })).status;
    const right = new URLSearchParams({ token }).toString();
    expect(await send('')).toBe(403);
    expect(await send('token=')).toBe(403);
    expect(await send(`token=${token.slice(1)}`)).toBe(403);
    expect(await send(right, { origin: 'https://evil.example' })).toBe(403);
    expect(await send(right, { 'sec-fetch-site': 'cross-site' })).toBe(403);
    expect(await send(right, { 'sec-fetch-site': 'same-site' })).toBe(403);
    expect(await send(right, { 'content-type': 'text/plain' })).toBe(415);
    expect(await send(`${right}&x=${'y'.repeat(70_000)}`)).toBe(413);
    expect(await send(right, { origin: page.url })).toBe(303);
  });

  it('are not heeded without a session, which is said', async () => {
    await using page = await testPage(MODULES);
    expect(await page.visitor().ask('/sign-out', { body: 'token=' })).toMatchObject({
      status: 303,
      headers: { location: '/sign-in?again' },
    });
  });
});

it('a form that comes drop by drop is not waited for', async () => {
  await using page = await testPage(MODULES, { times: { request: 250, store: 250 } });
  const socket = createConnection(page.port, '127.0.0.1').on('error', () => {});
  socket.write(
    'POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 50000\r\n\r\n',
  );
  const dripping = setInterval(() => socket.write('x'), 20);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(dripping);
  expect((await page.visitor().ask('/sign-in')).status).toBe(200);
  expect(page.filter.logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
});

describe('the status page', () => {
  it('counts by the hour, and tells what is down and what went wrong', async () => {
    let now = Date.parse('2026-11-26T12:10:00Z');
    const troubles = [
      { at: now, level: 'error' as const, message: 'a thing failed', about: 'error="<script>"' },
    ];
    await using page = await testPage(MODULES, { source: { now: () => now, troubles: () => troubles } });
    const { metrics } = page.filter;
    const root = page.visitor();
    await root.signIn('root');
    metrics.count('verdicts_total', { verdict: 'accept' }, 5);
    metrics.count('verdicts_total', { verdict: 'reject' }, 3);
    const clamd = { module: 'antivirus', backend: 'clamd' };
    metrics.observe('backend_seconds', 0.25, clamd);
    metrics.gauge('backend_down', 1, clamd);
    metrics.count('backend_failures_total', clamd, 7);
    metrics.gauge('quarantine_items', 1_234);
    metrics.gauge('quarantine_bytes', 5_000_000_000);
    metrics.gauge('daily_digest_timestamp_seconds', Date.parse('2026-11-26T07:00:00Z') / 1_000);
    now += 5 * 60_000;
    const { body } = await root.ask('/status');
    expect(body).toMatch(
      /12:00<\/th><td class="number">5<\/td><td class="number">0<\/td><td class="number">0<\/td><td class="number">3</,
    );
    expect(body).toMatch(
      /antivirus: clamd<\/th><td class="number"><span class="bad-text">down<\/span>.*250 ms.*>7</,
    );
    expect(body).toContain('error=&quot;&lt;script&gt;&quot;');
    expect(body).toContain('5.0 GB, 47 % of 10.7 GB');
    expect(body).toContain('2026-11-26 07:00 UTC');
    expect(body).toContain('memory, answers in');
  });

  it('says that the store is away', async () => {
    await using page = await testPage(MODULES);
    const root = page.visitor();
    await root.signIn('root');
    Object.assign(page.filter.store, { get: () => Promise.reject(new StoreError('no <store>')) });
    const { status, body } = await root.ask('/status');
    expect(status).toBe(200);
    expect(body).toContain('<span class="bad-text">away</span><small>no &lt;store&gt;</small>');
  });
});

it('a store that is away is said to be, and nothing of it is told', async () => {
  await using page = await testPage(MODULES, { store: 'memory:' });
  const bob = page.visitor();
  await bob.signIn('bob');
  Object.assign(page.filter.quarantine.review, {
    list: () => Promise.reject(new StoreError('connect ECONNREFUSED /secret/path')),
  });
  const { status, headers, body } = await bob.ask('/quarantine');
  expect({ status, retry: headers['retry-after'] }).toEqual({ status: 503, retry: '10' });
  expect(body).not.toContain('secret');
});

it('the page is served on a unix socket too', async () => {
  await using page = await testPage(MODULES);
  const path = join(page.filter.data, 'http.sock');
  const { logger: log, metrics, store } = page.filter;
  const server = await startHttp(
    {
      metrics,
      store,
      log,
      isListening: () => true,
      site: { current: () => page.filter, log, troubles: () => [] },
    },
    { listen: { path } },
  );
  const local = page.visitor({ 'x-forwarded-for': '192.0.2.9' });
  expect((await local.ask('/sign-in', { socketPath: path })).status).toBe(200);
  const token = local.cookies.get('milter-form') ?? '';
  const form = new URLSearchParams({ name: 'bob', password: PASSWORD, token }).toString();
  expect((await local.ask('/sign-in', { socketPath: path, body: form })).status).toBe(303);
  expect(log.lines.at(-1)).toMatchObject({ fields: { account: 'bob', from: '192.0.2.9' } });
  await server?.close();
});

describe('pages', () => {
  it('tell browsers to load, embed and keep nothing', async () => {
    await using page = await testPage(MODULES);
    const root = page.visitor();
    await root.signIn('root');
    for (const path of ['/status', '/sign-in', '/nowhere']) {
      const { headers } = await page.visitor().ask(path);
      expect(headers['cache-control'], path).toBe('no-store');
    }
    const { headers, body } = await root.ask('/status');
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': expect.stringMatching(
        /^default-src 'none'; .*frame-ancestors 'none'/,
      ) as string,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'x-frame-options': 'DENY',
    });
    expect(body).not.toMatch(/<script>|style=|\son\w+=/);
    const style = /href="(\/assets\/\w+\/style\.css)"/.exec(body)?.[1] ?? '';
    expect(await page.visitor().ask(style)).toMatchObject({
      status: 200,
      headers: { 'content-type': 'text/css; charset=utf-8' },
    });
    expect((await page.visitor().ask('/assets/0123456789ab/style.css')).status).toBe(404);
  });

  it('of the administrator are not there for others', async () => {
    await using page = await testPage(MODULES);
    const bob = page.visitor();
    await bob.signIn('bob');
    for (const path of ['/status', '/configuration', '/nowhere'])
      expect((await bob.ask(path)).status, path).toBe(404);
  });

  it('are not there at all with review = false', async () => {
    await using page = await testPage(MODULES);
    Object.assign(page.filter.config.settings.http, { review: false });
    expect(await page.visitor().ask('/sign-in')).toMatchObject({
      status: 404,
      body: 'there is no such page\n',
    });
    expect((await page.visitor().ask('/healthz')).status).toBe(200);
  });

  it('show the configuration without its secrets', async () => {
    await using page = await testPage(MODULES, { top: 'help = "https://me:geheim@help.example/{finding}"' });
    const root = page.visitor();
    await root.signIn('root');
    const { body } = await root.ask('/configuration');
    expect(body).toContain('<code>hostname</code>');
    expect(body).toContain('https://(secret)@help.example/');
    expect(body).not.toContain('geheim');
    expect(body).toContain('<caption>helo</caption>');
    expect((await root.ask('/configuration?set')).body).not.toContain('>default<');
  });
});
