/** `milter why`, beside the running filter. */
import { describe, expect, it } from 'vitest';
import { connectMta } from '../../../lib/testing/index.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { configured } from '../../helpers/configured.ts';
import { until } from '../../helpers/wait.ts';

const HELO = '[[module]]\nuse = "helo"\n';
const ESCAPE = '\u001b[2J';

/** Sends a message, and gives its reference. */
async function send(
  address: string,
  helo: string,
  recipients: readonly string[],
  id: string,
): Promise<string> {
  const mta = await connectMta(address);
  const result = await mta.sendMessage('Subject: hi\n\nHi.\n', {
    client: { address: '192.0.2.7', hostname: 'mail.example.org' },
    helo,
    sender: 'ann@example.org',
    recipients,
    macros: { i: id },
  });
  await mta.quit();
  return / \[ref (\w+)\]/.exec(result.recipients[0]?.reply?.lines[0] ?? '')?.[1] ?? '';
}

describe('milter why', () => {
  it('explains a message by its reference, its queue id, or who sent it to whom', async () => {
    const file = configured(HELO);
    await using running = new RunningMilter([file]);
    const address = await running.address();
    const ref = await send(address, '192.0.2.7', ['bob@example.com'], 'Q1');
    await send(address, `mail${ESCAPE}.example.org`, ['bob@example.com', 'eve@example.com'], 'Q2');
    const why = async (...args: string[]) => await milter(['why', '--config', file, ...args]);
    const refused = await until('the history', async () => {
      const result = await why(ref);
      return result.status === 0 && result;
    });
    expect(
      refused.out.replace(/, \d{4}-.*/, '').replace(/: 550 .* \[ref /, ': 550 … [ref '),
    ).toBe(`Message ${ref}, queue id Q1

Mail from <ann@example.org> to <bob@example.com> was refused because of helo-address (HELO with a bare IP address).

from        <ann@example.org>
client      mail.example.org [192.0.2.7], external, greeted as 192.0.2.7
recipient   <bob@example.com> refused because of helo-address: 550 … [ref ${ref}]
finding     helo-address: HELO with a bare IP address (192.0.2.7) → reject
`);
    const accepted = await why('Q2');
    expect(accepted.out).toContain('to <bob@example.com> and 1 more was accepted.');
    expect(accepted.out).toContain('greeted as mail\\x1b[2J.example.org');
    expect((await why('--to', 'EVE@')).out).toBe(accepted.out);
    const both = await why('--from', 'ann@', '--since', '1h');
    expect(both.out.trimEnd().split('\n')).toHaveLength(2);
    expect(JSON.parse((await why('--json', '--since', '1h')).out)).toMatchObject([
      { queueId: 'Q2' },
      { ref },
    ]);
    expect(await why('QQQQQQ')).toEqual({
      status: 1,
      out: '',
      err: 'milter why: nothing is known of "QQQQQQ"\n',
    });
  });

  it.each([
    [[], 2, 'say which message'],
    [[''], 2, 'REF or QUEUEID is empty'],
    [['A', 'B'], 2, 'one REF or QUEUEID'],
    [['--since', 'yesterday'], 2, '--since needs a time'],
    [['A'], 1, 'store.url is "memory:"'],
  ])('%j ends with one line', async (args, status, words) => {
    const file = configured(HELO, '[store]\nurl = "memory:"');
    const result = await milter(['why', '--config', file, ...args]);
    expect(result).toMatchObject({ status, out: '', err: expect.stringContaining(words) });
    expect(result.err).toMatch(/^milter why: [^\n]*\n$/);
  });
});
