import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fakeSession } from '../../../lib/testing/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { testFilter } from '../../helpers/filter.ts';

const probe = (options: string, name = 'probe'): string =>
  `[[module]]\nuse = "./probe.ts"\nname = "${name}"\n${options}\n`;
const both = ['b@example.com', 'c@example.com'];

describe('a finding before DATA', () => {
  it('refuses every recipient, with a reference by which it is found again', async () => {
    await using filter = await testFilter('[[module]]\nuse = "helo"\n');
    const { recipients } = await filter.send({ helo: '192.0.2.7', recipients: both });
    const record = await filter.last();
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'reject']);
    expect(recipients[0]?.reply).toMatchObject({ code: 550, enhanced: '5.5.2' });
    expect(recipients[0]?.reply?.lines[0]).toContain(`[ref ${record?.ref}]`);
    expect(record?.findings).toMatchObject([{ name: 'helo-address', action: 'reject', observed: false }]);
  });

  it('spares a recipient who is exempt', async () => {
    await using filter = await testFilter(probe('sender = "reject"\nexempt = ["c@example.com"]'));
    const { recipients, message } = await filter.send({ recipients: both });
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'continue']);
    expect(message.recipients).toEqual(['<c@example.com>']);
  });

  it.each(['discard', 'quarantine'])('takes one of two recipients out with %s', async (action) => {
    await using filter = await testFilter(probe(`recipient = "${action}"\nrecipients = ["c@example.com"]`));
    const { verdict, message } = await filter.send({ recipients: both });
    expect({ verdict, left: message.recipients }).toEqual({
      verdict: 'continue',
      left: ['<b@example.com>'],
    });
  });

  it('tells the MTA to discard when nobody is left', async () => {
    await using filter = await testFilter(probe('sender = "discard"'));
    const { verdict, recipients } = await filter.send({ recipients: both });
    expect(recipients.map((one) => one.verdict)).toEqual(['continue', 'continue']);
    expect(verdict).toBe('discard');
    expect((await filter.last())?.recipients).toMatchObject([
      { address: '<b@example.com>', verdict: 'discard', finding: 'probe-sender' },
      { address: '<c@example.com>', verdict: 'discard', finding: 'probe-sender' },
    ]);
  });

  it('does nothing in observe mode but to be known', async () => {
    await using filter = await testFilter(
      probe('mode = "observe"\nsender = "reject"\nmessage = "reject"\nadd = "x"'),
    );
    const { verdict, message } = await filter.send();
    expect(verdict).toBe('continue');
    expect(message.headers.some(({ name }) => name === 'X-Probe')).toBe(false);
    expect((await filter.last())?.findings).toMatchObject([
      { name: 'probe-sender', observed: true },
      { name: 'probe-message', observed: true },
    ]);
  });

  it.each(['hold', 'tag', 'score 9'])(
    'of those alone who are exempt is no %s of the message',
    async (action) => {
      const modules = probe(
        `sender = "${action}"\nmatch = { to = ["c@example.com"] }\nexempt = ["c@example.com"]`,
      );
      await using filter = await testFilter(`${modules}[[module]]\nuse = "score"\n`);
      const { message, verdict } = await filter.send({ recipients: both });
      expect({ verdict, hold: message.quarantine }).toEqual({ verdict: 'continue', hold: undefined });
      expect(message.headers.map(({ name }) => name)).toEqual(['From', 'Subject']);
    },
  );

  it('of one recipient leaves the others alone', async () => {
    await using filter = await testFilter(probe('recipient = "tempfail"\nrecipients = ["c@example.com"]'));
    const { recipients } = await filter.send({ recipients: both });
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['continue', 'tempfail']);
    expect(recipients[1]?.reply).toMatchObject({ code: 451, enhanced: '4.7.1' });
  });
});

