/** A real Chromium, as Debian packages it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page, type Request } from 'playwright-core';

/** Where Debian has it. */
const CHROMIUM = '/usr/bin/chromium';

/** Starts one. Root may not have Chromium's own sandbox. */
export async function startBrowser(): Promise<Browser> {
  return await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox',
      '--headless',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--no-first-run',
    ],
  });
}

/** A window of its own, with all that happened in it. */
export interface Window extends AsyncDisposable {
  readonly page: Page;
  /** The URLs of all requests. */
  readonly requests: readonly string[];
  /** What scripts of strangers would have left: dialogs, errors, what the browser forbade. */
  readonly trouble: readonly string[];
}

/** Opens a window. */
export async function openWindow(browser: Browser, options: BrowserContextOptions = {}): Promise<Window> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 850 }, ...options });
  const page = await context.newPage();
  const requests: string[] = [];
  const trouble: string[] = [];
  context.on('request', (request: Request) => requests.push(request.url()));
  page.on('pageerror', (error) => trouble.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // A page that is refused on purpose is no fault.
    if (!message.text().startsWith('Failed to load resource')) trouble.push(`console: ${message.text()}`);
  });
  page.on('dialog', (dialog) => {
    if (dialog.type() === 'confirm' && dialog.message().startsWith('Delete ')) void dialog.accept();
    else {
      trouble.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    }
  });
  return {
    page,
    requests,
    trouble,
    [Symbol.asyncDispose]: async () => await context.close(),
  };
}

/** What axe-core finds serious or critical on the page. */
export async function axeFaults(page: Page): Promise<readonly string[]> {
  // The policy of the page lets no script in but its own; the debugger is above that.
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: axe.source });
  const { result } = (await session.send('Runtime.evaluate', {
    expression: `axe.run(document, { iframes: false }).then(({ violations }) => JSON.stringify(violations.map(({ id, impact, help, nodes }) => ({ id, impact, help, where: nodes.map(({ html }) => html.slice(0, 200)).slice(0, 3) }))))`,
    awaitPromise: true,
    returnByValue: true,
  })) as { readonly result: { readonly value?: string } };
  await session.detach();
  const violations = JSON.parse(result.value ?? 'null') as readonly {
    readonly id: string;
    readonly impact: string;
    readonly help: string;
    readonly where: readonly string[];
  }[];
  return violations.map(({ id, impact, help, where }) => `${impact} ${id}: ${help}: ${where.join(' | ')}`);
}

/** How far the page is wider than its window, in pixels. */
export async function overflow(page: Page): Promise<number> {
  return await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth');
}

/** A picture of the whole page, into the folder that `SCREENSHOTS` names. */
export async function picture(page: Page, name: string): Promise<void> {
  const { SCREENSHOTS } = process.env;
  if (SCREENSHOTS === undefined) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}
