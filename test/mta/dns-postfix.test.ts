/**
 * `milter dns` on port 53, started by root and become another user, asked by a real Postfix by way of the system's resolver:
 * lists of clients and senders in smtpd, and postscreen's.
 */
import { randomInt } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createResolver } from '../../lib/dns/index.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { Disposables } from '../helpers/disposables.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const PATTERNS = `ded[0-9]+.com  127.0.0.2  registered in series: $
192.0.2.0/24   127.0.0.4  see https://list.example/?ip=$
!192.0.2.55
127.0.7.0/24   127.0.0.9
`;
const REPLY = { code: 554, enhanced: '5.7.1' };

describeWith(['postfix', 'a resolver of its own'], 'Postfix, asking milter dns', () => {
  // An address of loopback that nobody else has: port 53 of the others may be taken.
  const address = `127.53.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  const stack = new Disposables();
  let folder: string;
  let dns: RunningMilter;
  let postfix: Postfix;
  let screen: number;

  beforeAll(async () => {
    folder = stack.use(await temporaryDirectory()).path;
    writeFileSync(join(folder, 'patterns'), PATTERNS);
    writeFileSync(
      join(folder, 'milter.toml'),
      `socket = "fd:3"
user = "nobody"
data = "data"
[log]
format = "json"
[dns_server]
listen = "${address}:53"
zone = "bl.test"
patterns = "file:patterns"
name_servers = ["ns.example.net"]
`,
    );
    dns = stack.use(new RunningMilter([join(folder, 'milter.toml')], {}, 'dns'));
    expect(await dns.address()).toBe(`${address}:53`);
    screen = await unusedPort();
    postfix = stack.use(
      await startPostfix({
        milters: [],
        nameServer: address,
        main: [
          'smtpd_recipient_restrictions = reject_rbl_client bl.test=127.0.0.4, reject_rbl_client bl.test=127.0.0.2, ' +
            'reject_rhsbl_sender bl.test, permit_mynetworks, reject_unauth_destination',
          'postscreen_access_list =',
          'postscreen_dnsbl_sites = bl.test=127.0.0.9*3, bl.test=127.0.0.[2..4]*1',
          'postscreen_dnsbl_threshold = 2',
          'postscreen_dnsbl_action = enforce',
          'postscreen_greet_wait = 1s',
        ],
        services: [
          `127.0.0.1:${screen} inet n - n - 1 postscreen`,
          'smtpd     pass  -       -       n       -       -       smtpd',
          'dnsblog   unix  -       -       n       -       0       dnsblog',
        ],
      }),
    );
  });
  afterAll(() => stack.disposeAsync());

  /** What smtpd says to a client's sender. */
  async function said(client: string, sender: string) {
    await using session = await SmtpClient.open(postfix.port);
    await session.command(`XCLIENT ADDR=${client} NAME=[UNAVAILABLE]`);
    await session.command('EHLO client.example');
    await session.command(`MAIL FROM:<${sender}>`);
    return await session.command('RCPT TO:<bob@test.invalid>');
  }

  it('refuses listed clients, with the reason from the list', async () => {
    expect(await said('192.0.2.7', 'a@good.example')).toEqual({
      ...REPLY,
      lines: [
        'Service unavailable; Client host [192.0.2.7] blocked using bl.test; see https://list.example/?ip=192.0.2.7',
      ],
    });
    for (const client of ['192.0.2.55', '192.0.3.7'])
      expect(await said(client, 'a@good.example')).toMatchObject({ code: 250 });
  });

  it('refuses senders at domains that a pattern matches', async () => {
    expect(await said('192.0.3.7', 'a@DED304.com')).toMatchObject({
      ...REPLY,
      lines: [
        expect.stringMatching(
          /Sender address \[a@DED304\.com\] blocked using bl\.test; registered in series: ded304\.com$/i,
        ),
      ],
    });
    for (const sender of ['a@ded304.net', 'a@ded.com', ''])
      expect(await said('192.0.3.7', sender)).toMatchObject({ code: 250 });
  });

  it('has postscreen add up what is listed', async () => {
    const screened = async (from: string) => {
      await using session = await SmtpClient.open(screen, 'client.example', from);
      await session.command('MAIL FROM:<a@good.example>');
      return await session.command('RCPT TO:<bob@test.invalid>');
    };
    expect(await screened('127.0.7.3')).toMatchObject({
      code: 550,
      enhanced: '5.7.1',
      lines: ['Service unavailable; client [127.0.7.3] blocked using bl.test'],
    });
    // The test entry alone has one point.
    expect(await screened('127.0.0.2')).toMatchObject({
      ...REPLY,
      lines: [expect.stringContaining('[127.0.0.2]')],
    });
    expect(await screened('127.0.8.3')).toMatchObject({ code: 250 });
    await postfix.logged('addr 127.0.7.3 listed by domain bl.test as 127.0.0.9');
  });

  it('is answered by a process that is root no longer, and still reads its files', async () => {
    const status = readFileSync(`/proc/${dns.child.pid}/status`, 'utf8');
    const [, nobody, group] = /^nobody:[^:]*:(\d+):(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8')) ?? [];
    const four = (id: string | undefined): string => Array(4).fill(id).join('\t');
    expect(status).toContain(`\nUid:\t${four(nobody)}\nGid:\t${four(group)}\n`);
    expect(/^Groups:\t(.*?) *$/m.exec(status)?.[1]).toBe(group);
    expect(/^CapEff:\t0+$/m.test(status)).toBe(true);

    const resolver = createResolver({ servers: [`${address}:53`], tries: 1 });
    writeFileSync(join(folder, 'new'), `${PATTERNS}new.example\n`);
    renameSync(join(folder, 'new'), join(folder, 'patterns'));
    await until(
      'the new version',
      async () => (await resolver.resolve('new.example.bl.test', 'A')).status === 'ok',
    );
  });
});
