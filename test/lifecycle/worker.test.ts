import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Mode, stageIndex, stages, verdictCode } from '../../lib/protocol/stages.ts';
import { live } from './child.ts';

const MTAS = 8;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const LIBRARY = new URL('../../lib/index.ts', import.meta.url).href;

/** Makes a worker thread that serves and tells its parent the address, and then each MAIL. */
const WORKERS = `
  import { once } from 'node:events';
  import { Worker } from 'node:worker_threads';
  const begin = async (body) => {
    const worker = new Worker(\`
      import { parentPort } from 'node:worker_threads';
      import { Milter, serve } from '${LIBRARY}';
      class Waits extends Milter {
        envfrom() { parentPort.postMessage('mail'); return new Promise(() => {}); }
      }
      const server = await serve(Waits, { socket: 'inet:0@127.0.0.1' });
      parentPort.postMessage(server.address);
      \${body}\`, { eval: true });
    const [address] = await once(worker, 'message');
    return { worker, address };
  };
  /** Waits until every MTA has a handler that waits for it. */
  const busy = async (worker) => { for (let i = 0; i < mtas; i++) await once(worker, 'message'); };
  const serveHere = async () => {
    const server = await serve(Quick, { socket });
    say(await mail(server));
    await server.close();
  };
`;

test('a worker thread that is terminated while handlers wait leaves the process at work', async () => {
  const death = await live({
    script: `${WORKERS}
      const { worker, address } = await begin('');
      say('listening ' + address);
      await busy(worker);
      say('terminated ' + await worker.terminate());
      await serveHere();`,
    mtas: MTAS,
  });
  expect(death).toMatchObject({ code: 0, said: ['terminated 1', 'reject'], stderr: '' });
  expect(new Set(death.verdicts)).toEqual(new Set(['tempfail']));
});

test('a worker thread that exits by itself while handlers wait leaves the process at work', async () => {
  const death = await live({
    script: `${WORKERS}
      const { worker, address } = await begin("parentPort.on('message', () => process.exit(3));");
      say('listening ' + address);
      await busy(worker);
      worker.postMessage('go');
      const [code] = await once(worker, 'exit');
      say('exited ' + code);
      await serveHere();`,
    mtas: MTAS,
  });
  expect(death).toMatchObject({ code: 0, said: ['exited 3', 'reject'], stderr: '' });
  expect(new Set(death.verdicts)).toEqual(new Set(['tempfail']));
});

test('worker threads that serve come and go, more often than there are places for servers', async () => {
  const death = await live({
    script: `${WORKERS}
      for (let i = 0; i < 40; i++) {
        const { worker } = await begin('');
        await worker.terminate();
      }
      await serveHere();`,
  });
  expect(death).toMatchObject({ code: 0, said: ['reject'], stderr: '' });
});

test('a worker thread that is terminated in the moment of its start', async () => {
  const death = await live({
    script: `${WORKERS}
      for (let i = 0; i < 12; i++) {
        const worker = new Worker(\`
          import { parentPort } from 'node:worker_threads';
          import { Milter, serve } from '${LIBRARY}';
          void serve(class extends Milter { eom() {} }, { socket: 'inet:0@127.0.0.1' });
          parentPort.postMessage('starting');\`, { eval: true });
        await once(worker, 'message');
        await worker.terminate();
      }
      await serveHere();`,
  });
  expect(death).toMatchObject({ code: 0, said: ['reject'], stderr: '' });
});

test('a process that ends while its worker thread serves', async () => {
  const death = await live({
    script: `${WORKERS}
      const { worker, address } = await begin('');
      say('listening ' + address);
      await busy(worker);
      process.exit(4);`,
    mtas: MTAS,
  });
  expect(death).toMatchObject({ code: 4, said: [], stderr: '' });
});

test('the main thread and a worker thread serve side by side', async () => {
  const death = await live({
    script: `${WORKERS}
      const { worker } = await begin('');
      await serveHere();
      await worker.terminate();
      await serveHere();`,
  });
  expect(death).toMatchObject({ code: 0, said: ['reject', 'reject'], stderr: '' });
});

// The addon alone, whose callers are elsewhere: a worker thread that loads all of lib/ takes four times as long.
const SETTLES_WITHOUT_END = `
  import { parentPort } from 'node:worker_threads';
  import load from 'node-gyp-build';
  const addon = load('${ROOT}');
  const perStage = (value) => Array(${stages.length}).fill(value);
  const modes = perStage(${Mode.off}).with(${stageIndex.envfrom}, ${Mode.wait});
  let batches = 0;
  const server = new addon.Server(
    { socket: 'inet:0@127.0.0.1', unixPath: '', socketMode: -1, socketGroup: -1, backlog: 0, timeoutSeconds: 0, debug: 0,
      maxDataSize: 0, maxConnections: 100 },
    {
      started: (address) => parentPort.postMessage(address),
      stopped() {},
      later: () => setImmediate(() => server.resume()),
      batch(tickets) {
        for (let at = 0; at < tickets.length; at += 20 + tickets.readUInt32LE(at)) {
          const stage = tickets[at + 16];
          if (stage === ${stageIndex.envfrom}) server.settle(tickets.readUInt32LE(at + 4), ${verdictCode.reject});
        }
        if (++batches === 5) parentPort.postMessage('busy');
        queueMicrotask(() => server.resume());
      },
    });
  server.addPlan({ id: 1, modes, deadlines: perStage(60_000), asksAtNegotiate: false, rejectedRecipients: false,
    bodyChunks: false, maxBody: 0, onError: { verdict: ${verdictCode.tempfail}, packed: undefined }, macros: [],
    stageMacros: perStage([]), requestedMacros: perStage('') });
  server.start();`;

test('four hundred worker threads that are terminated while they settle tickets', async () => {
  const death = await live({
    script: `
      import { once } from 'node:events';
      import { connect } from 'node:net';
      import { Worker } from 'node:worker_threads';
      const packet = (command, data) => {
        const bytes = Buffer.from('\\0\\0\\0\\0' + command + data, 'latin1');
        bytes.writeUInt32BE(bytes.length - 4);
        return bytes;
      };
      const mails = Buffer.concat([
        packet('O', '\\0\\0\\0\\x06\\0\\0\\x01\\xff\\0\\x1f\\xff\\xff'),
        ...Array(2_000).fill(packet('M', '<ann@one.test>\\0')),
      ]);
      const mta = (address) => new Promise((gone) => {
        connect(Number(/:(\\d+)@/.exec(address)[1]), '127.0.0.1')
          .on('error', () => {}).on('close', gone).resume().write(mails);
      });
      let left = 400;
      const terminateOthers = async () => {
        while (left-- > 0) {
          const worker = new Worker(${JSON.stringify(SETTLES_WITHOUT_END)}, { eval: true });
          const [address] = await once(worker, 'message');
          const busy = once(worker, 'message');
          const mtas = [mta(address), mta(address), mta(address)];
          await busy;
          await worker.terminate();
          await Promise.all(mtas);
        }
      };
      await Promise.all(Array.from({ length: 4 }, terminateOthers));
      const server = await serve(Quick, { socket });
      say(await mail(server));
      await server.close();`,
    deadline: 150_000,
  });
  expect(death).toMatchObject({ code: 0, said: ['reject'], stderr: '' });
}, 160_000);
