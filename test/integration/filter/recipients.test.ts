/** Module `recipients` on the real libmilter, with a real Postfix as the next mail server. */
import { describe, expect, it } from 'vitest';
import { testFilter } from '../../helpers/filter.ts';
import { startPostfix } from '../../helpers/postfix.ts';
import { CLIENT, serving } from '../../helpers/server.ts';

describe('recipients', () => {
  it('asks a Postfix who exists, and answers in its words', async () => {
    await using hop = await startPostfix({
      milters: [],
      main: ['virtual_mailbox_maps = inline:{ { known@test.invalid = all/ } }'],
    });
    await using filter = await testFilter(
      `[[module]]\nuse = "recipients"\nverify = "tcp:127.0.0.1:${hop.port}"\n`,
    );
    await using test = await serving(filter.Filter);
    const mta = await test.mta();
    await mta.connect('client.test', CLIENT);
    await mta.helo('client.test');
    await mta.envfrom('<ann@one.test>');
    expect(await mta.envrcpt('<known@test.invalid>')).toMatchObject({ verdict: 'continue' });
    const refused = await mta.envrcpt('<nobody@test.invalid>');
    expect(refused).toMatchObject({ reply: { code: 550, enhanced: '5.1.1' } });
    expect(refused.reply?.lines.join(' ')).toMatch(/nobody@test\.invalid.*unknown in virtual mailbox table/);
    await hop.settled();
  });
});
