import { connect, Socket } from 'node:net';
import { expect, it } from 'vitest';
import { type Dial, dialFirst } from '../../../../lib/filter/backends/dial.ts';
import { SmtpTrouble } from '../../../../lib/filter/backends/smtp-conversation.ts';
import { mailSink } from '../../../helpers/mail-sink.ts';
import { unusedPort } from '../../../helpers/wait.ts';

const signal = (): AbortSignal => AbortSignal.timeout(20_000);

/** Where each address leads; others never answer. */
async function dialing(ports: Readonly<Record<string, number>>) {
  const tried: string[] = [];
  const sockets: Socket[] = [];
  const dial: Dial = (address, port) => {
    tried.push(`${address}:${port}`);
    const to = ports[address];
    const socket = to === undefined ? new Socket() : connect(to, '127.0.0.1');
    sockets.push(socket);
    return socket;
  };
  return { tried, sockets, dial };
}

it('tries IPv6 and IPv4 by turns, and gives up those that do not answer first', async () => {
  await using sink = await mailSink();
  const { tried, sockets, dial } = await dialing({ '192.0.2.2': sink.port });
  const socket = await dialFirst(['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2'], dial, signal());
  expect(tried).toEqual(['2001:db8::1:25', '192.0.2.1:25', '2001:db8::2:25', '192.0.2.2:25']);
  expect(sockets.map(({ destroyed }) => destroyed)).toEqual([true, true, true, false]);
  socket.destroy();
});

it('does not try another one where the first answers', async () => {
  await using sink = await mailSink();
  const { tried, dial } = await dialing({ '192.0.2.1': sink.port });
  (await dialFirst(['192.0.2.1', '192.0.2.2'], dial, signal())).destroy();
  expect(tried).toEqual(['192.0.2.1:25']);
});

it('says why none answers', async () => {
  const port = await unusedPort();
  const { tried, dial } = await dialing({ '192.0.2.1': port, '192.0.2.2': port });
  await expect(dialFirst(['192.0.2.1', '192.0.2.2'], dial, signal())).rejects.toThrow(
    /^connect ECONNREFUSED/,
  );
  expect(tried).toHaveLength(2);
});

it('ends when it is told', async () => {
  const { sockets, dial } = await dialing({});
  const end = new AbortController();
  const dialed = dialFirst(['192.0.2.1', '192.0.2.2'], dial, end.signal);
  end.abort();
  await expect(dialed).rejects.toEqual(new SmtpTrouble('it took too long'));
  expect(sockets.every(({ destroyed }) => destroyed)).toBe(true);
});