describe('a finding at the end of the message', () => {
  it('refuses it for all, with the text that was declared', async () => {
    await using filter = await testFilter(probe('message = "reject"'));
    const { verdict, reply } = await filter.send({ recipients: both });
    const ref = (await filter.last())?.ref;
    expect(verdict).toBe('reject');
    expect(reply).toMatchObject({ code: 554, enhanced: '5.6.0' });
    expect(reply?.lines).toEqual([`No probe-message for a@example.org [ref ${ref}]`]);
  });

  it('does not fall on a message all of whose recipients are exempt', async () => {
    await using filter = await testFilter(probe('message = "reject"\nexempt = ["example.com"]'));
    expect((await filter.send({ recipients: both })).verdict).toBe('continue');
  });

  it('treats exempt recipients like the others where both are', async () => {
    await using filter = await testFilter(probe('message = "reject"\nexempt = ["c@example.com"]'));
    expect((await filter.send({ recipients: both })).verdict).toBe('reject');
  });

  it('drops only the copies of those who are not exempt', async () => {
    await using filter = await testFilter(probe('message = "discard"\nexempt = ["c@example.com"]'));
    const { verdict, message } = await filter.send({ recipients: both });
    expect({ verdict, left: message.recipients }).toEqual({ verdict: 'continue', left: ['<c@example.com>'] });
  });

  it.each([
    ['reject', ['tempfail', 'reject', 'discard']],
    ['tempfail', ['discard', 'tempfail', 'hold']],
    ['hold', ['discard', 'hold', 'tag']],
    ['discard', ['tag', 'discard']],
  ])('%s is what becomes of %j', async (worst, actions) => {
    const modules = actions.map((action, i) => probe(`message = "${action}"`, `p${i}`)).join('');
    await using filter = await testFilter(modules);
    const { verdict, message } = await filter.send();
    expect(verdict === 'continue' && message.quarantine !== undefined ? 'hold' : verdict).toBe(worst);
  });

  it('adds up as points, which are written down', async () => {
    const modules = `${probe('sender = "score 2.5"\nmessage = "score 3.5"')}[[module]]\nuse = "score"\n`;
    await using filter = await testFilter(modules);
    const { message } = await filter.send();
    const headers = Object.fromEntries(message.headers.map(({ name, value }) => [name, value]));
    expect(headers['X-Milter-Findings']).toBe('score-tag');
    expect(headers['X-Spam-Score']).toBe('6.0\n\tprobe-sender=2.5\n\tprobe-message=3.5');
  });

  it('is not told by headers that a message from outside brought along', async () => {
    await using filter = await testFilter('[[module]]\nuse = "score"\n');
    const eml =
      'From: a@example.org\nX-Spam-Score: -99\nX-Milter-Findings: none\nx-spam-score: -98\n\nhello\n';
    const { message } = await filter.send({ eml });
    expect(message.headers.map(({ name }) => name)).toEqual(['From']);
  });

  it('is not written as points into mail that goes out', async () => {
    const modules = `${probe('message = "score 1"')}[[module]]\nuse = "score"\n[[module]]\nuse = "networks"\n`;
    await using filter = await testFilter(modules);
    const { message } = await filter.send({ address: '127.0.0.1' });
    expect(message.headers.map(({ name }) => name)).toEqual(['From', 'Subject']);
  });

  it('is void where another module has seen why', async () => {
    await using filter = await testFilter(probe('void = "reject"'));
    expect((await filter.send()).verdict).toBe('continue');
  });

  it('marks the subject for each module that has a mark', async () => {
    const modules =
      probe('message = "tag"\nmark = "[A] "') +
      probe('message = "tag"', 'plain') +
      probe('message = "tag"\nmark = "[B] "', 'other');
    await using filter = await testFilter(modules);
    const { message } = await filter.send();
    expect(message.headers.find(({ name }) => name === 'Subject')?.value).toBe('[A] [B] x');
  });

  it.each(['[A] x', 'Re: [A] x'])('never marks twice: %s', async (subject) => {
    await using filter = await testFilter(probe('message = "tag"\nmark = "[A] "'));
    const { message } = await filter.send({ eml: `From: a@example.org\nSubject: ${subject}\n\nhello\n` });
    expect(message.headers.find(({ name }) => name === 'Subject')?.value).toBe(subject);
  });

  it('acts where its own module says accept, which is for those of others', async () => {
    await using filter = await testFilter(probe('sender = "accept"\nmessage = "reject"'));
    expect((await filter.send()).verdict).toBe('reject');
  });

  it('does not act where each of two says accept', async () => {
    const modules = probe('sender = "accept"\nmessage = "reject"') + probe('sender = "accept"', 'other');
    await using filter = await testFilter(modules);
    expect((await filter.send()).verdict).toBe('continue');
  });

  it.each([
    ['reject', 'reject'],
    ['continue', 'continue'],
  ])('is that it is too big, if too_big says %s, by whomever it is served', async (word, verdict) => {
    await using filter = await testFilter('[[module]]\nuse = "html"\n', {
      top: `max_body = "1kB"\ntoo_big = "${word}"`,
    });
    const eml = `From: a@example.org\nContent-Type: text/html\n\n<script>1</script>\n${'x'.repeat(70)}`;
    expect((await filter.send({ eml })).verdict).toBe('continue');
    expect((await filter.last())?.findings).toMatchObject([{ name: 'html-scripts' }]);
    const result = await filter.send({ eml: `${eml}\n${'yy\n'.repeat(500)}` });
    expect(result.verdict).toBe(verdict);
    if (word === 'reject') expect(result.reply).toMatchObject({ code: 552, enhanced: '5.3.4' });
    else expect(result.message.body.toString()).toContain('<script>');
  });

  it('acts no more where another says accept', async () => {
    await using filter = await testFilter(probe('message = "reject"') + probe('sender = "accept"', 'other'));
    expect((await filter.send()).verdict).toBe('continue');
  });
});

