/** How often a message has the MTA wait for the filter: three times, whatever modules there are. */
import { expect, it } from 'vitest';
import { starterText } from '../../../lib/cli/starter.ts';
import { openFilter } from '../../../lib/filter/index.ts';
import { ownModules } from '../../../lib/filter/modules/index.ts';
import { membersOfFilter } from '../../../lib/milter/compose.ts';
import { isMilterClass } from '../../../lib/milter/milter.ts';
import { Mode, stageIndex, stages } from '../../../lib/protocol/stages.ts';
import { makePlan } from '../../../lib/run/plan.ts';
import { readOptions } from '../../../lib/serve/options.ts';
import { MemoryResolver } from '../../../lib/testing/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { serving } from '../../helpers/server.ts';

const configurations: Readonly<Record<string, (data: string) => string>> = {
  'the starter configuration': (data) => starterText({ data }),
  'all modules': (data) =>
    `socket = "inet:0@127.0.0.1"\ndata = "${data}"\n${Object.keys(ownModules)
      .map((name) => `[[module]]\nuse = "${name}"\n`)
      .join('')}`,
};

it.each(Object.keys(configurations))('%s: envfrom, envrcpt and eom', async (name) => {
  await using folder = await temporaryDirectory();
  const { Filter, close } = await openFilter(configurations[name]?.(folder.path) ?? '', {
    directory: folder.path,
    resolver: new MemoryResolver({ 'example.org': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] } }),
  });
  try {
    const members = membersOfFilter(Filter).filter(isMilterClass);
    const { modes } = makePlan(1, members, readOptions({ socket: 'inet:1' }), false).engine;
    expect(stages.filter((stage) => modes[stageIndex[stage]] === Mode.wait)).toEqual([
      'envfrom',
      'envrcpt',
      'eom',
    ]);
    await using t = await serving(Filter);
    await using mta = await t.mta();
    const { verdict } = await mta.sendMessage('From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n', {
      client: { hostname: 'mail.example.org', address: '192.0.2.7' },
      helo: 'mail.example.org',
      sender: 'a@example.org',
      recipients: ['b@example.com'],
    });
    expect(verdict).toBe('continue');
    expect(t.server.stats().tickets.created).toBe(3);
  } finally {
    await close();
  }
});
