/** Module antivirus with a real clamd: on the real libmilter, and in a session of its own for each of its options. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { parseMessage } from '../../../lib/mime/index.ts';
import { MemoryResolver } from '../../../lib/testing/index.ts';
import { attached } from '../../fixtures/filter/attached.ts';
import { milter } from '../../helpers/cli.ts';
import { configured } from '../../helpers/configured.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { faultsOf, keepingLogger, type TestMail, testFilter } from '../../helpers/filter.ts';
import { describeWith } from '../../helpers/requirements.ts';
import { EICAR, OWN_NAME, OWN_VIRUS, startClamd, type TestClamd } from '../../helpers/scanners.ts';
import { scriptedServer } from '../../helpers/scripted-server.ts';
import { serving } from '../../helpers/server.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

const antivirus = (options: string): string => `[[module]]\nuse = "antivirus"\n${options}\n`;
const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;
const text = (body: string): string => `From: a@example.org\nSubject: x\n\n${body}\n`;

/** What becomes of one message. */
async function sent(config: string, eml: string, mail: TestMail = {}) {
  await using filter = await testFilter(config);
  const { verdict, message, reply } = await filter.send({ eml, ...mail });
  const record = await filter.last();
  const lines = message.headers.map(({ name, raw }) => `${name}:${raw.toString('latin1')}`);
  const tree = parseMessage(
    Buffer.from(`${lines.join('\r\n')}\r\n\r\n${message.body.toString('latin1')}`, 'latin1'),
  );
  return {
    verdict,
    reply: reply && `${reply.code} ${reply.enhanced} ${reply.lines.join(' ')}`.replace(/ \[ref .*/, ''),
    found: record?.findings.map(({ name, action }) => `${name} ${action}`) ?? [],
    note: record?.findings[0]?.note,
    recipients: record?.recipients.map((one) => one.verdict),
    parts: [...tree.parts()]
      .filter(({ isLeaf }) => isLeaf)
      .map(({ names, contentType }) => names[0] ?? contentType),
    body: message.body.toString(),
    metrics: filter.metrics.toText(),
  };
}

describeWith(['clamd'], 'antivirus with a real clamd', () => {
  let clamd: TestClamd;
  beforeAll(async () => {
    clamd = await startClamd();
  });
  afterAll(async () => await clamd[Symbol.asyncDispose]());
  const with_ = (options = ''): string => antivirus(`clamd = "${clamd.unix}"\n${options}`);

  it('lets clean mail pass, and counts it', async () => {
    const { verdict, found, metrics } = await sent(with_(), attached({ name: 'a.txt', content: 'harmless' }));
    expect(verdict).toBe('continue');
    expect(found).toEqual([]);
    expect(metrics).toContain('milter_scans_total{module="antivirus",result="clean"} 1');
    expect(metrics).toContain('milter_backend_seconds_count{module="antivirus",backend="clamd"} 1');
  });

  it.each<[what: string, eml: string]>([
    ['in its text', text(OWN_VIRUS)],
    ['in a header', `X-Odd: ${OWN_VIRUS}\n${text('hello')}`],
    ['in an attachment', attached({ name: 'a.bin', content: `xx ${OWN_VIRUS}` })],
    [
      'in a message in it',
      attached({ type: 'message/rfc822', content: attached({ name: 'b', content: OWN_VIRUS }) }),
    ],
    // clamd believes the label; some mail readers do not.
    [
      'behind a false label',
      `From: a@example.org\nContent-Type: text/plain\nContent-Transfer-Encoding: base64\nContent-Transfer-Encoding: quoted-printable\n\n${OWN_VIRUS.replace('own', '=6Fwn')}\n`,
    ],
  ])('refuses a message with a virus %s', async (_, eml) => {
    const { verdict, reply, found, metrics } = await sent(with_(), eml);
    expect(verdict).toBe('reject');
    expect(reply).toBe(`550 5.7.1 We do not take your message: a virus was found in it (${OWN_NAME})`);
    expect(found).toEqual(['antivirus-infected reject']);
    expect(metrics).toContain('milter_scans_total{module="antivirus",result="infected"} 1');
  });

  it('knows EICAR, also of outgoing mail', async () => {
    const config = `[[module]]\nuse = "networks"\ninternal = ["10.0.0.0/8"]\ndomains = ["example.org"]\n${with_()}`;
    const { reply } = await sent(config, attached({ name: 'a.com', content: EICAR }), {
      address: '10.0.0.1',
    });
    expect(reply).toContain('Own.Eicar.UNOFFICIAL');
  });

  it("has it over TCP, tagged, and named in texts of one's own", async () => {
    const tcp = antivirus(`clamd = "tcp:127.0.0.1:${clamd.port}"\ninfected = "tag"`);
    expect(await sent(tcp, text(OWN_VIRUS))).toMatchObject({
      verdict: 'continue',
      found: ['antivirus-infected tag'],
    });
    const own = with_('texts = { infected = "no %{virus} in %{name}" }');
    const { reply } = await sent(own, attached({ name: 'b.bin', content: OWN_VIRUS }));
    expect(reply).toBe(`550 5.7.1 no ${OWN_NAME} in the message`);
  });

  describe('defang', () => {
    const defang = (): string => with_('infected = "defang"');

    it('puts a warning in the place of each part that has a virus, and delivers the rest', async () => {
      const eml = attached(
        { name: 'a.bin', content: OWN_VIRUS },
        { name: 'good.txt', content: 'good' },
        { name: 'c.com', content: EICAR },
        { name: 'a2.bin', content: OWN_VIRUS },
      );
      const { verdict, found, note, parts, body } = await sent(defang(), eml);
      expect(verdict).toBe('continue');
      expect(found).toEqual(['antivirus-infected defang']);
      expect(note).toBe(`a.bin: ${OWN_NAME}; c.com: Own.Eicar.UNOFFICIAL; a2.bin: ${OWN_NAME}`);
      expect(parts).toEqual(['text/plain', 'WARNING.TXT', 'good.txt', 'WARNING.TXT', 'WARNING.TXT']);
      expect(body).toContain(`a virus was found in it: ${OWN_NAME}`);
      expect(body).toContain('"a.bin"');
      expect(body).not.toContain(Buffer.from(OWN_VIRUS).toString('base64').slice(0, 30));
    });

    it('of the text itself, and of a file in it', async () => {
      expect(await sent(defang(), text(OWN_VIRUS))).toMatchObject({
        verdict: 'continue',
        parts: ['WARNING.TXT'],
      });
      const uuencoded = text(`hello\nbegin 644 a.bin\n${uuencode(OWN_VIRUS)}\n\`\nend\nbye`);
      const { body, found } = await sent(defang(), uuencoded);
      expect(found).toEqual(['antivirus-infected defang']);
      expect(body).toContain('hello');
      expect(body).not.toContain('begin 644');
    });

    it('is a refusal where the virus is in no part', async () => {
      const { verdict, note, found } = await sent(defang(), `X-Odd: ${OWN_VIRUS}\n${text('hello')}`);
      expect(verdict).toBe('reject');
      expect(found).toEqual(['antivirus-infected reject']);
      expect(note).toBe(`${OWN_NAME}, not in a part that could be taken out`);
    });

    it('finds the virus again in a part that another module has changed', async () => {
      const page = `<p onclick=x>${OWN_VIRUS}</p><script>x</script>`;
      const eml = attached(
        { name: 'a.html', type: 'text/html', content: page },
        { name: 'b', content: 'good' },
      );
      const { verdict, parts } = await sent(`[[module]]\nuse = "html"\n${defang()}`, eml);
      expect(verdict).toBe('continue');
      expect(parts).toEqual(['text/plain', 'WARNING.TXT', 'b']);
      // Or has made harmless itself.
      const program = attached({ name: 'a.exe', content: OWN_VIRUS });
      const both = await sent(`[[module]]\nuse = "attachments"\n${defang()}`, program);
      expect(both.parts).toEqual(['text/plain', 'WARNING.TXT']);
      expect(both.body).toContain('files ending in .exe');
    });

    it('changes nothing where it only watches', async () => {
      const eml = attached({ name: 'a.bin', content: OWN_VIRUS });
      const { verdict, parts, found } = await sent(with_('infected = "defang"\nmode = "observe"'), eml);
      expect(verdict).toBe('continue');
      expect(parts).toEqual(['text/plain', 'a.bin']);
      expect(found).toEqual(['antivirus-infected defang']);
    });
  });

  describe('nobody is spared', () => {
    const exempt = (action: string): string => probe(`exempt = ["b@example.com"]\n${action}`);

    it('neither by exemption nor by what another module accepts', async () => {
      expect(await sent(exempt('message = "accept"') + with_(), text(OWN_VIRUS))).toMatchObject({
        verdict: 'reject',
      });
      const defanged = await sent(
        exempt('') + with_('infected = "defang"'),
        attached({ name: 'a', content: OWN_VIRUS }),
      );
      expect(defanged.parts).toEqual(['text/plain', 'WARNING.TXT']);
      const recipients = ['b@example.com', 'c@example.com'];
      const held = await sent(exempt('') + with_('infected = "quarantine"'), text(OWN_VIRUS), { recipients });
      expect(held.recipients).toEqual(['quarantine', 'quarantine']);
      // Others are.
      expect(await sent(exempt('message = "reject"') + with_(), text('hello'))).toMatchObject({
        verdict: 'continue',
      });
    });

    it('where clamd is away', async () => {
      const away = antivirus(`clamd = "127.0.0.1:${await unusedPort()}"`);
      expect(await sent(exempt('') + away, text('hello'))).toMatchObject({ verdict: 'tempfail' });
    });

    it('but by an entry of access for the finding', async () => {
      await using folder = await temporaryDirectory();
      writeFileSync(join(folder.path, 'access'), 'antivirus-infected:example.org OK\n');
      const access = `[[module]]\nuse = "access"\nmap = "file:${folder.path}/access"\n`;
      expect(await sent(access + with_(), text(OWN_VIRUS))).toMatchObject({ verdict: 'continue' });
    });
  });

  describe('what is too large', () => {
    it('is not scanned, and what follows is said', async () => {
      const eml = text(`${OWN_VIRUS}\n${'x'.repeat(2_000)}`);
      const { verdict, found, note, metrics } = await sent(with_('max_size = "1kB"'), eml);
      expect(verdict).toBe('continue');
      expect(found).toEqual(['antivirus-unscanned continue']);
      expect(note).toBe('it is larger than 1000 bytes');
      expect(metrics).toContain('milter_scans_total{module="antivirus",result="unscanned"} 1');
      const refused = await sent(with_('max_size = "1kB"\nunscanned = "reject"'), eml);
      expect(refused.reply).toBe(
        '552 5.3.4 Your message cannot be scanned for viruses: it is larger than 1000 bytes',
      );
    });

    it('for clamd is never clean', async () => {
      const eml = text('x'.repeat(70).concat('\n').repeat(60_000));
      for (const where of [clamd.unix, `tcp:127.0.0.1:${clamd.port}`]) {
        const { verdict, found } = await sent(antivirus(`clamd = "${where}"\nunscanned = "reject"`), eml);
        expect(['reject', 'tempfail']).toContain(verdict);
        expect(found).toEqual([
          verdict === 'reject' ? 'antivirus-unscanned reject' : 'antivirus-error tempfail',
        ]);
      }
    });

    it('or too intricate, is scanned as far as can be', async () => {
      const many = attached(...Array.from({ length: 1_100 }, (_, i) => ({ name: `${i}`, content: `x${i}` })));
      expect(await sent(with_(), many)).toMatchObject({ found: ['antivirus-unscanned continue'] });
      const infected = attached(
        ...Array.from({ length: 1_100 }, (_, i) => ({ content: i === 1_050 ? OWN_VIRUS : `x${i}` })),
      );
      expect(await sent(with_(), infected)).toMatchObject({ verdict: 'reject' });
    });
  });

  it('on the real libmilter: killed in the middle nothing passes, and afterwards all is well', async () => {
    let now = Date.UTC(2026, 0, 1);
    const filter = await openFilter(
      `socket = "inet:0@127.0.0.1"\n[store]\nurl = "memory:"\n${with_('infected = "defang"')}`,
      { resolver: new MemoryResolver({}), logger: keepingLogger(), now: () => now },
    );
    try {
      await using server = await serving(filter.Filter);
      const client = { hostname: 'mail.example.org', address: '192.0.2.7' };
      const eml = attached({ name: 'a.bin', content: OWN_VIRUS }, { name: 'b', content: 'good' });
      const one = async () => {
        await using mta = await server.mta();
        const result = await mta.sendMessage(eml, {
          client,
          helo: 'x',
          sender: 'a@example.org',
          recipients: ['b@example.com'],
        });
        return { verdict: result.verdict, body: result.message.body.toString() };
      };
      const isDefanged = ({ body }: { body: string }): boolean =>
        body.includes('WARNING.TXT') && body.includes(Buffer.from('good').toString('base64'));
      expect(isDefanged(await one())).toBe(true);
      const many = Array.from({ length: 25 }, one);
      await clamd.kill();
      for (const result of await Promise.all(many)) {
        expect(result.verdict === 'tempfail' || isDefanged(result)).toBe(true);
      }
      expect((await one()).verdict).toBe('tempfail');
      await clamd.start();
      now += 10_000;
      expect(isDefanged(await one())).toBe(true);
    } finally {
      await filter.close();
    }
  });

  it('milter check tries it, and says what it takes', async () => {
    const small = await milter(['check', configured(with_())]);
    expect(small.out).toContain(
      "antivirus: clamd's StreamMaxLength is less than max_size: raise the one or lower the other",
    );
    const good = await milter(['check', configured(with_('max_size = "1MiB"'))]);
    expect(good.out).not.toContain('antivirus:');
  });
});

describe('antivirus with a clamd that does what none should', () => {
  it('waits for it as long as its deadline says, and follows on_error', async () => {
    await using server = await scriptedServer(() => {});
    const hanging = `clamd = "127.0.0.1:${server.port}"\ndeadline = "100ms"`;
    const { verdict, found, note } = await sent(antivirus(hanging), text('hello'));
    expect(verdict).toBe('tempfail');
    expect(found).toEqual(['antivirus-error tempfail']);
    expect(note).toBe('clamd did not answer in time');
    expect(await sent(antivirus(`${hanging}\non_error = "continue"`), text('hello'))).toMatchObject({
      verdict: 'continue',
    });
  });

  it('asks it about ten messages at once, and not at all for a while when it is down', async () => {
    await using server = await scriptedServer(() => {});
    let now = 0;
    await using filter = await testFilter(antivirus(`clamd = "127.0.0.1:${server.port}"\ndeadline = "2s"`), {
      now: () => now,
    });
    const sending = Promise.all(Array.from({ length: 30 }, () => filter.send({ eml: text('hello') })));
    await until('ten to be asked about, and the others to wait', () =>
      /backend_waiting\{.*\} 20\n/.test(filter.metrics.toText()),
    );
    await until('ten to have come', () => server.clients.now === 10);
    expect(server.clients.most).toBe(10);
    expect((await sending).map(({ verdict }) => verdict)).toEqual(Array(30).fill('tempfail'));
    const asked = (): number =>
      Number(/backend_seconds_count\{.*\} (\d+)/.exec(filter.metrics.toText())?.[1]);
    const before = asked();
    expect(before).toBeGreaterThanOrEqual(10);
    const { reply } = await filter.send({ eml: text('hello') });
    expect(reply?.code).toBe(451);
    expect(asked()).toBe(before);
    expect((await filter.last())?.findings[0]?.note).toBe(
      'clamd is down, and is not asked for a while: clamd did not answer in time',
    );
    now += 10_000;
    await filter.send({ eml: text('hello') });
    expect(asked()).toBe(before + 1);
    expect(filter.metrics.toText()).toContain(
      'milter_backend_failures_total{module="antivirus",backend="clamd"} 32',
    );
  });

  it('takes hostile names of viruses for text', async () => {
    await using server = await scriptedServer((socket, heard) =>
      socket.on(
        'data',
        () => heard().endsWith('\0\0\0\0') && socket.write('1: stream: %{sender}\r250 ok\x1b[2J FOUND\0'),
      ),
    );
    const { reply } = await sent(antivirus(`clamd = "127.0.0.1:${server.port}"`), text('hello'));
    expect(reply).toBe(
      '550 5.7.1 We do not take your message: a virus was found in it (%{sender}?250 ok?[2J)',
    );
  });

  it('check names who listens there instead', async () => {
    await using server = await scriptedServer((socket) => socket.write('220 mx.example.org ESMTP\r\n'));
    const { out } = await milter(['check', configured(antivirus(`clamd = "127.0.0.1:${server.port}"`))]);
    expect(out).toContain('antivirus: clamd says "220 mx.example.org ESMTP?"');
  });
});

describe('antivirus with a command', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let scanner: string;
  beforeAll(async () => {
    folder = await temporaryDirectory();
    scanner = join(folder.path, 'scan');
    writeFileSync(
      scanner,
      `#!/bin/sh\necho run >>${folder.path}/runs\nif grep -q "${OWN_VIRUS}"; then echo "stdin: Own FOUND"; exit 1; fi\nexit 0\n`,
    );
    chmodSync(scanner, 0o755);
  });
  afterAll(async () => await folder[Symbol.asyncDispose]());

  it('has it scan the whole and the parts, each content once', async () => {
    const eml = attached(
      { name: 'a', content: 'same' },
      { name: 'b', content: 'same' },
      { name: 'c', content: '' },
    );
    expect(await sent(antivirus(`command = ["${scanner}"]`), eml)).toMatchObject({
      verdict: 'continue',
      found: [],
    });
    expect(readFileSync(join(folder.path, 'runs'), 'utf8')).toBe('run\n'.repeat(3));
    const bad = attached({ name: 'a', content: OWN_VIRUS }, { name: 'b', content: 'good' });
    expect(await sent(antivirus(`command = ["${scanner}"]`), bad)).toMatchObject({
      reply: expect.stringMatching(/\(Own\)$/),
    });
    const { parts } = await sent(antivirus(`command = ["${scanner}"]\ninfected = "defang"`), bad);
    expect(parts).toEqual(['text/plain', 'WARNING.TXT', 'b']);
  });

  it('fails where that fails, or takes too long', async () => {
    expect(await sent(antivirus('command = ["/bin/sh", "-c", "exit 2"]'), text('x'))).toMatchObject({
      verdict: 'tempfail',
      note: '/bin/sh failed (status 2)',
    });
    const late = antivirus(
      `command = ["/bin/sh", "-c", "sleep 600; touch ${folder.path}/late"]\ndeadline = "100ms"`,
    );
    expect(await sent(late, text('x'))).toMatchObject({ verdict: 'tempfail' });
    expect(existsSync(join(folder.path, 'late'))).toBe(false);
  });

  it('milter check says whether it can be run', async () => {
    const { out } = await milter(['check', configured(antivirus('command = ["/no/such/scanner"]'))]);
    expect(out).toContain('antivirus: the command cannot be run: ENOENT');
    expect((await milter(['check', configured(antivirus(`command = ["${scanner}"]`))])).out).not.toContain(
      'antivirus:',
    );
  });
});