describe('a module that fails', () => {
  it.each(['envfrom', 'envrcpt', 'eom', 'change'])('in %s follows its on_error', async (stage) => {
    await using filter = await testFilter(probe(`throws = "${stage}"\nadd = "x"`));
    const { verdict, recipients } = await filter.send();
    expect([recipients[0]?.verdict, verdict]).toContain('tempfail');
    expect(filter.logger.lines.some(({ level }) => level === 'error')).toBe(true);
  });

  it.each(['tempfail', 'reject'] as const)('in a change is told as any other, with %s', async (word) => {
    await using filter = await testFilter(probe(`throws = "change"\nadd = "x"\non_error = "${word}"`));
    const { verdict, reply, message } = await filter.send();
    const record = await filter.last();
    expect(verdict).toBe(word);
    expect(reply?.lines[0]).toContain(`[ref ${record?.ref}]`);
    expect(message.headers.some(({ name }) => name === 'X-Probe')).toBe(false);
    expect(record).toMatchObject({
      verdict: word,
      recipients: [{ address: '<b@example.com>', verdict: word, finding: 'probe-error' }],
      findings: [{ name: 'probe-error', note: 'as asked' }],
    });
    const failures = filter.logger.lines.filter(({ level }) => level === 'error');
    expect(failures).toMatchObject([
      { message: 'module probe failed: as asked', fields: { module: 'probe', ref: record?.ref } },
    ]);
  });

  it('in a change, with on_error = "accept", has the others change it all the same', async () => {
    const failing = probe('throws = "change"\nadd = "bad"\non_error = "accept"');
    await using filter = await testFilter(failing + probe('add = "b"', 'last'));
    const { verdict, message } = await filter.send();
    expect(verdict).toBe('continue');
    expect(message.headers.find(({ name }) => name === 'X-Probe')?.value).toBe('b');
  });

  it.each(['envfrom', 'envrcpt', 'eom', 'change'])('in %s leaves the others at work', async (stage) => {
    const failing = probe(`throws = "${stage}"\nadd = "bad"\non_error = "continue"`);
    await using filter = await testFilter(probe('add = "a"', 'first') + failing + probe('add = "b"', 'last'));
    const { verdict, message } = await filter.send();
    expect(verdict).toBe('continue');
    expect(message.headers.filter(({ name }) => name === 'X-Probe').map(({ value }) => value)).toEqual(
      stage === 'change' || stage === 'eom' ? ['ab'] : ['abadb'],
    );
  });

  it.each([
    ['continue', 'continue'],
    ['tempfail', 'tempfail'],
  ])('leaves nothing of a change that is late by its own deadline: %s', async (onError, verdict) => {
    const late = probe(`hangs = "change"\nadd = "x"\ndeadline = "20ms"\non_error = "${onError}"`);
    await using filter = await testFilter(late);
    const sent = await filter.send();
    expect(sent.verdict).toBe(verdict);
    expect(sent.message.headers.map(({ name }) => name)).not.toContain('X-Probe');
  });

  it('is late by its own deadline, and is not asked again before it is back', async () => {
    await using filter = await testFilter(probe('hangs = "envrcpt"\ndeadline = "20ms"'));
    const { recipients } = await filter.send({ recipients: both });
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['tempfail', 'tempfail']);
    expect((await filter.last())?.findings).toMatchObject([
      { name: 'probe-error', note: expect.stringContaining('time is up') },
      { name: 'probe-error', note: expect.stringContaining('busy') },
    ]);
  });

  it('answers with a verdict, which modules do not', async () => {
    await using filter = await testFilter(probe('answers = true'));
    expect((await filter.send()).recipients[0]?.verdict).toBe('tempfail');
  });
});

