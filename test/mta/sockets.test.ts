import { expect, it } from 'vitest';
import { Milter } from '../../lib/index.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { serving } from '../helpers/server.ts';
import { SmtpClient } from '../helpers/smtp.ts';

/** Only waits for the end of the message: Postfix sends all the rest without a reply in between. */
class AtEnd extends Milter {
  override eom(): void {}
}

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
});
