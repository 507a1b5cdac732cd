/** `milter access`, beside the running filter. */
import { describe, expect, it } from 'vitest';
import { connectMta } from '../../../lib/testing/index.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { configured } from '../../helpers/configured.ts';
import { until } from '../../helpers/wait.ts';

const ACCESS = '[[module]]\nuse = "access"\n';

async function verdict(address: string): Promise<string | undefined> {
  const mta = await connectMta(address);
  const { recipients } = await mta.sendMessage('Subject: hi\n\nHi.\n', {
    sender: 'ann@spam.example',
    recipients: ['bob@example.com'],
  });
  await mta.quit();
  return recipients[0]?.verdict;
}

describe('milter access', () => {
  it('adds, lists and removes what a running filter heeds', async () => {
    const file = configured(ACCESS);
    const access = async (...args: string[]) => await milter(['access', '--config', file, ...args]);
    await using running = new RunningMilter([file]);
    const address = await running.address();
    expect(await verdict(address)).toBe('continue');
    expect(await access('add', 'From:spam.example', 'ERROR:5.7.1:550', 'Go', 'away')).toEqual({
      status: 0,
      out: '',
      err: '',
    });
    expect((await access('list')).out).toBe('From:spam.example ERROR:5.7.1:550 Go away\n');
    await until('the filter to heed it', async () => (await verdict(address)) === 'reject');
    expect((await access('remove', 'From:spam.example')).status).toBe(0);
    await until('the filter to heed it', async () => (await verdict(address)) === 'continue');
    expect(await access('remove', 'From:spam.example')).toMatchObject({
      status: 1,
      err: expect.stringContaining('no entry'),
    });
  });

  it.each([
    [['add', 'From:x'], 2, 'expected add KEY VALUE'],
    [['add', 'From:x', 'MAYBE'], 2, 'From:x MAYBE: '],
    [['list', 'x'], 2, 'expected add KEY VALUE'],
    [['--for', 'ever', 'add', 'From:x', 'OK'], 2, '--for needs a time'],
  ])('%j ends with one line', async (args, status, words) => {
    const result = await milter(['access', '--config', configured(ACCESS), ...args]);
    expect(result).toMatchObject({ status, out: '', err: expect.stringContaining(words) });
    expect(result.err).toMatch(/^milter access: [^\n]*\n$/);
  });
});
