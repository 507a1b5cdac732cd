import { describe, expect, it } from 'vitest';
import { faultsOf, type TestMail, testFilter } from '../../../helpers/filter.ts';

const NOW = Date.UTC(2026, 0, 10);
const DATE = 'Date: Sat, 10 Jan 2026 00:00:00 +0000\n';
const GOOD = `From: "A" <a@example.org>\nMessage-ID: <1@example.org>\n${DATE}`;

const headers = (options = ''): string => `[[module]]\nuse = "headers"\n${options}\n`;
const networks = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\ninternal_as_other = "continue"\n';
const outgoing = { address: '127.0.0.1', recipients: ['bob@example.net'] };

/** What is found of a header: names with their actions. */
async function found(
  options: string,
  header: string,
  mail: TestMail = {},
  body = 'hello\n',
): Promise<readonly string[]> {
  await using filter = await testFilter(headers(options), { now: () => NOW });
  await filter.send({ eml: `${header}\n${body}`, ...mail });
  return (await filter.last())?.findings.map(({ name, action }) => `${name} ${action}`) ?? [];
}

/** The header as it leaves, field by field. */
async function left(config: string, header: string, mail: TestMail = {}): Promise<readonly string[]> {
  await using filter = await testFilter(config, { now: () => NOW });
  const { message } = await filter.send({ eml: `${header}\nhello\n`, ...mail });
  return message.headers.map(({ name, value }) => `${name}: ${value}`);
}

describe('words', () => {
  it.each([
    ['Subject: buy VIAGRA now', ['headers-subject-words score 5']],
    ['Subject: =?utf-8?B?dmnCrWFncmE=?=', ['headers-subject-words score 5']],
    ['Subject: viagras', []],
    ['Comments: viagra', []],
  ])('of the subject: %j', async (field, expected) => {
    expect(await found('subject_words = ["viagra"]', `${GOOD}${field}\n`)).toEqual(expected);
  });

  it.each([
    ['"Casino Royal" <x@example.org>', ['headers-from-words score 5']],
    ['=?koi8-r?B?68Hayc7P?= <x@example.org>', ['headers-from-words score 5']],
    ['a@example.org, "The casino" <x@example.org>', ['headers-from-words score 5']],
    ['"Ann" <casino@example.org>', []],
  ])('of the sender’s name: %j', async (from, expected) => {
    const header = `Message-ID: <1@example.org>\nFrom: ${from}\n`;
    expect(await found('from_words = ["casino", "Казино"]', header)).toEqual(expected);
  });

  it('do what the option says', async () => {
    const options = 'subject_words = ["x"]\nwords_action = "reject"';
    expect(await found(options, `${GOOD}Subject: x\n`)).toEqual(['headers-subject-words reject']);
  });

  it('may stand in a file', async () => {
    await using filter = await testFilter(headers('subject_words = ["file:words.txt"]'), {
      directory: `${import.meta.dirname}/../../../fixtures/filter`,
    });
    await filter.send({ eml: `${GOOD}Subject: free money\n\nhello\n` });
    expect((await filter.last())?.findings).toMatchObject([{ note: 'free money' }]);
  });
});

describe('charsets', () => {
  it.each([
    ['Subject: =?GB2312?B?xOO6ww==?=', 'reject'],
    ['X-Any: =?big5*zh?q?a?=', 'reject'],
    ['Content-Type: text/plain; charset="GB2312"', 'reject'],
    ['Content-Type: text/plain; charset=utf-8', 'none'],
    ['Subject: =?utf-8?B?xOO6ww==?=', 'none'],
  ])('%j: %s', async (field, expected) => {
    const all = await found('charsets = ["gb2312", "big5"]', `${GOOD}${field}\n`);
    expect(all).toEqual(expected === 'none' ? [] : ['headers-charsets reject']);
  });

  it('of a part within', async () => {
    const body = '--x\nContent-Type: text/html; charset=gb2312\n\n<p>\n--x--\n';
    const header = `${GOOD}Content-Type: multipart/mixed; boundary=x\n`;
    expect(await found('charsets = ["gb*"]\ncharset_action = "score 2"', header, {}, body)).toEqual([
      'headers-charsets score 2',
    ]);
  });
});

