import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { FindModule } from '../../../../lib/filter/config/find-module.ts';
import { configuredValues } from '../../../../lib/filter/config/values.ts';
import {
  type AddressList,
  type AnyModule,
  FilterConfigError,
  loadConfig,
  parseConfig,
  z,
} from '../../../../lib/filter/index.ts';
import { ownModules } from '../../../../lib/filter/modules/index.ts';
import { Milter, MilterError } from '../../../../lib/index.ts';
import { fc, runs } from '../../../helpers/fuzz.ts';
import { findTestModule as findModule } from './modules.ts';

const SOCKET = 'socket = "inet:8894@127.0.0.1"';

function parse(text: string, environment = {}) {
  return parseConfig(text, { findModule, directory: '/etc/milter', environment });
}

async function faultsOf(text: string): Promise<string[]> {
  const error = await parse(text).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error === undefined) return [];
  if (error instanceof FilterConfigError) return error.message.split('\n');
  throw error;
}

describe('a configuration', () => {
  it('needs a socket alone; everything else has a default', async () => {
    const { settings, modules } = await parse(SOCKET);
    expect(modules).toEqual([]);
    expect(settings).toMatchObject({
      socket: ['inet:8894@127.0.0.1'],
      socket_mode: 0o660,
      threads: 1,
      hostname: expect.stringMatching(/./) as unknown,
      on_error: 'tempfail',
      max_body: 64 * 1024 * 1024,
      too_big: 'continue',
      max_connections: 1000,
      timeout: 7_200_000,
      data: '/var/lib/milter',
      help: undefined,
      split: false,
      log: { level: 'info', format: 'auto', subjects: false, headers: false },
      store: { url: { kind: 'sqlite', path: '/var/lib/milter/milter.db' } },
      history: { keep: 14 * 86_400_000, max: 1_000_000 },
      http: { listen: undefined, review: true, accounts: undefined },
      dns: { servers: [], timeout: 5000, cache: 10_000 },
      outgoing: { smtp: undefined, sendmail: undefined, from: undefined, alert: undefined },
      quarantine: {
        path: '/var/lib/milter/quarantine',
        keep: 30 * 86_400_000,
        max_size: 10 * 1024 ** 3,
        digest: undefined,
      },
      dns_server: {
        listen: undefined,
        zone: undefined,
        patterns: undefined,
        ses: false,
        ttl: 300_000,
        name_servers: [],
        rate_limit: 200,
        unlimited: expect.anything(),
      },
    });
  });

  it('has its values where they are given', async () => {
    const { settings } = await parse(
      `socket = ["unix:/run/m.sock", "fd:3"]
       socket_mode = "0600"
       socket_group = 12
       data = "state"
       [store]
       url = "env:STORE"
       [outgoing]
       sendmail = "/usr/sbin/sendmail"
       [quarantine]
       digest = "07:00"`,
      { STORE: 'rediss://u:p@h:1/2' },
    );
    expect(settings).toMatchObject({
      socket: ['unix:/run/m.sock', 'fd:3'],
      socket_mode: 0o600,
      socket_group: 12,
      data: '/etc/milter/state',
      store: { url: { kind: 'redis', url: 'rediss://u:p@h:1/2' } },
      outgoing: { sendmail: '/usr/sbin/sendmail' },
      quarantine: { path: '/etc/milter/state/quarantine', digest: 420 },
    });
  });

  it('has its modules in the order of the file, those that are off among them', async () => {
    const { modules } = await parse(`${SOCKET}
      on_error = "reject"
      [[module]]
      use = "limits"
      mode = "off"
      when = ["outgoing", "authenticated"]
      deadline = "2s"
      mark = "[SPAM?] "
      match = { to = ["a@b"] }
      texts = { exceeded = "too much, %{user}" }
      limits = [{ key = "user", per = "1h" }]
      [[module]]
      use = "spf"
      mode = "observe"
      on_error = "reject"
      [[module]]
      use = "limits"
      name = "more"
      on_error = "accept"`);
    expect(
      modules.map(({ name, mode, when, onError, deadline }) => [name, mode, when, onError, deadline]),
    ).toEqual([
      ['limits', 'off', ['outgoing', 'authenticated'], 'continue', 2000],
      ['spf', 'observe', ['external'], 'continue', undefined],
      ['more', 'enforce', [], 'accept', undefined],
    ]);
    const [first, second] = modules;
    expect(first?.options).toEqual({
      limits: [{ key: 'user', per: 3_600_000, most: 9 }],
      users: 'shared',
      spare: false,
    });
    expect(first?.match.to?.has('a@b')).toBe(true);
    expect([first?.match.from, second?.match.to]).toEqual([undefined, undefined]);
    expect(first?.texts.get('exceeded')?.fill(() => 'you')).toBe('too much, you');
    expect(first?.mark).toBe('[SPAM?] ');
    expect(second?.options).toMatchObject({ fail: { word: 'reject' }, delegate: undefined });
  });

  it("takes the top level's on_error where neither module nor definition has one", async () => {
    const { modules } = await parse(`${SOCKET}\non_error = "reject"\n[[module]]\nuse = "spf"`);
    expect(modules[0]?.onError).toBe('reject');
  });

  it('learns later which domains are ours', async () => {
    const config = await parse(`${SOCKET}\n[[module]]\nuse = "spf"\nmatch = { from = ["Boss@example.org"] }`);
    const list = config.modules[0]?.match.from;
    expect(list?.has('boss@EXAMPLE.org')).toBe(false);
    config.ours.has = (domain) => domain === 'example.org';
    expect(list?.has('boss@EXAMPLE.org')).toBe(true);
  });
});

