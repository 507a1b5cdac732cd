/**
 * What the filter of a configuration does under a real Postfix when something around it fails: what the SMTP client is
 * told, what is logged, that nothing is lost, and that all is well afterwards. docs/reliability.md says so to administrators.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectMta } from '../../lib/testing/index.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { configured, folderWith } from '../helpers/configured.ts';
import { probeDirectory } from '../helpers/filter.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith, isMissing, libfaketime } from '../helpers/requirements.ts';
import { startClamd } from '../helpers/scanners.ts';
import { CLIENT } from '../helpers/server.ts';
import { SmtpClient, type SmtpReply, type SubmissionReplies, sendMail } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const FAULTY = `[[module]]\nuse = "${probeDirectory}/faulty.ts"\nblocks = 3000\n`;
const GREYLIST = '[[module]]\nuse = "greylist"\nspare = []\non_error = "tempfail"\ndeadline = "1s"\n';

/** The last reply to a message. */
const said = ({ mail, recipients, data, end }: SubmissionReplies): SmtpReply =>
  end ?? data ?? recipients[0] ?? mail;

/** As an administrator sees it. */
const shown = (reply: SubmissionReplies): string => {
  const { code, enhanced, lines } = said(reply);
  return `${code} ${enhanced} ${lines.join(' ').replace(/ \[ref \w+\]$/, '')}`;
};

/** Its configuration file, as it was started. */
const configOf = ({ child }: RunningMilter): string =>
  child.spawnargs.find((argument) => argument.endsWith('.toml')) ?? '';