describe('the form', () => {
  it.each<[string, string, readonly string[]]>([
    ['', `${GOOD}Subject: x\n`, []],
    ['mailers = ["*bomber*"]', `${GOOD}X-Mailer: The Mail Bomber 1.0\n`, ['headers-mailers score 5']],
    [
      'mailers = ["*bomber*"]\nmailer_action = "reject"',
      `${GOOD}X-Mailer: bomber\n`,
      ['headers-mailers reject'],
    ],
    ['mailers = ["*bomber*"]', `${GOOD}User-Agent: bomber\n`, []],
    ['', 'From: a@example.org\n', ['headers-message-id-missing score 1']],
    ['', 'From: a@example.org\nMessage-ID: <>\n', ['headers-message-id-missing score 1']],
    ['message_id_missing = "tag"', 'From: a@example.org\n', ['headers-message-id-missing tag']],
    ['', GOOD.replace('10 Jan', '13 Jan'), ['headers-future score 1']],
    ['', GOOD.replace('10 Jan', '11 Jan'), []],
    ['', GOOD.replace('+0000', '-0500 (EST)').replace('10 Jan', '12 Jan'), ['headers-future score 1']],
    ['', GOOD.replace('+0000', 'CEST').replace('10 Jan', '13 Jan'), ['headers-future score 1']],
    ['', GOOD.replace('Sat, 10 Jan 2026', 'never'), []],
    ['future_after = "7d"', GOOD.replace('10 Jan', '13 Jan'), []],
    ['future_after = "1h"\nfuture = "tag"', GOOD.replace('00:00:00', '02:00:00'), ['headers-future tag']],
    ['', `${GOOD}From: b@example.org\n`, ['headers-broken score 2']],
    ['', `${GOOD}Subject: x\nSubject: y\n`, ['headers-broken score 2']],
    ['', `${GOOD}X-Any: a\u0007b\n`, ['headers-broken score 2']],
    ['', `${GOOD}Subject: =?utf-8?Q?a=0Ab?=\n`, ['headers-broken score 2']],
    ['', `${GOOD}Subject: a\tb\n\tc\n`, []],
    ['', 'Message-ID: <1@example.org>\n', ['headers-broken score 2']],
    ['broken = "reject"', 'Message-ID: <1@example.org>\n', ['headers-broken reject']],
    ['', `${GOOD}${'X-Any: x\n'.repeat(30_000)}`, ['headers-max-size reject']],
    ['max_size = "50B"', GOOD, ['headers-max-size reject']],
  ])('%j, %.60j', async (options, header, expected) => {
    expect(await found(options, header)).toEqual(expected);
  });

  it('without a Message-ID is no fault of our own', async () => {
    const macros = { '{auth_authen}': 'ann' };
    expect(await found('', 'From: a@example.org\n', { macros })).toEqual([]);
  });

  it('too large is told as such', async () => {
    await using filter = await testFilter(headers('max_size = "50B"'));
    const { reply } = await filter.send({ eml: `${GOOD}\nhello\n` });
    expect(reply).toMatchObject({ code: 552, enhanced: '5.3.4' });
    expect(reply?.lines[0]).toMatch(/^The header of your message has more than 50 bytes \[ref /);
  });
});

describe('what is taken out', () => {
  const header = `${GOOD}User-Agent: x\nuser-agent: y\nX-Originating-IP: [192.0.2.1]\n`;
  const config = networks + headers('remove = ["User-Agent", "X-Originating-IP"]');

  it('of outgoing mail', async () => {
    const fields = await left(config, header, outgoing);
    expect(fields.filter((field) => /^(user-agent|x-orig)/i.test(field))).toEqual([]);
    expect(fields).toContain('Message-ID: <1@example.org>');
  });

  it('of no other', async () => {
    for (const mail of [{}, { ...outgoing, recipients: ['b@example.com'] }]) {
      expect((await left(config, header, mail)).filter((field) => /^user-agent/i.test(field))).toHaveLength(
        2,
      );
    }
  });

  it('nor in observe mode', async () => {
    const fields = await left(`${config}mode = "observe"\n`, header, outgoing);
    expect(fields).toContain('User-Agent: x');
  });
});

describe('Received lines', () => {
  const config = networks + headers('strip_received = ["example.net"]');
  const line = (address: string): string =>
    `Received: from pc.test (pc.test [${address}])\n\tby mx.example.com (Postfix) with ESMTP id 1\n\tfor <b@example.com>; Thu, 1 Jan 2026 00:00:00 +0000\n`;
  const local =
    'Received: by mx.example.com (Postfix, from userid 0)\n\tid 2; Thu, 1 Jan 2026 00:00:00 +0000\n';
  const count = async (lines: string, mail: TestMail = outgoing): Promise<number> =>
    (await left(config, lines + GOOD, mail)).filter((field) => field.startsWith('Received:')).length;

  it('of internal machines are taken out, down to the first of somebody else', async () => {
    expect(await count(line('127.0.0.1') + local)).toBe(0);
    expect(await count(line('127.0.0.1') + line('203.0.113.1') + line('127.0.0.1'))).toBe(2);
    expect(await count(`${line('127.0.0.1')}Received: something else\n`)).toBe(1);
  });

  it('stay in what goes to others too, and in what comes from outside', async () => {
    expect(
      await count(line('127.0.0.1'), { ...outgoing, recipients: ['bob@example.net', 'x@example.org'] }),
    ).toBe(1);
    expect(await count(line('127.0.0.1'), { recipients: ['bob@example.net'] })).toBe(1);
  });
});

describe('what is replaced', () => {
  const replace = (name: string, find: string, by: string): string =>
    headers(`replace = [{ name = "${name}", find = '${find}', with = "${by}" }]`);

  it.each([
    ['Subject', '^\\[SPAM\\] ', '', 'Subject: [SPAM] hello', 'Subject: hello'],
    ['subject', '^\\[SPAM\\] ', '', 'Subject: =?utf-8?Q?[SPAM]_hello?=', 'Subject: hello'],
    ['Subject', 'caf(.)', 'th$1', 'Subject: =?utf-8?Q?caf=C3=A9?=', 'Subject: =?UTF-8?B?dGjDqQ==?='],
    ['Subject', 'x', 'y', 'Subject: =?utf-8?Q?caf=C3=A9?=', 'Subject: =?utf-8?Q?caf=C3=A9?='],
    ['Subject', 'a b', 'c', 'Subject: a\n b', 'Subject: c'],
    ['Subject', 'hello', '', 'Subject: hello', 'Subject: '],
    ['Subject', 'x', 'a\\r\\nBcc: evil', 'Subject: x', 'Subject: a Bcc: evil'],
    [
      'To',
      'Bob',
      'Jörg',
      'To: Bob <bob@example.net>, c@example.net',
      'To: =?UTF-8?B?SsO2cmc=?= <bob@example.net>, c@example.net',
    ],
    [
      'To',
      'Bob B',
      'Jörg Ö',
      'To: "Bob B" <bob@example.net>',
      'To: =?UTF-8?B?SsO2cmcgw5Y=?= <bob@example.net>',
    ],
    ['To', 'Bob', 'X', 'To: Bob <jürgen@bücher.example>', 'To: X <jürgen@bücher.example>'],
  ])('%s: %s → %j in %j', async (name, find, by, before, after) => {
    const fields = await left(replace(name, find, by), `${GOOD}${before}\n`);
    expect(fields.map((field) => field.replace(/\s*$/, ''))).toContain(after.trimEnd());
  });

  it('is replaced in every field of that name', async () => {
    const fields = await left(replace('X-Any', 'a', 'b'), `${GOOD}X-Any: a\nX-Any: c\nX-Any: aa\n`);
    expect(fields.filter((field) => field.startsWith('X-Any'))).toEqual([
      'X-Any: b',
      'X-Any: c',
      'X-Any: bb',
    ]);
  });

  it('is what others have made of it', async () => {
    const probe = '[[module]]\nuse = "./probe.ts"\nmessage = "tag"\nmark = "[SPAM?] "\n';
    const fields = await left(probe + replace('Subject', 'hello', 'bye'), `${GOOD}Subject: hello\n`);
    expect(fields).toContain('Subject: [SPAM?] bye');
  });
});

describe('what is added', () => {
  it('has its values', async () => {
    const config = headers(
      'add = [{ name = "X-Scanned-By", value = "milter on %{hostname} for %{sender}" }]',
    );
    expect(await left(config, GOOD)).toContain('X-Scanned-By: milter on mx.example.com for a@example.org');
  });

  it('is one field, whatever comes from mail', async () => {
    const config = headers('add = [{ name = "X-Helo", value = "%{helo}" }]');
    const fields = await left(config, GOOD, { helo: 'evil\nBcc: x@example.net' });
    expect(fields).toContain('X-Helo: evil Bcc: x@example.net');
    expect(await left(config, GOOD, { helo: 'jürgen' })).toContain('X-Helo: =?UTF-8?B?asO8cmdlbg==?=');
  });

  it('is not in what is refused', async () => {
    const config = headers('add = [{ name = "X-A", value = "a" }]\nmax_size = "50B"');
    expect((await left(config, GOOD)).some((field) => field.startsWith('X-A'))).toBe(false);
  });
});

describe('options that are wrong', () => {
  it.each([
    ['words_action = "drop"', 'words_action', /must be an action/],
    ['subject_words = "x"', 'subject_words', /must be a list of words/],
    ['future_after = "2"', 'future_after', /must be a duration/],
    ['max_size = "1"', 'max_size', /must be a size/],
    [
      'replace = [{ name = "Subject", find = "(" }]',
      'replace[0].find',
      /regular expression that cannot be used/,
    ],
    [
      'replace = [{ name = "Sub ject", find = "x" }]',
      'replace[0].name',
      /must be the name of a header field/,
    ],
    ['add = [{ name = "X", value = "%{hosntame}" }]', 'add[0].value', /did you mean "%{hostname}"/],
    ['add = [{ name = "X:", value = "x" }]', 'add[0].name', /must be the name of a header field/],
    ['strip_received = ["a b"]', 'strip_received[0]', /is no address/],
  ])('%s', async (options, key, message) => {
    expect(await faultsOf(headers(options))).toEqual(
      expect.arrayContaining([expect.objectContaining({ key, message: expect.stringMatching(message) })]),
    );
  });

  it('strip_received without module networks', async () => {
    expect(await faultsOf(headers('strip_received = ["example.net"]'))).toMatchObject([
      { message: expect.stringContaining('networks') },
    ]);
  });
});
