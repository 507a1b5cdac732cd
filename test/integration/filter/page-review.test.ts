/** The quarantine's pages over HTTP: what is shown to whom, what is done, and how mail comes out of them. */
import { describe, expect, it, vi } from 'vitest';
import { StoreError } from '../../../lib/filter/index.ts';
import { mailSink } from '../../helpers/mail-sink.ts';
import { type TestPage, testPage, type Visitor } from '../../helpers/page.ts';

const MODULES =
  '[[module]]\nuse = "helo"\naddress = "quarantine"\n[[module]]\nuse = "./dangerous.ts"\nsubject = "DANGER"\n';
const LEARNER = '[[module]]\nuse = "./learner.ts"\n';

const PARTS = `From: Sales <sales@example.org>
To: bob@example.com
Subject: Parts
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=utf-8

<p>Sch\u00f6n <b>bold</b></p><p style="display:none">not for you</p><a href="https://away.example/x">here</a>
--b
Content-Type: application/x-thing; name="thing.bin"
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename="thing.bin"

AAECA/8=
--b
Content-Type: message/rfc822

Subject: inner
Content-Type: text/html

<script>alert(1)</script>
--b--
`.replaceAll('\n', '\r\n');

async function hold(page: TestPage, eml: string, recipients = ['bob@example.com']): Promise<void> {
  const { verdict } = await page.filter.send({
    helo: '192.0.2.7',
    sender: 'sales@example.org',
    recipients,
    eml: Buffer.from(eml),
  });
  expect(verdict).toBe('discard');
}

const simple = (subject: string): string => `From: a@example.org\r\nSubject: ${subject}\r\n\r\nhello\r\n`;

async function signedIn(page: TestPage, name: string): Promise<Visitor> {
  const visitor = page.visitor();
  await visitor.signIn(name);
  return visitor;
}

async function ids(visitor: Visitor, query = ''): Promise<readonly string[]> {
  const { body } = await visitor.ask(`/quarantine${query}`);
  return [...body.matchAll(/name="id" value="([\da-f]{32})"/g)].map(([, id = '']) => id);
}

async function only(visitor: Visitor): Promise<string> {
  const [id = ''] = await ids(visitor);
  return id;
}

/** What is said after a deed. */
async function said(
  visitor: Visitor,
  path: string,
  fields: Record<string, string | readonly string[]>,
): Promise<string> {
  const { status, headers } = await visitor.send(path, fields, '/quarantine');
  expect(status).toBe(303);
  const { body } = await visitor.ask(headers.location ?? '');
  return /id="notice" tabindex="-1">([^<]*)</.exec(body)?.[1] ?? '';
}

