/** Module spam: with judges that say what a test wants, and with real ones on the real libmilter. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { MemoryResolver } from '../../../lib/testing/index.ts';
import { milter } from '../../helpers/cli.ts';
import { configured } from '../../helpers/configured.ts';
import { faultsOf, keepingLogger, type TestMail, testFilter } from '../../helpers/filter.ts';
import { startRedis } from '../../helpers/redis.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { GTUBE, startRspamd, startSpamd, type TestRspamd, type TestSpamd } from '../../helpers/scanners.ts';
import { type ScriptedServer, scriptedServer } from '../../helpers/scripted-server.ts';
import { serving } from '../../helpers/server.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

const spam = (options: string): string => `[[module]]\nuse = "spam"\n${options}\n`;
const SCORE = '[[module]]\nuse = "score"\n';
const text = (body: string, headers = ''): string =>
  `${headers}From: a@example.org\nTo: b@example.com\nSubject: x\nDate: Thu, 26 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.org>\n\n${body}\n`;

/** What becomes of one message. */
async function sent(config: string, eml = text('hello'), mail: TestMail = {}) {
  await using filter = await testFilter(config);
  const { verdict, message, reply } = await filter.send({ eml, ...mail });
  const record = await filter.last();
  return {
    verdict,
    reply: reply && `${reply.code} ${reply.enhanced} ${reply.lines.join(' ')}`.replace(/ \[ref .*/, ''),
    found: record?.findings.map(({ name, action }) => `${name} ${action}`) ?? [],
    notes: record?.findings.map(({ note }) => note) ?? [],
    reports: message.headers
      .filter(({ name }) => name.toLowerCase() === 'x-spam-report')
      .map(({ value }) => value),
    headers: message.headers,
  };
}

/** A spamd that says so many points, and lists these rules. */
async function spamdSaying(points: string, rules = ''): Promise<ScriptedServer> {
  const body = `Content analysis details:\n\n pts rule\n---- ----\n${rules}`;
  const reply = `SPAMD/1.1 0 EX_OK\r\nContent-length: ${body.length}\r\nSpam: ${Number(points) >= 5 ? 'True' : 'False'} ; ${points} / 5.0\r\n\r\n${body}`;
  return await scriptedServer((socket) => socket.on('end', () => socket.end(reply)));
}

/** An rspamd that says this. */
async function rspamdSaying(reply: object): Promise<ScriptedServer> {
  const body = JSON.stringify({ score: 0, required_score: 15, action: 'no action', symbols: {}, ...reply });
  return await scriptedServer((socket, heard) =>
    socket.on('data', () => {
      const [head = '', mail = ''] = heard().split('\r\n\r\n', 2);
      const length = Number(/Content-Length: (\d+)/.exec(head)?.[1]);
      if (heard().length >= head.length + 4 + length && mail !== undefined)
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
    }),
  );
}

describe('what spamd thinks', () => {
  it('becomes points, a note and a header', async () => {
    await using spamd = await spamdSaying(
      '6.3',
      ' 4.2 BAD_THING    bad\n-0.0 NOTHING    none\n 2.1 WORSE    worse\n',
    );
    const { verdict, found, notes, reports } = await sent(SCORE + spam(`spamd = "127.0.0.1:${spamd.port}"`));
    expect(verdict).toBe('continue');
    expect(found).toEqual(['spam-spamd score 6.3', 'score-tag tag']);
    expect(notes[0]).toBe('6.3 of 5, spam; BAD_THING=4.2 WORSE=2.1');
    expect(reports).toEqual(['spamd 6.3 of 5, spam\n\tBAD_THING=4.2 WORSE=2.1']);
  });

  it('may speak for a message, or neither', async () => {
    await using good = await spamdSaying('-3.5');
    expect((await sent(spam(`spamd = "127.0.0.1:${good.port}"`))).found).toEqual(['spam-spamd score -3.5']);
    await using neither = await spamdSaying('-0.0');
    expect((await sent(spam(`spamd = "127.0.0.1:${neither.port}"`))).found).toEqual(['spam-spamd continue']);
  });

  it('is asked of a message with what the MTA will write above it', async () => {
    await using spamd = await spamdSaying('1.0');
    const config = spam(`spamd = "127.0.0.1:${spamd.port}"`);
    await sent(config, text('hello'), { macros: { i: 'QUEUE1' } });
    const [head = '', ...rest] = (spamd.heard[0] ?? '').split('\r\n\r\n');
    const mail = rest.join('\r\n\r\n');
    expect(head).toBe(`REPORT SPAMC/1.5\r\nContent-length: ${mail.length}`);
    expect(mail).toMatch(
      /^Return-Path: <a@example\.org>\r\nReceived: from mail\.example\.org \(mail\.example\.org \[192\.0\.2\.7\]\)\r\n\tby mx\.example\.com \(milter\) with ESMTP id QUEUE1;\r\n\t\w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000\r\nFrom: a@example\.org\r\n/,
    );
    expect(mail.endsWith('\r\n\r\nhello\r\n')).toBe(true);
  });

  it('is not misled by what the client says of itself', async () => {
    await using spamd = await spamdSaying('1.0');
    const config = spam(`spamd = "127.0.0.1:${spamd.port}"`);
    await sent(config, text('hello'), { helo: 'x\r\nX-Spam: y z', sender: '"a\r\nX-Spam: b"@example.org' });
    expect(spamd.heard[0]).not.toMatch(/^X-Spam/m);
    expect(spamd.heard[0]).toContain('Received: from x??X-Spam:?y?z (');
    await sent(config, text('hello'), {
      address: '2001:db8::7',
      hostname: 'unknown',
      macros: { '{auth_authen}': 'ann' },
    });
    expect(spamd.heard[1]).toContain('(unknown [IPv6:2001:db8::7])');
    expect(spamd.heard[1]).toContain('with ESMTPA id none;');
  });
});

describe('what rspamd thinks', () => {
  const asking = (server: ScriptedServer, more = ''): string =>
    spam(`rspamd = "http://127.0.0.1:${server.port}"\n${more}`);

  it('becomes points, a note and a header', async () => {
    const symbols = { A: { score: 2.5 }, B: { score: 0 }, C: { score: -1.25 } };
    await using rspamd = await rspamdSaying({ score: 6.25, action: 'add header', symbols });
    const { found, notes, reports } = await sent(asking(rspamd));
    expect(found).toEqual(['spam-rspamd score 6.25']);
    expect(notes).toEqual(['6.25 of 15, add header; A=2.5 C=-1.25']);
    expect(reports).toEqual(['rspamd 6.25 of 15, add header\n\tA=2.5 C=-1.25']);
    expect(rspamd.heard[0]).toContain('\r\nIp: 192.0.2.7\r\n');
    expect(rspamd.heard[0]).toContain('\r\nDeliver-To: b@example.com\r\n');
  });

  it('is at least the points from which it rejects, where it rejects', async () => {
    await using rspamd = await rspamdSaying({ score: 0.1, action: 'reject' });
    expect(await sent(SCORE + asking(rspamd))).toMatchObject({
      verdict: 'reject',
      found: ['spam-rspamd score 15', 'score-reject reject'],
    });
  });

  it('that it should come again later is ignored, or done', async () => {
    await using rspamd = await rspamdSaying({
      action: 'soft reject',
      messages: { smtp_message: 'Try again later' },
    });
    expect(await sent(asking(rspamd))).toMatchObject({
      verdict: 'continue',
      found: ['spam-rspamd continue', 'spam-soft-reject continue'],
    });
    expect(await sent(asking(rspamd, 'soft_reject = "tempfail"'))).toMatchObject({
      verdict: 'tempfail',
      reply: expect.stringMatching(/^45. 4\.7\.1 Try again later/),
    });
    await using greylist = await rspamdSaying({ action: 'greylist', score: 4.5 });
    expect(await sent(asking(greylist, 'soft_reject = "tempfail"'))).toMatchObject({ verdict: 'continue' });
  });

  it('is about the client that a trusted relay names', async () => {
    await using rspamd = await rspamdSaying({});
    const networks = '[[module]]\nuse = "networks"\nrelays = ["192.0.2.7"]\ndomains = ["example.com"]\n';
    const received =
      'Received: from far.example (far.example [198.51.100.9])\n\tby relay.example.com (Postfix) with ESMTP id X;\n\tThu, 26 Nov 2026 10:00:00 +0000\n';
    await sent(networks + asking(rspamd), text('hello', received));
    expect(rspamd.heard[0]).toContain('\r\nIp: 198.51.100.9\r\n');
    expect(rspamd.heard[0]).toContain('\r\nHelo: far.example\r\n');
  });
});

describe('the report', () => {
  it('tells of both judges, in lines that are not too long', async () => {
    const rules = Array.from({ length: 80 }, (_, i) => ` ${(i + 1) / 10} RULE_NUMBER_${i}    x\n`).join('');
    await using spamd = await spamdSaying('3.0', rules);
    await using rspamd = await rspamdSaying({ score: 2 });
    const { found, reports } = await sent(
      spam(`spamd = "127.0.0.1:${spamd.port}"\nrspamd = "http://127.0.0.1:${rspamd.port}"`),
    );
    expect(found).toEqual(['spam-spamd score 3', 'spam-rspamd score 2']);
    const lines = reports[0]?.split('\n\t') ?? [];
    expect(lines[0]).toBe('spamd 3 of 5, ham');
    expect(lines[1]).toMatch(/^RULE_NUMBER_79=8 RULE_NUMBER_78=7.9 /);
    expect(lines.at(-1)).toBe('rspamd 2 of 15, no action');
    expect(lines.every((line) => line.length <= 76)).toBe(true);
    expect(reports[0]?.match(/RULE/g)).toHaveLength(60);
  });

  const FORGED = 'X-Spam-Report: clean\nx-spam-report:\n all is well\n';

  it('stands alone: one that comes along from outside is taken out, whatever becomes of the module', async () => {
    await using spamd = await spamdSaying('1.0');
    const good = spam(`spamd = "127.0.0.1:${spamd.port}"`);
    expect((await sent(good, text('hello', FORGED))).reports).toEqual(['spamd 1 of 5, ham']);
    const away = spam(`spamd = "127.0.0.1:${await unusedPort()}"`);
    expect(await sent(away, text('hello', FORGED))).toMatchObject({
      verdict: 'continue',
      found: ['spam-error continue'],
      reports: [],
    });
    expect((await sent(`${good}max_size = "10B"`, text('hello', FORGED))).reports).toEqual([]);
    expect((await sent(`${good}mode = "observe"`, text('hello', FORGED))).reports).toHaveLength(2);
  });

  it('has a name, or is none, and is for incoming mail', async () => {
    await using spamd = await spamdSaying('1.0');
    const where = `spamd = "127.0.0.1:${spamd.port}"`;
    const named = await sent(spam(`${where}\nheader = "X-Judge"`), text('hello', FORGED));
    expect(named.headers.filter(({ name }) => name === 'X-Judge').map(({ value }) => value)).toEqual([
      'spamd 1 of 5, ham',
    ]);
    expect(named.reports).toHaveLength(2);
    expect((await sent(spam(`${where}\nheader = ""`))).reports).toEqual([]);
    const internal = '[[module]]\nuse = "networks"\ninternal = ["192.0.2.0/24"]\n';
    expect(await sent(internal + spam(where))).toMatchObject({ found: ['spam-spamd score 1'], reports: [] });
  });
});

describe('where it goes wrong', () => {
  it('large mail is asked about nobody', async () => {
    await using spamd = await spamdSaying('9.0');
    const config = spam(`spamd = "127.0.0.1:${spamd.port}"\nmax_size = "1kB"`);
    expect(await sent(config, text('x'.repeat(1_000)))).toMatchObject({ found: ['spam-too-big continue'] });
    expect(spamd.heard).toEqual([]);
  });

  it.each<[what: string, on: string, verdict: string]>([
    ['mail goes on', '', 'continue'],
    ['or what on_error says is done', 'on_error = "tempfail"', 'tempfail'],
  ])('a judge hangs: %s', async (_, on, verdict) => {
    await using spamd = await scriptedServer(() => {});
    const { notes, ...result } = await sent(
      spam(`spamd = "127.0.0.1:${spamd.port}"\ndeadline = "1s"\n${on}`),
    );
    expect(result.verdict).toBe(verdict);
    expect(notes).toEqual(['spamd did not answer in time']);
  });

  it('of two judges one is away: the other counts', async () => {
    await using rspamd = await rspamdSaying({ score: 7 });
    const config = spam(
      `spamd = "127.0.0.1:${await unusedPort()}"\nrspamd = "http://127.0.0.1:${rspamd.port}"`,
    );
    expect(await sent(SCORE + config)).toMatchObject({
      verdict: 'continue',
      found: ['spam-rspamd score 7', 'spam-error continue', 'score-tag tag'],
    });
  });

  it('spamd is asked about five messages at once, and not for a while when it is down', async () => {
    await using spamd = await scriptedServer(() => {});
    await using filter = await testFilter(spam(`spamd = "127.0.0.1:${spamd.port}"\ndeadline = "2s"`));
    const sending = Promise.all(Array.from({ length: 20 }, () => filter.send({ eml: text('hello') })));
    await until('five to be asked about, and the others to wait', () =>
      /backend_waiting\{.*\} 15\n/.test(filter.metrics.toText()),
    );
    await until('five to have come', () => spamd.clients.now === 5);
    expect(spamd.clients.most).toBe(5);
    expect((await sending).map(({ verdict }) => verdict)).toEqual(Array(20).fill('continue'));
    await filter.send();
    expect((await filter.last())?.findings[0]?.note).toBe(
      'spamd is down, and is not asked for a while: spamd did not answer in time',
    );
    expect(filter.metrics.toText()).toContain(
      'milter_backend_failures_total{module="spam",backend="spamd"} 21',
    );
  });

  it('milter check tries them, and says what is missing', async () => {
    const none = await milter(['check', configured(spam(''))]);
    expect(none.out).toContain('spam: neither spamd nor rspamd is given: nobody is asked');
    await using wrong = await scriptedServer((socket) =>
      socket.on('end', () => socket.end('220 mx ESMTP\r\n')),
    );
    await using rspamd = await scriptedServer((socket) =>
      socket.on('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npong\r\n')),
    );
    const { out } = await milter([
      'check',
      configured(spam(`spamd = "127.0.0.1:${wrong.port}"\nrspamd = "http://127.0.0.1:${rspamd.port}"`)),
    ]);
    expect(out).toContain('spam: spamd says "220 mx ESMTP??"');
    expect(out).toContain(
      `spam: rspamd cannot learn: no controller answers at http://127.0.0.1:${rspamd.port + 1} (rspamd_learn): `,
    );
    expect(out).toContain('there is no "score", which would add up the points of "spam"');
  });

  it.each([
    ['spamd = "nonsense"', 'must be an address such as'],
    ['rspamd = "127.0.0.1:11333"', 'must be a URL such as'],
    ['header = "X Spam"', 'must be the name of a header'],
    ['soft_reject = "tmpfail"', 'did you mean "tempfail"'],
    ['max_size = "big"', 'must be a size'],
    ['rspamd_password = "env:NO_SUCH_VARIABLE"', 'is not set'],
  ])('%j is refused', async (options, message) => {
    const [fault] = await faultsOf(spam(options));
    expect(fault?.message).toContain(message);
  });
});