describeWith(['postfix'], 'under Postfix', () => {
  let socket: string;
  let postfix: Postfix;
  /** Where Postfix waits no longer than a second for a filter. */
  let impatient: number;
  beforeAll(async () => {
    socket = `inet:${await unusedPort()}@127.0.0.1`;
    impatient = await unusedPort();
    // A daemon that is killed is started again at once.
    postfix = await startPostfix({
      milters: [socket],
      main: ['service_throttle_time = 1s'],
      services: [`127.0.0.1:${impatient} inet n - n - - smtpd -o milter_command_timeout=1s`],
    });
  });
  afterAll(async () => {
    await postfix?.[Symbol.asyncDispose]();
  });

  async function started(modules: string, top = '', options = {}): Promise<RunningMilter> {
    const running = new RunningMilter([configured(modules, top), '--socket', socket], options);
    await running.address();
    return running;
  }

  /** Where it keeps things. */
  const dataOf = (running: RunningMilter): string => join(dirname(configOf(running)), 'data');

  let sent = 0;
  /** Sends one message as a client elsewhere does. */
  async function send(sender = 'ann@one.test', body = 'text\r\n'): Promise<SubmissionReplies> {
    await using client = await SmtpClient.open(postfix.port);
    await client.command('XCLIENT ADDR=192.0.2.99 NAME=[UNAVAILABLE]');
    await client.command('EHLO client.test');
    return await client.send({
      sender,
      recipients: ['bob@test.invalid'],
      message: `Message-Id: <${++sent}.${process.pid}@one.test>\r\nSubject: hi\r\n\r\n${body}`,
    });
  }

  const lastDelivered = async (): Promise<number> => {
    await postfix.settled();
    const id = `Message-Id: <${sent}.${process.pid}@one.test>`;
    return (await postfix.delivered(0)).filter((mail) => mail.includes(id)).length;
  };

  /** Kills Postfix's own processes that speak with clients and filters. */
  function killDaemons(): void {
    const master = readFileSync(join(postfix.config, '../spool/pid/master.pid'), 'utf8').trim();
    const { stdout } = spawnSync('pgrep', ['-P', master, '-x', 'smtpd|cleanup'], { encoding: 'utf8' });
    for (const pid of stdout.split('\n').filter((line) => line !== '')) process.kill(Number(pid), 'SIGKILL');
  }

  it('a filter that is not there, or has no room: senders come again, and are taken then', async () => {
    const unavailable = '451 4.7.1 Service unavailable - try again later';
    expect(shown(await send())).toBe(unavailable);
    await using running = await started(FAULTY, 'max_connections = 1\n');
    {
      await using mta = await connectMta(await running.address());
      await mta.connect('client.test', CLIENT);
      expect(shown(await send())).toBe(unavailable);
    }
    await until('room', async () => said(await send()).code === 250);
  });

  it('an MTA that is killed at any stage leaves nothing behind', async () => {
    const port = await unusedPort();
    await using running = await started(
      `${FAULTY}[[module]]\nuse = "copies"\ncopy = [{ of = "all", maildir = "copies" }]\n`,
      `[http]\nlisten = "127.0.0.1:${port}"\nreview = false\n`,
    );
    for (const stage of ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom']) {
      const client = send(`hang.${stage}@one.test`).then(
        () => 'answered',
        (error: Error) => error.message,
      );
      await until(`the module to wait in ${stage}`, () => running.err.includes(`waiting in ${stage}`));
      killDaemons();
      expect(await client).toMatch(/^the SMTP server hung up/);
      await until(`${stage} to be over`, () => running.err.includes(`done with in ${stage}`));
    }
    const next = await until('Postfix to have others', () => send().catch(() => undefined));
    expect(said(next)).toMatchObject({ code: 250 });
    expect(await lastDelivered()).toBe(1);
    // Nothing of those that never were.
    const copies = join(dataOf(running), 'copies/new');
    expect(readdirSync(copies)).toHaveLength(1);
    expect(running.err).not.toMatch(/"level":"(error|warn)"/);
    expect(running.err).toContain('the MTA hung up before its message was decided');
    expect(
      (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).match(/^milter_verdicts_total.*/gm),
    ).toEqual(['milter_verdicts_total{verdict="accept"} 1']);
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('SQLite that somebody locks: the module’s on_error, and then on as before', async () => {
    await using running = await started(GREYLIST);
    // Its thread takes a moment to start.
    await until('the greylist', async () => /^451 4\.7\.1 /.test(shown(await send())));
    const file = join(dataOf(running), 'milter.db');
    const other = new DatabaseSync(file);
    other.exec('BEGIN IMMEDIATE');
    try {
      expect(shown(await send('other@one.test'))).toBe(
        '451 4.3.0 Mail filter failed, please try again later',
      );
      expect(running.err).toContain('module greylist failed: its time is up');
    } finally {
      other.exec('COMMIT');
      other.close();
    }
    await until('the greylist', async () => /^451 4\.7\.1/.test(shown(await send('third@one.test'))));
  });

  /** As a full disk does, fails whatever is written to files, but without a disk: for `room` bytes of each. */
  function limitFiles({ child: { pid } }: RunningMilter, room: number | 'unlimited'): void {
    execFileSync('prlimit', ['--pid', String(pid), `--fsize=${room}:`]);
  }

  it.skipIf(!existsSync('/usr/bin/prlimit'))(
    'files that cannot be written: nothing is accepted that could not be kept, and nothing is there by half',
    async () => {
      const match = (module: string): string => `match = { from = ["${module}.test"] }\n`;
      await using running = await started(
        `${GREYLIST}${match('greylist')}` +
          `[[module]]\nuse = "copies"\ncopy = [{ of = "all", maildir = "copies" }, { of = "all", mbox = "box" }]\n${match('copies')}` +
          `[[module]]\nuse = "${probeDirectory}/probe.ts"\nmessage = "quarantine"\n${match('held')}`,
      );
      const data = dataOf(running);
      const large = `${'a line of a message that is not short\r\n'.repeat(2_000)}its end\r\n`;
      // Not to be compressed.
      const noise = Array.from({ length: 3_000 }, () => Math.random().toString(36)).join('\r\n');
      expect(shown(await send('a@copies.test', large))).toMatch(/^250 /);
      expect(shown(await send('a@held.test', `${noise}\r\n`))).toMatch(/^250 /);
      await until('the greylist', async () => /^451 4\.7\.1 /.test(shown(await send('a@greylist.test'))));
      limitFiles(running, 0);
      expect(shown(await send('b@copies.test', large))).toBe(
        '451 4.3.0 Mail filter failed, please try again later',
      );
      expect(shown(await send('b@held.test', `${noise}\r\n`))).toMatch(/^45[12] 4\.3\.[01] /);
      expect(shown(await send('b@greylist.test'))).toBe(
        '451 4.3.0 Mail filter failed, please try again later',
      );
      // What needs no file goes on.
      expect(shown(await send('b@one.test'))).toMatch(/^250 /);
      expect(running.err).toMatch(/module copies failed: .*EFBIG/);
      expect(running.err).toMatch(/module greylist failed: the store \S+milter\.db fails: /);
      limitFiles(running, 'unlimited');
      expect(shown(await send('c@copies.test', large))).toMatch(/^250 /);
      expect(shown(await send('c@held.test', `${noise}\r\n`))).toMatch(/^250 /);
      await until('the greylist', async () => /^451 4\.7\.1 /.test(shown(await send('c@greylist.test'))));
      expect(readdirSync(join(data, 'copies/new'))).toHaveLength(2);
      expect(readdirSync(join(data, 'copies/tmp'))).toEqual([]);
      const box = readFileSync(join(data, 'box'), 'latin1');
      expect(box.match(/^From a?c?@copies/gm)?.length).toBe(2);
      expect(box.match(/^its end$/gm)?.length).toBe(2);
      const list = await milter(['quarantine', 'list', '--json', '--config', configOf(running)]);
      expect(new Set(list.out.match(/[abc](?=@held\.test)/g))).toEqual(new Set(['a', 'c']));
    },
  );

  it('DNS that answers nothing: mail that depends on it waits, the rest goes on, and nobody waits for long', async () => {
    const dead = createSocket('udp4');
    dead.bind(0, '127.0.0.1');
    await once(dead, 'listening');
    const { port } = dead.address();
    const top = `[dns]\nservers = ["127.0.0.1:${port}"]\ntimeout = "300ms"\n`;
    const asking =
      '[[module]]\nuse = "ptr"\n[[module]]\nuse = "helo"\n[[module]]\nuse = "dnsbl"\nclient = [{ zone = "bl.test", action = "reject" }]\n';
    {
      await using running = await started(`${asking}[[module]]\nuse = "spf"\n`, top);
      expect(shown(await send())).toMatch(
        /^451 4\.4\.3 .*DNS does not answer for the SPF record of one\.test/,
      );
      expect(running.err).toContain('spf-temperror');
    }
    await using running = await started(`${asking}[[module]]\nuse = "auth"\n`, top);
    const many = await Promise.all(Array.from({ length: 10 }, () => send()));
    expect(new Set(many.map((reply) => said(reply).code))).toEqual(new Set([250]));
    expect(running.err).not.toContain('its time is up');
    dead.close();
  });

  it('clamd that hangs: mail is told to come again, and taken when it goes on', async () => {
    if (isMissing(['clamd'], 'a clamd that hangs')) return;
    await using clamd = await startClamd();
    await using running = await started(
      `[[module]]\nuse = "antivirus"\nclamd = "${clamd.unix}"\ndeadline = "500ms"\n`,
    );
    expect(shown(await send())).toMatch(/^250 /);
    clamd.signal('SIGSTOP');
    // After a third failure it would not be asked for ten seconds.
    const both = [await send(), await send()];
    expect(new Set(both.map(shown))).toEqual(
      new Set(['451 4.3.0 Mail filter failed, please try again later']),
    );
    expect(running.err).toContain('module antivirus failed: clamd did not answer in time');
    clamd.signal('SIGCONT');
    await until('clamd to be asked again', async () => said(await send()).code === 250);
    expect(await lastDelivered()).toBe(1);
  });

  /** A filter file that stands still where the sender says so. */
  const BLOCKING = `
    import { Milter } from 'libmilter';
    export default class Blocking extends Milter {
      envfrom(sender) {
        if (!sender.startsWith('<block@')) return;
        process.stderr.write('blocked\\n');
        const end = performance.now() + 3_000;
        while (performance.now() < end);
      }
    }`;

  it.each([
    ['libmilter', 'answers at the deadline', /^451 4\.3\.0 /],
    ['js', 'answers late, and Postfix gives up first', /^451 4\.7\.1 Service unavailable/],
  ])('an event loop that stands still: %s %s, and then all is as before', async (engine, _, reply) => {
    const file = join(folderWith({ 'blocking.mjs': BLOCKING }), 'blocking.mjs');
    const args = ['--engine', engine, '--deadline', 'envfrom=500', '--socket', socket];
    await using running = new RunningMilter([...args, file]);
    await running.address();
    const port = engine === 'js' ? impatient : postfix.port;
    const mail = { recipients: ['bob@test.invalid'], message: 'Subject: hi\r\n\r\ntext\r\n' };
    const blocked = sendMail(port, { ...mail, sender: 'block@one.test' });
    await until('the loop to be blocked', () => running.err.includes('blocked'));
    // Others who come meanwhile fare the same.
    const other = sendMail(port, { ...mail, sender: 'other@one.test' });
    expect(shown(await blocked)).toMatch(reply);
    expect(shown(await other)).toMatch(/^451 4\.[37]\./);
    await until(
      'mail to be taken',
      async () => said(await sendMail(port, { ...mail, sender: 'ann@one.test' })).code === 250,
    );
    if (engine === 'libmilter') await until('the log', () => running.err.includes('stage=envfrom'));
  });
});

describeWith(['postfix', 'faketime'], 'under Postfix, where the clock jumps', () => {
  it.each(['libmilter', 'js'])(
    'forwards and back, sessions go on, and nobody waits for what was: %s',
    async (engine) => {
      const file = configured(
        `[[module]]\nuse = "greylist"\nspare = []\ndelay = "1m"\n[[module]]\nuse = "ratelimit"\nlimits = [{ key = "client", messages = 5, per = "1h" }]\n`,
        `engine = "${engine}"`,
      );
      const clock = join(dirname(file), 'clock');
      const jump = (by: string): void => writeFileSync(clock, by);
      jump('+0');
      await using running = new RunningMilter([file], {
        env: {
          ...process.env,
          LD_PRELOAD: libfaketime() ?? '',
          FAKETIME_TIMESTAMP_FILE: clock,
          FAKETIME_NO_CACHE: '1',
          FAKETIME_DONT_FAKE_MONOTONIC: '1',
        },
      });
      await using postfix = await startPostfix({ milters: [await running.address()] });
      const send = async (sender: string, meanwhile = () => {}): Promise<string> => {
        await using client = await SmtpClient.open(postfix.port);
        await client.command('XCLIENT ADDR=192.0.2.99 NAME=[UNAVAILABLE]');
        await client.command('EHLO client.test');
        expect((await client.command(`MAIL FROM:<${sender}@one.test>`)).code).toBe(250);
        meanwhile();
        const { code, enhanced } = await client.command('RCPT TO:<bob@test.invalid>');
        if (code !== 250) return `${code} ${enhanced}`;
        expect((await client.command('DATA')).code).toBe(354);
        return `${(await client.command('Subject: hi\r\n\r\ntext\r\n.')).code}`;
      };
      expect(await send('ann')).toMatch(/^451 4\.7\.1/);
      jump('+1h');
      expect(await send('ann')).toMatch(/^250/);
      expect(await send('ann', () => jump('+20d'))).toMatch(/^250/);
      expect(await send('bob', () => jump('-1d'))).toMatch(/^451 4\.7\.1/);
      expect(await send('ann')).toMatch(/^250/);
      expect(await send('cid')).toMatch(/^451 4\.7\.1/);
      jump('-23h');
      expect(await send('cid')).toMatch(/^250/);
      expect(await send('bob')).toMatch(/^250/);
      expect(running.err).not.toMatch(/"level":"(error|warn)"/);
    },
  );
});
