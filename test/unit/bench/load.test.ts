import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../bench/processes.ts';

const noReply = {
  connect: 0x1000,
  helo: 0x2000,
  mail: 0x4000,
  rcpt: 0x8000,
  data: 0x10000,
  header: 0x80,
  eoh: 0x40000,
  body: 0x80000,
};
const everyNoReply = Object.values(noReply).reduce((all, bit) => all | bit);
const off = {
  connect: 0x1,
  helo: 0x2,
  mail: 0x4,
  rcpt: 0x8,
  body: 0x10,
  header: 0x20,
  eoh: 0x40,
  data: 0x200,
};
const everyOff = Object.values(off).reduce((all, bit) => all | bit);

function packet(command: string, data: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(data.length + 1);
  head.write(command, 4);
  return Buffer.concat([head, data]);
}

/** A filter that negotiates `steps`, replies what `verdict` says and notes the commands of the first connection. */
async function filter(path: string, steps: number, verdict: (command: string) => string) {
  const commands: string[] = [];
  let connections = 0;
  const server = createServer((socket) => {
    const isFirst = connections++ === 0;
    let pending = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE()) {
        const size = pending.readUInt32BE();
        const command = pending.toString('latin1', 4, 5);
        const macrosOf = command === 'D' ? pending.toString('latin1', 5, 6) : '';
        pending = pending.subarray(4 + size);
        if (command === 'O') {
          const words = Buffer.alloc(12);
          words.writeUInt32BE(6, 0);
          words.writeUInt32BE(0x1ff, 4);
          words.writeUInt32BE(steps, 8);
          socket.write(packet('O', words));
          continue;
        }
        if (isFirst) commands.push(command + macrosOf);
        const reply = verdict(command);
        if (reply === 'hang up') socket.destroy();
        else if (reply !== '') socket.write(Buffer.concat([...reply].map((letter) => packet(letter))));
      }
    });
  }).listen(path);
  await once(server, 'listening');
  return { server, commands };
}

const continues = (command: string) => ('DAQ'.includes(command) ? '' : 'c');
const header = Array.from({ length: 10 }, () => ['DL', 'L']).flat();

describe.skipIf(process.platform !== 'linux')('the load generator', () => {
  let tools: string;
  let server: Server | undefined;
  beforeAll(async () => {
    tools = await mkdtemp(join(tmpdir(), 'milter-bench-'));
    await compile(tools);
  });
  afterEach(() => server?.close());
  afterAll(() => rm(tools, { recursive: true }));

  async function run(steps: number, verdict: (command: string) => string, args: string[]) {
    const path = join(tools, 'load.sock');
    const { server: listening, commands } = await filter(path, steps, verdict);
    server = listening;
    const { stdout } = await promisify(execFile)(join(tools, 'load'), [...args, `unix:${path}`]);
    return { commands, result: JSON.parse(stdout) };
  }

  test('sends every stage with its macros, and ends each message with an abort before the next', async () => {
    const { commands } = await run(0, continues, ['-c', '1', '-m', '2']);
    const message = ['A', 'DM', 'M', 'DR', 'R', 'DT', 'T', ...header, 'DN', 'N', 'DB', 'B', 'DE', 'E'];
    expect(commands).toEqual(['DC', 'C', 'DH', 'H', ...message, ...message, 'Q']);
  });

  test('leaves out the stages that were negotiated away, but not the macros of the envelope', async () => {
    const { commands } = await run(everyOff, continues, ['-c', '1', '-m', '1']);
    expect(commands).toEqual(['DC', 'DH', 'A', 'DM', 'DR', 'DT', 'DE', 'E', 'Q']);
  });

  test('waits for no reply where none was negotiated', async () => {
    const { result } = await run(everyNoReply, (command) => (command === 'E' ? 'c' : ''), [
      '-c',
      '3',
      '-m',
      '30',
    ]);
    expect(result).toMatchObject({ connections: 3, steps: everyNoReply, messages: 30, total: 30 });
  });

  test('goes on after progress at the end of the message', async () => {
    const verdict = (command: string) => (command === 'E' ? 'ppc' : continues(command));
    const { result } = await run(0, verdict, ['-c', '1', '-m', '5']);
    expect(result.total).toBe(5);
  });

  test.each([
    ['t', 'M', "load: connection 0: 't' in reply to 'M', expected 'c'"],
    ['a', 'E', "load: connection 0: 'a' in reply to 'E', expected 'c'"],
    ['cc', 'E', 'load: connection 0: more replies than questions'],
    ['hang up', 'R', 'load: connection 0: closed by the filter'],
  ])('fails when the filter answers %s to %s', async (answer, at, complaint) => {
    const verdict = (command: string) => (command === at ? answer : continues(command));
    await expect(run(0, verdict, ['-c', '1', '-m', '1'])).rejects.toMatchObject({
      code: 1,
      stderr: `${complaint}\n`,
    });
  });
});
