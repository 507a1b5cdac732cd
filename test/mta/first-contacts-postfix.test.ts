/** Forwarders' addresses and first contacts under a real Postfix, with `milter run` beside it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { spf, startZone } from '../helpers/all-modules.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { folderWith } from '../helpers/configured.ts';
import { Disposables } from '../helpers/disposables.ts';
import { farServer } from '../helpers/far-server.ts';
import { Mail } from '../helpers/filtered.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SubmissionReplies } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

/** Sends for `far.test`. */
const FAR = '192.0.2.99';
/** Relays for `alumni.test`. */
const RELAY = '192.0.2.10';

const ZONE = {
  'far.test': spf(`v=spf1 ip4:${FAR} -all`),
  'alumni.test': spf(`v=spf1 ip4:${RELAY} -all`),
  'wide.test': spf('v=spf1 +all'),
};

async function start(modules: string) {
  const port = await unusedPort();
  const folder = folderWith({});
  const config = join(folder, 'milter.toml');
  const stack = new Disposables();
  const dns = await startZone(ZONE);
  stack.use(dns);
  const far = stack.use(await farServer());
  const postfix = stack.use(
    await startPostfix({
      milters: [`inet:${port}@127.0.0.1`],
      main: [
        'recipient_delimiter = +',
        'relay_domains = fwd.test.invalid',
        `transport_maps = inline:{ { far.test = smtp:[127.0.0.1]:${far.port} } }`,
      ],
    }),
  );
  writeFileSync(
    config,
    `socket = "inet:${port}@127.0.0.1"
hostname = "mx.test.invalid"
data = "data"
[dns]
servers = ["${dns.spec}"]
[outgoing]
smtp = "127.0.0.1:${postfix.port}"
[[module]]
use = "networks"
domains = ["test.invalid"]
internal_as_other = "continue"
[[module]]
use = "spf"
helo_fail = "continue"
[[module]]
use = "recipients"
complete = ["test.invalid"]
users = ["ann@", "bob@"]
[[module]]
use = "known"
${modules}
`,
  );
  const running = stack.use(new RunningMilter([config]));
  await running.address();
  return {
    config,
    far,
    postfix,
    /** Sends from elsewhere. */
    async send(
      address: string,
      sender: string,
      recipient: string,
      subject = 'hi',
    ): Promise<SubmissionReplies> {
      await using client = await SmtpClient.open(postfix.port);
      await client.command(`XCLIENT ADDR=${address} NAME=[UNAVAILABLE]`);
      await client.command('EHLO client.test');
      const message = `From: <${sender || 'mailer-daemon@far.test'}>\r\nTo: <${recipient}>\r\nSubject: ${subject}\r\nMessage-ID: <${subject.length}.1@far.test>\r\n\r\ntext\r\n`;
      return await client.send({ sender, recipients: [recipient], message });
    },
    /** Who got what, as soon as there are so many. */
    async delivered(count: number): Promise<readonly string[]> {
      await until(`${count} mails`, async () => (await postfix.delivered(0)).length >= count);
      await postfix.settled();
      return (await postfix.delivered(0)).map((text) => {
        const mail = new Mail(text);
        return `${mail.get('Delivered-To')}: ${mail.get('Subject')}`;
      });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describeWith(['postfix'], 'under Postfix', () => {
  it('a forwarder’s address is good for the forwarder, until it is taken back', async () => {
    await using site = await start('[[module]]\nuse = "forwarders"\ndomain = "fwd.test.invalid"');
    const forwarder = async (...args: readonly string[]) =>
      await milter(['forwarder', ...args, '--config', site.config]);
    expect(await forwarder('add', 'ann', 'wide.test')).toMatchObject({
      status: 1,
      err: expect.stringContaining('lets too many send: its SPF record has "+all"'),
    });
    const added = await forwarder('add', 'ann@test.invalid', 'alumni.test');
    expect(added).toMatchObject({ status: 0, err: '' });
    const alias = added.out.trim();
    expect(alias).toMatch(/^ann\+[a-z2-7]{16}@fwd\.test\.invalid$/);

    // far.test lets nobody else send, but this is its forwarder.
    expect((await site.send(RELAY, 'boss@far.test', 'ann@test.invalid')).recipients[0]?.code).toBe(550);
    expect((await site.send(RELAY, 'boss@far.test', alias, 'forwarded')).end?.code).toBe(250);
    expect((await site.send(RELAY, '', alias.toUpperCase(), 'bounce')).end?.code).toBe(250);
    expect((await site.delivered(2)).toSorted()).toEqual([
      'ann@test.invalid: bounce',
      'ann@test.invalid: forwarded',
    ]);

    const elsewhere = await site.send(FAR, 'boss@far.test', alias);
    expect(elsewhere.recipients[0]).toMatchObject({ code: 550, enhanced: '5.7.1' });
    const gone = 'gone+aaaaaaaaaaaaaaaa@fwd.test.invalid';
    expect((await site.send(RELAY, '', gone)).recipients[0]).toMatchObject({ code: 550, enhanced: '5.1.1' });

    const listed = await until('both uses to be counted', async () => {
      const { out } = await forwarder('list', 'ann');
      return out.includes('used 2 times') ? out : undefined;
    });
    expect(listed).toContain(`${alias}  for alumni.test, to ann@test.invalid; made 20`);
    const rotated = (await forwarder('rotate', 'ann', 'alumni.test')).out.trim();
    expect((await site.send(RELAY, '', alias)).recipients[0]?.code).toBe(550);
    expect((await site.send(RELAY, 'boss@far.test', rotated, 'again')).end?.code).toBe(250);
    expect(await site.delivered(3)).toHaveLength(3);
    expect((await forwarder('remove', 'ann', 'alumni.test')).status).toBe(0);
    expect((await forwarder('remove', 'ann', 'alumni.test')).status).toBe(1);
    expect((await site.send(RELAY, '', rotated)).recipients[0]?.code).toBe(550);
  });

  it('a first message comes when its sender has confirmed, once, and the next at once', async () => {
    await using site = await start('[[module]]\nuse = "confirm"\nrecipients = ["ann@test.invalid"]');
    expect((await site.send(FAR, 'person@far.test', 'ann@test.invalid', 'first')).end?.code).toBe(250);
    const question = await site.far.received('person@far.test');
    expect(question.sender).toBe('');
    const mail = new Mail(question.message.replaceAll('\r\n', '\n'));
    expect(mail.get('Auto-Submitted')).toBe('auto-replied');
    const address = mail.get('Reply-To')?.slice(1, -1) ?? '';
    expect(address).toMatch(/^ann\+confirm-[a-z2-7]{24}@test\.invalid$/);

    // Neither what nobody asked, nor a bounce, nor another domain's mail confirms it.
    const forged = address.replace(/confirm-./, 'confirm-2').replace(/.@/, '7@');
    expect((await site.send(FAR, 'person@far.test', forged)).recipients[0]).toMatchObject({
      code: 550,
      enhanced: '5.1.1',
    });
    expect((await site.send(FAR, '', address)).end).toMatchObject({ code: 550, enhanced: '5.7.1' });
    expect((await site.send(RELAY, 'person@alumni.test', address)).end?.code).toBe(550);
    expect(site.far.mails).toHaveLength(1);

    expect((await site.send(FAR, 'person@far.test', address, 'Re: confirm')).end?.code).toBe(250);
    expect(await site.delivered(1)).toEqual(['ann@test.invalid: first']);
    expect((await site.send(FAR, 'person@far.test', address, 'Re: confirm again')).end?.code).toBe(250);
    expect((await site.send(FAR, 'person@far.test', 'ann@test.invalid', 'second')).end?.code).toBe(250);
    expect((await site.delivered(2)).toSorted()).toEqual([
      'ann@test.invalid: first',
      'ann@test.invalid: second',
    ]);
    expect(site.far.mails).toHaveLength(1);
  });
});
