/** The command `milter spf`. */
import { describe, expect, it } from 'vitest';
import { runSpf } from '../../../lib/cli/spf.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';

const resolver = new MemoryResolver({
  'example.com': { TXT: ['v=spf1 include:_spf.example.com -all exp=why.example.com'] },
  '_spf.example.com': { TXT: ['v=spf1 a:mail.example.com ?all'] },
  'mail.example.com': { A: ['192.0.2.1'] },
  'why.example.com': { TXT: ['%{i} is not ours'] },
  'evil.example': { TXT: ['v=spf1 \u001b[31mred'] },
});

async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const stdout = { write: (text: string) => (out += text) };
  const stderr = { write: (text: string) => (err += text) };
  return { status: await runSpf(args, { stdout, stderr, resolver }), out, err };
}

describe('milter spf IP SENDER HELO', () => {
  it('shows the result, the mechanism, the explanation and the tree of lookups', async () => {
    expect(await run('192.0.2.9', 'user@example.com', 'mail.example.com')).toEqual({
      status: 0,
      err: '',
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
      err: '',
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

describe('wrong arguments', () => {
  it.each([
    [[], 'expected IP SENDER HELO or DOMAIN, got 0'],
    [['192.0.2.1', 'user@example.com'], 'expected IP SENDER HELO or DOMAIN, got 2'],
    [['nowhere', 'user@example.com', 'x'], 'ip must be an IP address, got "nowhere"'],
    [['--recrod', 'x', 'example.com'], "Unknown option '--recrod'"],
    [['--record', 'mx', 'example.com'], '--record must be'],
  ])('%j exit with 2', async (args, message) => {
    const { status, err, out } = await run(...args);
    expect([status, out]).toEqual([2, '']);
    expect(err).toContain(`milter spf: ${message}`);
    expect(err).toContain('Usage: milter spf');
  });

  it('--help shows the usage', async () => {
    const { status, out } = await run('--help');
    expect(status).toBe(0);
    expect(out).toContain('Usage: milter spf');
  });
});
