/** `milter replay`: corpora of all kinds, and what would fare differently. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { milter } from '../../helpers/cli.ts';
import { configured, folderWith } from '../../helpers/configured.ts';
import { probeDirectory } from '../../helpers/filter.ts';

const probe = (options: string): string => `[[module]]\nuse = "${probeDirectory}/probe.ts"\n${options}\n`;
const mail = (to: string): string =>
  `Return-Path: <ann@example.org>\nReceived: from mail.example.org (mail.example.org [198.51.100.9]) by us\nTo: ${to}\n\nhi\n`;

function corpus(): string {
  const mbox = ['a', 'b', 'c'].map((name) => `From x\n${mail(`${name}@example.com`)}>From me\n\n`).join('');
  const folder = folderWith({ mbox, 'one.eml': mail('d@example.com') });
  for (const name of ['cur', 'new', 'tmp']) {
    mkdirSync(join(folder, 'Maildir', name), { recursive: true });
    writeFileSync(join(folder, 'Maildir', name, '1'), mail(`${name}@example.com`));
  }
  writeFileSync(join(folder, 'Maildir', 'dovecot.index'), 'no mail');
  return folder;
}

describe('milter replay', () => {
  it('plays mboxes, maildirs and files, each by the envelope that its headers tell', async () => {
    const file = configured(
      probe('sender = "score 1"\nrecipient = "reject"\nrecipients = ["b@example.com", "new@example.com"]'),
    );
    const { status, out, err } = await milter(['replay', '--config', file, corpus()]);
    expect(err).toBe('');
    expect(out).toMatch(/^6 messages in /);
    expect(out).toMatch(/^ {2}accept +4 +66\.7 %\n {2}reject +2 +33\.3 %$/m);
    expect(out).toMatch(/^ {2}probe-sender → score 1 +6 +100\.0 %$/m);
    expect(out).toMatch(/^ {2}probe-recipient → reject +2 +33\.3 %$/m);
    expect(status).toBe(0);
  });

  it('names the messages that another configuration treats otherwise', async () => {
    const folder = corpus();
    const [now, then] = [
      configured(probe('')),
      configured(probe('recipient = "discard"\nrecipients = ["b@example.com"]')),
    ];
    const { out } = await milter(['replay', '--config', now, '--diff', then, folder]);
    expect(out).toContain(`With ${then}, 1 of them would fare differently:\n`);
    expect(out).toContain(`  ${folder}/mbox#2: accept → discard because of probe-recipient\n`);
    const json = JSON.parse(
      (await milter(['replay', '--json', '--config', now, '--diff', then, folder])).out,
    );
    expect(json).toMatchObject({ messages: 6, verdicts: { accept: 6 }, different: 1, unreadable: [] });
  });

  it.each([
    [[], 2, 'say which messages'],
    [['/dev/null/x'], 2, 'cannot read /dev/null/x'],
    [['--rcpt', 'a@example.com b@example.com', '/dev/null'], 2, '--rcpt needs one address'],
    [['--client', 'x', '/dev/null'], 2, '--client needs an IP address'],
  ])('%j ends with one line', async (args, status, words) => {
    const result = await milter(['replay', '--config', configured(probe('')), ...args]);
    expect(result).toMatchObject({ status, out: '', err: expect.stringContaining(words) });
    expect(result.err).toMatch(/^milter replay: [^\n]*\n$/);
  });

  it('says so where there is no message', async () => {
    const folder = folderWith({});
    expect(await milter(['replay', '--config', configured(probe('')), folder])).toMatchObject({
      status: 2,
      err: expect.stringContaining(`milter replay: no message in ${folder}`),
    });
  });

  it('leaves nothing behind', async () => {
    const quarantine = join(folderWith({}), 'q');
    const file = configured(probe('message = "quarantine"'), `[quarantine]\npath = "${quarantine}"`);
    const { out } = await milter(['replay', '--config', file, join(corpus(), 'one.eml')]);
    expect(out).toMatch(/^ {2}quarantine +1/m);
    expect([quarantine, join(dirname(file), 'data')].filter(existsSync)).toEqual([]);
  });
});
