import { afterAll, beforeAll, expect, it } from 'vitest';
import { MTAS } from '../helpers/filtered.ts';
import { runMiltertest } from '../helpers/miltertest.ts';
import type { Mta } from '../helpers/mta.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { type MilterScript, type Pymilter, startPymilter } from '../helpers/pymilter.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, sendMail } from '../helpers/smtp.ts';
import { unusedPort } from '../helpers/wait.ts';

const SCRIPT: MilterScript = {
  stages: {
    envrcpt: {
      '<no@test.invalid>': { verdict: 'reject', reply: ['550', '5.7.1', 'Not you', '100%% sure'] },
      '<later@test.invalid>': { verdict: 'tempfail', reply: ['451', '4.7.1', 'Not now'] },
      '<nowhere@test.invalid>': { verdict: 'discard' },
    },
    eom: { '*': { actions: [['addheader', 'X-Seen', 'yes']] } },
  },
};
const MESSAGE = 'Subject: hello\r\n\r\n.first line\r\n';

function submission(...recipients: string[]) {
  return { sender: 'ann@one.test', recipients, message: MESSAGE };
}

for (const [name, start] of MTAS) {
  describeWith([name, 'pymilter'], `${name} with a filter`, () => {
    let filter: Pymilter;
    let mta: Mta;
    beforeAll(async () => {
      filter = await startPymilter(SCRIPT, `inet:${await unusedPort()}@127.0.0.1`);
      mta = await start(filter.spec);
    });
    afterAll(async () => {
      await mta[Symbol.asyncDispose]();
      await filter[Symbol.asyncDispose]();
    });

    it('says to the client what the filter says of each recipient, and delivers with the header it adds', async () => {
      const replies = await sendMail(
        mta.port,
        submission('no@test.invalid', 'later@test.invalid', 'bob@test.invalid'),
      );
      expect(replies.recipients).toMatchObject([
        // Sendmail puts the address before it.
        { code: 550, enhanced: '5.7.1', lines: [expect.stringMatching(/(^|\.\.\. )Not you$/), '100% sure'] },
        { code: 451, enhanced: '4.7.1', lines: ['Not now'] },
        { code: 250 },
      ]);
      expect(replies.end).toMatchObject({ code: 250 });
      const [mail] = await mta.delivered(1);
      expect(mail).toMatch(/^X-Seen: yes$/m);
      expect(mail).toMatch(/\n\n\.first line\n$/);
    });

    it('delivers nothing that the filter discards', async () => {
      expect((await sendMail(mta.port, submission('nowhere@test.invalid'))).end).toMatchObject({ code: 250 });
      // Delivered after it, so what was discarded would be there by now.
      await sendMail(mta.port, submission('eve@test.invalid'));
      expect(await mta.delivered(2)).toHaveLength(2);
    });

    it('ends a message by RSET', async () => {
      await using client = await SmtpClient.open(mta.port);
      await client.command('MAIL FROM:<ann@one.test>');
      expect(await client.command('RSET')).toMatchObject({ code: 250 });
      await filter.called('abort');
    });
  });
}

describeWith(['postfix', 'pymilter'], 'the queue of postfix', () => {
  it('shows a mail that the filter quarantines', async () => {
    const stages = { eom: { '*': { actions: [['quarantine', 'looks odd']] as const } } };
    await using filter = await startPymilter({ stages }, `inet:${await unusedPort()}@127.0.0.1`);
    await using postfix: Postfix = await startPostfix({ milters: [filter.spec] });
    await sendMail(postfix.port, submission('bob@test.invalid'));
    expect(await postfix.queue()).toMatchObject([
      { queue_name: 'hold', sender: 'ann@one.test', recipients: [{ address: 'bob@test.invalid' }] },
    ]);
    await postfix.logged('milter-hold');
  });
});

describeWith(['miltertest', 'pymilter'], 'miltertest', () => {
  it('plays a script against a filter', async () => {
    await using filter = await startPymilter(SCRIPT);
    const output = await runMiltertest(
      filter.spec,
      `conn = mt.connect(spec)
       mt.conninfo(conn, "client.test", "192.0.2.7")
       mt.helo(conn, "client.test")
       mt.mailfrom(conn, "<ann@one.test>")
       mt.rcptto(conn, "<bob@test.invalid>")
       mt.data(conn)
       mt.header(conn, "Subject", "hello")
       mt.eoh(conn)
       mt.bodystring(conn, "line\\r\\n")
       mt.eom(conn)
       mt.echo(mt.getheader(conn, "X-Seen", 0))`,
    );
    expect(output).toBe('yes\n');
  });

  it.each([
    ['fails', 'error("as it must")', /script\.lua:1: as it must/],
    ['is none', 'conn = = 1', /script\.lua:1: unexpected symbol/],
  ])('says where a script %s', async (_, script, message) => {
    await expect(runMiltertest('unix:/nowhere', script)).rejects.toThrow(message);
  });
});
