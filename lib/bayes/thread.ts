/** The thread of `openBayes`: takes messages apart and asks the store, so that whoever handles mail is never held up. */
import { parentPort, workerData } from 'node:worker_threads';
import { Importer } from './import.ts';
import { Learner, UnlearnError } from './learner.ts';
import type { Answers, FromThread, Request, ThreadData, ToThread } from './request.ts';
import type { DictionaryStore } from './store/store.ts';

const { url, minTrained, retention } = workerData as ThreadData;

async function openStore(): Promise<DictionaryStore> {
  switch (url.kind) {
    case 'memory':
      return new (await import('./store/memory.ts')).MemoryStore(retention);
    case 'sqlite':
      return new (await import('./store/sqlite.ts')).SqliteStore(url.path, retention);
    case 'redis':
      return new (await loadRedis()).RedisStore(url.url, retention);
  }
}

async function loadRedis(): Promise<typeof import('./store/redis.ts')> {
  try {
    return await import('./store/redis.ts');
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new Error('dictionaries in Redis need @redis/client: npm install @redis/client', { cause: error });
  }
}

interface Opened {
  readonly store: DictionaryStore;
  readonly learner: Learner;
  readonly importer: Importer;
}

const chosen = openStore();
// Each request is told of its failure.
chosen.catch(() => {});
let opened: Promise<Opened> | undefined;

async function open(): Promise<Opened> {
  const store = await chosen;
  const secret = await store.secret();
  return { store, learner: new Learner(store, secret, minTrained), importer: new Importer(store, secret) };
}

async function answer(request: Request): Promise<Answers[keyof Answers]> {
  // A server that is away may be back later, so nothing is asked of it before it is needed.
  if (request.call === 'open') {
    await chosen;
    return undefined;
  }
  if (request.call === 'close') {
    await (await chosen).close();
    return undefined;
  }
  opened ??= open();
  const { store, learner, importer } = await opened.catch((error: unknown) => {
    opened = undefined;
    throw error;
  });
  switch (request.call) {
    case 'classify':
      return await learner.classify(request.message, request.options);
    case 'train':
      return await learner.train(request.message, request.kind, request.options, request.now);
    case 'untrain':
      return await learner.untrain(request.message, request.options, request.now);
    case 'statistics':
      return await store.sizes();
    case 'sweep':
      return await store.sweep(request.now);
    case 'import':
      return await importer.add(request.lines, request.user, request.now);
  }
}

/** Requests that are worked on at a time: more only where there is something to wait for. */
const AT_ONCE = url.kind === 'redis' ? 8 : 1;
const waiting: ToThread[] = [];
let working = 0;

function work(): void {
  while (working < AT_ONCE) {
    const next = waiting.shift();
    if (next === undefined) return;
    working++;
    void settle(next).then((message) => {
      working--;
      parentPort?.postMessage(message);
      work();
    });
  }
}

async function settle({ id, request }: ToThread): Promise<FromThread> {
  try {
    return { id, answer: await answer(request) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { id, error: message, isRefused: error instanceof UnlearnError };
  }
}

parentPort?.on('message', (message: ToThread) => {
  waiting.push(message);
  work();
});