describe('changes', () => {
  it('are made in file order, on one tree', async () => {
    await using filter = await testFilter(
      probe('add = "1"', 'a') + probe('add = "2"', 'b') + probe('add = "3"', 'c'),
    );
    const { message } = await filter.send();
    expect(message.headers.find(({ name }) => name === 'X-Probe')?.value).toBe('123');
  });

  it('are not made of a message that is refused', async () => {
    await using filter = await testFilter(probe('add = "1"\nmessage = "reject"'));
    const { message } = await filter.send();
    expect(message.headers.some(({ name }) => name === 'X-Probe')).toBe(false);
  });
});

describe('a change that a finding leads to', () => {
  const written = async (config: string, recipients = ['b@example.com']): Promise<boolean> => {
    await using directory = await temporaryDirectory();
    writeFileSync(join(directory.path, 'access'), 'probe-writes:example.org\tOK\n');
    await using filter = await testFilter(config.replace('MAP', join(directory.path, 'access')));
    const { message } = await filter.send({ recipients });
    return message.headers.some(({ name }) => name === 'X-Written');
  };

  it('is made, also where another finding says accept', async () => {
    expect(await written(probe('writes = true'))).toBe(true);
    expect(await written(probe('writes = true') + probe('message = "accept"', 'other'))).toBe(true);
  });

  it('is not made where access says otherwise', async () => {
    const access = '[[module]]\nuse = "access"\nmap = "file:MAP"\n';
    expect(await written(probe('writes = true') + access)).toBe(false);
  });

  it('is not made for those who are exempt, but where others are among them', async () => {
    const config = probe('writes = true\nexempt = ["c@example.com"]');
    expect(await written(config, ['c@example.com'])).toBe(false);
    expect(await written(config, both)).toBe(true);
  });

  it('is not made by a module that only watches', async () => {
    expect(await written(probe('mode = "observe"\nwrites = true'))).toBe(false);
  });
});

