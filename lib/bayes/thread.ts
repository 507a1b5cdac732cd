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
      throw new Error('Redis is to come');
  }
}

interface Opened {
  readonly store: DictionaryStore;
  readonly learner: Learner;
  readonly importer: Importer;
}

let opened: Promise<Opened> | undefined;

async function open(): Promise<Opened> {
  const store = await openStore();
  const secret = await store.secret();
  return { store, learner: new Learner(store, secret, minTrained), importer: new Importer(store, secret) };
}

async function answer(request: Request): Promise<Answers[keyof Answers]> {
  opened ??= open();
  const { store, learner, importer } = await opened;
  switch (request.call) {
    case 'open':
      return undefined;
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
    case 'close':
      await store.close();
      return undefined;
  }
}

parentPort?.on('message', ({ id, request }: ToThread) => {
  void answer(request)
    .then(
      (said): FromThread => ({ id, answer: said }),
      (error: unknown): FromThread => ({
        id,
        error: error instanceof Error ? error.message : String(error),
        isRefused: error instanceof UnlearnError,
      }),
    )
    .then((message) => parentPort?.postMessage(message));
});
