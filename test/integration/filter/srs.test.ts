/** Module srs on the real libmilter, and its socket map while the filter runs, follows a new configuration, and is tried. */
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig, openConfig } from '../../../lib/filter/index.ts';
import { createSrs } from '../../../lib/srs/index.ts';
import { connectMta } from '../../../lib/testing/index.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { folderWith } from '../../helpers/configured.ts';
import { connectMap } from '../../helpers/socket-map.ts';
import { until } from '../../helpers/wait.ts';

const SECRET = 'the secret of these tests';

function config(path: string, options: string): string {
  return `socket = "inet:0@127.0.0.1"
socket_mode = "0600"
data = "data"
[log]
level = "debug"
[[module]]
use = "srs"
domain = "srs.example.com"
secrets = "file:secrets"
forward = "socketmap"
socketmap = "unix:${path}"
${options}
`;
}

it('lives through a change of the configuration, and is not touched by who only tries one', async () => {
  const folder = folderWith({ secrets: `${SECRET}\n`, 'mail.eml': 'Subject: x\n\nx\n' });
  const [file, path] = [join(folder, 'milter.toml'), join(folder, 'map.sock')];
  writeFileSync(file, config(path, ''));
  await using running = new RunningMilter([file]);
  await running.address();
  expect(statSync(path).mode & 0o777).toBe(0o600);
  using client = await connectMap(`unix:${path}`);
  expect(await client.ask('forward', 'mouse@orig.example')).toMatch(
    /^OK SRS0=.{8}=..=orig\.example=mouse@srs\.example\.com$/,
  );

  // A second one may not take its place; those that only look do not try.
  const second = await milter(['run', file]);
  expect(second.status).not.toBe(0);
  expect(second.err).toContain('another program listens there');
  const beside = await openConfig(await loadConfig(file), { idle: true });
  await beside.close();
  expect((await milter(['check', file])).out).not.toContain('listens there');
  expect((await milter(['try', '--config', file, join(folder, 'mail.eml')])).status).toBe(0);
  expect(await client.ask('forward', 'mouse@orig.example')).toMatch(/^OK SRS0=.{8}=/);

  const reload = async (text: string, done: string): Promise<void> => {
    writeFileSync(file, text);
    running.child.kill('SIGHUP');
    await until(done, () => `${running.out}${running.err}`.includes(done));
  };
  await reload(config(path, 'separator = "+"\nexclude = ["partner.example"]'), 'is in force');
  // On the same connection.
  expect(await client.ask('forward', 'mouse@orig.example')).toMatch(/^OK SRS0\+/);
  expect(await client.ask('forward', 'mouse@partner.example')).toBe('NOTFOUND ');
  using another = await connectMap(`unix:${path}`);
  expect(await another.ask('forward', 'mouse@orig.example')).toMatch(/^OK SRS0\+/);

  // One that is not taken changes nothing.
  await reload(config(path, 'separator = "-"\nhash_length = 2'), 'was not taken');
  expect(await client.ask('forward', 'mouse@orig.example')).toMatch(/^OK SRS0\+/);

  // The secrets are followed without that.
  writeFileSync(join(folder, 'secrets'), 'the next secret\n');
  const next = createSrs({ secrets: ['the next secret'], separator: '+' });
  await until('the new secret', async () => {
    const answer = await client.ask('forward', 'mouse@orig.example');
    return answer === `OK ${next.forward('mouse@orig.example', 'srs.example.com')}`;
  });
});

it('takes the place of a filter that was killed, and leaves no socket behind', async () => {
  const folder = folderWith({ secrets: `${SECRET}\n` });
  const [file, path] = [join(folder, 'milter.toml'), join(folder, 'map.sock')];
  writeFileSync(file, config(path, ''));
  const first = new RunningMilter([file]);
  await first.address();
  await first[Symbol.asyncDispose]();
  expect(statSync(path).isSocket()).toBe(true);
  await using running = new RunningMilter([file]);
  await running.address();
  using client = await connectMap(`unix:${path}`);
  expect(await client.ask('reverse', 'a@srs.example.com')).toBe('NOTFOUND ');
  running.child.kill('SIGTERM');
  await running.status();
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
});

it('answers nothing in observe mode', async () => {
  const folder = folderWith({ secrets: `${SECRET}\n` });
  const [file, path] = [join(folder, 'milter.toml'), join(folder, 'map.sock')];
  writeFileSync(file, config(path, 'mode = "observe"'));
  await using running = new RunningMilter([file]);
  await running.address();
  using client = await connectMap(`unix:${path}`);
  expect(await client.ask('forward', 'mouse@orig.example')).toBe('NOTFOUND ');
  const rewritten = createSrs({ secrets: [SECRET] }).forward('mouse@orig.example', 'srs.example.com');
  expect(await client.ask('reverse', rewritten)).toBe('NOTFOUND ');
});

it('takes bounces home on the real libmilter', async () => {
  const folder = folderWith({ secrets: `${SECRET}\n` });
  const file = join(folder, 'milter.toml');
  writeFileSync(
    file,
    'socket = "inet:0@127.0.0.1"\ndata = "data"\n[[module]]\nuse = "srs"\ndomain = "srs.example.com"\nsecrets = "file:secrets"\n',
  );
  await using running = new RunningMilter([file]);
  await using mta = await connectMta(await running.address());
  const rewritten = createSrs({ secrets: [SECRET] }).forward('"a mouse"@orig.example', 'srs.example.com');
  const result = await mta.sendMessage('Subject: failed\r\n\r\nx\r\n', {
    sender: '<>',
    recipients: [`<${rewritten}>`, `<${rewritten.replace('mouse', 'house')}>`],
  });
  expect(result.recipients.map(({ reply }) => reply?.code)).toEqual([undefined, 550]);
  expect(result.message.recipients).toEqual(['<"a mouse"@orig.example>']);
});
