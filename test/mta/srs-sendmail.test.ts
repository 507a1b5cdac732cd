/** SRS under a real Sendmail, which asks our socket map: in its test mode, and for mail that is sent on and bounced. */
import { expect, it } from 'vitest';
import { createSrs } from '../../lib/srs/index.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { folderWith } from '../helpers/configured.ts';
import { Disposables } from '../helpers/disposables.ts';
import { farServer } from '../helpers/far-server.ts';
import { describeWith } from '../helpers/requirements.ts';
import { startSendmail } from '../helpers/sendmail.ts';
import { sendMail } from '../helpers/smtp.ts';
import { unusedPort } from '../helpers/wait.ts';

const SECRET = 'the secret of these tests';

/** As docs/modules/srs.md has it. */
function rules(socket: string): string {
  return `LOCAL_CONFIG
Kmake_srs socket ${socket}
Kreverse_srs socket ${socket}
Kis_srs regex -a@YES ^<?(SRS[01]|SES|prvs)[+=-].*
MAILER_DEFINITIONS
SEnvFromSMTP
R$+\t\t\t$: $>MakeSrs $1
LOCAL_RULESETS
SMakeSrs
R$*\t\t\t$: $&h $| $1
R$*\t\t\t$: $(make_srs $1 $)
SReverseSrs
R$*\t\t\t$: $1 $| $(is_srs $1 $: NO $)
R$* $| $* @YES\t\t$@ $(reverse_srs $1 $)
R$* $| $*\t\t$@ $1
LOCAL_RULE_0
R$*\t\t\t$: $>ReverseSrs $1
`;
}

const MODULES = {
  milter: 'forward = "milter"\nforwarded = ["person@far.test"]',
  socketmap: 'forward = "socketmap"',
  bounces: '[[module]]\nuse = "bounces"\nsign = "batv"\ndomains = ["test.invalid"]\nunsigned = "reject"',
};

async function start(way: keyof typeof MODULES = 'socketmap') {
  const port = await unusedPort();
  const folder = folderWith({
    secrets: `${SECRET}\n`,
    'milter.toml': `socket = "inet:0@127.0.0.1"
data = "data"
[[module]]
use = "networks"
domains = ["test.invalid"]
${way === 'bounces' ? '' : 'internal = []'}
external_as_ours = "continue"
[[module]]
use = "srs"
domain = "srs.test"
secrets = "file:secrets"
socketmap = "inet:${port}@127.0.0.1"
${MODULES[way]}
`,
  });
  const stack = new Disposables();
  const far = stack.use(await farServer());
  const milter = stack.use(new RunningMilter([`${folder}/milter.toml`]));
  const sendmail = stack.use(
    await startSendmail({
      milters: [await milter.address()],
      definitions: [
        "define(`SMART_HOST', `smtp:[127.0.0.1]')",
        `define(\`SMTP_MAILER_ARGS', \`TCP $h ${far.port}')`,
      ],
      configuration: way === 'milter' ? [] : [rules(`inet:${port}@127.0.0.1`)],
    }),
  );
  return {
    far,
    sendmail,
    send: async (sender: string, recipient: string) =>
      await sendMail(sendmail.port, {
        sender,
        recipients: [recipient],
        message: 'Subject: hi\r\n\r\ntext\r\n',
      }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describeWith(['sendmail'], 'SRS under Sendmail', () => {
  it('asks in its test mode', async () => {
    await using site = await start();
    const srs = createSrs({ secrets: [SECRET] });
    const rewritten = srs.forward('mouse@orig.test', 'srs.test');
    const focused = rewritten.replace('@', '<@').concat('.>');
    const out = await site.sendmail.test(
      '/map make_srs mouse<@orig.test.>',
      `/map reverse_srs ${focused}`,
      '/map reverse_srs bob<@test.invalid.>',
      `MakeSrs mouse < @ orig.test . >`,
      `ReverseSrs ${focused}`,
    );
    expect(out).toContain(`returns ${focused}`);
    expect(out).toContain('returns mouse<@orig.test.>');
    expect(out).toContain('returns bob<@test.invalid.>');
  });

  it.each(['socketmap', 'milter'] as const)('there and back, by the %s', async (way) => {
    await using site = await start(way);
    expect((await site.send('mouse@orig.test', 'person@far.test')).end?.code).toBe(250);
    const { sender } = await site.far.received('person@far.test');
    expect(sender).toMatch(/^SRS0=.{8}=..=orig\.test=mouse@srs\.test$/);
    expect((await site.send('', sender)).end?.code).toBe(250);
    expect((await site.far.received('mouse@orig.test')).sender).toBe('');
    for (const forged of [sender.replace('mouse', 'other'), sender.replace(/SRS0=..../, 'SRS0=AAAA')]) {
      const { recipients } = await site.send('', forged);
      expect(recipients[0]).toMatchObject({ code: 550, enhanced: '5.1.1' });
    }
    // Ours, and the null sender, stay as they are; what stays here does too.
    await site.send('bob@test.invalid', 'another@far.test');
    expect((await site.far.received('another@far.test')).sender).toBe('bob@test.invalid');
    await site.send('', 'third@far.test');
    expect((await site.far.received('third@far.test')).sender).toBe('');
    await site.send('mouse@orig.test', 'bob@test.invalid');
    expect((await site.sendmail.delivered(1))[0]).toContain('Return-Path: <mouse@orig.test>');
  });

  it('takes home what comes to a signed sender, also from Sendmail itself', async () => {
    await using site = await start('bounces');
    expect((await site.send('ann@test.invalid', 'person@far.test')).end?.code).toBe(250);
    const { sender } = await site.far.received('person@far.test');
    expect(sender).toMatch(/^prvs=\d{4}[0-9a-f]{6}=ann@test\.invalid$/);
    // From this machine, so that only what is forged is refused.
    await site.send('', sender);
    expect((await site.sendmail.delivered(1))[0]).toContain('Delivered-To: ann@test.invalid');
    const { recipients } = await site.send('', sender.replace('ann@', 'bob@'));
    expect(recipients[0]).toMatchObject({ code: 550, enhanced: '5.1.1' });
    await site.send('ann@test.invalid', 'nobody@far.test');
    const mails = await site.sendmail.delivered(2);
    expect(mails.filter((mail) => mail.includes('Delivered-To: ann@test.invalid'))).toHaveLength(2);
    expect(mails.some((mail) => mail.includes('multipart/report'))).toBe(true);
  });
});
