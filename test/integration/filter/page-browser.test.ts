/** The web page in a real browser: what people do with it, and what hostile mail tries in it. `SCREENSHOTS=DIR` keeps pictures. */
import { once } from 'node:events';
import { createServer as createWebServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { axeFaults, openWindow, overflow, picture, startBrowser } from '../../helpers/browser.ts';
import { type MailSink, mailSink } from '../../helpers/mail-sink.ts';
import { PASSWORD, type TestPage, testPage } from '../../helpers/page.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { type TcpServer, tcpServer } from '../../helpers/tcp-server.ts';

/** What a module holds: whoever says HELO with a bare address. */
const HELD = { helo: '192.0.2.7', hostname: 'dial-7.pool.example.net' };
const SPF_PASSES = { 'news.example': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] } };

const MODULES = `
[[module]]
use = "spf"
[[module]]
use = "helo"
address = "quarantine"
[[module]]
use = "./dangerous.ts"
subject = "DANGER"
[[module]]
use = "./learner.ts"
`;

let browser: Browser;
let sink: MailSink;
let site: TestPage;
/** Where everything in hostile mail leads to; nobody may come. */
let tracker: TcpServer;

function eml(subject: string, body: string, from = 'Sales <sales@example.org>', more = ''): string {
  return `From: ${from}\nTo: bob@example.com\nSubject: ${subject}\nDate: Thu, 26 Nov 2026 12:00:00 +0000\n${more}\n${body}\n`;
}

async function hold(
  message: string,
  sender = 'sales@example.org',
  recipients = ['bob@example.com'],
): Promise<void> {
  await site.filter.send({ ...HELD, sender, recipients, eml: message });
}

async function signIn(page: Page, name: string): Promise<void> {
  await page.goto(`${site.url}/`);
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Quarantine' }).waitFor();
}

function learned(): readonly unknown[] {
  return site.filter.logger.lines
    .filter(({ message }) => message === 'learned')
    .map(({ fields }) => fields['as']);
}

