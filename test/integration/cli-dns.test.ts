/** `milter dns`, and what `milter check` says of its section. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { runDns } from '../../lib/cli/dns.ts';
import { createResolver, type Resolver } from '../../lib/dns/index.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const PATTERNS = `# a list
ded[0-9]+.com  127.0.0.2  registered in series: $
192.0.2.0/24   127.0.0.5,127.0.0.6 ttl=1h net
!192.0.2.55    ours
`;

interface Place {
  readonly file: string;
  readonly patterns: string;
  readonly port: number;
  readonly resolver: Resolver;
  write(keys: string, more?: string): void;
}

async function place(list = PATTERNS): Promise<Place> {
  const directory = mkdtempSync(join(tmpdir(), 'milter-dns-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const port = await unusedPort();
  const file = join(directory, 'milter.toml');
  const patterns = join(directory, 'patterns');
  const write = (keys: string, more = ''): void =>
    writeFileSync(
      file,
      `socket = "unix:${directory}/milter.sock"
hostname = "mx.example.net"
data = "${directory}/data"
[log]
format = "json"
[store]
url = "memory:"
[dns_server]
listen = "127.0.0.1:${port}"
zone = "rhs.example.org"
patterns = "file:patterns"
${keys}
${more}`,
    );
  write('');
  writeFileSync(patterns, list);
  return {
    file,
    patterns,
    port,
    write,
    resolver: createResolver({ servers: [`127.0.0.1:${port}`], tries: 1 }),
  };
}

/** Put there at once, as an editor or a script should. */
function replace(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** The serial numbers of the SOA records that were served, in turn. */
function serials({ err }: RunningMilter): number[] {
  return [...err.matchAll(/"serial":(\d+)/g)].map(([, number]) => Number(number));
}

describe('milter dns', () => {
  it('serves the list, takes a new version of it, and keeps the old one where that has faults', async () => {
    const here = await place();
    const { resolver, patterns } = here;
    await using running = new RunningMilter([here.file], {}, 'dns');
    expect(await running.address()).toBe(`127.0.0.1:${here.port}`);
    const status = async (name: string): Promise<string> =>
      (await resolver.resolve(`${name}.rhs.example.org`, 'A')).status;
    expect(await resolver.resolve('5.2.0.192.rhs.example.org', 'A')).toMatchObject({
      status: 'ok',
      ttl: 3_600,
      records: ['127.0.0.5', '127.0.0.6'],
    });
    expect(await status('55.2.0.192')).toBe('nxdomain');
    expect(await status('new.example')).toBe('nxdomain');

    replace(patterns, `${PATTERNS}new.example\n`);
    await until('the new version to be served', async () => (await status('new.example')) === 'ok');
    const [before = 0, after = 0] = serials(running);
    expect(before).toBeGreaterThan(Date.UTC(2020) / 1000);
    expect(after).toBeGreaterThan(before);

    replace(patterns, `other.example\nfoo..bar\nded[3-1].com\n`);
    running.child.kill('SIGHUP');
    await until('the faults to be told', () => running.err.includes('ends before it begins'));
    expect(running.err).toContain(`${patterns}:2:1: \\"foo..bar\\" is no domain`);
    expect(await status('new.example')).toBe('ok');
    expect(await status('other.example')).toBe('nxdomain');

    here.write('ttl = "7s"');
    replace(patterns, 'other.example');
    running.child.kill('SIGHUP');
    await until('the new configuration', async () => {
      const answer = await resolver.resolve('other.example.rhs.example.org', 'A');
      return answer.status === 'ok' && answer.ttl === 7;
    });
    here.write('ttl = 7');
    running.child.kill('SIGHUP');
    await until('its faults to be told', () => running.err.includes('dns_server.ttl: must be a duration'));
    expect(await status('other.example')).toBe('ok');

    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('tells which lines of the list match', async () => {
    const { file, patterns } = await place();
    const test = async (...args: string[]) => await milter(['dns', '--test', ...args, file]);
    expect(await test('DED304.com')).toEqual({
      status: 0,
      err: '',
      out: `query:     ded304.com.rhs.example.org
status:    listed
A:         127.0.0.2 (for 300 s)
TXT:       registered in series: ded304.com
line:      ${patterns}:2: ded[0-9]+.com  127.0.0.2  registered in series: $
`,
    });
    expect(await milter(['dns', '--test', 'DED304.com', '--config', file])).toEqual(await test('ded304.com'));
    expect((await test('192.0.2.55')).out).toBe(`query:     55.2.0.192.rhs.example.org
status:    not listed (NXDOMAIN)
exception: ${patterns}:4: !192.0.2.55    ours
`);
    expect((await test('0.192.rhs.example.org')).out).toContain(
      'status:    exists, but has no records (NOERROR)\n',
    );
    expect(JSON.parse((await test('192.0.2.7', '--json')).out)).toEqual({
      query: '7.2.0.192.rhs.example.org',
      status: 'listed',
      ttl: 3600,
      codes: ['127.0.0.5', '127.0.0.6'],
      texts: ['net'],
      lines: [{ line: 3, text: '192.0.2.0/24   127.0.0.5,127.0.0.6 ttl=1h net' }],
      file: patterns,
    });
    expect(await test('a..b')).toMatchObject({
      status: 2,
      err: 'milter dns: --test: "a..b" is no name that can be asked for (see milter dns --help)\n',
    });
    expect(await test('a@b.example')).toMatchObject({ status: 2 });
  });

  it('refuses what it cannot serve, with all that is wrong', async () => {
    const { file, patterns, write } = await place('good.example\n*bad\n[z-a]+\nx 127.0.0.1\n');
    const faults = await milter(['dns', file]);
    expect(faults).toMatchObject({ status: 1, out: '' });
    expect(faults.err.split('\n').slice(1)).toEqual([
      `${patterns}:3:1: "[z-a]+" is a regular expression that cannot be used: invalid character class range: \`z-a\``,
      `${patterns}:4:1: has the code 127.0.0.1, which does not mean that something is listed`,
      '',
    ]);
    const checked = await milter(['check', file]);
    expect(checked.status).toBe(1);
    expect(checked.out).toContain(
      `fault: ${file}: dns_server.patterns: ${patterns}:4:1: has the code 127.0.0.1`,
    );
    await expect(runDns(['--test', 'x', file], process)).rejects.toThrow('has the code 127.0.0.1');
    for (const [keys, message] of [
      ['ses = true', 'dns_server.ses: needs a [[module]] with use = "srs"'],
      [
        'name_servers = ["ns.rhs.example.org"]',
        'dns_server.name_servers: has the name server ns.rhs.example.org within the zone',
      ],
      [
        'name_servers = ["no host"]',
        'dns_server.name_servers: needs hosts for its NS records, and "no host" is none',
      ],
      ['ttl = "8d"', 'dns_server.ttl: must be "7d" at most'],
    ] as const) {
      write(keys);
      await expect(runDns([file], process)).rejects.toThrow(message);
    }
    writeFileSync(file, 'socket = "fd:3"\n[dns_server]\nlisten = "unix:/tmp/x"\npatterns = "file:nothing"\n');
    const { message: err } = await runDns([file], process).then(
      () => new Error('served'),
      (error: Error) => error,
    );
    expect(err).toMatch(/:3:1: dns_server\.listen: must be an IP address and port/);
    expect(err).toMatch(/:2:1: dns_server\.zone: is missing; it must be a domain/);
    expect(err).toMatch(/:4:1: dns_server\.patterns: cannot be read: ENOENT/);
  });

  it('says that its port is taken, and refuses wrong arguments', async () => {
    const { file, port } = await place();
    await using running = new RunningMilter([file], {}, 'dns');
    await running.address();
    expect(await milter(['dns', file])).toMatchObject({
      status: 1,
      err: expect.stringContaining(`somebody else listens at 127.0.0.1:${port} already`),
    });
    expect(await milter(['dns', '--tset', 'x'])).toMatchObject({
      status: 2,
      err: expect.stringContaining('did you mean "--test"?'),
    });
    await expect(runDns([file, file], process)).rejects.toThrow('one FILE.toml at most');
    await expect(runDns([file, '--config', file], process)).rejects.toThrow('--config goes with no FILE');
    await expect(runDns(['--json', file], process)).rejects.toThrow('--json goes with --test');
    expect((await milter(['dns', '--help'])).out).toContain('Usage: milter dns');
  });
});