describe('a faulty configuration', () => {
  it('is refused with everything that is wrong, in the order of the file', async () => {
    const text = `sokcet = "x"
threads = 0
engine = "lib"
[log]
levle = "info"
level = "loud"
[[module]]
use = "spf"
  fial = "reject"
fail = "rejct"
match = { form = ["x"], to = ["a b", "c@d"] }
texts = { fail = "%{sendr} %{explanation}", fial = "x" }
[[module]]
use = "limits"
limits = [{ key = "usr", per = "1h" }, { pre = "1h", key = "user" }]
users = { group = "x" }`;
    expect(await faultsOf(text)).toEqual([
      'milter.toml:1:1: socket: is missing; it must be a socket such as "inet:8894@127.0.0.1" or "unix:/run/milter/milter.sock"',
      'milter.toml:1:1: sokcet: the configuration has no such key; did you mean "socket"?',
      'milter.toml:2:1: threads: must be at least 1, got 0',
      'milter.toml:3:1: engine: must be one of "libmilter" "js" "auto", got "lib"',
      'milter.toml:5:1: log.levle: log has no such key; did you mean "level"?',
      'milter.toml:6:1: log.level: must be one of "debug" "info" "warn" "error", got "loud"',
      'milter.toml:9:3: fial: module spf has no such key; did you mean "fail"?',
      expect.stringMatching(
        /^milter.toml:10:1: fail: must be an action, .*got "rejct"; did you mean "reject"\?$/,
      ),
      'milter.toml:11:11: match.form: match has no such key; did you mean "from"?',
      'milter.toml:11:31: match.to[0]: "a b" is no address: write user@example.com alone',
      'milter.toml:12:11: texts.fail: has "%{sendr}", which is not known here; did you mean "%{sender}"?',
      'milter.toml:12:45: texts.fial: texts has no such key; did you mean "fail"?',
      'milter.toml:15:13: limits[0].key: must be one of "user" "client", got "usr"; did you mean "user"?',
      'milter.toml:15:40: limits[1].per: is missing; it must be a duration such as "300ms", "8s", "5m", "6h" or "36d"',
      'milter.toml:15:42: limits[1].pre: limits[1] has no such key; did you mean "per"?',
      'milter.toml:16:1: users.groups: is missing; it must be a path such as "file:keys/2026.pem"',
      'milter.toml:16:11: users.group: users has no such key; did you mean "groups"?',
    ]);
  });

  it('throws an error that programs can read', async () => {
    const error: unknown = await parse('socket = 5').catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(MilterError);
    expect(error).toMatchObject({
      name: 'FilterConfigError',
      code: 'ERR_MILTER_CONFIG',
      faults: [{ file: 'milter.toml', line: 1, column: 1, key: 'socket', message: /must be a socket/ }].map(
        (fault) => ({
          ...fault,
          message: expect.stringMatching(fault.message) as unknown,
        }),
      ),
    });
  });

  it.each([
    ['socket = ""', 'socket: "" is empty; write for instance'],
    ['socket = "inet:99999@x"', 'socket: "inet:99999@x" has port 99999'],
    [
      'socket = []',
      'socket: must be a socket such as "inet:8894@127.0.0.1", or a list of sockets, got an array',
    ],
    ['socket = ["inet:1", 3]', 'socket[1]: must be a socket such as'],
    [`${SOCKET}\nsocket_mode = 660`, 'socket_mode: must be permission bits such as "0660", got 660'],
    [`${SOCKET}\nsocket_mode = "999"`, 'socket_mode: must be permission bits such as "0660", got "999"'],
    [`${SOCKET}\nuser = true`, 'user: must be a name or a number, got true'],
    [`${SOCKET}\nthreads = 1.5`, 'threads: must be a whole number, got 1.5'],
    [`${SOCKET}\nsplit = "yes"`, 'split: must be true or false, got "yes"'],
    [`${SOCKET}\nmax_body = 1000`, 'max_body: must be a size such as'],
    [`${SOCKET}\ntimeout = "2 hours"`, 'timeout: must be a duration such as'],
    [`${SOCKET}\nhelp = "postmaster"`, 'help: must be the URL of a page, such as'],
    [
      `${SOCKET}\nhttp.url = "https://mail.example.org/quarantine/"`,
      'http.url: must be the URL of a host name of its own, such as "https://quarantine.example.org", without a path',
    ],
    [`${SOCKET}\nhttp.url = "https://q.example.org/?x"`, 'http.url: must be the URL of a host name'],
    [`${SOCKET}\nhttp.url = "https://me:secret@q.example.org"`, 'http.url: must be the URL of a host name'],
    [
      `${SOCKET}\nhostname = 1979-05-27`,
      'hostname: must be the name of a machine, such as "mx.example.org", got an object',
    ],
    // What a timer cannot hold would end at once.
    [`${SOCKET}\ntimeout = "0s"`, '2:1: timeout: must be from "1ms" to "24d"'],
    [`${SOCKET}\ndns.timeout = "25d"`, '2:5: dns.timeout: must be from "1ms" to "24d"'],
    [`${SOCKET}\n[[module]]\nuse = "spf"\ndeadline = "0s"`, '4:1: deadline: must be from "1ms" to "24d"'],
    ['socket = ["inet:1@h", "inet:1@h"]', '1:1: socket: names a socket twice'],
    [`${SOCKET}\nhostname = "a\\r\\nX: b"`, '2:1: hostname: must be the name of a machine, such as'],
    [`${SOCKET}\nhostname = "mail server"`, '2:1: hostname: must be the name of a machine, such as'],
    [`${SOCKET}\nhostname = "a\\u202eb"`, '2:1: hostname: must be the name of a machine, such as'],
    [`${SOCKET}\nhelp = "https://x/{fnding}"`, '2:1: help: has "{fnding}", which is not known here'],
    [`${SOCKET}\ndata = ""`, '2:1: data: must not be empty, got ""'],
    [`${SOCKET}\n[quarantine]\npath = ""`, '3:1: quarantine.path: must be a folder of its own'],
    [`${SOCKET}\n[quarantine]\npath = "."`, '3:1: quarantine.path: must be a folder of its own'],
    [`${SOCKET}\nlog = "debug"`, 'log: must be a table, { … }, got "debug"'],
    [
      `${SOCKET}\nstore.url = "mysql://secret@x"`,
      'store.url: must be "sqlite:FILE", "redis://HOST:PORT/NUMBER", "redis+sentinel://HOST:PORT,HOST:PORT/NAME/NUMBER" (with TLS: "rediss…") or "memory:"',
    ],
    [
      `${SOCKET}\nstore.url = "redis+sentinel://:secret@a,b"`,
      'store.url: must name the master as its sentinels do: "redis+sentinel://HOST:PORT,HOST:PORT/NAME/NUMBER"',
    ],
    [
      `${SOCKET}\nstore.url = "redis://:secret@a/secret"`,
      'store.url: must end with the number of a database, as in "redis://HOST:PORT/NUMBER", ',
    ],
    [
      `${SOCKET}\nstore.url = "env:NONE"`,
      'store.url: names the environment variable "NONE", which is not set',
    ],
    [`${SOCKET}\ndns.servers = ["x"]`, 'dns.servers[0]: must be a name server such as'],
    [`${SOCKET}\nhttp.listen = "8895"`, 'http.listen: must be an address such as'],
    [
      `${SOCKET}\noutgoing.sendmail = "sendmail"`,
      'outgoing.sendmail: must be the path of a program, such as',
    ],
    [
      `${SOCKET}\nzzzzzzzzzzzz = 1`,
      /zzzzzzzzzzzz: the configuration has no such key; it has \$schema data dns /,
    ],
    [`${SOCKET}\n"a\\nb" = 1`, '2:1: "a\\nb": the configuration has no such key'],
    // What does not go together.
    [
      `${SOCKET}\nthreads = 2\nstore.url = "memory:"`,
      '3:7: store.url: is "memory:", which several threads cannot share; use "sqlite:milter.db"',
    ],
    [`${SOCKET}\nsplit = true`, '2:1: split: sends mail, and needs smtp or sendmail in [outgoing]'],
    [`${SOCKET}\n[quarantine]\ndigest = "07:00"`, '3:1: quarantine.digest: sends mail, and needs'],
    [
      `${SOCKET}\n[outgoing]\nsmtp = "x:25"\nsendmail = "/x"`,
      '4:1: outgoing.sendmail: goes not together with smtp',
    ],
    // Modules.
    [`${SOCKET}\n[module]\nuse = "spf"`, '2:1: module: must be written as [[module]], once for each module'],
    [`${SOCKET}\nmodule = ["spf"]`, '2:1: module: must be written as [[module]]'],
    [`${SOCKET}\n[[module]]\nmode = "off"`, '2:1: use: is missing; it must be the name of a module'],
    [`${SOCKET}\n[[module]]\nuse = 1`, '3:1: use: must be the name of a module'],
    [`${SOCKET}\n[[module]]\nuse = "spff"`, '3:1: use: there is no module "spff"'],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\nname = "a b"`,
      '4:1: name: must be letters, digits, hyphens and underscores',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\nmode = "observed"`,
      '4:1: mode: must be one of "enforce" "observe" "off", got "observed"; did you mean "observe"?',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\nwhen = []`,
      '4:1: when: names no mail at all; to switch the module off write mode = "off"',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\nwhen = ["incoming"]`,
      '4:9: when[0]: "incoming" is known only after the last recipient, and this module works before',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "limits"\nwhen = ["extern"]`,
      /4:9: when\[0\]: must be one of .*; did you mean "external"\?/,
    ],
    [`${SOCKET}\n[[module]]\nuse = "spf"\nmark = "a\\nb"`, '4:1: mark: must have no control characters'],
    [`${SOCKET}\n[[module]]\nuse = "spf"\ntexts = { fail = 5 }`, '4:11: texts.fail: must be a text, got 5'],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\nmdoe = "off"`,
      '4:1: mdoe: module spf has no such key; did you mean "mode"?',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = "a@b"`,
      '4:1: accept_fail: must be a list of addresses, such as',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = ["a@b", 5]`,
      '4:23: accept_fail[1]: must be a string, got 5',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = [" "]`,
      '4:16: accept_fail[0]: " " is empty: an empty list is []',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "limits"\nusers = "foo"`,
      '4:1: users: must be one of "shared" "each", got "foo"',
    ],
    [`${SOCKET}\n[[module]]\nuse = "limits"\nusers = 5`, '4:1: users: must be one of "shared" "each", got 5'],
    // Several modules.
    [
      `${SOCKET}\n[[module]]\nuse = "spf"\n[[module]]\nuse = "spf"\nname = "b"`,
      '5:1: use: "spf" may stand in a configuration only once',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "limits"\n[[module]]\nuse = "limits"`,
      '4:1: name: another module is named "limits" already; give this one a name of its own',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "limits"\nspare = true`,
      '3:1: use: needs a [[module]] with use = "spf", to spare who passes it',
    ],
    [
      `${SOCKET}\n[[module]]\nuse = "limits"\nspare = true\n[[module]]\nuse = "spf"\nmode = "off"`,
      '3:1: use: needs a [[module]] with use = "spf"',
    ],
  ])('%j: %s', async (text, expected) => {
    const faults = await faultsOf(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(expected);
  });

  it('may have what is off twice, and what is needed after what needs it', async () => {
    const spf = '[[module]]\nuse = "spf"\n';
    expect(await faultsOf(`${SOCKET}\n${spf}mode = "off"\n${spf}name = "b"`)).toEqual([]);
    expect(await faultsOf(`${SOCKET}\n[[module]]\nuse = "limits"\nspare = true\n${spf}`)).toEqual([]);
  });

  it.each([
    ['socket = inet:8894', 'milter.toml:1:10: is no value: write texts in "quotes"'],
    [`${SOCKET}\n${SOCKET}`, 'milter.toml:2:1: "socket" is given twice'],
    ['[[module]\nuse = "spf"', /^milter\.toml:1:\d+: expected end of table array declaration$/],
  ])('that is no TOML: %j', async (text, expected) => {
    expect((await faultsOf(text)).join()).toMatch(expected);
  });

  it.each([
    ['unknown keys', Array.from({ length: 100_000 }, (_, i) => `k${i} = 1\n`).join('')],
    ['an unknown key of a megabyte', `${'a'.repeat(1_000_000)} = 1`],
    ['wrong entries', `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = [${'5,'.repeat(99_000)}]`],
    ['entries', `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = [${'"a@b",'.repeat(200_000)}]`],
    ['unknown modules', `${SOCKET}\n${'[[module]]\nuse = "x"\n'.repeat(10_000)}`],
  ])('is not drowned in: %s', async (_, text) => {
    const faults = await faultsOf(text);
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.length).toBeLessThan(10_001);
    expect(Math.max(...faults.map(({ length }) => length))).toBeLessThan(2_000);
  });

  it('never throws anything else, whatever its values are', async () => {
    const keys = ['socket', 'threads', 'log', 'store', 'module', 'http', 'quarantine', 'data', 'dns', 'user'];
    const value = fc.oneof(
      fc.constantFrom(
        '""',
        '"x"',
        '0',
        '-1',
        '1.5',
        'true',
        '[]',
        '{}',
        '[[]]',
        '[{}]',
        '{ a = 1 }',
        'nan',
        '07:00:00',
      ),
      fc.constantFrom(
        '[{ use = "spf" }]',
        '[{ use = [] }]',
        '[{ use = "limits", limits = [5] }]',
        '{ use = "spf" }',
      ),
      fc.constantFrom(
        '{ url = [] }',
        '{ level = {} }',
        '[{ use = "spf", match = 5 }]',
        '[{ use = "spf", texts = [] }]',
      ),
    );
    const pairs = fc.dictionary(fc.constantFrom(...keys), value);
    await fc.assert(
      fc.asyncProperty(pairs, async (given) => {
        const faults = await faultsOf(
          Object.entries(given)
            .map(([key, text]) => `${key} = ${text}\n`)
            .join(''),
        );
        for (const fault of faults) expect(fault).toMatch(/^milter\.toml:\d+:\d+: \S+: [^\n]+$/);
      }),
      runs(500),
    );
  });
});

