import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import type { MemoryZone } from '../../../../lib/testing/index.ts';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';
import { mailSink, type SinkAnswer } from '../../../helpers/mail-sink.ts';

const SOFT: MemoryZone = {
  'far.example': { TXT: ['v=spf1 ~all'], MX: [{ preference: 10, exchange: 'mx.far.example' }] },
  'mx.far.example': { A: ['192.0.2.25'] },
};

const modules = (options: string, more = ''): string => `[[module]]
use = "networks"
domains = ["ours.example"]
[[module]]
use = "spf"
softfail = "callout"
[[module]]
use = "srs"
secrets = "the secret of these tests"
[[module]]
use = "callout"
${options}
${more}`;

const MAIL: TestMail = { sender: 'ann@far.example', recipients: ['bob@ours.example'], helo: 'dial.example' };

async function start(
  options = 'dsn = "asked"',
  { answer = undefined as SinkAnswer | undefined, zone = SOFT, more = '', now = Date.now, store = 'memory:' } = {},
) {
  const stack = new AsyncDisposableStack();
  const sink = stack.use(await mailSink(answer));
  const dialed: string[] = [];
  const filter = stack.use(
    await testFilter(modules(options, more), {
      zone,
      now,
      store,
      dial: (address, port) => {
        dialed.push(`${address}:${port}`);
        return connect(sink.port, '127.0.0.1');
      },
    }),
  );
  return {
    sink,
    filter,
    dialed,
    send: async (mail: TestMail = {}) => {
      const { verdict, reply } = await filter.send({ ...MAIL, ...mail });
      return reply === undefined ? verdict : `${reply.code} ${reply.enhanced} ${reply.lines.join(' ')}`;
    },
    found: async () => (await filter.last())?.findings.map(({ name }) => name),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

describe('the explanation', () => {
  it('is sent, and what it was about is accepted', async () => {
    await using site = await start();
    expect(await site.send()).toBe('continue');
    expect(site.dialed).toEqual(['192.0.2.25:25']);
    expect(site.sink.mails).toHaveLength(1);
    console.log(site.sink.mails[0]?.message, site.filter.logger.lines, await site.found());
  });
});
