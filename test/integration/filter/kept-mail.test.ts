/** The quarantine, copies and the disclaimer on the real libmilter; and what becomes of mail where they cannot write. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { testFilter } from '../../helpers/filter.ts';
import { asAnother, describeWith } from '../../helpers/requirements.ts';
import { serving } from '../../helpers/server.ts';

const INSIDE = { family: 'inet', address: '127.0.0.1', port: 4711 } as const;
const NETWORKS = '[[module]]\nuse = "networks"\ndomains = ["two.test"]\ninternal_as_other = "continue"\n';

it('a message is held for one recipient, copied, and goes out to the other with a disclaimer', async () => {
  await using filter = await testFilter(`${NETWORKS}
[[module]]
use = "./probe.ts"
recipient = "quarantine"
recipients = ["held@two.test"]
[[module]]
use = "disclaimer"
text = "A text at the end of mail that goes out"
[[module]]
use = "copies"
copy = [{ of = "outgoing", bcc = "copy-%{user}@two.test", cc = "seen@two.test", maildir = "out/%{user}" }]
`);
  await using served = await serving(filter.Filter);
  const mta = await served.mta();
  await mta.connect('client.test', INSIDE);
  await mta.helo('client.test');
  const { verdict, message } = await mta.sendMessage('Subject: hello\r\n\r\nfirst line\r\n', {
    sender: 'ann@one.test',
    recipients: ['held@two.test', 'bob@three.test'],
  });
  expect(verdict).toBe('continue');
  expect(message.recipients).toEqual(['<bob@three.test>', '<copy-ann@two.test>', '<seen@two.test>']);
  expect(message.body.toString()).toBe('first line\r\nA text at the end of mail that goes out');
  const [name = ''] = await readdir(join(filter.data, 'out/ann/new'));
  const copy = await readFile(join(filter.data, 'out/ann/new', name), 'latin1');
  expect(copy.replaceAll('\n', '\r\n')).toBe(message.toBytes().toString('latin1'));
  const items = [];
  for await (const item of filter.quarantine.held.list()) items.push(item);
  expect(items).toMatchObject([{ owner: 'held@two.test', sender: '<ann@one.test>' }]);
  const [item] = items;
  if (item === undefined) throw new Error('it is held');
  expect((await filter.quarantine.held.read(item)).toString()).toBe('Subject: hello\r\n\r\nfirst line\r\n');
});

it('a message that cannot be held is tempfailed with 452', async () => {
  await using filter = await testFilter(
    '[quarantine]\nmax_size = "10B"\n[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\n',
  );
  await using served = await serving(filter.Filter);
  const mta = await served.mta();
  const { verdict, reply } = await mta.sendMessage('Subject: x\r\n\r\nhello\r\n', {
    sender: 'ann@one.test',
    recipients: ['bob@two.test'],
  });
  expect({ verdict, code: reply?.code, enhanced: reply?.enhanced }).toEqual({
    verdict: 'tempfail',
    code: 452,
    enhanced: '4.3.1',
  });
});

/** Sends messages of 100 kB that are held, or copied, and prints the code of each reply. */
const CHILD = `
  import { randomBytes } from 'node:crypto';
  import { openFilter } from '${new URL('../../../lib/filter/index.ts', import.meta.url).href}';
  import { fakeSession } from '${new URL('../../../lib/testing/index.ts', import.meta.url).href}';
  const [data, directory, modules, count] = process.argv.slice(-4);
  const nothing = () => {};
  const logger = { debug: nothing, info: nothing, warn: nothing, error: nothing };
  const top = 'socket = "inet:8894@127.0.0.1"\\nhostname = "mx.example.com"\\ndata = "' + data + '"\\n[store]\\nurl = "memory:"\\n';
  const filter = await openFilter(top + modules, { directory, logger });
  const mta = fakeSession(filter.Filter, { logger });
  for (let n = 0; n < Number(count); n++) {
    const body = randomBytes(100_000).toString('base64').replace(/.{76}/g, '$&\\r\\n');
    const { reply } = await mta.sendMessage('Subject: ' + n + '\\r\\n\\r\\n' + body + '\\r\\nEND\\r\\n', {
      sender: 'a@example.org',
      recipients: ['b@example.com'],
    });
    console.log(reply?.code ?? 'taken');
  }
  const checked = await filter.quarantine.check().catch((error) => error);
  console.log(checked instanceof Error ? checked.message : 'lost ' + checked.lost.length + ', adopted ' + checked.adopted.length);
  if (process.env.TEST_LOOK !== undefined) {
    const { execFileSync } = await import('node:child_process');
    console.log(execFileSync('sh', ['-c', process.env.TEST_LOOK], { encoding: 'utf8', cwd: data }));
  }
  process.exit(0);
`;