describe('a held message', () => {
  it('is of its owner alone, on every way to it', async () => {
    await using page = await testPage(MODULES);
    await hold(page, PARTS);
    const [bob, carol, root] = [
      await signedIn(page, 'bob'),
      await signedIn(page, 'carol'),
      await signedIn(page, 'root'),
    ];
    const id = await only(bob);
    expect(await ids(carol)).toEqual([]);
    expect(await ids(carol, '?which=all&q=sales')).toEqual([]);
    expect(await ids(root)).toEqual([id]);
    for (const path of ['', '/source', '/part/2', '/design/1', '?view=design']) {
      expect((await carol.ask(`/quarantine/${id}${path}`)).status, path).toBe(404);
      expect((await bob.ask(`/quarantine/${id}${path}`)).status, path).toBe(200);
      expect((await root.ask(`/quarantine/${id}${path}`)).status, path).toBe(200);
      expect((await page.visitor().ask(`/quarantine/${id}${path}`)).status, path).toBe(303);
    }
    for (const deed of ['release', 'delete', 'request', 'allow', 'again', 'withdraw'])
      expect((await carol.send(`/quarantine/${id}`, { deed }, '/quarantine')).status, deed).toBe(404);
    expect(await said(carol, '/quarantine', { deed: 'delete', id })).toBe(
      '1 message not: There is no such message.',
    );
    expect(await ids(bob)).toEqual([id]);
  });

  it('is of its owner, however the domain is written there and here', async () => {
    await using page = await testPage(MODULES, {
      accounts: [
        { name: 'one', addresses: ['bob@b\u00fccher.example'] },
        { name: 'other', addresses: ['bob@xn--bcher-kva.example'] },
      ],
    });
    await hold(page, simple('one'), ['Bob@b\u00fccher.example']);
    await hold(page, simple('two'), ['bob@xn--bcher-kva.example']);
    expect(await ids(await signedIn(page, 'one'))).toHaveLength(2);
    expect(await ids(await signedIn(page, 'other'))).toHaveLength(2);
  });

  it('of a domain is of who looks after the domain', async () => {
    await using page = await testPage(MODULES, {
      accounts: [
        { name: 'helpdesk', addresses: ['.example.com', 'info@example.net'] },
        { name: 'nobody', addresses: ['example.org'] },
      ],
    });
    await hold(page, simple('one'), ['bob@sub.example.com', 'info@example.net', 'x@example.net']);
    expect(await ids(await signedIn(page, 'helpdesk'))).toHaveLength(2);
    expect(await ids(await signedIn(page, 'nobody'))).toHaveLength(0);
  });

  it('of a whole domain is found by its index, once, and nobody else sees it', async () => {
    await using page = await testPage(MODULES, {
      accounts: [
        { name: 'helpdesk', addresses: ['example.com', 'bob@example.com', 'x@example.net'] },
        { name: 'other', addresses: ['xample.com'] },
      ],
    });
    const owners = [
      'bob@example.com',
      'B\u00f6b@EXAMPLE.com',
      'x@example.net',
      'y@example.net',
      'z@sub.example.com',
    ];
    await hold(page, simple('one'), owners);
    const helpdesk = await signedIn(page, 'helpdesk');
    const seen = await ids(helpdesk);
    expect(seen).toHaveLength(3);
    expect(new Set(seen).size).toBe(3);
    expect(await ids(helpdesk, '?q=helo-address')).toHaveLength(3);
    for (const id of seen) expect((await helpdesk.ask(`/quarantine/${id}`)).status).toBe(200);
    expect(await said(helpdesk, '/quarantine', { deed: 'delete', id: seen })).toBe('3 messages are deleted.');
    expect(await ids(helpdesk)).toEqual([]);
    expect(await ids(helpdesk, '?which=over')).toHaveLength(3);
    expect(await ids(await signedIn(page, 'other'), '?which=all')).toEqual([]);
  });

  it('comes out as text, as files, and as it came', async () => {
    await using page = await testPage(MODULES);
    await hold(page, PARTS);
    const bob = await signedIn(page, 'bob');
    const id = await only(bob);
    const { body } = await bob.ask(`/quarantine/${id}`);
    expect(body).toContain('Schön bold');
    expect(body).toMatch(/Text that is hidden from readers<\/summary><pre[^>]*>not for you</);
    expect(body).toContain('<code>https://away.example/x</code>');
    expect(body).toContain('<bdi>thing.bin</bdi>');
    expect(body).not.toContain('<script>');
    const source = await bob.ask(`/quarantine/${id}/source`, { encoding: 'latin1' } as object);
    expect(source.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-disposition': expect.stringMatching(
        /^attachment; filename="message-[\da-f]{12}\.eml\.txt"/,
      ) as string,
      'content-security-policy': "sandbox; default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'content-length': String(Buffer.byteLength(PARTS)),
    });
    expect(source.body).toBe(PARTS);
    const part = await bob.ask(`/quarantine/${id}/part/2`);
    expect(part.headers).toMatchObject({
      'content-length': '5',
      'content-disposition': `attachment; filename="thing.bin"; filename*=UTF-8''thing.bin`,
    });
    expect((await bob.ask(`/quarantine/${id}/part/3`)).headers['content-disposition']).toContain('.held');
    const design = await bob.ask(`/quarantine/${id}/design/1`);
    expect(design.headers['content-security-policy']).toMatch(/^sandbox; default-src 'none';/);
    expect(design.body).toContain('<p>Schön <b>bold</b></p>');
    for (const path of [
      'part/0',
      'part/99',
      'part/x',
      'part/-1',
      'design/2',
      'design/0',
      'part',
      'other',
      'source/1',
      'part/1/2',
    ])
      expect((await bob.ask(`/quarantine/${id}/${path}`)).status, path).toBe(404);
    const head = await bob.ask(`/quarantine/${id}/source`, { method: 'HEAD' });
    expect(head).toMatchObject({ status: 200, body: '' });
  });

  it('that is dangerous goes to nobody but the administrator', async () => {
    await using sink = await mailSink();
    await using page = await testPage(MODULES, { top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"` });
    await hold(page, PARTS.replace('Subject: Parts', 'Subject: DANGER'));
    const [bob, root] = [await signedIn(page, 'bob'), await signedIn(page, 'root')];
    const id = await only(bob);
    for (const path of ['source', 'part/2'])
      expect((await bob.ask(`/quarantine/${id}/${path}`)).status, path).toBe(404);
    expect((await root.ask(`/quarantine/${id}/source`)).status).toBe(200);
    expect(await said(bob, `/quarantine/${id}`, { deed: 'release' })).toContain(
      'only an administrator may release it',
    );
    expect(await said(bob, `/quarantine/${id}`, { deed: 'ham' })).toContain(
      'only an administrator may release it',
    );
    expect(await said(bob, '/quarantine', { deed: 'release', id })).toContain('only an administrator');
    expect(await said(bob, `/quarantine/${id}`, { deed: 'request' })).toContain(
      'for an administrator to release',
    );
    expect((await root.ask('/quarantine')).body).toContain('Release asked for');
    expect(await said(bob, `/quarantine/${id}`, { deed: 'withdraw' })).toContain('no longer marked');
    expect(sink.mails).toHaveLength(0);
    expect(await said(root, `/quarantine/${id}`, { deed: 'release' })).toBe('The message is released.');
    expect(sink.mails).toHaveLength(1);
  });

  it('of hostile size is shown as far as it makes sense', async () => {
    await using page = await testPage(MODULES);
    const headers = Array.from({ length: 1_000 }, (_, i) => `X-${i}: ${'y'.repeat(100)}\r\n`).join('');
    const parts = Array.from({ length: 700 }, () => '--b\r\nContent-Type: text/plain\r\n\r\nx\r\n').join('');
    await hold(
      page,
      `From: a@example.org\r\nSubject: ${'s'.repeat(50_000)}\r\n${headers}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n${'long '.repeat(300_000)}\r\n${parts}--b--\r\n`,
    );
    const bob = await signedIn(page, 'bob');
    const { status, body } = await bob.ask(`/quarantine/${await only(bob)}`);
    expect(status).toBe(200);
    expect(body.length).toBeLessThan(800_000);
    expect(body).toContain('It is cut off here');
    expect(body).toContain('There are more parts than are shown.');
    expect(body).toMatch(/And \d+ more\./);
  });
});

