/** `milter try` by configuration. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { milter } from '../../helpers/cli.ts';
import { configured } from '../../helpers/configured.ts';
import { probeDirectory } from '../../helpers/filter.ts';

const probe = (options: string): string => `[[module]]\nuse = "${probeDirectory}/probe.ts"\n${options}\n`;
const EML = 'From: a@example.org\nSubject: hi\n\nhello\n';

describe('milter try --config', () => {
  it('shows findings, verdict, reply and changes', async () => {
    const file = configured(probe('sender = "score 2"\nmessage = "tag"\nadd = "yes"'));
    const { status, out, err } = await milter(['try', '--config', file, '-'], EML);
    expect(err).toBe('');
    expect(out).toBe(`verdict     accepted at eom
finding     probe-sender: a sender (<sender@example.com>) → score 2
finding     probe-message: a message → tag
points      2
recipient     <recipient@example.com>
header      + X-Milter-Findings: probe-message
header      + X-Probe: yes
`);
    expect(status).toBe(0);
  });

  it('exits by the verdict, and has all that in JSON', async () => {
    const file = configured(probe('recipient = "reject"\nrecipients = ["recipient@example.com"]'));
    const { status, out } = await milter(['try', '--json', '--config', file, '-'], EML);
    expect(status).toBe(3);
    expect(JSON.parse(out)).toMatchObject({
      verdict: 'reject',
      recipients: [{ reply: { code: 550 } }],
      findings: [{ name: 'probe-recipient', action: 'reject' }],
    });
  });

  it('holds nothing and stores nothing', async () => {
    const file = configured(probe('message = "quarantine"'));
    const { status, out } = await milter(['try', '--config', file, '-'], EML);
    expect(out).toContain('finding     probe-message: a message → quarantine\n');
    expect(status).toBe(5);
    expect(existsSync(join(dirname(file), 'data'))).toBe(false);
  });

  it.each([
    ['--rcpt', 'a b'],
    ['--from', 'a@example.com\n'],
  ])('refuses %s %j', async (option, address) => {
    const { status, err } = await milter(['try', option, address, '-'], EML);
    expect(err).toContain(`milter try: ${option} needs one address, got ${JSON.stringify(address)}`);
    expect(status).toBe(2);
  });

  it('tells the faults of the configuration', async () => {
    const file = configured(probe('sendr = "tag"'));
    const { status, err } = await milter(['try', '--config', file, '-'], EML);
    expect(status).toBe(1);
    expect(err).toContain('sendr: module probe has no such key; did you mean "sender"?');
  });
});
