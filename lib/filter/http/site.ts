/**
 * The pages for people: who asks, whether he may, and which page it is. Every mail that is shown by them is hostile, and so
 * may be whoever asks.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Logger } from '../../index.ts';
import type { Config } from '../config/config.ts';
import { aLabels, isDomain } from '../config/domains.ts';
import type { MetricsRegistry } from '../metrics.ts';
import { QuarantineFull } from '../quarantine/folder.ts';
import type { OpenQuarantine } from '../quarantine/open.ts';
import { ReviewError, type Reviewer } from '../quarantine/review.ts';
import { type Store, StoreError } from '../store/store.ts';
import type { Trouble } from '../troubles.ts';
import { Accounts, accountName, type KnownAccount } from './accounts.ts';
import { allowedPage, disallow } from './allowed-page.ts';
import { type Answer, page, redirect } from './answer.ts';
import { Attempts } from './attempts.ts';
import { configurationPage } from './configuration-page.ts';
import { type Deed, deedOf, doMany, doOne } from './deeds.ts';
import { html } from './html.ts';
import { assetNamed, layout, type PageContent, type Visitor } from './layout.ts';
import { linkPage } from './link-page.ts';
import { listPage } from './list-page.ts';
import { messagePage, messagePart } from './message-page.ts';
import { PasswordChecks } from './passwords.ts';
import { type PageRequest, RequestFault, readRequest } from './request.ts';
import { Samples } from './samples.ts';
import { isSame, Sessions } from './sessions.ts';
import { signInPage } from './sign-in-page.ts';
import { statusPage } from './status-page.ts';
import { TooBusy, Turns } from './turns.ts';

/** What of a filter the pages show. */
export interface ShownFilter {
  readonly config: Config;
  readonly metrics: MetricsRegistry;
  readonly store: Store;
  readonly quarantine: Pick<OpenQuarantine, 'review'>;
}

/** What the pages are about. */
export interface SiteSource {
  /** The filter in force. */
  current(): ShownFilter;
  readonly log: Logger;
  /** What went wrong of late, the newest last. */
  troubles(): readonly Trouble[];
  /** Milliseconds since 1970. @default Date.now */
  now?(): number;
}

/** One request to one page. */
export interface Visit {
  readonly request: PageRequest;
  readonly filter: ShownFilter;
  readonly now: number;
  /** Writes a page of the site. */
  show(content: Omit<PageContent, 'hostname'>, status?: number, headers?: Answer['headers']): Answer;
}

/** One by somebody who is signed in. */
export interface SignedVisit extends Visit, Visitor {
  /** As whom the quarantine knows him. */
  readonly who: Reviewer;
  /** A line in the log for what he does. */
  audit(action: string, about?: Readonly<Record<string, unknown>>): void;
}

/** A message may be large: so many are taken apart at once, and so many wait for it. */
const MESSAGES_AT_ONCE = 3;
const MESSAGES_WAITING = 30;

/** What is not there, or not his. */
const NOT_FOUND = 'There is no such page, or it is not yours to see.';

/** The pages. */
export class Site {
  readonly #source: SiteSource;
  readonly #now: () => number;
  readonly #sessions: Sessions;
  readonly #attempts: Attempts;
  readonly #checks = new PasswordChecks();
  readonly #messages = new Turns(MESSAGES_AT_ONCE, MESSAGES_WAITING);
  readonly #samples: Samples;
  #accounts: Accounts | undefined;

  constructor(source: SiteSource) {
    this.#source = source;
    this.#now = source.now ?? Date.now;
    this.#sessions = new Sessions(this.#now);
    this.#attempts = new Attempts(this.#now);
    this.#samples = new Samples(source.current().metrics, this.#now);
  }

  /** Ends what it does by itself. */
  close(): void {
    this.#samples.close();
  }