describe('options of antivirus', () => {
  it.each([
    ['clamd = "nonsense"', 'must be an address such as "127.0.0.1:8895"'],
    ['command = ["scan"]', 'must begin with the absolute path of a program'],
    ['command = ["/bin/x", "a\\u0000b"]', 'must not hold a NUL'],
    ['clamd = "127.0.0.1:3310"\ncommand = ["/bin/true"]', 'cannot stand beside clamd'],
    ['infected = "defnag"', 'did you mean "defang"'],
    ['unscanned = "defang"', 'must be an action'],
    ['max_size = "25"', 'must be a size'],
  ])('%j is refused', async (options, message) => {
    const [fault] = await faultsOf(antivirus(options));
    expect(fault?.message).toContain(message);
  });

  it('without a scanner nothing is scanned, and check says so', async () => {
    expect(await sent(antivirus(''), text(OWN_VIRUS))).toMatchObject({ verdict: 'continue', found: [] });
    const { out } = await milter(['check', configured(antivirus(''))]);
    expect(out).toContain('antivirus: neither clamd nor command is given: nothing is scanned');
  });
});

/** Lines of 45 bytes at most. */
function uuencode(content: string): string {
  const bytes = Buffer.from(content.padEnd(Math.ceil(content.length / 3) * 3, ' '));
  const char = (value: number): string => (value === 0 ? '`' : String.fromCharCode(value + 32));
  let line = char(content.length);
  for (let at = 0; at < bytes.length; at += 3) {
    const word = bytes.readUIntBE(at, 3);
    line += [18, 12, 6, 0].map((shift) => char((word >> shift) & 63)).join('');
  }
  return line;
}