describeWith(['chromium'], 'the web page in a browser', () => {
  beforeAll(async () => {
    tracker = await tcpServer((socket) => socket.destroy());
    sink = await mailSink();
    site = await testPage(MODULES, {
      zone: SPF_PASSES,
      top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\n`,
    });
    browser = await startBrowser();
    for (let i = 1; i <= 8; i++) await hold(eml(`Your invoice no. ${i}`, `Please pay invoice ${i}.`));
    await hold(eml('Newsletter', 'What is new.', 'News <hello@news.example>'), 'hello@news.example');
    await hold(eml('DANGER inside', 'Open me.'));
    await hold(eml('For Carol alone', 'A secret.'), 'sales@example.org', ['carol@example.com']);
    await hold(eml('=?utf-8?q?=C3=9Cberraschung_=E2=80=AEgpj=2Eexe?=', 'x'), 'sales@example.org', [
      'info@example.com',
    ]);
  });
  afterAll(async () => {
    await browser.close();
    await site[Symbol.asyncDispose]();
    await sink[Symbol.asyncDispose]();
    await tracker[Symbol.asyncDispose]();
  });

  it('lets people sign in, search, look, release and teach', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await page.goto(`${site.url}/`);
    await picture(page, 'sign-in');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel('Name').fill('bob');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('alert').getByText('The name or the password is wrong.').waitFor();
    expect(await page.evaluate('document.activeElement.id')).toBe('password');
    await picture(page, 'sign-in-wrong');
    await signIn(page, 'bob');
    expect(await page.getByRole('row').count()).toBe(12);
    await picture(page, 'list');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByLabel('Search').fill('INVOICE NO. 3');
    await page.getByRole('button', { name: 'Search' }).click();
    expect(await page.getByRole('row').count()).toBe(2);
    await picture(page, 'search');
    await page.getByRole('link', { name: 'Your invoice no. 3' }).click();
    await page.getByText('Please pay invoice 3.').waitFor();
    await picture(page, 'message');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Is not spam: release' }).click();
    await page.getByText('The message is released, and learned as no spam.').waitFor();
    await picture(page, 'released');
    expect(sink.mails.at(-1)).toMatchObject({ recipients: ['bob@example.com'], sender: 'sales@example.org' });
    expect(sink.mails.at(-1)?.message).toContain('Please pay invoice 3.');
    expect(learned()).toEqual(['ham']);
    expect(await page.getByRole('link', { name: 'Your invoice no. 3' }).count()).toBe(0);
    expect(window.trouble).toEqual([]);
    expect(window.requests.filter((url) => !url.startsWith(site.url))).toEqual([]);
  });

  it('deals with many at once', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await signIn(page, 'bob');
    await page.getByRole('button', { name: 'Is spam: delete' }).click();
    await page.getByText('No message was selected.').waitFor();
    for (const i of [1, 2]) await page.getByLabel(`Select Your invoice no. ${i}`).check();
    await page.getByText('2 selected.').waitFor();
    await picture(page, 'selected');
    await page.getByRole('button', { name: 'Is spam: delete' }).click();
    await page.getByText('2 messages are deleted, and learned as spam.').waitFor();
    expect(learned().slice(-2)).toEqual(['spam', 'spam']);
    await page.getByLabel('Show', { exact: true }).selectOption('Dealt with');
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByText('Deleted by bob').first().waitFor();
    await picture(page, 'dealt-with');
    expect(window.trouble).toEqual([]);
  });

  it('names whom "always allow" lets through, and takes that back', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await signIn(page, 'bob');
    await page.getByRole('link', { name: 'Newsletter' }).click();
    await page.getByText('Lets mail through that has hello@news.example in From').waitFor();
    await page.getByRole('button', { name: 'Always allow this sender' }).click();
    await page.getByText('Mail with hello@news.example in From comes through from now on').waitFor();
    await page.getByRole('link', { name: 'Allowed senders' }).click();
    await page.getByRole('cell', { name: 'bob@example.com' }).waitFor();
    await picture(page, 'allowed');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('button', { name: 'Remove' }).click();
    await page.getByText('hello@news.example is not allowed any more.').waitFor();
    // Nothing proves who wrote the invoices.
    await page.goto(`${site.url}/quarantine`);
    await page.getByRole('link', { name: 'Your invoice no. 4' }).click();
    expect(await page.getByRole('button', { name: 'Always allow' }).count()).toBe(0);
    expect(window.trouble).toEqual([]);
  });

  it('has an administrator asked for what is dangerous', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await signIn(page, 'bob');
    await page.getByRole('link', { name: 'DANGER inside' }).click();
    expect(await page.getByRole('link', { name: 'Save' }).count()).toBe(0);
    await page.getByRole('button', { name: 'Ask for its release' }).click();
    await page.getByText('You have asked for it.').waitFor();
    await picture(page, 'asked');
    expect(await axeFaults(page)).toEqual([]);
    await using other = await openWindow(browser);
    await signIn(other.page, 'root');
    await picture(other.page, 'list-admin');
    expect(await axeFaults(other.page)).toEqual([]);
    await other.page.getByRole('link', { name: 'DANGER inside' }).click();
    await other.page.getByRole('button', { name: 'Only release' }).click();
    await other.page.getByText('The message is released.').waitFor();
    expect(sink.mails.at(-1)?.message).toContain('Open me.');
  });

  it('shows nobody what is for another', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await signIn(page, 'root');
    const address = await page.getByRole('link', { name: 'For Carol alone' }).getAttribute('href');
    await using other = await openWindow(browser);
    await signIn(other.page, 'bob');
    const response = await other.page.goto(`${site.url}${address}`);
    expect(response?.status()).toBe(404);
    expect(await other.page.content()).not.toContain('Carol');
    await other.page.goto(`${site.url}/quarantine?q=carol&which=all`);
    await other.page.getByText('No message fits').waitFor();
    for (const path of ['status', 'configuration'])
      expect((await other.page.goto(`${site.url}/${path}`))?.status()).toBe(404);
    await picture(other.page, 'not-found');
    expect(await axeFaults(other.page)).toEqual([]);
  });

  it('shows the administrator how the filter fares, and its configuration', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await site.filter.send({ helo: 'mail.example.org' });
    await site.filter.quarantine.expire();
    await signIn(page, 'root');
    await page.getByRole('link', { name: 'Status' }).click();
    await page.getByRole('img', { name: /Fates in the last 24 hours: 13 in all/ }).waitFor();
    expect(await page.getByRole('rowheader', { name: 'helo-address' }).count()).toBe(1);
    await picture(page, 'status');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByText('As a table').click();
    await picture(page, 'status-table');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('link', { name: 'Configuration' }).click();
    await page.getByRole('heading', { name: 'Configuration in force' }).waitFor();
    await picture(page, 'configuration');
    expect(await axeFaults(page)).toEqual([]);
    expect(window.trouble).toEqual([]);
  });

  it('runs, loads and sends nothing of a message full of attempts', async () => {
    const out = `http://127.0.0.1:${tracker.port}`;
    await hold(hostile(out), 'evil@example.org');
    await using window = await openWindow(browser);
    const { page } = window;
    await signIn(page, 'bob');
    await page.getByRole('link', { name: /^"><img/ }).click();
    await page.getByRole('heading', { name: 'What it says' }).waitFor();
    await page.getByText('All headers').click();
    await picture(page, 'hostile');
    expect(await axeFaults(page)).toEqual([]);
    await page.getByRole('link', { name: 'As it was designed' }).click();
    const frame = page.frameLocator('iframe');
    await frame.getByText('Last line of the hostile mail').waitFor();
    await picture(page, 'hostile-designed');
    // Where a link leads is written; it cannot be followed.
    await frame.getByText('Your bank').click();
    expect(
      await frame.locator('script, img, svg, form, a, link, meta[http-equiv], iframe, object, base').count(),
    ).toBe(0);
    const downloads = page.getByRole('link', { name: /^Save/ });
    const names: string[] = [];
    for (const link of await downloads.all()) {
      const [download] = await Promise.all([page.waitForEvent('download'), link.click()]);
      names.push(download.suggestedFilename());
      await download.cancel();
    }
    expect(names).toEqual([
      'evil.html.held',
      'gpj.exe.held',
      'passwd',
      'img src=x onerror=alert(1)_.txt',
      'picture.svg.held',
      expect.stringMatching(/^message-[\da-f]{12}\.eml\.txt$/) as string,
    ]);
    // Opened by itself the design is in a sandbox too.
    const design = await page.locator('iframe').getAttribute('src');
    await page.goto(`${site.url}${design}`);
    await page.getByText('Last line of the hostile mail').waitFor();
    expect(await page.evaluate('window.origin')).toBe('null');
    // Nothing that runs late.
    await page.waitForLoadState('networkidle');
    expect(window.trouble).toEqual([]);
    expect(window.requests.filter((url) => !url.startsWith(`${site.url}/`))).toEqual([]);
    expect(tracker.clients.most).toBe(0);
  });

  it('is whole on a narrow screen, and in the dark', async () => {
    await using window = await openWindow(browser, {
      viewport: { width: 360, height: 740 },
      colorScheme: 'dark',
    });
    const { page } = window;
    await page.goto(`${site.url}/sign-in`);
    expect(await overflow(page)).toBe(0);
    await signIn(page, 'root');
    const first = await page.locator('a.subject').first().getAttribute('href');
    const hostileOne = await page.getByRole('link', { name: /^"><img/ }).getAttribute('href');
    for (const path of [
      '/quarantine',
      first,
      hostileOne,
      `${hostileOne}?view=design`,
      '/allowed',
      '/status',
      '/configuration',
    ]) {
      await page.goto(`${site.url}${path}`);
      await picture(page, `narrow-${String(path).replace(/\W+/g, '-')}`);
      expect(await overflow(page), String(path)).toBe(0);
      expect(await axeFaults(page), String(path)).toEqual([]);
    }
    const background = await page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    expect(background).toBe('rgb(19, 24, 22)');
    await using wide = await openWindow(browser, { colorScheme: 'dark' });
    await signIn(wide.page, 'root');
    await picture(wide.page, 'dark-list');
    await wide.page.goto(`${site.url}/status`);
    await picture(wide.page, 'dark-status');
    await wide.page.goto(`${site.url}${hostileOne}`);
    await picture(wide.page, 'dark-message');
  });

  it('works without script', async () => {
    await using window = await openWindow(browser, { javaScriptEnabled: false });
    const { page } = window;
    await signIn(page, 'bob');
    await picture(page, 'no-script');
    await page.getByLabel('Select Your invoice no. 5').check();
    await page.getByRole('button', { name: 'Only delete' }).click();
    await page.getByText('1 message is deleted.').waitFor();
    await page.getByRole('link', { name: 'Your invoice no. 6' }).click();
    await page.getByRole('button', { name: 'Only release' }).click();
    await page.getByText('The message is released.').waitFor();
    expect(sink.mails.at(-1)?.message).toContain('Please pay invoice 6.');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('You are signed out.').waitFor();
  });

  it('works with the keyboard alone', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    const press = async (...keys: readonly string[]): Promise<void> => {
      for (const key of keys) await page.keyboard.press(key);
    };
    const focused = async (): Promise<string> =>
      await page.evaluate('document.activeElement.textContent.trim()');
    await page.goto(`${site.url}/`);
    await page.keyboard.type('bob');
    await press('Tab');
    await page.keyboard.type(PASSWORD);
    await press('Enter');
    await page.getByRole('heading', { name: 'Quarantine' }).waitFor();
    await press('Tab');
    expect(await focused()).toBe('Skip to the content');
    await press('Enter', 'Tab');
    expect(await page.evaluate('document.activeElement.id')).toBe('q');
    await page.keyboard.type('no. 7');
    await press('Enter');
    await page.waitForURL(/q=no/);
    await page.getByRole('link', { name: 'Your invoice no. 7' }).focus();
    await press('Enter');
    await page.getByRole('button', { name: 'Is spam: delete' }).waitFor();
    for (let i = 0; i < 20 && (await focused()) !== 'Only delete'; i++) await press('Tab');
    await picture(page, 'focus');
    await press('Space');
    await page.getByText('The message is deleted.').waitFor();
    // What was done is where the focus is, so that it is read out.
    expect(await focused()).toBe('The message is deleted.');
  });

  it('opens a message from a link in a webmail of another site for who is signed in', async () => {
    await using window = await openWindow(browser);
    const { page } = window;
    await signIn(page, 'bob');
    const path = await page.locator('a.subject').first().getAttribute('href');
    const webmail = createWebServer((_, response) => {
      response.setHeader('Content-Type', 'text/html');
      response.end(`<a href="${site.url}${path}">Look</a>`);
    }).listen(0, '127.0.0.1');
    await once(webmail, 'listening');
    // Another site: browsers keep strict cookies back on the way from it.
    await page.goto(`http://localhost:${(webmail.address() as AddressInfo).port}/`);
    await page.getByRole('link', { name: 'Look' }).click();
    await page.getByRole('heading', { name: 'What it says' }).waitFor();
    webmail.close();
  });

  it('follows a link of a digest without signing in, and acts when the button is pressed', async () => {
    const root = { name: 'root', isAdmin: true };
    const { review } = site.filter.quarantine;
    const { items } = await review.list(root, { text: 'no. 8' });
    const [item] = items;
    if (item === undefined) throw new Error('it is not held');
    await using window = await openWindow(browser);
    const { page } = window;
    const link = await review.makeLink(item, 'release');
    await page.goto(`${site.url}/link/${link}`);
    await page.goto(`${site.url}/link/${link}`);
    await page.getByText('Your invoice no. 8').waitFor();
    await picture(page, 'link');
    expect(await axeFaults(page)).toEqual([]);
    expect((await review.get(root, item.id)).state).toBe('held');
    await page.getByRole('button', { name: 'Only release' }).click();
    await page.getByText('The message is released.').waitFor();
    await picture(page, 'link-done');
    await page.goto(`${site.url}/link/${link}`);
    await page.getByText('Released by').first().waitFor();
    expect(await page.getByRole('button').count()).toBe(0);
    expect((await page.goto(`${site.url}/quarantine`))?.url()).toContain('/sign-in');
    expect((await page.goto(`${site.url}/link/${link.replace('release', 'delete')}`))?.status()).toBe(404);
  });
});

/** Everything that we know to act in HTML, and where else text of a stranger may come out. */
function hostile(out: string): string {
  const attack = `"><img src=x onerror=alert(1)><svg onload=alert(2)>`;
  const html = `<!doctype html><html><head><title>${attack}</title><base href="${out}/base/"><meta http-equiv="refresh" content="0;url=${out}/refresh">
<link rel="stylesheet" href="${out}/sheet.css"><link rel="preload" as="image" href="${out}/preload"><link rel="dns-prefetch" href="${out}"><link rel="preconnect" href="${out}">
<style>@import url(${out}/import.css); body { background: url(${out}/bg) } @font-face { font-family: x; src: url(${out}/font) } * { font-family: x }</style>
<script>alert(3); top.location = '${out}/top'</script><script src="${out}/script.js"></script></head>
<body onload="alert(4)" background="${out}/body" style="background:url(${out}/style);color:red">
<img src="${out}/pixel.gif" srcset="${out}/set 2x" onerror="alert(5)" alt="A picture"><svg><script>alert(6)</script><image href="${out}/svg" /><a xlink:href="javascript:alert(7)"><text>x</text></a><animate onbegin="alert(8)" attributeName="x"/><foreignObject><iframe src="${out}/foreign"></iframe></foreignObject></svg>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(9)&gt;">
<iframe src="${out}/frame" srcdoc="<script>alert(10)</script>"></iframe><object data="${out}/object"></object><embed src="${out}/embed"><video poster="${out}/poster" src="${out}/video"></video><audio src="${out}/audio" autoplay></audio>
<form action="${out}/form" id="f"><input name="a" autofocus onfocus="alert(11)"><button formaction="javascript:alert(12)">Go</button></form><isindex action="${out}/isindex">
</math><p style="position:fixed;inset:0;background-image:url('${out}/inset');width:expression(alert(13))">Covered <b style="color:green;background:image-set('${out}/is' 1x)">text</b></p>
<a href="javascript:alert(14)">Script</a> <a href="data:text/html,<script>alert(15)</script>">Data</a> <a href="${out}/link" ping="${out}/ping" target="_top" download>Your bank</a>
<table background="${out}/table"><tr><td bgcolor="#ffeecc" onclick="alert(16)" style="content:url(${out}/content);font-weight:bold">Cell</td></tr></table>
<noscript><p title="</noscript><img src=x onerror=alert(17)>"></noscript><template><script>alert(18)</script></template><xmp><script>alert(19)</script></xmp>
<!--><script>alert(20)</script>--><![CDATA[<script>alert(21)</script>]]><?xml-stylesheet href="${out}/xml"?><details open ontoggle="alert(22)">Details</details>
<p>Last line of the hostile mail</p></body></html>`;
  return `From: ${attack} <evil@example.org>
To: bob@example.com
Subject: ${attack}
Date: ${attack}
X-Evil: </pre></textarea></script><script>alert(30)</script>
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/plain

</pre><script>alert(31)</script> plain \u202e text ${out}/plain
--c
Content-Type: text/html; charset=utf-8

${html}
--c--
--b
Content-Type: text/html; name="evil.html"
Content-Disposition: attachment; filename="evil.html"

<script>alert(40)</script>
--b
Content-Type: image/png
Content-Disposition: attachment; filename*=utf-8''%E2%80%AEgpj.exe

x
--b
Content-Type: text/plain
Content-Disposition: attachment; filename="../../etc/passwd"

x
--b
Content-Type: text/plain
Content-Disposition: attachment; filename="<img src=x onerror=alert(1)>.txt"

x
--b
Content-Type: image/svg+xml
Content-Disposition: inline; filename="picture.svg"

<svg xmlns="http://www.w3.org/2000/svg" onload="alert(41)"/>
--b--
`;
}
