/** What all pages have around them. */
import { createHash } from 'node:crypto';
import type { KnownAccount } from './accounts.ts';
import { type Answer, asset } from './answer.ts';
import { type Content, type Html, html } from './html.ts';
import { SCRIPT } from './script.ts';
import type { Session } from './sessions.ts';
import { ICON, STYLE } from './style.ts';

/** One who is signed in. */
export interface Visitor {
  readonly account: KnownAccount;
  readonly session: Session;
}

/** A page to be written. */
export interface PageContent {
  readonly title: string;
  /** This machine's name. */
  readonly hostname: string;
  readonly content: Content;
  /** Undefined where nobody is signed in. */
  readonly visitor?: Visitor | undefined;
  /** Which of the places in the navigation it is. */
  readonly place?: 'quarantine' | 'allowed' | 'status' | 'configuration' | undefined;
}

const FILES: Readonly<Record<string, Answer>> = {
  'style.css': asset('text/css; charset=utf-8', STYLE),
  'script.js': asset('text/javascript; charset=utf-8', SCRIPT),
  'icon.svg': asset('image/svg+xml', ICON),
};

/** Changes with them, so that they may be kept. */
const VERSION = createHash('sha256')
  .update(
    Object.values(FILES)
      .map(({ body }) => String(body))
      .join('\0'),
  )
  .digest('hex')
  .slice(0, 12);

/** What the pages are made of, by its name below `/assets/`. */
export function assetNamed(version: string, name: string): Answer | undefined {
  return version === VERSION && Object.hasOwn(FILES, name) ? FILES[name] : undefined;
}

/** The whole page. What was to be said to the visitor is said by it. */
export function layout({ title, hostname, content, visitor, place }: PageContent): Html {
  const notice = visitor?.session.notice;
  if (visitor !== undefined) visitor.session.notice = undefined;
  const base = `/assets/${VERSION}`;
  return html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>${title} – ${hostname}</title>
<link rel="icon" href="${base}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${base}/style.css">
<script src="${base}/script.js" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header class="top">
<div class="wide">
<p class="brand"><img src="${base}/icon.svg" alt="" width="28" height="28"><span>Mail filter <small>${hostname}</small></span></p>
${visitor !== undefined && navigation(visitor, place)}
</div>
</header>
<main id="main" class="wide" tabindex="-1">
<div role="status" class="notices">${
    notice !== undefined &&
    html`<p class="${notice.isBad ? 'notice bad' : 'notice'}" id="notice" tabindex="-1">${notice.text}</p>`
  }</div>
${content}
</main>
</body>
</html>
`;
}

function navigation({ account, session }: Visitor, place: PageContent['place']): Html {
  const link = (name: NonNullable<PageContent['place']>, text: string): Html =>
    html`<li><a href="/${name}"${place === name && html` aria-current="page"`}>${text}</a></li>`;
  return html`<nav aria-label="Pages"><ul>
${link('quarantine', 'Quarantine')}
${link('allowed', 'Allowed senders')}
${account.isAdmin && [link('status', 'Status'), link('configuration', 'Configuration')]}
</ul></nav>
<form method="post" action="/sign-out" class="who">${formToken(session)}
<span>Signed in as <b>${account.name}</b></span> <button class="plain">Sign out</button></form>`;
}

/** Without it no form is heeded. */
export function formToken({ formToken: token }: Session): Html {
  return html`<input type="hidden" name="token" value="${token}">`;
}
