/** Requests that no browser would make: each is answered, or hung up on, and never with 500; and the server goes on. */
import { createConnection } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fc, runs } from '../helpers/fuzz.ts';
import { type TestPage, testPage, type Visitor } from '../helpers/page.ts';

let page: TestPage;
let root: Visitor;
let id: string;
let token: string;

beforeAll(async () => {
  page = await testPage('[[module]]\nuse = "helo"\naddress = "quarantine"\n');
  await page.filter.send({ helo: '192.0.2.7' });
  root = page.visitor();
  await root.signIn('root');
  const { body } = await root.ask('/quarantine');
  id = /\/quarantine\/([\da-f]{32})/.exec(body)?.[1] ?? '';
  token = /name="token" value="([^"]*)"/.exec(body)?.[1] ?? '';
  expect(id).not.toBe('');
});

afterAll(async () => {
  const errors = page.filter.logger.lines.filter(({ level }) => level === 'error');
  await page[Symbol.asyncDispose]();
  expect(errors).toEqual([]);
});

/** Everything that comes back for these bytes. */
async function say(bytes: string): Promise<string> {
  const socket = createConnection(page.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.end(bytes, 'latin1');
  return await text(socket).catch(() => '');
}

const word = fc.constantFrom(
  ...[
    'quarantine',
    'status',
    'configuration',
    'allowed',
    'link',
    'assets',
    'sign-in',
    'sign-out',
    'part',
    'design',
    'source',
  ],
  ...[
    '0',
    '1',
    '999',
    '-1',
    '1e3',
    '%00',
    '%2e%2e',
    '%',
    '%zz',
    '..',
    '.',
    '',
    ' ',
    '\0',
    '?',
    '#',
    '//',
    '\\',
    '__proto__',
  ],
  ...['constructor', 'ID', `${'a'.repeat(32)}.release.${'b'.repeat(32)}`, '%f0%9f%98%80', 'x'.repeat(300)],
);
const path = fc.array(word, { maxLength: 5 }).map((words) => `/${words.join('/').replace('ID', id)}`);
const query = fc
  .array(
    fc.tuple(
      fc.constantFrom(
        'q',
        'after',
        'which',
        'view',
        'set',
        'next',
        '__proto__',
        'token',
        'deed',
        'id',
        'owner',
        '',
      ),
      fc.oneof(
        fc.constantFrom('open', 'all', '%', '%ff', '&', '=', '1'.repeat(47), 'ID', 'TOKEN'),
        fc.string(),
      ),
    ),
    { maxLength: 6 },
  )
  .map((pairs) =>
    pairs
      .map(([name, value]) => `${name}=${value.replace('ID', id).replace('TOKEN', token)}`)
      .join('&')
      .replace(/[\r\n]/g, ''),
  );
const method = fc.constantFrom(
  'GET',
  'POST',
  'HEAD',
  'PUT',
  'DELETE',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PRI',
  'get',
  '',
);
const header = fc.constantFrom(
  'Content-Length: 5',
  'Content-Length: -1',
  'Content-Length: 99999999999',
  'Transfer-Encoding: chunked',
  'Content-Type: application/x-www-form-urlencoded',
  'Content-Type: multipart/form-data; boundary=x',
  'Content-Type: ;;;',
  'Cookie: milter',
  'Cookie: =; ;;=milter=;__Host-milter=',
  `Cookie: ${'a=b; '.repeat(500)}`,
  'Origin: null',
  'Origin: nonsense',
  'Sec-Fetch-Site: cross-site',
  'Sec-Fetch-Site: same-origin',
  'X-Forwarded-For: <script>, ::1%lo, 999.1.1.1',
  'X-Forwarded-Proto: HTTPS',
  'Host:',
  'Host: a b',
  'Expect: 100-continue',
  'Upgrade: websocket\r\nConnection: Upgrade',
  'X: \xff\xfe',
);

function isSound(answer: string): void {
  const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'none';
  expect(status, answer.slice(0, 500)).not.toMatch(/^5(?!01)/);
}

it('answers whoever has not signed in', async () => {
  await fc.assert(
    fc.asyncProperty(
      method,
      path,
      query,
      fc.array(header, { maxLength: 4 }),
      fc.string({ maxLength: 50 }),
      async (how, where, what, headers, body) => {
        const target = what === '' ? where : `${where}?${what}`;
        isSound(
          await say(
            `${how} ${target} HTTP/1.1\r\nConnection: close\r\n${headers.join('\r\n')}\r\n\r\n${body}`,
          ),
        );
      },
    ),
    runs(300),
  );
});

it('answers who has signed in, and what is sent with a right token', async () => {
  const cookie = [...root.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('GET', 'POST'),
      path,
      query,
      fc.boolean(),
      async (how, where, what, hasToken) => {
        // Who signs out sees no more.
        if (where.startsWith('/sign-out')) return;
        const body = `${hasToken ? `token=${token}&` : ''}${what}`;
        const bytes = Buffer.byteLength(body, 'latin1');
        const form =
          how === 'GET'
            ? ''
            : `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${bytes}\r\n`;
        const target = how === 'GET' && what !== '' ? `${where}?${what}` : where;
        isSound(
          await say(
            `${how} ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: ${cookie}\r\n${form}\r\n${how === 'GET' ? '' : body}`,
          ),
        );
      },
    ),
    runs(300),
  );
  expect((await root.ask('/quarantine')).status).toBe(200);
});

it('answers bytes of any kind', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      isSound(await say(Buffer.from(bytes).toString('latin1')));
      isSound(await say(`POST /sign-in HTTP/1.1\r\n${Buffer.from(bytes).toString('latin1')}\r\n\r\n`));
    }),
    runs(100),
  );
});