describe('deeds', () => {
  it('are done, told and logged', async () => {
    await using sink = await mailSink();
    await using page = await testPage(MODULES + LEARNER, {
      top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"`,
    });
    for (const subject of ['one', 'two', 'three', 'four']) await hold(page, simple(subject));
    const bob = await signedIn(page, 'bob');
    const [four = '', three = '', two = '', one = ''] = await ids(bob);
    expect(await said(bob, `/quarantine/${four}`, { deed: 'ham' })).toBe(
      'The message is released, and learned as no spam.',
    );
    expect(sink.mails).toMatchObject([{ recipients: ['bob@example.com'] }]);
    expect(await said(bob, '/quarantine', { deed: 'spam', id: [three, two, two] })).toBe(
      '2 messages are deleted, and learned as spam.',
    );
    expect(await said(bob, `/quarantine/${three}`, { deed: 'delete' })).toBe(
      'It is deleted already, by bob.',
    );
    expect(await said(bob, '/quarantine', { deed: 'delete', id: [one, three] })).toBe(
      '1 message is deleted. 1 message not: It is deleted already, by bob.',
    );
    expect(await said(bob, '/quarantine', { deed: 'delete' })).toBe('No message was selected.');
    expect((await bob.send('/quarantine', { deed: 'nonsense', id: one })).status).toBe(400);
    expect((await bob.send('/quarantine', { deed: 'allow', id: one })).status).toBe(400);
    const lines = page.filter.logger.lines.filter(({ message }) => message.startsWith('review: '));
    expect(
      lines.map(({ message, fields }) => [message, fields['by'], fields['from'], fields['item']]),
    ).toEqual([
      ['review: train ham', 'bob', '127.0.0.1', four],
      ['review: release', 'bob', '127.0.0.1', four],
      ...[three, two].flatMap((id) => [
        ['review: train spam', 'bob', '127.0.0.1', id],
        ['review: delete', 'bob', '127.0.0.1', id],
      ]),
      ['review: delete', 'bob', '127.0.0.1', one],
    ]);
  });

  it('that fail say why, and leave the message held', async () => {
    await using sink = await mailSink((stage) =>
      stage === 'rcpt' ? '550 5.1.1 no such user here' : undefined,
    );
    await using page = await testPage(MODULES, { top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"` });
    await hold(page, simple('one'));
    const bob = await signedIn(page, 'bob');
    const id = await only(bob);
    expect(await said(bob, `/quarantine/${id}`, { deed: 'release' })).toContain('no such user here');
    expect(await ids(bob)).toEqual([id]);
    // Nobody learns here, so there is no such button; who sends it all the same is told.
    expect((await bob.ask(`/quarantine/${id}`)).body).not.toContain('value="ham"');
    expect(await said(bob, `/quarantine/${id}`, { deed: 'spam' })).toContain(
      'No module of this configuration learns',
    );
    expect(await ids(bob)).toEqual([id]);
    expect(await said(bob, `/quarantine/${id}`, { deed: 'allow' })).toContain('Nothing proves who sent it');
  });

  it('need [outgoing] to release', async () => {
    await using page = await testPage(MODULES);
    await hold(page, simple('one'));
    const bob = await signedIn(page, 'bob');
    expect(await said(bob, '/quarantine', { deed: 'release', id: await only(bob) })).toContain(
      '[outgoing] says neither smtp nor sendmail',
    );
  });

  it('are done although somebody cannot learn', async () => {
    await using sink = await mailSink();
    await using page = await testPage(`${MODULES}${LEARNER}fails = true\n`, {
      top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"`,
    });
    await hold(page, simple('one'));
    const bob = await signedIn(page, 'bob');
    expect(await said(bob, `/quarantine/${await only(bob)}`, { deed: 'spam' })).toContain(
      'learner could not learn it',
    );
    expect(await ids(bob)).toEqual([]);
  });
});

it('lists a page at a time, and searches', async () => {
  await using page = await testPage(MODULES);
  for (let i = 0; i < 120; i++) await hold(page, simple(`number ${i}.`));
  const bob = await signedIn(page, 'bob');
  const seen = new Set<string>();
  let pages = 0;
  for (let next: string | undefined = '/quarantine'; next !== undefined; pages++) {
    const { body } = await bob.ask(next);
    for (const [, id = ''] of body.matchAll(/name="id" value="([\da-f]{32})"/g)) seen.add(id);
    next = /href="([^"]*)" rel="next"/.exec(body)?.[1];
  }
  expect({ pages, seen: seen.size }).toEqual({ pages: 3, seen: 120 });
  expect(await ids(bob, '?q=NUMBER+77.')).toHaveLength(1);
  expect(await ids(bob, '?q=helo-address')).toHaveLength(50);
  expect(await ids(bob, '?q=%3Cscript%3E')).toHaveLength(0);
  expect((await bob.ask('/quarantine?q=%22%3E%3Cscript%3E')).body).not.toContain('"><script>');
});

