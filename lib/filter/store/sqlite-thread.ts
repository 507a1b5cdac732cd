/** The thread of sqlite.ts: has the file to itself within this process, and waits for the disk. */
import { parentPort, workerData } from 'node:worker_threads';
import type { StoreRequest } from './request.ts';
import { type Outcome, SqliteFile } from './sqlite-file.ts';

/** What the thread is told. */
export type ToThread =
  | { readonly requests: readonly StoreRequest[]; readonly now: number }
  | { readonly sweep: number; readonly now: number }
  | 'close';

/** What it answers, but to `close`: then it ends. */
export type FromThread = { readonly outcomes: readonly Outcome[] } | { readonly swept: number };

const file = new SqliteFile(String(workerData));

parentPort?.on('message', (message: ToThread) => {
  if (message === 'close') {
    file.close();
    parentPort?.close();
    return;
  }
  const answer: FromThread =
    'sweep' in message
      ? { swept: file.sweep(message.now, message.sweep) }
      : { outcomes: file.run(message.requests, message.now) };
  parentPort?.postMessage(answer);
});
