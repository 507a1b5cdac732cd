/** Modules forwarders and confirm on the real libmilter, the command `milter forwarder`, and the page that confirms. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { runForwarder } from '../../../lib/cli/forwarder.ts';
import { Aliases } from '../../../lib/filter/index.ts';
import { serve } from '../../../lib/index.ts';
import { parseMessage } from '../../../lib/mime/index.ts';
import { connectMta } from '../../../lib/testing/index.ts';
import { milter } from '../../helpers/cli.ts';
import { configured, folderWith } from '../../helpers/configured.ts';
import { testFilter } from '../../helpers/filter.ts';
import { mailSink } from '../../helpers/mail-sink.ts';
import { testPage } from '../../helpers/page.ts';
import { until } from '../../helpers/wait.ts';

const NETWORKS = '[[module]]\nuse = "networks"\ndomains = ["ours.example"]\n';
const SPF = '[[module]]\nuse = "spf"\nhelo_fail = "continue"\n';
const ZONE = {
  'alumni.example': { TXT: ['v=spf1 ip4:192.0.2.10 -all'] },
  'far.example': { TXT: ['v=spf1 ip4:192.0.2.99 -all'] },
};

describe('on the real libmilter', () => {
  it('a forwarded message goes to the user, and a stranger’s waits', async () => {
    await using sink = await mailSink();
    await using filter = await testFilter(
      `${NETWORKS}${SPF}[[module]]\nuse = "known"
[[module]]\nuse = "forwarders"\ndomain = "fwd.ours.example"
[[module]]\nuse = "confirm"\nrecipients = ["ann@ours.example"]`,
      { zone: ZONE, top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\n` },
    );
    const aliases = new Aliases({
      store: filter.store.part('forwarders'),
      now: Date.now,
      domain: 'fwd.ours.example',
      userDomain: 'ours.example',
      files: undefined,
    });
    const { address: alias } = await aliases.add('bob', 'alumni.example');
    const server = await serve(filter.Filter, { socket: 'inet:0@127.0.0.1' });
    try {
      const send = async (sender: string, recipient: string, address: string) => {
        const mta = await connectMta(server.address);
        const sent = await mta.sendMessage(`From: <${sender}>\nSubject: x\n\nhello\n`, {
          client: { address, hostname: 'client.example' },
          sender,
          recipients: [recipient],
          helo: 'client.example',
        });
        await mta.close();
        return sent;
      };
      const forwarded = await send('boss@far.example', alias, '192.0.2.10');
      expect(forwarded.message.recipients).toEqual(['<bob@ours.example>']);
      expect((await send('boss@far.example', alias, '192.0.2.66')).recipients[0]?.reply?.code).toBe(550);

      const held = await send('dan@far.example', 'ann@ours.example', '192.0.2.99');
      expect(held.message.recipients).toEqual([]);
      const question = await until('the question', () => sink.mails[0]);
      const address = /^From: <(.*)>/m.exec(question.message)?.[1] ?? '';
      await send('dan@far.example', address, '192.0.2.99');
      await until('what was held', () => sink.mails.some(({ sender }) => sender === 'dan@far.example'));
      expect((await send('dan@far.example', 'ann@ours.example', '192.0.2.99')).message.recipients).toEqual([
        '<ann@ours.example>',
      ]);
    } finally {
      await server.close();
    }
  });
});

describe('the link of a question', () => {
  it('shows on GET, and confirms on POST, once', async () => {
    await using sink = await mailSink();
    await using page = await testPage(
      `[[module]]\nuse = "./spf-says.ts"\nresult = "pass"\n[[module]]\nuse = "confirm"\nrecipients = ["bob@example.com"]`,
      { top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"`, http: 'url = "https://q.example.com"' },
    );
    const eml = 'From: x@example.org\nSubject: a <b>dinner</b>\n\nhello\n';
    await page.filter.send({ sender: 'x@example.org', recipients: ['bob@example.com'], eml });
    const question = await until('the question', () => sink.mails[0]);
    const { root } = parseMessage(Buffer.from(question.message, 'latin1'));
    const [link = ''] =
      /(?<=https:\/\/q\.example\.com)\/link\/confirm\.[a-z2-7]{24}/.exec(root.text() ?? '') ?? [];
    const somebody = page.visitor();
    for (let i = 0; i < 3; i++) {
      const seen = await somebody.ask(link);
      expect(seen.status).toBe(200);
      expect(seen.body).toContain('a &lt;b&gt;dinner&lt;/b&gt;');
      expect(seen.headers['set-cookie']).toBeUndefined();
    }
    expect((await somebody.ask(link, { body: '' })).status).toBe(400);
    const forged = link.replace(/.$/, (last) => (last === 'a' ? 'b' : 'a'));
    for (const wrong of [forged, '/link/confirm.', '/link/confirm.x', `${link}a`])
      expect((await page.visitor().ask(wrong, { body: 'deed=confirm' })).status, wrong).toBe(404);
    expect(sink.mails).toHaveLength(1);
    expect((await somebody.ask(link, { body: 'deed=confirm' })).body).toContain('Thank you');
    await until('what was held', () => sink.mails.some(({ sender }) => sender === 'x@example.org'));
    expect((await somebody.ask(link)).status).toBe(404);
    expect(
      (await page.filter.send({ sender: 'x@example.org', recipients: ['bob@example.com'] })).message
        .recipients,
    ).toEqual(['<bob@example.com>']);
  });
});

describe('milter forwarder', () => {
  async function forwarder(config: string, ...args: readonly string[]) {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    const status = await runForwarder([...args, '--config', config], { stdout, stderr }).catch(
      (error: unknown) => (error instanceof Error ? error.message : 'no error'),
    );
    stdout.end();
    stderr.end();
    return { status, out: await text(stdout), err: await text(stderr) };
  }
  const MODULE = '[[module]]\nuse = "forwarders"\ndomain = "fwd.ours.example"\n';

  it('says what is wrong with its arguments, and with the configuration', async () => {
    const config = configured(MODULE);
    for (const args of [
      [],
      ['give'],
      ['add', 'ann'],
      ['list', 'ann', 'x'],
      ['remove', 'ann', 'x.example', 'y'],
    ])
      expect((await forwarder(config, ...args)).status).toMatch(/^expected add, rotate or remove/);
    expect((await forwarder(config, 'list', 'a b')).status).toContain('"a b" is no user');
    for (const without of ['', '[[module]]\nuse = "forwarders"', `${MODULE}mode = "off"`])
      expect((await forwarder(configured(without), 'list')).status).toMatch(
        /no module "forwarders" with a domain/,
      );
    expect(await forwarder(config, 'remove', 'ann', 'x.example')).toMatchObject({
      status: 1,
      err: 'milter forwarder: ann has no address for x.example; those of a list of her own are changed there\n',
    });
    expect(await forwarder(config, 'list')).toEqual({ status: 0, out: '', err: '' });
    expect((await forwarder(config, '--help')).out).toContain('Usage: milter forwarder');
  });

  it.runIf(process.getuid?.() === 0)(
    'reads users’ own lists as the filter’s user, and not as root',
    async () => {
      const folder = folderWith({});
      mkdirSync(join(folder, 'ann'));
      mkdirSync(join(folder, 'data'));
      writeFileSync(join(folder, 'ann/.forwarders'), 'alumni.example\n');
      execFileSync('chown', ['nobody', join(folder, 'data')]);
      const config = join(folder, 'milter.toml');
      const write = (top: string): void =>
        writeFileSync(
          config,
          `socket = "inet:0@127.0.0.1"\ndata = "data"\n${top}\n${MODULE}files = "file:${folder}/%{user}/.forwarders"\n`,
        );
      write('');
      const asRoot = await milter(['forwarder', 'list', 'ann', '--config', config]);
      expect(asRoot).toMatchObject({ status: 0, out: '' });
      expect(asRoot.err).toContain('is not read by root');
      execFileSync('chown', ['-R', 'nobody', join(folder, 'data')]);
      write('user = "nobody"');
      const asUser = await milter(['forwarder', 'list', 'ann', '--config', config]);
      expect(asUser).toMatchObject({ status: 0, err: '' });
      expect(asUser.out).toMatch(
        /^ann\+[a-z2-7]{16}@fwd\.ours\.example {2}for alumni\.example, to ann@ours\.example; by her own list; never used\n$/,
      );
    },
  );
});