const HOLD = '[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\n';
const probes = join(import.meta.dirname, '../../fixtures/filter');

async function child(
  before: readonly string[],
  data: string,
  modules: string,
  count: number,
  look?: string,
): Promise<readonly string[]> {
  const [program = '', ...args] = [
    ...before,
    process.execPath,
    '--input-type=module',
    '--eval',
    CHILD,
    data,
    probes,
    modules,
    String(count),
  ];
  const running = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(look === undefined ? {} : { TEST_LOOK: look }) },
  });
  const [out] = await Promise.all([text(running.stdout), once(running, 'exit')]);
  return out.trimEnd().split('\n');
}

describeWith(['a small disk'], 'on a full disk', () => {
  /** A mount that nobody else sees, and that ends with the child. */
  const onSmallDisk = [
    'unshare',
    '--mount',
    'sh',
    '-c',
    'mount -t tmpfs -o size=1m none /mnt && exec "$@"',
    'sh',
  ];

  it('what is held is whole, and the rest gets 452', async () => {
    const replies = await child(onSmallDisk, '/mnt', HOLD, 12, 'ls -A quarantine | grep -vc eml.gz$ || true');
    expect(replies.slice(0, 12)).toEqual([...Array(9).fill('taken'), ...Array(3).fill('452')]);
    expect(replies.slice(12)).toEqual(['lost 0, adopted 0', '0']);
  });

  it('what is copied is whole, and the rest is tempfailed', async () => {
    const modules =
      '[[module]]\nuse = "copies"\ncopy = [{ of = "all", mbox = "box" }, { of = "all", maildir = "m" }]\n';
    const replies = await child(
      onSmallDisk,
      '/mnt',
      modules,
      8,
      'grep -c ^END box; grep -c "^From " box; tail -c 5 box | od -An -c; ls m/tmp | wc -l; ls -A | sort | tr "\\n" " "; grep -Lx END m/new/* || true',
    );
    const taken = replies.filter((reply) => reply === 'taken').length;
    expect(taken).toBeGreaterThan(0);
    expect(replies.slice(0, 8)).toEqual([...Array(taken).fill('taken'), ...Array(8 - taken).fill('451')]);
    const [entries, starts, end, temporary, names] = replies.slice(9).map((line) => line.trim());
    expect(entries).toBe(starts);
    expect(Number(entries)).toBeGreaterThanOrEqual(taken);
    expect([end, temporary, names]).toEqual(['E   N   D  \\n  \\n', '0', 'box m']);
  });
});

describeWith(['another user'], 'where the folder may not be written', () => {
  it('what would be held or copied is tempfailed', async () => {
    await using directory = await temporaryDirectory();
    const { path } = directory;
    await mkdir(join(path, 'quarantine'), { mode: 0o700 });
    await chmod(path, 0o755);
    expect((await child(asAnother(1), path, HOLD, 1))[0]).toBe('451');
    const copies = '[[module]]\nuse = "copies"\ncopy = [{ of = "all", maildir = "m" }]\n';
    expect((await child(asAnother(1), path, copies, 1))[0]).toBe('451');
  });
});
