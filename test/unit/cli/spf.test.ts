/** The command `milter spf`. */
import { describe, expect, it } from 'vitest';
import { runSpf } from '../../../lib/cli/spf.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';

const resolver = new MemoryResolver({
  'example.com': { TXT: ['v=spf1 include:_spf.example.com -all exp=why.example.com'] },
  '_spf.example.com': { TXT: ['v=spf1 a:mail.example.com ?all'] },
  'mail.example.com': { A: ['192.0.2.1'] },
  'why.example.com': { TXT: ['%{i} is not ours'] },
  'evil.example': { TXT: [Buffer.from('v=spf1 \u001b[31mred \u009b1m', 'latin1')] },
});

async function run(...args: string[]): Promise<{ status: number; out: string }> {
  let out = '';
  const stdout = { write: (text: string) => (out += text) };
  return { status: await runSpf(args, { stdout, resolver }), out };
}

describe('milter spf IP SENDER HELO', () => {
  it('shows the result, the mechanism, the explanation and the tree of lookups', async () => {
    expect(await run('192.0.2.9', 'user@example.com', 'mail.example.com')).toEqual({
      status: 0,
      out: `result:      fail
mechanism:   -all
explanation: 192.0.2.9 is not ours
domain:      example.com (mailfrom)
lookups:     2 of 10, 0 of 2 void

  ? TXT example.com: 1 found
example.com: v=spf1 include:_spf.example.com -all exp=why.example.com
  1. include:_spf.example.com
      ? TXT _spf.example.com: 1 found
    _spf.example.com: v=spf1 a:mail.example.com ?all
      2. a:mail.example.com
      ? A mail.example.com: 1 found
      matches: ?all
  matches: -all
  ? TXT why.example.com: 1 found
`,
    });
  });

  it('takes a record from the command line', async () => {
    const { out } = await run(
      '--record',
      'v=spf1 a:mail.example.com -all',
      '192.0.2.1',
      'user@example.com',
      'x',
    );
    expect(out).toContain('result:      pass\nmechanism:   a:mail.example.com\n');
  });

  it('checks the HELO name for an empty sender', async () => {
    expect((await run('192.0.2.1', '<>', 'example.com')).out).toContain('domain:      example.com (helo)');
  });

  it('says in lax mode what a wrong record meant', async () => {
    const { out } = await run(
      '--lax',
      '--record',
      'v=spf1 ipv4:192.0.2.1 -all',
      '192.0.2.1',
      'user@example.com',
      'x',
    );
    expect(out).toMatch(/^result: {6}permerror\nmeant: {7}pass\n/);
  });

  it('shows no control characters of a hostile record', async () => {
    const { out } = await run('192.0.2.1', 'user@evil.example', 'x');
    expect(out).toContain('\\x1b[31mred');
    expect(out).toMatch(/^[\n\x20-\x7e]*$/);
  });
});

describe('milter spf DOMAIN', () => {
  it('shows the records with their lookups', async () => {
    expect(await run('example.com')).toEqual({
      status: 0,
      out: `example.com (lookups 2): v=spf1 include:_spf.example.com -all exp=why.example.com
    include:_spf.example.com (lookups 1): v=spf1 a:mail.example.com ?all

lookups: 2 of 10, 0 of 2 void
nothing to complain about
`,
    });
  });

  it('exits with 1 for a record with errors', async () => {
    const { status, out } = await run('--record', 'v=spf1 moo -all', 'example.com');
    expect(status).toBe(1);
    expect(out).toContain('error: example.com: moo: "moo" is no mechanism');
  });
});

describe('milter spf --json', () => {
  it('prints the result of a check, and the steps to it', async () => {
    const { status, out } = await run('--json', '192.0.2.9', 'user@example.com', 'mail.example.com');
    expect(status).toBe(0);
    const { steps, ...check } = JSON.parse(out);
    expect(check).toEqual({
      result: 'fail',
      explanation: '192.0.2.9 is not ours',
      mechanism: '-all',
      record: 'v=spf1 include:_spf.example.com -all exp=why.example.com',
      domain: 'example.com',
      identity: 'mailfrom',
      lookups: 2,
      voidLookups: 0,
    });
    expect(steps.slice(0, 3)).toEqual([
      {
        step: 'query',
        depth: 0,
        name: 'example.com',
        type: 'TXT',
        answer: {
          status: 'ok',
          ttl: 300,
          records: ['v=spf1 include:_spf.example.com -all exp=why.example.com'],
        },
      },
      {
        step: 'record',
        depth: 0,
        domain: 'example.com',
        record: 'v=spf1 include:_spf.example.com -all exp=why.example.com',
      },
      { step: 'term', depth: 0, term: 'include:_spf.example.com', lookups: 1 },
    ]);
  });

  it('prints what was found in a record', async () => {
    const { status, out } = await run('--json', '--record', 'v=spf1 moo -all', 'example.com');
    expect(status).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      tree: { domain: 'example.com', record: 'v=spf1 moo -all', lookups: 0, children: [] },
      lookups: 0,
      findings: [{ severity: 'error', domain: 'example.com', term: 'moo' }],
    });
  });

  it('is ASCII, whatever a record holds', async () => {
    const { out } = await run('--json', '192.0.2.1', 'user@evil.example', 'x');
    expect(out).toMatch(/^[\n\x20-\x7e]*$/);
    expect(JSON.parse(out).record).toBe('v=spf1 \u001b[31mred \u009b1m');
  });
});

describe('wrong arguments', () => {
  it.each([
    [[], 'expected IP SENDER HELO or DOMAIN, got 0 arguments'],
    [['192.0.2.1', 'user@example.com'], 'expected IP SENDER HELO or DOMAIN, got 2 arguments'],
    [['nowhere', 'user@example.com', 'x'], 'ip must be an IP address, got "nowhere"'],
    [['--recrod', 'x', 'example.com'], 'unknown option "--recrod"; did you mean "--record"?'],
    [['--record', 'mx', 'example.com'], '--record must be "v=spf1", or begin with it and a space, got "mx"'],
    [['--record'], "Option '--record <value>' argument missing"],
  ])('%j are refused in one line', async (args, message) => {
    await expect(run(...args)).rejects.toMatchObject({ code: 'ERR_MILTER_OPTION', message });
  });

  it.each(['--help', '-h'])('%s shows the usage', async (option) => {
    const { status, out } = await run(option);
    expect(status).toBe(0);
    expect(out).toMatch(/^Usage: milter spf/);
  });
});
