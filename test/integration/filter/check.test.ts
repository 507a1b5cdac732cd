/** `milter check` and `milter explain`. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { milter } from '../../helpers/cli.ts';
import { configured, folderWith } from '../../helpers/configured.ts';

const NETWORKS = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\n';
const HELO = '[[module]]\nuse = "helo"\n';

describe('milter check', () => {
  it('says what is in force, and what is unwise', async () => {
    const file = configured(`${HELO}mode = "observe"\n`, 'on_error = "accept"\n[history]\nmax = 0');
    const { status, out } = await milter(['check', file]);
    expect(status).toBe(0);
    expect(out).toContain(
      `warning: ${file}:3: on_error: is "accept": mail passes unseen while a module fails\n`,
    );
    expect(out).toContain(`warning: ${file}:5: history.max: is 0: \`milter why\` can explain nothing\n`);
    expect(out).toContain('there is no "networks"');
    expect(out).toContain(`${file} can be run: only observing helo\n`);
  });

  it.each([
    ['user = "no-such-user"', 'user: there is no user "no-such-user" in /etc/passwd'],
    ['[store]\nurl = "sqlite:/dev/null/milter.db"', 'store.url: it cannot be opened: '],
    ['[quarantine]\npath = "/dev/null/quarantine"', 'quarantine.path: '],
  ])('exits with 1 for %j', async (top, message) => {
    const { status, out } = await milter(['check', configured(NETWORKS, top)]);
    expect(out).toMatch(new RegExp(`^fault: .*:\\d+: ${message.replace(/[.*"]/g, '.')}`, 'm'));
    expect(out).toContain(' cannot be run: ');
    expect(status).toBe(1);
  });

  it('has an unreadable list, a missing folder and an unknown server each in one line', async () => {
    const folder = folderWith({ list: 'a b\n' });
    const text = `socket = "unix:${folder}/none/x.sock"\ndata = "data"\n[outgoing]\nsmtp = "127.0.0.1:1"\n${NETWORKS}`;
    const file = join(folder, 'milter.toml');
    writeFileSync(file, text);
    const { status, out } = await milter(['check', file]);
    expect(out).toContain(`fault: ${file}:1: socket: "${folder}/none" does not exist\n`);
    expect(out).toMatch(/^warning: .*:4: outgoing.smtp: the server cannot be reached: connect ECONNREFUSED/m);
    expect(status).toBe(1);
    writeFileSync(file, text.replace('["example.com"]', '["file:list", "file:nothing"]'));
    const broken = await milter(['check', file]);
    expect(broken.err).toContain('milter check: the configuration has 2 faults:\n');
    expect(broken.err).toContain(`${folder}/list:1:1: domains[0]: "a b" is no address`);
    expect(broken.err).toContain(`${file}:7:25: domains[1]: cannot be read: ENOENT`);
    expect(broken.status).toBe(1);
  });

  it('finds each place that the filter would write to or listen at, and could not', async () => {
    const folder = folderWith({ file: '' });
    const text = `socket = ["unix:${folder}/file", "inet:0@host.invalid"]
socket_group = "no-such-group"
data = "data"
[http]
listen = "unix:${folder}/none/page.sock"
${NETWORKS}[[module]]
use = "attachments"
save = "${folder}/file"
[[module]]
use = "copies"
copy = [{ of = "all", maildir = "${folder}/file/%{user}" }, { of = "all", mbox = "%{date}/mbox" }]
`;
    const file = join(folder, 'milter.toml');
    writeFileSync(file, text);
    const { status, out } = await milter(['check', file]);
    const faults = out.split('\n').filter((line) => line.startsWith('fault: '));
    expect(faults.map((line) => line.slice(`fault: ${file}:`.length)).toSorted()).toEqual([
      `11: attachments.save: "${folder}/file" is no folder`,
      `14: copies.copy: "${folder}/file" is no folder`,
      `1: socket: "${folder}/file" is there, and is no socket`,
      '1: socket: the host name "host.invalid" cannot be resolved',
      '2: socket_group: there is no group "no-such-group" in /etc/group',
      `5: http.listen: "${folder}/none" does not exist`,
    ]);
    expect(status).toBe(1);
  });

  it('says each warning once, whoever notices it', async () => {
    const file = configured(
      `${NETWORKS}[[module]]\nuse = "srs"\ndomain = "s.example"\nsecrets = "123456789"\n`,
    );
    const { out, err } = await milter(['check', file]);
    expect(out.match(/have less than 16 characters/g)).toHaveLength(1);
    expect(err).toBe('');
    writeFileSync(join(dirname(file), 'access'), 'SPF-Fial:example.com OK\n');
    writeFileSync(file, `${readFileSync(file, 'utf8')}[[module]]\nuse = "access"\nmap = "file:access"\n`);
    expect((await milter(['check', file])).out).toMatch(
      /^warning: .*:11: access: the access map has entries for a finding that no module here knows \(tag "spf-fial"\)$/m,
    );
  });

  it('warns of thresholds that all mail reaches', async () => {
    const file = configured(`${NETWORKS}[[module]]\nuse = "score"\nreject_from = 0\n`);
    expect((await milter(['check', file])).out).toContain('score: reject_from is 0, which mail without any');
  });

  it('shows no password of a URL', async () => {
    const file = configured(
      `${NETWORKS}[[module]]\nuse = "spam"\nrspamd = "http://ann:hunter2@127.0.0.1:1"\n`,
    );
    const { out } = await milter(['explain', file]);
    expect(out).toContain('rspamd = "http://(secret)@127.0.0.1:1"');
    expect(out + (await milter(['check', file])).out).not.toContain('hunter2');
  });

  it('warns where module auth is wanted, and nobody verifies signatures', async () => {
    const stern = `${NETWORKS}from_as_ours = "reject"\n[[module]]\nuse = "spf"\n`;
    const { out } = await milter(['check', configured(stern)]);
    expect(out).toMatch(
      /^warning: .*: networks: would do more with a .* use = "auth", by whose signatures from_as_ours/m,
    );
    expect(out).toMatch(
      /^warning: .*: spf: would do more with a .* use = "auth", by whose signatures dkim_saves/m,
    );
    const mild = `${NETWORKS}[[module]]\nuse = "spf"\ndkim_saves = false\n`;
    expect((await milter(['check', configured(mild)])).out).not.toContain('"auth"');
    expect((await milter(['check', configured(`${stern}[[module]]\nuse = "auth"\n`)])).out).not.toContain(
      'would do more',
    );
  });

  it('warns where what is held does not get to its owners', async () => {
    const HELD = `${NETWORKS}${HELO}address = "quarantine"\n`;
    const none = await milter(['check', configured(HELD)]);
    expect(none.out).toContain('outgoing: says neither smtp nor sendmail');
    const top = '[outgoing]\nsendmail = "/no/such/program"\n[quarantine]\ndigest = "07:00"\n';
    const { out } = await milter(['check', configured(HELD, top)]);
    expect(out).toContain('outgoing.sendmail: "/no/such/program" is no program that can be run');
    expect(out).toContain('quarantine.digest: digests have no links');
    expect(out).not.toContain('neither smtp');
  });

  it('warns of a networks module that lets everybody send', async () => {
    const { out } = await milter([
      'check',
      configured('[[module]]\nuse = "networks"\ninternal = ["0.0.0.0/0"]\n'),
    ]);
    expect(out).toContain('networks: internal has the whole internet');
    expect(out).toContain('networks.domains: is empty');
  });

  it('compares values with an older configuration', async () => {
    const old = configured(NETWORKS + HELO);
    const next = configured(`${HELO}address = "tag"\n${NETWORKS}`, '[log]\nlevel = "debug"');
    const { out } = await milter(['check', next, '--diff', old]);
    expect(out).toContain('log.level: "info" → "debug"\nhelo.address: "reject" → "tag"\n');
    expect(out).toContain('order of modules: ["networks","helo"] → ["helo","networks"]\n');
    expect(out).not.toContain('mode:');
    const { out: none } = await milter(['check', old, '--diff', old]);
    expect(none).toContain('No value in force is different.\n');
  });

  it('has all that in JSON', async () => {
    const { out, status } = await milter(['check', '--json', configured(HELO)]);
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      isSound: true,
      modules: [{ name: 'helo', mode: 'enforce' }],
      problems: expect.arrayContaining([expect.objectContaining({ key: 'module', isFault: false })]),
    });
  });

  it('asks Postfix for its limits', async () => {
    const file = configured(NETWORKS, 'max_body = "1kB"');
    const bin = join(dirname(file), 'bin');
    mkdirSync(bin);
    const values = [
      'message_size_limit = 10240000',
      'milter_command_timeout = 5s',
      'milter_content_timeout = 300s',
      'milter_default_action = accept',
      'smtpd_milters = inet:127.0.0.1:9999',
      'queue_directory = /var/spool/postfix',
    ];
    writeFileSync(join(bin, 'postconf'), `#!/bin/sh\ncat <<'END'\n${values.join('\n')}\nEND\n`);
    chmodSync(join(bin, 'postconf'), 0o755);
    const { PATH = '' } = process.env;
    vi.stubEnv('PATH', `${bin}:${PATH}`);
    const { out } = await milter(['check', file]).finally(() => vi.unstubAllEnvs());
    const warnings = [...out.matchAll(/^warning: Postfix: (\w+)/gm)].map(([, name]) => name);
    expect(warnings).toEqual([
      'message_size_limit',
      'milter_command_timeout',
      'milter_default_action',
      'smtpd_milters',
    ]);
  });
});

describe('milter explain', () => {
  it('prints values with their origin, stages and order', async () => {
    const file = configured(`${HELO}address = "tag"\n${NETWORKS}`);
    const { status, out } = await milter(['explain', file]);
    expect(status).toBe(0);
    expect(out).toMatch(/^address = "tag" +# line 6$/m);
    expect(out).toMatch(/^missing = "reject" +# default$/m);
    expect(out).toContain('Stages that come to the filter: envfrom envrcpt eom\n');
    expect(out).toMatch(/^ {2}helo +envfrom envrcpt eom\n {2}networks/m);
    expect(out).toContain('in this order: helo networks\n');
    expect((await milter(['explain', '--set', file])).out).not.toContain('default');
    expect(JSON.parse((await milter(['explain', '--json', file])).out)).toMatchObject({
      stages: ['envfrom', 'envrcpt', 'eom'],
      judges: [{ name: 'helo' }, { name: 'networks' }],
    });
  });
});
