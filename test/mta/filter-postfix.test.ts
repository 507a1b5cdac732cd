/** The mail filter of a configuration, run by the command, under a real Postfix: what becomes of each recipient. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { probeDirectory } from '../helpers/filter.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SubmissionReplies } from '../helpers/smtp.ts';
import { until } from '../helpers/wait.ts';

const probe = (name: string, options: string): string =>
  `[[module]]\nuse = "${probeDirectory}/probe.ts"\nname = "${name}"\n${options}\n`;

/** Each module concerns the senders of a domain of its own. */
const MODULES = [
  probe(
    'refusing',
    'match = { from = ["refused.test"] }\nsender = "reject"\nexempt = ["postmaster@test.invalid"]',
  ),
  probe(
    'dropping',
    'match = { from = ["dropped.test"] }\nrecipient = "discard"\nrecipients = ["eve@test.invalid"]',
  ),
  probe('watching', 'mode = "observe"\nsender = "reject"\nmessage = "reject"\nadd = "never"'),
  probe('tagging', 'match = { from = ["tagged.test"] }\nmessage = "tag"\nadd = "changed"'),
].join('');

describeWith(['postfix'], 'a configuration under Postfix', () => {
  let folder: string;
  let file: string;
  let running: RunningMilter;
  let postfix: Postfix;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'filter-postfix-'));
    file = join(folder, 'milter.toml');
    writeFileSync(
      file,
      `socket = "inet:0@127.0.0.1"\ndata = "data"\nhostname = "mx.test.invalid"\n${MODULES}`,
    );
    running = new RunningMilter([file]);
    postfix = await startPostfix({ milters: [await running.address()] });
  });
  afterAll(async () => {
    await postfix[Symbol.asyncDispose]();
    await running[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** Sends one message as a client elsewhere does. */
  async function send(sender: string, recipients: readonly string[]): Promise<SubmissionReplies> {
    await using client = await SmtpClient.open(postfix.port);
    await client.command('XCLIENT ADDR=192.0.2.99 NAME=[UNAVAILABLE]');
    await client.command('EHLO client.test');
    return await client.send({
      sender,
      recipients: recipients.map((name) => `${name}@test.invalid`),
      message: `Message-Id: <${sender}>\r\nSubject: hi\r\n\r\ntext\r\n`,
    });
  }

  /** The copies of a message that were delivered, and for whom. */
  async function delivered(sender: string) {
    await postfix.settled();
    const mails = (await postfix.delivered(0)).filter((mail) => mail.includes(`Message-Id: <${sender}>`));
    return mails
      .map((mail) => ({ mail, to: /^Delivered-To: (\S+)@/im.exec(mail)?.[1] }))
      .sort((a, b) => ((a.to ?? '') < (b.to ?? '') ? -1 : 1));
  }

  it('refuses at RCPT those who are not exempt, with a reference that explains it', async () => {
    const { recipients, end } = await send('ann@refused.test', ['bob', 'postmaster']);
    expect(recipients.map(({ code }) => code)).toEqual([550, 250]);
    expect(end?.code).toBe(250);
    expect((await delivered('ann@refused.test')).map(({ to }) => to)).toEqual(['postmaster']);
    const ref = / \[ref (\w+)\]/.exec(recipients[0]?.lines.join(' ') ?? '')?.[1] ?? '';
    const why = await until('the history', async () => {
      const { out } = await milter(['why', '--config', file, ref]);
      return out.includes('postmaster') && out;
    });
    expect(why).toContain('recipient   <bob@test.invalid> refused because of refusing-sender: 550 ');
    expect(why).toContain('recipient   <postmaster@test.invalid> accepted\n');
    expect(why).toContain(
      'finding     watching-sender: a sender (<ann@refused.test>) → observed only; otherwise reject\n',
    );
  });

  it('discards the copy of one of two', async () => {
    const { recipients, end } = await send('ann@dropped.test', ['bob', 'eve']);
    expect([...recipients, end].map((reply) => reply?.code)).toEqual([250, 250, 250]);
    expect((await delivered('ann@dropped.test')).map(({ to }) => to)).toEqual(['bob']);
    const why = await until('the history', async () => {
      const { out } = await milter(['why', '--config', file, '--from', 'dropped.test']);
      return out.includes('eve@') && out;
    });
    expect(why).toContain('recipient   <eve@test.invalid> discarded because of dropping-recipient\n');
  });

  it('edits after the decision, and not for a module that only observes', async () => {
    await send('ann@tagged.test', ['bob']);
    const [copy] = await delivered('ann@tagged.test');
    expect(copy?.mail).toMatch(/^X-Milter-Findings: tagging-message$/m);
    expect(copy?.mail).toMatch(/^X-Probe: changed$/m);
  });

  it('keeps taking mail while its configuration is replaced', async () => {
    const names = Array.from({ length: 10 }, (_, i) => `ann${i}@plain.test`);
    const sending = names.map(async (name) => (await send(name, ['bob'])).end?.code);
    running.child.kill('SIGHUP');
    expect(await Promise.all(sending)).toEqual(names.map(() => 250));
    await until('the reload', () => running.err.includes('is in force'));
    expect((await send('ann@after.test', ['bob'])).end?.code).toBe(250);
  });
});
