/** SRS under a real Postfix: mail that is sent on, the bounce that comes home, and the one that is forged. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { createSrs, serveSocketMap } from '../../lib/srs/index.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { folderWith } from '../helpers/configured.ts';
import { Disposables } from '../helpers/disposables.ts';
import { farServer } from '../helpers/far-server.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SubmissionReplies } from '../helpers/smtp.ts';
import { unusedPort } from '../helpers/wait.ts';

const run = promisify(execFile);
const SECRET = 'the secret of these tests';
const DAY = 86_400_000;

const MODULES = `
[[module]]
use = "networks"
domains = ["test.invalid"]
[[module]]
use = "srs"
domain = "srs.test"
secrets = "file:secrets"
`;

/** Postfix with our filter, and a server elsewhere that takes what leaves. */
async function start(options: string, main: readonly string[], top = '') {
  const folder = folderWith({
    secrets: `${SECRET}\n`,
    'milter.toml': `socket = "inet:0@127.0.0.1"\ndata = "data"\nhostname = "mx.test.invalid"\n${top}\n${MODULES}${options}`,
  });
  const stack = new Disposables();
  const far = stack.use(await farServer());
  const milter = stack.use(new RunningMilter([`${folder}/milter.toml`]));
  const postfix = stack.use(
    await startPostfix({
      milters: [await milter.address()],
      main: [
        'virtual_alias_maps = inline:{ { alias@test.invalid = person@far.test } }',
        `transport_maps = inline:{ { far.test = smtp:[127.0.0.1]:${far.port} }, { orig.test = smtp:[127.0.0.1]:${far.port} } }`,
        ...main,
      ],
    }),
  );
  return {
    far,
    postfix,
    folder,
    /** Sends as a client elsewhere does. */
    async send(sender: string, recipient: string): Promise<SubmissionReplies> {
      await using client = await SmtpClient.open(postfix.port);
      await client.command('XCLIENT ADDR=192.0.2.99 NAME=[UNAVAILABLE]');
      await client.command('EHLO client.test');
      const message = `From: <${sender}>\r\nTo: <${recipient}>\r\nSubject: hi\r\n\r\ntext\r\n`;
      return await client.send({ sender, recipients: [recipient], message });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** Forwards a message, bounces it, and forges bounces. */
async function thereAndBack(site: Awaited<ReturnType<typeof start>>): Promise<void> {
  expect((await site.send('mouse@orig.test', 'alias@test.invalid')).end?.code).toBe(250);
  const { sender, message } = await site.far.received('person@far.test');
  expect(sender).toMatch(/^SRS0=.{8}=..=orig\.test=mouse@srs\.test$/);
  // The header is the author's.
  expect(message).toContain('From: <mouse@orig.test>');

  expect((await site.send('', sender)).end?.code).toBe(250);
  expect((await site.far.received('mouse@orig.test')).sender).toBe('');

  // Some mail server on the way changed its case.
  expect((await site.send('', sender.toLowerCase())).end?.code).toBe(250);
  await site.far.received('mouse@orig.test', 2);

  const old = createSrs({ secrets: [SECRET], now: () => Date.now() - 30 * DAY });
  const forgeries = [
    sender.replace(/SRS0=..../, 'SRS0=AAAA'),
    sender.replace('mouse', 'other'),
    createSrs({ secrets: ['a guess'] }).forward('mouse@orig.test', 'srs.test'),
    old.forward('mouse@orig.test', 'srs.test'),
  ];
  for (const forged of forgeries) {
    const { recipients } = await site.send('', forged);
    expect(recipients[0]).toMatchObject({ code: 550, enhanced: '5.1.1' });
  }
  await site.postfix.settled();
  expect(site.far.mails.flatMap(({ recipients }) => recipients).sort()).toEqual([
    'mouse@orig.test',
    'mouse@orig.test',
    'person@far.test',
  ]);
}

describeWith(['postfix'], 'SRS under Postfix', () => {
  it('by the milter', async () => {
    await using site = await start('forward = "milter"\nforwarded = ["alias@test.invalid"]', [
      'relay_domains = srs.test',
    ]);
    await thereAndBack(site);
    // What stays here keeps its sender.
    await site.send('mouse@orig.test', 'bob@test.invalid');
    const [mail] = await site.postfix.delivered(1);
    expect(mail).toContain('Return-Path: <mouse@orig.test>');
  });

  describe.each(['inet', 'unix'])('by the socket map, %s', (family) => {
    it('there and back', async () => {
      const port = await unusedPort();
      const path = `${folderWith({})}/map.sock`;
      const listen = family === 'inet' ? `inet:${port}@127.0.0.1` : `unix:${path}`;
      const map = family === 'inet' ? `socketmap:inet:127.0.0.1:${port}` : `socketmap:unix:${path}`;
      await using site = await start(
        `forward = "socketmap"\nsocketmap = "${listen}"`,
        [
          'virtual_alias_domains = srs.test',
          `sender_canonical_maps = ${map}:forward`,
          'sender_canonical_classes = envelope_sender',
          `recipient_canonical_maps = ${map}:reverse`,
          'recipient_canonical_classes = envelope_recipient, header_recipient',
        ],
        'socket_group = "postfix"',
      );
      await thereAndBack(site);

      const query = async (name: string, key: string): Promise<string> => {
        const asked = run('postmap', ['-c', site.postfix.config, '-q', key, `${map}:${name}`]);
        return await asked.then(
          ({ stdout }) => stdout.trim(),
          ({ code }: { code: number }) => `rc ${code}`,
        );
      };
      const rewritten = await query('forward', 'mouse@orig.test');
      expect(rewritten).toMatch(/^SRS0=.{8}=..=orig\.test=mouse@srs\.test$/);
      expect(await query('reverse', rewritten)).toBe('mouse@orig.test');
      expect(await query('forward', '"a b"@orig.test')).toMatch(/^"SRS0=.{8}=..=orig\.test=a b"@srs\.test$/);
      // Not found: our own, the SRS domain's, the null sender, what is forged.
      expect(await query('forward', 'bob@test.invalid')).toBe('rc 1');
      expect(await query('forward', rewritten)).toBe('rc 1');
      expect(await query('reverse', rewritten.replace('mouse', 'other'))).toBe('rc 1');
      expect(await query('reverse', 'bob@test.invalid')).toBe('rc 1');
      expect(await query('nothing', 'bob@test.invalid')).toBe('rc 1');
    });
  });

  it('is not held up by a socket map that hangs', async () => {
    await using map = await serveSocketMap({
      listen: { host: '127.0.0.1', port: 0 },
      answer: () => new Promise(() => {}),
      deadline: 100,
    });
    const [, port] = /^inet:(\d+)@/.exec(map.address) ?? [];
    const canonical = `recipient_canonical_maps = socketmap:inet:127.0.0.1:${port}:reverse`;
    await using site = await start('forward = "never"', [canonical]);
    const { recipients } = await site.send('', 'SRS0=x=2W=orig.test=mouse@test.invalid');
    expect(recipients[0]?.code).toBe(451);
    await site.postfix.logged('no answer in time');
  });

  it('tells senders to come again while the socket map is away', async () => {
    const port = await unusedPort();
    await using site = await start('forward = "never"', [
      `recipient_canonical_maps = socketmap:inet:127.0.0.1:${port}:reverse`,
    ]);
    const { recipients } = await site.send('', 'SRS0=x=2W=orig.test=mouse@test.invalid');
    expect(recipients[0]?.code).toBe(451);
    await site.postfix.logged('socketmap');
  });
});
