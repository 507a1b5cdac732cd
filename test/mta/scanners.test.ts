/** The mail filter with virus scanner and judge, run by the command, under a real Postfix. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { attached } from '../fixtures/filter/attached.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { Mail } from '../helpers/filtered.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { EICAR, GTUBE, startClamd, startSpamd, type TestClamd, type TestSpamd } from '../helpers/scanners.ts';
import { SmtpClient, type SmtpReply } from '../helpers/smtp.ts';

describeWith(['postfix', 'clamd', 'spamd'], 'scanners under Postfix', () => {
  let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
  let clamd: TestClamd;
  let spamd: TestSpamd;
  let running: RunningMilter;
  let postfix: Postfix;
  beforeAll(async () => {
    [folder, clamd, spamd] = await Promise.all([temporaryDirectory(), startClamd(), startSpamd()]);
    const file = join(folder.path, 'milter.toml');
    writeFileSync(
      file,
      `socket = "inet:0@127.0.0.1"
data = "data"
hostname = "mx.test.invalid"
[[module]]
use = "recipients"
[[module]]
use = "antivirus"
clamd = "${clamd.unix}"
infected = "defang"
[[module]]
use = "spam"
spamd = "127.0.0.1:${spamd.port}"
[[module]]
use = "score"
mark = "[SPAM?] "
quarantine_from = 50000
reject_from = 50000
`,
    );
    running = new RunningMilter([file]);
    postfix = await startPostfix({ milters: [await running.address()] });
  });
  afterAll(async () => {
    await postfix[Symbol.asyncDispose]();
    await running[Symbol.asyncDispose]();
    await spamd[Symbol.asyncDispose]();
    await clamd[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  /** Sends one message as a client elsewhere does. */
  async function send(id: string, eml: string, recipient = 'bob'): Promise<SmtpReply | undefined> {
    await using client = await SmtpClient.open(postfix.port);
    await client.command('XCLIENT ADDR=192.0.2.99 NAME=[UNAVAILABLE]');
    await client.command('EHLO client.test');
    const { end } = await client.send({
      sender: 'a@sender.test',
      recipients: [`${recipient}@test.invalid`],
      message: `Message-Id: <${id}>\r\n${eml.replaceAll('\n', '\r\n')}`,
    });
    return end;
  }

  async function delivered(id: string): Promise<Mail> {
    await postfix.settled();
    const found = (await postfix.delivered(0)).filter((mail) => mail.includes(`Message-Id: <${id}>`));
    expect(found).toHaveLength(1);
    return new Mail(found[0] ?? '');
  }

  it('an infected part is replaced, and the rest is delivered with the judge’s report', async () => {
    const eml = attached(
      { name: 'invoice.com', content: EICAR },
      { name: 'notes.txt', content: 'all is well' },
    );
    // Who takes everything does not get it either.
    for (const [id, recipient] of [
      ['virus', 'bob'],
      ['exempt', 'postmaster'],
    ] as const) {
      expect(await send(id, `X-Spam-Report: forged\n${eml}`, recipient)).toMatchObject({ code: 250 });
      const mail = await delivered(id);
      expect(mail.body).toContain('a virus was found in it: Own.Eicar.UNOFFICIAL');
      expect(mail.body).toContain(Buffer.from('all is well').toString('base64'));
      expect(mail.body).not.toContain(Buffer.from(EICAR).toString('base64').slice(0, 40));
      expect(mail.all('X-Spam-Report').map((value) => value.split('\n')[0])).toEqual([
        expect.stringMatching(/^spamd -?[\d.]+ of 5, (ham|spam)$/),
      ]);
    }
  });

  it('spam is tagged by the points of the judge', async () => {
    expect(await send('spam', `From: a@sender.test\nSubject: hi\n\n${GTUBE}\n`)).toMatchObject({ code: 250 });
    const mail = await delivered('spam');
    expect(mail.get('Subject')).toBe('[SPAM?] hi');
    expect(mail.get('X-Spam-Score')).toMatch(/spam-spamd=10\d\d/);
    expect(mail.get('X-Spam-Report')).toContain('GTUBE=1000');
  });

  it('while the scanner is away mail is told to come again, and taken when it is back', async () => {
    const eml = 'From: a@sender.test\nSubject: hi\n\nhello\n';
    await clamd.kill();
    expect(await send('away', eml)).toMatchObject({ code: 451 });
    await clamd.start();
    expect(await send('back', eml)).toMatchObject({ code: 250 });
    expect((await delivered('back')).body).toBe('hello\n');
  });
});
