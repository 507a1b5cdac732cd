/** The filter's web page in a test: a filter, accounts, its HTTP server, and somebody who asks it as a browser would. */

import { mkdir } from 'node:fs/promises';
import { type IncomingHttpHeaders, type RequestOptions, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { writeAccounts } from '../../lib/filter/http/accounts.ts';
import { hashPassword } from '../../lib/filter/http/passwords.ts';
import { type HttpTimes, startHttp } from '../../lib/filter/http/server.ts';
import type { SiteSource } from '../../lib/filter/http/site.ts';
import { type TestFilter, testFilter } from './filter.ts';
import { unusedPort } from './wait.ts';

/** What every account of a test has. */
export const PASSWORD = 'correct horse';
/** As little work as there may be. */
export const CHEAP = { work: 1, block: 1, times: 1 } as const;

/** One who may sign in. */
export interface TestAccount {
  readonly name: string;
  readonly addresses?: readonly string[];
  readonly isAdmin?: boolean;
  readonly password?: string;
}

/** A page that is served. */
export interface TestPage extends AsyncDisposable {
  readonly filter: TestFilter;
  readonly port: number;
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  /** The file of accounts. */
  readonly accounts: string;
  /** Replaces all accounts. */
  setAccounts(accounts: readonly TestAccount[]): Promise<void>;
  /** Somebody with a browser of his own. */
  visitor(headers?: Readonly<Record<string, string>>): Visitor;
}

/** What came back. */
export interface Seen {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

const EVERYBODY: readonly TestAccount[] = [
  { name: 'root', isAdmin: true },
  { name: 'bob', addresses: ['bob@example.com', 'info@example.com'] },
  { name: 'carol', addresses: ['carol@example.com'] },
];

/** Serves the page of a filter. */
export async function testPage(
  modules: string,
  {
    accounts = EVERYBODY,
    source = {},
    times,
    http: keys = '',
    ...options
  }: Parameters<typeof testFilter>[1] & {
    readonly accounts?: readonly TestAccount[];
    readonly source?: Partial<SiteSource>;
    readonly times?: HttpTimes;
    /** More keys of `[http]`. */
    readonly http?: string;
  } = {},
): Promise<TestPage> {
  const port = await unusedPort();
  const filter = await testFilter(modules, {
    ...options,
    top: `${options.top ?? ''}\n[http]\nlisten = "127.0.0.1:${port}"\naccounts = "/dev/null"\n${keys}\n`,
  });
  const path = join(filter.data, 'accounts');
  await mkdir(filter.data, { recursive: true });
  const { http } = filter.config.settings;
  // Where it lies is known only now.
  Object.assign(http, { accounts: path });
  const setAccounts = async (list: readonly TestAccount[]): Promise<void> =>
    await writeAccounts(
      path,
      await Promise.all(
        list.map(async ({ name, addresses = [], isAdmin = false, password = PASSWORD }) => ({
          name,
          addresses,
          isAdmin,
          password: await hashPassword(password, CHEAP),
        })),
      ),
    );
  await setAccounts(accounts);
  const server = await startHttp(
    {
      metrics: filter.metrics,
      store: filter.store,
      log: filter.logger,
      isListening: () => true,
      site: { current: () => filter, log: filter.logger, troubles: () => [], ...source },
    },
    http,
    times,
  );
  return {
    filter,
    port,
    url: `http://127.0.0.1:${port}`,
    accounts: path,
    setAccounts,
    visitor: (headers) => new Visitor(port, headers),
    [Symbol.asyncDispose]: async () => {
      await server?.close();
      await filter[Symbol.asyncDispose]();
    },
  };
}

/** Asks pages, keeps cookies, and sends forms with what stands in them. */
export class Visitor {
  readonly cookies = new Map<string, string>();
  readonly #port: number;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(port: number, headers: Readonly<Record<string, string>> = {}) {
    this.#port = port;
    this.#headers = headers;
  }

  /** One request, with its cookies. */
  async ask(
    path: string,
    { body, ...options }: RequestOptions & { readonly body?: string } = {},
  ): Promise<Seen> {
    const { promise, resolve, reject } = Promise.withResolvers<Seen>();
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const asked = request(
      {
        agent: false,
        host: '127.0.0.1',
        port: this.#port,
        path,
        method: body === undefined ? 'GET' : 'POST',
        ...options,
        headers: {
          ...(cookie !== '' && { cookie }),
          ...(body !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
          ...this.#headers,
          ...(options.headers as Readonly<Record<string, string>>),
        },
      },
      (response) => {
        for (const set of response.headers['set-cookie'] ?? []) {
          const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
          if (value === '') this.cookies.delete(name);
          else this.cookies.set(name, value);
        }
        text(response).then(
          (content) =>
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: content }),
          reject,
        );
      },
    );
    asked.on('error', reject).end(body);
    return await promise;
  }

  /** Sends a form of these fields, with the token of a page that has one. */
  async send(
    path: string,
    fields: Readonly<Record<string, string | readonly string[]>>,
    page = path,
  ): Promise<Seen> {
    const token = /name="token" value="([^"]*)"/.exec((await this.ask(page)).body)?.[1] ?? '';
    const form = new URLSearchParams({ token });
    for (const [name, value] of Object.entries(fields)) {
      for (const one of [value].flat()) form.append(name, one);
    }
    return await this.ask(path, { body: form.toString() });
  }

  async signIn(name: string, password = PASSWORD): Promise<Seen> {
    return await this.send('/sign-in', { name, password });
  }
}