  /** The answer to a request; undefined where the configuration wants no pages. */
  async answer(incoming: IncomingMessage): Promise<Answer | undefined> {
    const filter = this.#source.current();
    if (!filter.config.settings.http.review) return undefined;
    const show: Visit['show'] = (content, status = 200, headers = {}) =>
      page(status, layout({ ...content, hostname: filter.config.settings.hostname }), headers);
    try {
      const request = readRequest(incoming);
      return await this.#route({ request, filter, now: this.#now(), show });
    } catch (error) {
      const { status, message } = this.#faultOf(error);
      const headers = {
        Connection: 'close',
        ...(status === 405 && { Allow: 'GET, HEAD, POST' }),
        ...(status === 503 && { 'Retry-After': '10' }),
      };
      return show(
        {
          title: 'Sorry',
          content: html`<section class="card"><h1>Sorry</h1><p>${message}</p><p><a href="/quarantine">Go to the quarantine</a></p></section>`,
        },
        status,
        headers,
      );
    }
  }

  #faultOf(error: unknown): { readonly status: number; readonly message: string } {
    if (error instanceof RequestFault) return error;
    if (error instanceof TooBusy) {
      return { status: 503, message: 'Too much is asked at once. Please try again in a moment.' };
    }
    if (error instanceof ReviewError) {
      const isGone = error.code === 'gone';
      return { status: isGone ? 404 : 409, message: isGone ? NOT_FOUND : `${error.message}.` };
    }
    this.#source.log.error({ error }, 'a page could not be shown');
    const isAway = error instanceof StoreError || error instanceof QuarantineFull;
    return isAway
      ? { status: 503, message: 'What the filter remembers cannot be reached at the moment.' }
      : { status: 500, message: 'Something went wrong. The log of the filter says what.' };
  }

  async #route(visit: Visit): Promise<Answer> {
    const { request } = visit;
    const { path, method } = request;
    const [first = '', second = '', third = ''] = path;
    if (first === 'assets' && path.length === 3 && method === 'GET') {
      return assetNamed(second, third) ?? notFound();
    }
    if (method === 'POST' && request.isForeign) {
      throw new RequestFault(403, 'This form was sent from another site, and is not heeded.');
    }
    if (first === 'sign-in' && path.length === 1) return await this.#signIn(visit);
    if (first === 'link' && path.length === 2) return await this.#followLink(visit, second);
    const visitor = await this.#visitorOf(visit);
    if (visitor === undefined) return this.#askToSignIn(visit);
    const signed: SignedVisit = {
      ...visit,
      ...visitor,
      who: reviewerOf(visitor.account, request.from),
      show: (content, status, headers) => visit.show({ ...content, visitor }, status, headers),
      audit: (action, about = {}) =>
        this.#source.log.info(
          { account: visitor.account.name, from: request.from, action, ...about },
          'done on the page',
        ),
    };
    if (method === 'POST') return await this.#post(signed);
    return await this.#get(signed);
  }

  async #get(visit: SignedVisit): Promise<Answer> {
    const { request, account } = visit;
    const [first, ...more] = request.path;
    if (first === undefined) return redirect('/quarantine');
    const [id, kind, number] = more;
    if (first === 'quarantine' && more.length <= 3) {
      if (id === undefined) return await listPage(visit);
      return await this.#messages.take(async () =>
        kind === undefined
          ? await messagePage(visit, id)
          : ((await messagePart(visit, id, kind, number)) ?? notFound()),
      );
    }
    if (first === 'allowed' && more.length === 0) return await allowedPage(visit);
    if (account.isAdmin && more.length === 0) {
      if (first === 'status') return await statusPage(visit, this.#samples, this.#source.troubles());
      if (first === 'configuration') return configurationPage(visit);
    }
    return notFound();
  }

  async #post(visit: SignedVisit): Promise<Answer> {
    const { request, session } = visit;
    const form = await request.form();
    if (!isSame(form.get('token') ?? '', session.formToken)) {
      throw new RequestFault(403, 'This form is too old. Please go back, load the page anew, and try again.');
    }
    const [first, ...more] = request.path;
    if (first === 'sign-out' && more.length === 0) {
      this.#sessions.end(sessionCookie(request));
      visit.audit('sign out');
      return redirect('/sign-in?out', { 'Set-Cookie': setCookie(request, SESSION, '') });
    }
    const [id, ...tooMuch] = more;
    if (first === 'quarantine' && tooMuch.length === 0) {
      const deed = deedOf(form, id === undefined);
      if (deed === undefined) throw new RequestFault(400, 'The form does not say what is to be done.');
      session.notice =
        id === undefined ? await doMany(visit, deed, form.getAll('id')) : await doOne(visit, deed, id);
      // What is still there is shown; else the list.
      return redirect(
        id !== undefined && (session.notice.isBad || STAYING.includes(deed))
          ? `/quarantine/${id}`
          : '/quarantine',
      );
    }
    if (first === 'allowed' && more.length === 0) {
      session.notice = await disallow(visit, form);
      return redirect('/allowed');
    }
    return notFound();
  }

  /** Whoever guesses links has as many tries as one who guesses passwords. */
  async #followLink(visit: Visit, link: string): Promise<Answer> {
    const { from } = visit.request;
    const wait = this.#attempts.begin(from);
    if (wait > 0) throw new RequestFault(429, 'There were too many attempts. Please try again later.');
    const answer = await linkPage(visit, link);
    if (answer === undefined) {
      throw new RequestFault(
        404,
        'This link is no longer good: the message it is about is not kept any more.',
      );
    }
    this.#attempts.succeed(from);
    return answer;
  }

  /** Whoever is not signed in comes back to where he wanted to go. */
  #askToSignIn({ request, show }: Visit): Answer {
    if (request.method === 'POST') return redirect('/sign-in?again');
    const wanted = `/${request.path.map(encodeURIComponent).join('/')}`;
    const query = request.query.toString();
    const next = localPath(query === '' ? wanted : `${wanted}?${query}`);
    if (request.isForeign) {
      // A link in a mail: the browser keeps the cookie back until it comes from a page of ours.
      const content = html`<h1>One moment</h1><p><a href="${next}">Go on to the page</a></p>`;
      return show({ title: 'One moment', content }, 200, { Refresh: `0; url=${next}` });
    }
    return redirect(wanted === '/' ? '/sign-in' : `/sign-in?next=${encodeURIComponent(next)}`);
  }

  async #signIn(visit: Visit): Promise<Answer> {
    const { request, filter } = visit;
    if (request.method === 'GET') {
      const visitor = await this.#visitorOf(visit);
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
      this.#source.log.warn({ account: shown, from: request.from, why }, 'sign-in on the page failed');
    };
    const wait = this.#attempts.begin(request.from, name ?? typed.slice(0, 128));
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
      this.#attempts.succeed(request.from);
      throw error;
    }
    if (!isRight || account === undefined) {
      failed(account === undefined ? 'no such account' : 'wrong password');
      return this.#signInForm(visit, { next, typed, fault: 'The name or the password is wrong.' }, 403);
    }
    this.#attempts.succeed(request.from, account.name);
    // One that was there before ends: nobody keeps a session that he prepared for another.
    this.#sessions.end(sessionCookie(request));
    const cookie = this.#sessions.begin(account);
    this.#source.log.info(
      { account: account.name, from: request.from, action: 'sign in' },
      'done on the page',
    );
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

  async #visitorOf({ request, filter }: Visit): Promise<Visitor | undefined> {
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
        this.#source.log.error({ path, error }, 'the accounts cannot be read, and the old ones stay'),
      );
    }
    return this.#accounts;
  }
}

/** After these the message is still there to be looked at. */
const STAYING: readonly Deed[] = ['allow', 'request', 'withdraw'];

/** Whose messages can be listed by their addresses is asked by those. */
function reviewerOf({ name, isAdmin, addresses, owned }: KnownAccount, client: string): Reviewer {
  const listed = addresses.map((entry) => {
    if (/^[^@*?]+@[^@*?]+$/.test(entry)) return entry;
    return isDomain(aLabels(entry)) ? `@${aLabels(entry)}` : undefined;
  });
  const owners = listed.filter((entry) => entry !== undefined);
  return {
    name,
    isAdmin,
    client,
    owners: owners.length === listed.length ? owners : undefined,
    owns: (owner) => owned.has(owner),
  };
}

function notFound(): never {
  throw new RequestFault(404, NOT_FOUND);
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
function localPath(text: string | null): string {
  return text !== null && /^\/(?![/\\])[\x21-\x7e]*$/.test(text) && !text.startsWith('/sign-in')
    ? text
    : '/quarantine';
}
