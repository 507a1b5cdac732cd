/** Where one signs in. */
import { html } from './html.ts';
import type { PageContent } from './layout.ts';

/** What the form has in it, and what is to be said. */
export interface SignInState {
  /** Where to go then. */
  readonly next: string;
  readonly typed?: string | undefined;
  readonly said?: string | undefined;
  readonly fault?: string | undefined;
}

/** The form. */
export function signInPage(
  { next, typed = '', said, fault }: SignInState,
  token: string,
): Omit<PageContent, 'hostname'> {
  const isAgain = fault !== undefined;
  const content = html`<div class="card sign-in">
<h1>Sign in</h1>
${said !== undefined && html`<p role="status">${said}</p>`}
<form method="post" action="/sign-in">
${isAgain && html`<p class="notice bad" id="fault" role="alert">${fault}</p>`}
<input type="hidden" name="token" value="${token}">
<input type="hidden" name="next" value="${next}">
<div class="field"><label for="name">Name</label>
<input type="text" id="name" name="name" value="${typed.slice(0, 128)}" autocomplete="username" autocapitalize="none" spellcheck="false" required maxlength="128"${typed === '' && html` autofocus`}${isAgain && html` aria-describedby="fault"`}></div>
<div class="field"><label for="password">Password</label>
<input type="password" id="password" name="password" autocomplete="current-password" required maxlength="1024"${typed !== '' && html` autofocus`}${isAgain && html` aria-describedby="fault"`}></div>
<button class="main">Sign in</button>
</form>
<p class="small">Mail that the filter held for you can be looked at here, and released. If you have no account, or do not know your password any more, ask your postmaster.</p>
</div>`;
  return { title: 'Sign in', content };
}
