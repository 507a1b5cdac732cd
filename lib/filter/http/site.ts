/**
 * The pages for people: who asks, whether he may, and which page it is. Every mail that is shown by them is hostile, and so
 * may be whoever asks.
 */
import type { IncomingMessage } from 'node:http';
import type { Logger } from '../../index.ts';
import type { Config } from '../config/config.ts';
import { aLabels, isDomain } from '../config/domains.ts';
import { comparableAddress } from '../mail/comparable.ts';
import type { OpenedFilter } from '../open.ts';
import { QuarantineFull } from '../quarantine/folder.ts';
import type { OpenQuarantine } from '../quarantine/open.ts';
import { ReviewError, type Reviewer } from '../quarantine/review.ts';
import { type Store, StoreError } from '../store/store.ts';
import type { MetricsRegistry } from '../watch/metrics.ts';
import type { Trouble } from '../watch/troubles.ts';
import type { KnownAccount } from './accounts.ts';
import { allowedPage, disallow } from './allowed-page.ts';
import { type Answer, page, redirect } from './answer.ts';
import { configurationPage } from './configuration-page.ts';
import { type Deed, deedOf, doMany, doOne } from './deeds.ts';
import { html } from './html.ts';
import { assetNamed, layout, type PageContent, type Visitor } from './layout.ts';
import { linkPage } from './link-page.ts';
import { listPage } from './list-page.ts';
import { messagePage, messagePart } from './message-page.ts';
import { type PageRequest, RequestFault, readRequest } from './request.ts';
import { Samples } from './samples.ts';
import { isSame } from './sessions.ts';
import { localPath, SignIn } from './sign-in.ts';
import { statusPage } from './status-page.ts';
import { TooBusy, Turns } from './turns.ts';

/** What of a filter the pages show. */
export interface ShownFilter {
  readonly config: Config;
  readonly metrics: MetricsRegistry;
  readonly store: Store;
  readonly quarantine: Pick<OpenQuarantine, 'review'>;
  /** @default nobody is asked */
  readonly confirmation?: OpenedFilter['confirmation'];
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
  readonly #signIn: SignIn;
  readonly #messages = new Turns(MESSAGES_AT_ONCE, MESSAGES_WAITING);
  readonly #samples: Samples;

  constructor(source: SiteSource) {
    this.#source = source;
    this.#now = source.now ?? Date.now;
    this.#signIn = new SignIn(source.log, this.#now);
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
    if (first === 'sign-in' && path.length === 1) return await this.#signIn.answer(visit);
    if (first === 'link' && path.length === 2) return await this.#followLink(visit, second);
    const visitor = await this.#signIn.visitorOf(visit);
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
      visit.audit('sign out');
      return this.#signIn.signOut(request);
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
    const wait = this.#signIn.attempts.begin(from);
    if (wait > 0) throw new RequestFault(429, 'There were too many attempts. Please try again later.');
    let isGuess = false;
    try {
      const answer = await linkPage(visit, link);
      if (answer !== undefined) return answer;
      isGuess = true;
    } finally {
      // What went wrong otherwise, such as a store that is away, is not their fault.
      if (!isGuess) this.#signIn.attempts.succeed(from);
    }
    throw new RequestFault(404, 'This link is no longer good: the message it is about is not kept any more.');
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
}

/** After these the message is still there to be looked at. */
const STAYING: readonly Deed[] = ['allow', 'request', 'withdraw'];

/** Whose messages can be listed by their addresses is asked by those. */
function reviewerOf({ name, isAdmin, addresses, owned }: KnownAccount, client: string): Reviewer {
  const listed = addresses.map((entry) => {
    if (/^[^@*?]+@[^@*?]+$/.test(entry)) return comparableAddress(entry);
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