describe('which mail a module works for', () => {
  it('is told by the client, the sender, and the recipients', async () => {
    await using filter = await testFilter(
      probe('sender = "reject"\nmatch = { from = ["example.org"], not_to = ["c@example.com"] }'),
    );
    const ours = await filter.send({ recipients: both });
    expect(ours.recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'continue']);
    expect((await filter.send({ sender: 'x@example.net' })).verdict).toBe('continue');
  });

  it.each([
    ['cert:CN=relay.example.org', {}, true],
    ['cert:CN=relay.example.org', { '{verify}': 'FAIL' }, false],
    ['192.0.2.0/24', {}, true],
    ['10.0.0.0/8', {}, false],
    ['*.example.org', {}, true],
  ])('is told by the client: %s, %j', async (client, macros, matches) => {
    await using filter = await testFilter(probe(`sender = "reject"\nmatch = { client = ["${client}"] }`));
    const seen = { '{cert_subject}': 'relay.example.org', '{verify}': 'OK', ...macros };
    expect((await filter.send({ macros: seen })).verdict).toBe(matches ? 'reject' : 'continue');
  });

  it.each([
    ['10.1.2.3', ['probe-sender', 'probe-message'], 'from x ([10.1.2.3]) by r (Postfix) with SMTP id 1; x'],
    ['192.0.2.7', [], 'from x ([10.1.2.3]) by r (Postfix) with SMTP id 1; x'],
    ['10.1.2.3', [], 'from nobody knows'],
  ])('is told by the client behind a relay: %s, %j', async (client, findings, received) => {
    const modules = `[[module]]\nuse = "networks"\nrelays = ["192.0.2.7"]\n`;
    const match = `match = { client = ["${client}"] }`;
    await using filter = await testFilter(
      `${modules}${probe(`message = "continue"\nsender = "continue"\n${match}`)}`,
    );
    await filter.send({ eml: `Received: ${received}\nFrom: a@example.org\n\nhello\n` });
    expect((await filter.last())?.findings.map(({ name }) => name)).toEqual(findings.slice(1));
  });

  it('is none by a client without address, where clients are named', async () => {
    await using filter = await testFilter(probe('sender = "reject"\nmatch = { client = ["0.0.0.0/0"] }'));
    const mta = fakeSession(filter.Filter);
    await mta.connect('localhost');
    await mta.envfrom('<a@example.org>');
    expect((await mta.envrcpt('<b@example.com>')).verdict).toBe('continue');
    await mta.close();
  });

  it('is told by the direction at the end', async () => {
    await using filter = await testFilter(
      `[[module]]\nuse = "networks"\ndomains = ["example.com"]\ninternal_as_other = "continue"\n${probe('when = ["outgoing"]\nadd = "x"')}`,
    );
    const changed = async (mail: { address: string; recipients: string[] }): Promise<boolean> => {
      const { message } = await filter.send(mail);
      return message.headers.some(({ name }) => name === 'X-Probe');
    };
    expect(await changed({ address: '127.0.0.1', recipients: ['x@example.net'] })).toBe(true);
    expect(await changed({ address: '127.0.0.1', recipients: ['x@example.com'] })).toBe(false);
    expect(await changed({ address: '192.0.2.7', recipients: ['x@example.net'] })).toBe(false);
  });
});

describe('the log', () => {
  it('names what was found of this recipient, or of all, and nothing twice', async () => {
    const modules =
      probe('recipient = "reject"\nrecipients = ["example.com"]') + probe('message = "tag"', 'other');
    await using filter = await testFilter(modules);
    await filter.send({ recipients: [...both, 'd@example.net'] });
    const lines = filter.logger.lines.filter(({ message }) => /^(recipient|message): /.test(message));
    expect(lines.map(({ fields }) => fields['findings'])).toEqual([
      'probe-recipient',
      'probe-recipient',
      'probe-recipient,other-message',
    ]);
  });

  it.each([
    ['', undefined, undefined],
    ['[log]\nsubjects = true\nheaders = true', 'x', ['From: a@example.org', 'Subject: x']],
  ])('has subject and headers as %j says', async (top, subject, headers) => {
    await using filter = await testFilter('', { top });
    await filter.send();
    const line = filter.logger.lines.find(({ message }) => message === 'message: accept');
    expect(line?.fields).toMatchObject({ subject, headers });
  });
});
