import { describe, expect, it } from 'vitest';
import { parseConfig, ReloadableFilter } from '../../../lib/filter/index.ts';
import { fakeSession } from '../../../lib/testing/index.ts';
import { keepingLogger, probeDirectory } from '../../helpers/filter.ts';
import { until } from '../../helpers/wait.ts';

const probe = (options: string): string => `
socket = "inet:8894@127.0.0.1"
[store]
url = "memory:"
[[module]]
use = "./probe.ts"
${options}
`;
const mail = { sender: 'a@example.org', recipients: ['b@example.com'] };
const EML = 'From: a@example.org\n\nhello\n';

async function open(text: string, patience?: number) {
  const logger = keepingLogger();
  const source = { text };
  const filter = await ReloadableFilter.open(
    async (options) => await parseConfig(source.text, { ...options, directory: probeDirectory }),
    { logger, ...(patience !== undefined && { patience }) },
  );
  const messages = (): readonly string[] => logger.lines.map(({ message }) => message);
  return { filter, source, logger, messages };
}

describe('a configuration that is read anew', () => {
  it('is for new connections, while sessions keep the one they began with', async () => {
    const { filter, source } = await open(probe('sender = "reject"'));
    const old = fakeSession(filter.filter);
    expect((await old.sendMessage(EML, mail)).verdict).toBe('reject');
    source.text = probe('add = "new"');
    const before = filter.current;
    expect(await filter.reload()).toBe(true);
    const fresh = fakeSession(filter.filter);
    const { verdict, message } = await fresh.sendMessage(EML, mail);
    expect([verdict, message.headers.some(({ name }) => name === 'X-Probe')]).toEqual(['continue', true]);
    expect((await old.sendMessage(EML, mail)).verdict).toBe('reject');
    expect(filter.current.store).toBe(before.store);
    expect(filter.current.resolver).toBe(before.resolver);
    await old.close();
    await fresh.close();
    await filter.close();
  });

  it('is the last one, also where it changes while another is being read', async () => {
    const logger = keepingLogger();
    const source = { text: probe('add = "first"') };
    const gate = Promise.withResolvers<void>();
    let reads = 0;
    const filter = await ReloadableFilter.open(
      async (options) => {
        const { text } = source;
        if (++reads === 2) await gate.promise;
        return await parseConfig(text, { ...options, directory: probeDirectory });
      },
      { logger },
    );
    source.text = probe('sender = "nonsense"');
    const second = filter.reload();
    source.text = probe('sender = "reject"');
    const others = [filter.reload(), filter.reload()];
    gate.resolve();
    expect(await Promise.all([second, ...others])).toEqual([false, true, true]);
    expect(reads).toBe(3);
    const session = fakeSession(filter.filter);
    expect((await session.sendMessage(EML, mail)).verdict).toBe('reject');
    await session.close();
    await filter.close();
  });

  it('has sessions come again that outlive theirs for too long', async () => {
    const { filter, source } = await open(probe('add = "old"'), 1);
    const old = fakeSession(filter.filter);
    expect((await old.sendMessage(EML, mail)).verdict).toBe('continue');
    source.text = probe('add = "new"');
    await filter.reload();
    await until('the session to be sent away', async () => {
      const { verdict, reply } = await old.sendMessage(EML, mail);
      return verdict === 'tempfail' && reply?.code === 421;
    });
    await old.close();
    await filter.close();
  });

  it('with faults is not taken; each fault is logged with its place', async () => {
    const { filter, source, logger } = await open(probe('sender = "reject"'));
    source.text = probe('sender = "rejct"\nrecipent = "reject"');
    expect(await filter.reload()).toBe(false);
    const faults = logger.lines.filter(({ fields }) => 'line' in fields);
    expect(faults).toMatchObject([
      { level: 'error', fields: { line: 7, key: 'sender' }, message: expect.stringContaining('"reject"?') },
      { level: 'error', fields: { line: 8, key: 'recipent' } },
    ]);
    const session = fakeSession(filter.filter);
    expect((await session.sendMessage(EML, mail)).verdict).toBe('reject');
    await session.close();
    await filter.close();
  });

  it('says what needs a restart, and keeps it', async () => {
    const { filter, source, logger } = await open(`data = "here"\n${probe('add = "a"')}`);
    const { data } = filter.current.config.settings;
    source.text = `data = "there"\nuser = "nobody"\n${probe('add = "b"')}`.replace('8894', '8895');
    expect(await filter.reload()).toBe(true);
    expect(logger.lines.find(({ level }) => level === 'warn')?.fields).toEqual({
      keys: 'socket, user, data',
    });
    expect(filter.current.config.settings.data).toBe(data);
    await filter.close();
  });

  it('is not taken where no filter can be made of it, and what was opened for it is closed', async () => {
    const { filter, source, messages } = await open(probe('add = "old"'));
    source.text = `${probe('add = "new"')}\n[[module]]\nuse = "./misspelt.ts"`;
    expect(await filter.reload()).toBe(false);
    expect(messages()).toContain('it is closed');
    expect(filter.current.storeUsers.count).toBe(1);
    await filter.close();
  });

  it('is closed when no session follows it any more', async () => {
    const { filter, source } = await open(probe('add = "old"'));
    const session = fakeSession(filter.filter);
    await session.sendMessage(EML, mail);
    const old = filter.current;
    source.text = probe('add = "new"');
    await filter.reload();
    expect(old.storeUsers.count).toBe(2);
    await session.close();
    await until('the old filter to be closed', () => old.storeUsers.count === 1);
    await filter.close();
    expect(old.storeUsers.count).toBe(0);
  });
});
