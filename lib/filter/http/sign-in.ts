/** Signing in and out: who somebody is, for how long, and how often he may guess. */
import { randomBytes } from 'node:crypto';
import type { Logger } from '../../index.ts';
import { Accounts, accountName, type KnownAccount } from './accounts.ts';
import { type Answer, redirect } from './answer.ts';
import { Attempts } from './attempts.ts';
import type { Visitor } from './layout.ts';
import { PasswordChecks } from './passwords.ts';
import type { PageRequest } from './request.ts';
import { isSame, Sessions } from './sessions.ts';
import { signInPage } from './sign-in-page.ts';
import type { ShownFilter, Visit } from './site.ts';

/** Signs people in and out. */
export class SignIn {
  /** Of those who guess, passwords or else. */
  readonly attempts: Attempts;
  readonly #log: Logger;
  readonly #sessions: Sessions;
  readonly #checks = new PasswordChecks();
  #accounts: Accounts | undefined;

  /** @param now milliseconds since 1970 */
  constructor(log: Logger, now: () => number) {
    this.attempts = new Attempts(now);
    this.#log = log;
    this.#sessions = new Sessions(now);
  }

  /** The page on which one signs in; by POST it is done. */
  async answer(visit: Visit): Promise<Answer> {
    const { request, filter } = visit;
    if (request.method === 'GET') {
      const visitor = await this.visitorOf(visit);
      const next = localPath(request.query.get('next'));
      if (visitor !== undefined) return redirect(next);
      const { query } = request;
      const said = query.has('out')
        ? 'You are signed out.'
        : query.has('again')
          ? 'Please sign in again. What you wanted was not done.'
          : undefined;
      return this.#signInForm(visit, { next, said });
    }
    const form = await request.form();
    const next = localPath(form.get('next'));
    const typed = form.get('name') ?? '';
    if (!isSame(form.get('token') ?? '', request.cookies.get(cookieName(request, FORM)) ?? '-')) {
      return this.#signInForm(visit, { next, typed, fault: 'Please try again: the form was too old.' }, 403);
    }
    const name = nameOf(typed);
    const account = name === undefined ? undefined : await this.#accountsOf(filter)?.find(name);
    const failed = (why: string): void => {
      // Who does not look types the password where the name belongs.
      const shown = account?.name ?? '(unknown)';
      this.#log.warn({ account: shown, from: request.from, why }, 'sign-in on the page failed');
    };
    const wait = this.attempts.begin(request.from, name ?? typed.slice(0, 128));
    if (wait > 0) {
      failed('locked');
      const minutes = Math.ceil(wait / 60_000);
      const fault = `There were too many attempts. Please try again in ${minutes} ${minutes === 1 ? 'minute' : 'minutes'}.`;
      const retry = { 'Retry-After': String(Math.ceil(wait / 1_000)) };
      return this.#signInForm(visit, { next, typed, fault }, 429, retry);
    }
    let isRight: boolean;
    try {
      isRight = await this.#checks.isRight(form.get('password') ?? '', account?.password);
    } catch (error) {
      this.attempts.succeed(request.from);
      throw error;
    }
    if (!isRight || account === undefined) {
      failed(account === undefined ? 'no such account' : 'wrong password');
      return this.#signInForm(visit, { next, typed, fault: 'The name or the password is wrong.' }, 403);
    }
    this.attempts.succeed(request.from, account.name);
    // One that was there before ends: nobody keeps a session that he prepared for another.
    this.#sessions.end(sessionCookie(request));
    const cookie = this.#sessions.begin(account);
    this.#log.info({ account: account.name, from: request.from, action: 'sign in' }, 'done on the page');
    return redirect(next, {
      'Set-Cookie': [setCookie(request, SESSION, cookie), setCookie(request, FORM, '')],
    });
  }

  #signInForm(
    { request, show }: Visit,
    state: Parameters<typeof signInPage>[0],
    status = 200,
    headers: Answer['headers'] = {},
  ): Answer {
    // Sent along twice, in a cookie that other sites can neither read nor have sent.
    const token = randomBytes(24).toString('base64url');
    return show(signInPage(state, token), status, {
      'Set-Cookie': setCookie(request, FORM, token),
      ...headers,
    });
  }

  /** Who is signed in, undefined where nobody is. */
  async visitorOf({ request, filter }: Visit): Promise<Visitor | undefined> {
    const accounts = this.#accountsOf(filter);
    if (accounts === undefined) return undefined;
    let account: KnownAccount | undefined;
    const session = await this.#sessions.find(sessionCookie(request), async (name) => {
      account = await accounts.find(name);
      return account;
    });
    return session === undefined || account === undefined ? undefined : { session, account };
  }

  #accountsOf({ config }: ShownFilter): Accounts | undefined {
    const { accounts: path } = config.settings.http;
    if (path === undefined) return undefined;
    if (this.#accounts?.path !== path) {
      this.#accounts = new Accounts(path, (error) =>
        this.#log.error({ path, error }, 'the accounts cannot be read, and the old ones stay'),
      );
    }
    return this.#accounts;
  }

  /** Ends the session. */
  signOut(request: PageRequest): Answer {
    this.#sessions.end(sessionCookie(request));
    return redirect('/sign-in?out', { 'Set-Cookie': setCookie(request, SESSION, '') });
  }
}

const SESSION = 'milter';
const FORM = 'milter-form';

/** Over TLS the browser itself sees to it that nobody else sets it. */
function cookieName({ isSecure }: PageRequest, name: string): string {
  return isSecure ? `__Host-${name}` : name;
}

function sessionCookie(request: PageRequest): string | undefined {
  return request.cookies.get(cookieName(request, SESSION));
}

/** An empty value takes it away. */
function setCookie(request: PageRequest, name: string, value: string): string {
  const attributes = `Path=/; HttpOnly; SameSite=Strict${request.isSecure ? '; Secure' : ''}`;
  return `${cookieName(request, name)}=${value}; ${attributes}${value === '' ? '; Max-Age=0' : ''}`;
}

function nameOf(text: string): string | undefined {
  try {
    return accountName(text.trim());
  } catch {
    return undefined;
  }
}

/** Never to another site: neither `//example.com` nor `/\example.com`, nor with what browsers leave out. */
export function localPath(text: string | null): string {
  return text !== null && /^\/(?![/\\])[\x21-\x7e]*$/.test(text) && !text.startsWith('/sign-in')
    ? text
    : '/quarantine';
}