describeWith(['spamd', 'rspamd', 'redis'], 'on the real libmilter, with real judges', () => {
  let spamd: TestSpamd;
  let rspamd: TestRspamd;
  let redis: Awaited<ReturnType<typeof startRedis>>;
  beforeAll(async () => {
    redis = await startRedis();
    [spamd, rspamd] = await Promise.all([startSpamd(), startRspamd(redis.port)]);
  });
  afterAll(async () => {
    await spamd[Symbol.asyncDispose]();
    await rspamd[Symbol.asyncDispose]();
    await redis[Symbol.asyncDispose]();
  });
  const both = (more = ''): string =>
    spam(
      `spamd = "127.0.0.1:${spamd.port}"\nrspamd = "http://127.0.0.1:${rspamd.port}"\nrspamd_learn = "http://127.0.0.1:${rspamd.controller}"\nrspamd_password = "${rspamd.password}"\n${more}`,
    );

  it('spam is refused, and ham goes on with their report', async () => {
    const filter = await openFilter(
      `socket = "inet:0@127.0.0.1"\n[store]\nurl = "memory:"\n${SCORE}${both()}`,
      { resolver: new MemoryResolver({}), logger: keepingLogger() },
    );
    try {
      await using server = await serving(filter.Filter);
      await using mta = await server.mta();
      const envelope = {
        client: { hostname: 'mail.example.org', address: '192.0.2.7' },
        helo: 'mail.example.org',
        sender: 'a@example.org',
        recipients: ['b@example.com'],
      };
      const bad = await mta.sendMessage(text(GTUBE), envelope);
      expect(bad.reply?.lines.join(' ')).toMatch(/^Your message looks like spam \(10\d\d\.\d points\)/);
      const good = await mta.sendMessage(text('Hello, see you at lunch.'), envelope);
      expect(good.verdict).toBe('continue');
      const report = good.message.headers.find(({ name }) => name === 'X-Spam-Report')?.value;
      expect(report).toMatch(/^spamd -?[\d.]+ of 5, ham\n/);
      expect(report).toMatch(/\n\trspamd [\d.]+ of 15, (no action|greylist|soft reject)/);
    } finally {
      await filter.close();
    }
  });

  /** Holds a message, and has somebody say what it is. */
  async function trained(config: string, kinds: readonly ('spam' | 'ham')[]) {
    const hold = '[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\n';
    await using filter = await testFilter(hold + config);
    // rspamd does not learn from a few words.
    await filter.send({ eml: text(Array.from({ length: 60 }, (_, i) => `pill${i} for${i}`).join(' ')) });
    const { review, held } = filter.quarantine;
    let id = '';
    for await (const item of held.list()) id = item.id;
    const results = [];
    for (const as of kinds) results.push(await review.train({ name: 'ann', isAdmin: true }, id, as));
    return results;
  }

  it('both learn what people say, and that they know it is no failure', async () => {
    const learned = ['judges (spamd)', 'judges (rspamd)'];
    expect(await trained(both('name = "judges"'), ['spam', 'spam', 'ham'])).toEqual(
      Array(3).fill({ learned, failed: [] }),
    );
    // Where rspamd keeps what it learned.
    expect(await redis.ask('KEYS RS*')).toContain('RS');
  });

  it('one may fail without the other', async () => {
    expect(await trained(both().replace(`"${rspamd.password}"`, '"wrong"'), ['spam'])).toEqual([
      {
        learned: ['spam (spamd)'],
        failed: [{ name: 'spam (rspamd)', fault: 'rspamd says 401 "{"error":"Unauthorized"}"' }],
      },
    ]);
  });

  it('what is larger than max_size is not passed on', async () => {
    const [result] = await trained(both('max_size = "100B"'), ['ham']);
    expect(result?.failed[0]?.fault).toBe('it is larger than 100 bytes (max_size)');
  });

  it('where the module only watches nobody learns', async () => {
    await expect(trained(both('mode = "observe"'), ['spam'])).rejects.toThrow('No module');
  });

  it('milter check finds nothing to say', async () => {
    const { out } = await milter(['check', configured(both())]);
    expect(out).not.toContain(': spam: ');
  });
});
