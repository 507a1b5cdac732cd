/** By what a message is known: its body and who wrote what when, which stay as it goes from one machine to the next. */
import { createHash } from 'node:crypto';
import type { Part } from '../mime/index.ts';

const FIELDS = ['from', 'subject', 'date', 'message-id', 'content-type', 'content-transfer-encoding'];

/** 16 bytes. Line ends, the fold of fields and empty lines at the end make no difference. */
export function digestOf(root: Part): Buffer {
  const hash = createHash('sha256');
  for (const name of FIELDS) {
    for (const { raw } of root.headers.getAll(name)) {
      hash.update(`${name}:${raw.toString('latin1').replace(/\s+/g, ' ').trim()}\n`);
    }
  }
  hash.update('\n');
  const body = root.bodyBytes();
  hash.update(
    body.includes('\r\n')
      ? body.toString('latin1').replaceAll('\r\n', '\n').trimEnd()
      : body.toString('latin1').trimEnd(),
    'latin1',
  );
  return hash.digest().subarray(0, 16);
}
