/** Signed senders under a real Postfix: what leaves, what comes back to it, and what Postfix itself sends back. */
import { expect, it } from 'vitest';
import { RunningMilter } from '../helpers/cli.ts';
import { folderWith } from '../helpers/configured.ts';
import { Disposables } from '../helpers/disposables.ts';
import { farServer } from '../helpers/far-server.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const FORMS = {
  srs: /^SRS0=.{8}=..==ann@test\.invalid$/,
  ses: /^SES=[\w-]+=ann@test\.invalid$/,
  batv: /^prvs=\d{4}[0-9a-f]{6}=ann@test\.invalid$/,
};

async function start(way: keyof typeof FORMS, returns: 'milter' | 'map' | 'both') {
  const port = await unusedPort();
  const folder = folderWith({
    secrets: 'the secret of these tests\n',
    'milter.toml': `socket = "inet:0@127.0.0.1"
data = "data"
[[module]]
use = "networks"
domains = ["test.invalid"]
[[module]]
use = "recipients"
complete = ["test.invalid"]
users = ["ann@test.invalid", "bob@test.invalid"]
[[module]]
use = "srs"
secrets = "file:secrets"
socketmap = "inet:${port}@127.0.0.1"
[[module]]
use = "bounces"
sign = "${way}"
domains = ["test.invalid"]
unsigned = "reject"
`,
  });
  const stack = new Disposables();
  const far = stack.use(await farServer());
  const milter = stack.use(new RunningMilter([`${folder}/milter.toml`]));
  const postfix = stack.use(
    await startPostfix({
      milters: [await milter.address()],
      main: [
        `transport_maps = inline:{ { far.test = smtp:[127.0.0.1]:${far.port} } }`,
        ...(returns === 'map' ? [] : ['internal_mail_filter_classes = bounce']),
        ...(returns === 'milter'
          ? []
          : [
              `recipient_canonical_maps = socketmap:inet:127.0.0.1:${port}:reverse`,
              'recipient_canonical_classes = envelope_recipient',
            ]),
      ],
    }),
  );
  const send = async (sender: string, recipient: string, isOutside: boolean) => {
    await using client = await SmtpClient.open(postfix.port);
    if (isOutside) {
      await client.command('XCLIENT ADDR=192.0.2.99 NAME=[UNAVAILABLE]');
      await client.command('EHLO client.test');
    }
    const message = `From: <${sender}>\r\nTo: <${recipient}>\r\nSubject: hi\r\n\r\ntext\r\n`;
    return await client.send({ sender, recipients: [recipient], message });
  };
  return {
    far,
    postfix,
    /** A user of ours sends. */
    leave: async (recipient: string) => await send('ann@test.invalid', recipient, false),
    /** Somebody else does. */
    come: async (sender: string, recipient: string) => await send(sender, recipient, true),
    /** Who got how many. */
    async delivered(count: number): Promise<readonly string[]> {
      await until(`${count} mails`, async () => (await postfix.delivered(0)).length >= count);
      await postfix.settled();
      return (await postfix.delivered(0)).map((mail) => /^Delivered-To: (\S+)/im.exec(mail)?.[1] ?? '');
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describeWith(['postfix'], 'signed senders under Postfix', () => {
  it.each([
    ['srs', 'milter'],
    ['ses', 'milter'],
    ['batv', 'map'],
    ['ses', 'both'],
  ] as const)('%s, taken back by %s', async (way, returns) => {
    await using site = await start(way, returns);
    expect((await site.leave('person@far.test')).end?.code).toBe(250);
    const { sender, message } = await site.far.received('person@far.test');
    expect(sender).toMatch(FORMS[way]);
    expect(message).toContain('From: <ann@test.invalid>');

    // A bounce of theirs comes home, once; one that nobody signed does not, nor one that is forged.
    expect((await site.come('', sender)).end?.code).toBe(250);
    expect(await site.delivered(1)).toEqual(['ann@test.invalid']);
    const unsigned = await site.come('', 'ann@test.invalid');
    expect(unsigned.end).toMatchObject({ code: 550, enhanced: '5.7.1' });
    const forged = await site.come('', sender.replace('ann@', 'bob@'));
    expect(forged.recipients[0]).toMatchObject({ code: 550, enhanced: '5.1.1' });

    // Postfix's own: the server elsewhere knows nobody.
    expect((await site.leave('nobody@far.test')).end?.code).toBe(250);
    expect(await site.delivered(2)).toEqual(['ann@test.invalid', 'ann@test.invalid']);
  });
});
