import { describe, expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { fakeSession, MemoryResolver } from '../../../lib/testing/index.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

async function judge(
  config: string,
  message: { sender?: string; recipients?: string[]; helo?: string; address?: string; eml?: string },
) {
  const filter = await openFilter(`socket = "inet:8894@127.0.0.1"\n[store]\nurl = "memory:"\n${config}`, {
    resolver: new MemoryResolver({}),
    logger: quiet,
  });
  try {
    const mta = fakeSession(filter.Filter, { logger: quiet });
    const { sender = 'a@example.org', recipients = ['b@example.com'], helo = 'mail.example.org' } = message;
    const client = { hostname: 'mail.example.org', address: message.address ?? '192.0.2.7' };
    const result = await mta.sendMessage(message.eml ?? 'Subject: x\n\nhello\n', {
      client,
      sender,
      recipients,
      helo,
    });
    await mta.close();
    return { result, history: await filter.history.find({}) };
  } finally {
    await filter.close();
  }
}

describe('a finding before DATA', () => {
  const helo = '[[module]]\nuse = "helo"\n';

  it('refuses every recipient, with a reference by which it is found again', async () => {
    const { result, history } = await judge(helo, {
      helo: '192.0.2.7',
      recipients: ['b@example.com', 'c@example.com'],
    });
    const [record] = history;
    expect(result.recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'reject']);
    expect(result.recipients[0]?.reply).toMatchObject({ code: 550, enhanced: '5.5.2' });
    expect(result.recipients[0]?.reply?.lines[0]).toContain(`[ref ${record?.ref}]`);
    expect(record?.findings).toMatchObject([{ name: 'helo-address', action: 'reject', observed: false }]);
  });

  it('does nothing in observe mode but to be known', async () => {
    const { result, history } = await judge(`${helo}mode = "observe"\n`, { helo: '192.0.2.7' });
    expect(result.verdict).toBe('continue');
    expect(history[0]?.findings).toMatchObject([{ name: 'helo-address', observed: true }]);
  });

  it('does not concern internal clients, whose modules are left out', async () => {
    const { result } = await judge(`${helo}[[module]]\nuse = "networks"\n`, {
      helo: '192.0.2.7',
      address: '127.0.0.1',
    });
    expect(result.verdict).toBe('continue');
  });

  it('becomes points, which the module score weighs', async () => {
    const { result } = await judge(`${helo}address = "score 6"\n[[module]]\nuse = "score"\n`, {
      helo: '192.0.2.7',
    });
    expect(result.verdict).toBe('continue');
    expect(result.message.headers.map(({ name, value }) => [name, value])).toContainEqual([
      'X-Milter-Findings',
      'score-tag',
    ]);
  });
});
