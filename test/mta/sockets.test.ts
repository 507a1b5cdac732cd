import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { Milter } from '../../lib/index.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { serving } from '../helpers/server.ts';
import { SmtpClient } from '../helpers/smtp.ts';

/** Only waits for the end of the message: Postfix sends all the rest without a reply in between. */
class AtEnd extends Milter {
  override eom(): void {}
}

const HEADER_ADDING_FILTER = `import { Milter } from 'libmilter';
export default class Gate extends Milter { eom() { this.message.addHeader('X-Gate', 'passed'); } }`;

const MESSAGES = 40;
const SUBMISSION = {
  sender: 'ann@one.test',
  recipients: ['bob@test.invalid'],
  message: `Subject: hello\r\n\r\n${'some text\r\n'.repeat(400)}`,
};

/** How long a message took, in milliseconds. */
async function timed(client: SmtpClient): Promise<number> {
  const begin = performance.now();
  expect((await client.send(SUBMISSION)).end).toMatchObject({ code: 250 });
  return performance.now() - begin;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

describeWith(['postfix'], 'postfix', () => {
  it('is served as fast over TCP as over a unix socket, never waiting for a delayed acknowledgement', async () => {
    await using directory = await temporaryDirectory();
    await using overTcp = await serving(AtEnd);
    await using overUnix = await serving(AtEnd, {
      socket: `unix:${directory.path}/milter`,
      socketMode: 0o666,
    });
    const [startingTcp, startingUnix] = [
      startPostfix({ milters: [overTcp.server.address] }),
      startPostfix({ milters: [overUnix.server.address] }),
    ];
    await using tcp = await startingTcp;
    await using unix = await startingUnix;
    await using tcpClient = await SmtpClient.open(tcp.port);
    await using unixClient = await SmtpClient.open(unix.port);
    const times: { readonly tcp: number; readonly unix: number }[] = [];
    // In turns, so that what else the machine does slows both alike.
    for (let i = 0; i < MESSAGES; i++)
      times.push({ tcp: await timed(tcpClient), unix: await timed(unixClient) });
    const medians = { tcp: median(times.map(({ tcp }) => tcp)), unix: median(times.map(({ unix }) => unix)) };
    expect(medians.tcp).toBeLessThan(3 * medians.unix);
  });

  it.each([
    ['outside of a chroot', 'n'],
    ['in a chroot', 'y'],
  ])('finds %s a socket below its queue directory, and may use it by its group', async (_, chroot) => {
    await using postfix = await startPostfix({ milters: ['unix:milter/filter.sock'] });
    const folder = join(postfix.config, '../spool/milter');
    await mkdir(folder);
    const filter = join(postfix.config, 'filter.mjs');
    await writeFile(filter, HEADER_ADDING_FILTER);
    const permissions = ['--socket-mode', '660', '--socket-group', 'postfix'];
    await using running = new RunningMilter([
      filter,
      '--socket',
      `unix:${folder}/filter.sock`,
      ...permissions,
    ]);
    await running.address();
    const services = join(postfix.config, 'master.cf');
    const inChroot = (await readFile(services, 'utf8')).replace(/^(cleanup +unix +n +- +)n/m, `$1${chroot}`);
    await writeFile(services, inChroot);
    await promisify(execFile)('postfix', ['-c', postfix.config, 'reload']);
    await postfix.submit('ann@one.test', ['bob@test.invalid'], 'Subject: hello\n\nhi\n');
    const [mail] = await postfix.delivered(1);
    expect(mail).toContain('X-Gate: passed');
  });
});