describe('the link of a digest', () => {
  it('shows on GET, acts once on POST, and does nothing else', async () => {
    await using sink = await mailSink();
    await using page = await testPage(MODULES, { top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"` });
    await hold(page, simple('one'));
    const { review } = page.filter.quarantine;
    const { items } = await review.list({ name: 'root', isAdmin: true });
    const [item] = items;
    if (item === undefined) throw new Error('nothing is held');
    const link = `/link/${await review.makeLink(item, 'release')}`;
    const somebody = page.visitor();
    for (let i = 0; i < 3; i++) expect((await somebody.ask(link)).status).toBe(200);
    expect(sink.mails).toHaveLength(0);
    expect((await page.visitor({ 'sec-fetch-site': 'cross-site' }).ask(link, { body: '' })).status).toBe(403);
    // A link to release deletes nothing, and does nothing unless it is told what.
    for (const body of ['', 'deed=delete', 'deed=spam', 'deed=allow', 'deed=x'])
      expect((await somebody.ask(link, { body })).status, body).toBe(400);
    const done = await somebody.ask(link, { body: 'deed=release' });
    expect(done.body).toContain('The message is released');
    expect(done.headers['set-cookie']).toBeUndefined();
    expect(sink.mails).toHaveLength(1);
    expect(await somebody.ask(link, { body: 'deed=release' })).toMatchObject({ status: 409 });
    expect(sink.mails).toHaveLength(1);
    expect((await somebody.ask(`/quarantine/${item.id}`)).status).toBe(303);
  });

  it('teaches who learns, if its owner says what it is, and no more once it is over', async () => {
    await using sink = await mailSink();
    await using page = await testPage(MODULES + LEARNER, {
      top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"`,
    });
    // The file stays for Carol.
    await hold(page, simple('one'), ['bob@example.com', 'carol@example.com']);
    const { review } = page.filter.quarantine;
    const somebody = page.visitor();
    const learned = (): readonly unknown[] =>
      page.filter.logger.lines
        .filter(({ message }) => message === 'learned')
        .map(({ fields }) => fields['as']);
    const { items } = await review.list({ name: 'root', isAdmin: true });
    for (const item of items) {
      const isBob = item.owner === 'bob@example.com';
      const [action, deed] = isBob ? (['delete', 'spam'] as const) : (['release', 'ham'] as const);
      const link = `/link/${await review.makeLink(item, action)}`;
      expect((await somebody.ask(link)).body).toContain(isBob ? 'Is spam: delete' : 'Is not spam: release');
      expect((await somebody.ask(link, { body: `deed=${deed}` })).status).toBe(200);
      const before = learned().length;
      const release = `/link/${await review.makeLink(item, 'release')}`;
      expect((await somebody.ask(release, { body: 'deed=ham' })).status).toBe(409);
      expect(learned()).toHaveLength(before);
    }
    expect(learned().toSorted()).toEqual(['ham', 'spam']);
    expect(sink.mails.map(({ recipients }) => recipients)).toEqual([['carol@example.com']]);
  });

  it('asks an administrator for what is dangerous', async () => {
    await using page = await testPage(MODULES, { top: '[outgoing]\nsmtp = "127.0.0.1:9"' });
    await hold(page, simple('DANGER'));
    const { review } = page.filter.quarantine;
    const root = { name: 'root', isAdmin: true };
    const { items } = await review.list(root);
    const [item] = items;
    if (item === undefined) throw new Error('nothing is held');
    const link = `/link/${await review.makeLink(item, 'release')}`;
    const somebody = page.visitor();
    expect((await somebody.ask(link)).body).toContain('Ask for its release');
    expect((await somebody.ask(link, { body: 'deed=release' })).status).toBe(409);
    expect((await somebody.ask(link, { body: 'deed=request' })).status).toBe(200);
    expect((await review.get(root, item.id)).state).toBe('requested');
  });

  it('that is right is no guess, whatever is done with it, and whether it can be looked up or not', async () => {
    await using page = await testPage(MODULES);
    await hold(page, simple('one'));
    const { review, held } = page.filter.quarantine;
    const [item] = (await held.page({})).items;
    if (item === undefined) throw new Error('it was held');
    const link = `/link/${await review.makeLink(item, 'release')}`;
    const visitor = page.visitor();
    for (let i = 0; i < 40; i++) expect((await visitor.ask(link, { body: 'deed=spam' })).status).toBe(400);
    const away = vi.spyOn(review, 'readLink').mockRejectedValue(new StoreError('the store is away'));
    for (let i = 0; i < 40; i++) expect((await visitor.ask(link)).status).toBe(503);
    away.mockRestore();
    expect((await visitor.ask(link, { body: 'deed=delete' })).status).toBe(400);
    expect((await visitor.ask(link)).status).toBe(200);
  });

  it('cannot be guessed', async () => {
    await using page = await testPage(MODULES);
    const guesser = page.visitor();
    const statuses: number[] = [];
    for (let i = 0; i < 40; i++) {
      const guess = `${String(i).padStart(32, '0')}.release.${'0'.repeat(32)}`;
      statuses.push((await guesser.ask(`/link/${guess}`)).status);
    }
    expect(new Set(statuses)).toEqual(new Set([404, 429]));
    expect(statuses.at(-1)).toBe(429);
  });
});