describe('a configuration file', () => {
  function setUp(files: Readonly<Record<string, string | Buffer>>): string {
    const folder = mkdtempSync(join(tmpdir(), 'libmilter-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    return folder;
  }

  it('has its lists beside it, and their faults are its own', async () => {
    const folder = setUp({
      'milter.toml': `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = ["x@y", "file:friends"]\nmatch = { from = ["file:none"] }`,
      friends: '# ours\n  not an address\n@b\n',
    });
    await expect(loadConfig(join(folder, 'milter.toml'), { findModule })).rejects.toMatchObject({
      faults: [
        {
          file: join(folder, 'friends'),
          line: 2,
          column: 3,
          key: 'accept_fail[1]',
          message: /is no address/,
        },
        {
          file: join(folder, 'friends'),
          line: 3,
          column: 1,
          key: 'accept_fail[1]',
          message: /has nothing before/,
        },
        {
          file: join(folder, 'milter.toml'),
          line: 5,
          column: 19,
          key: 'match.from[0]',
          message: /cannot be read: ENOENT/,
        },
      ].map((fault) => ({ ...fault, message: expect.stringMatching(fault.message) as unknown })),
    });
  });

  it.each([
    ['is not there', {}, /^cannot be read: ENOENT/],
    ['is no text', { 'milter.toml': Buffer.from([0xff, 0xfe]) }, /is no text in UTF-8/],
  ])('that %s', async (_, files, expected) => {
    const path = join(setUp(files), 'milter.toml');
    await expect(loadConfig(path)).rejects.toMatchObject({
      faults: [
        { file: path, line: 0, column: 0, key: '', message: expect.stringMatching(expected) as unknown },
      ],
    });
    await expect(loadConfig(path)).rejects.toThrow(`${path}: `);
  });

  it('is waited for once only where it is a pipe', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'libmilter-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const first = loadConfig(pipe);
    writeFileSync(pipe, SOCKET);
    const { files } = await first;
    await expect(loadConfig(pipe, { files })).rejects.toThrow('pipe: cannot be read: it is no file');
  });

  it('takes over lists that were read before, as long as it has them', async () => {
    const folder = setUp({
      'milter.toml': `${SOCKET}\n[[module]]\nuse = "spf"\naccept_fail = ["file:friends"]`,
      friends: 'a@b',
    });
    const path = join(folder, 'milter.toml');
    const first = await loadConfig(path, { findModule });
    rmSync(join(folder, 'friends'));
    const second = await loadConfig(path, { findModule, files: first.files });
    const without = await parse(SOCKET);
    await expect(loadConfig(path, { findModule, files: without.files })).rejects.toThrow('cannot be read');
    const [{ options } = { options: {} }] = second.modules;
    const { accept_fail: list } = options as { accept_fail: AddressList };
    expect(list.has('a@b')).toBe(true);
    writeFileSync(join(folder, 'friends'), 'c@d\n');
    await second.files.refresh();
    expect([list.has('a@b'), list.has('c@d')]).toEqual([false, true]);
  });
});

describe('the values in force', () => {
  it('are all there, each with its origin and without secrets', async () => {
    const config = await parse(`${SOCKET}
[store]
url = "redis://user:password@host/0"
[[module]]
use = "spf"
fail = "tag"
key = "hunter2"
[[module]]
use = "limits"
when = ["local"]`);
    const values = configuredValues(config);
    const find = (section: string, key: string): unknown => {
      const { value, origin } = values.find((one) => one.section === section && one.key === key) ?? {};
      return [value, origin];
    };
    expect(find('', 'socket')).toEqual(['inet:8894@127.0.0.1', 1]);
    expect(find('', 'max_body')).toEqual(['64MiB', 'default']);
    expect(find('', 'hostname')).toEqual([config.settings.hostname, 'default']);
    expect(find('log', 'level')).toEqual(['info', 'default']);
    expect(find('store', 'url')).toEqual(['(secret)', 3]);
    expect(find('spf', 'fail')).toEqual(['tag', 6]);
    expect(find('spf', 'key')).toEqual(['(secret)', 7]);
    expect(find('spf', 'accept_fail')).toEqual([[], 'default']);
    expect(find('spf', 'when')).toEqual([['external'], 'default']);
    expect(find('spf', 'on_error')).toEqual(['tempfail', 'default']);
    expect(find('limits', 'when')).toEqual([['local'], 10]);
    expect(find('limits', 'on_error')).toEqual(['continue', 'default']);
    expect(JSON.stringify(values)).not.toMatch(/password|hunter2/);
  });
});

const promised = join(import.meta.dirname, '../../../../../shared/milter.toml');

it.skipIf(!existsSync(promised))(
  'the whole promised configuration is one, as far as its modules exist',
  async () => {
    const missing = (name: string): AnyModule => ({
      name,
      options: z.looseObject({}) as unknown as AnyModule['options'],
      findings: {},
      setup: () => class extends Milter {},
    });
    const find: FindModule = async (use) => (await ownModules[use]?.())?.default ?? missing(use);
    const text = readFileSync(promised, 'utf8');
    const { modules, settings } = await parseConfig(text, {
      findModule: find,
      directory: join(promised, '..'),
    });
    expect(modules.length).toBeGreaterThan(20);
    expect(settings.hostname).toBe('mx.example.org');
  },
);
