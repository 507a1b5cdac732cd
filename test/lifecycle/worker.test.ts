import { expect, test } from 'vitest';
import { live } from './child.ts';

const MTAS = 8;
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
