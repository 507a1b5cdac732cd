/** Held, released and copied mail under Postfix. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type OpenedFilter, openFilter } from '../../lib/filter/index.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { keepingLogger, probeDirectory } from '../helpers/filter.ts';
import { startFiltered } from '../helpers/filtered.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { until } from '../helpers/wait.ts';

const configuration = (data: string, port: number): string => `
socket = "inet:8894@127.0.0.1"
hostname = "mx.test.invalid"
data = "${data}"
[store]
url = "memory:"
[outgoing]
smtp = "127.0.0.1:${port}"

[[module]]
use = "networks"
domains = ["test.invalid"]
internal_as_other = "continue"

[[module]]
use = "./probe.ts"
message = "quarantine"
match = { to = ["held@test.invalid"] }

[[module]]
use = "disclaimer"
when = ["local"]
text = "A text at the end of mail"

[[module]]
use = "copies"
copy = [{ of = "local", maildir = "copies" }]
`;

async function heldItems({ quarantine }: OpenedFilter) {
  const items = [];
  for await (const item of quarantine.held.list()) if (item.state === 'held') items.push(item);
  return items;
}

/** Without what Postfix adds, and what is added on delivery. */
function asSent(mail: string): string {
  return mail.replace(/^(?:Return-Path|X-Original-To|Delivered-To|Received):.*\n(?:[ \t].*\n)*/gm, '');
}

describeWith(['postfix'], 'under Postfix', () => {
  it('what is held comes to its owner when it is released, and passes the filter on its way', async () => {
    await using directory = await temporaryDirectory();
    await using filtered = await startFiltered((milter) => startPostfix({ milters: [milter] }));
    const logger = keepingLogger();
    const filter = await openFilter(configuration(join(directory.path, 'data'), filtered.mta.port), {
      directory: probeDirectory,
      logger,
    });
    filtered.use(filter.Filter);
    const draft = {
      sender: 'ann@one.test',
      headers: ['Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=', 'X-Fold: one', '\ttwo'],
    };

    const both = await filtered.send({
      ...draft,
      recipients: ['held@test.invalid', 'bob@test.invalid'],
      body: 'a line\r\n.dots\r\nGr\xfc\xdfe\r\n',
    });
    expect(both.replies.end?.code).toBe(250);
    expect(both.mails.map((mail) => mail.get('Delivered-To'))).toEqual(['bob@test.invalid']);
    const [item, ...others] = await heldItems(filter);
    if (item === undefined) throw new Error('it is held');
    expect({ owner: item.owner, others }).toEqual({ owner: 'held@test.invalid', others: [] });
    const original = await filter.quarantine.held.read(item);

    const { outcome } = await filter.quarantine.review.release({ name: 'test', isAdmin: true }, item.id);
    expect(outcome).toBe('released');
    const mail = await until('the released mail', async () =>
      (await filtered.mailsWith('Delivered-To: held@test.invalid')).at(0),
    );
    expect(mail.get('Return-Path')).toBe('<ann@one.test>');
    expect(mail.get('X-Milter-Released')).toBeUndefined();
    const delivered = asSent(`${mail.head}\n${mail.body}`);
    expect(delivered).toBe(
      `${original.toString('latin1').replaceAll('\r\n', '\n')}A text at the end of mail\n`,
    );
    expect(logger.lines.map(({ message }) => message)).toContain('message is released, or the filter’s own');
    expect(await heldItems(filter)).toEqual([]);

    // Each copy is what was delivered.
    const folder = join(directory.path, 'data/copies/new');
    const copies = await Promise.all(
      (await readdir(folder)).map(async (name) => asSent(await readFile(join(folder, name), 'latin1'))),
    );
    expect(copies.map((copy) => copy.trimEnd())).toEqual([delivered.trimEnd(), delivered.trimEnd()]);
    await filter.close();
  });
});
