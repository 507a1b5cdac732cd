import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { makeJsonLogger } from '../../../lib/cli/json-logger.ts';

it('the log for programs writes one object a line, whatever its fields hold', () => {
  const out = new PassThrough({ encoding: 'utf8' });
  const logger = makeJsonLogger(out);
  const circle: { self?: unknown } = {};
  circle.self = circle;
  logger.info({ circle, big: 5n, word: 'a\nb' }, 'odd fields');
  logger.error({ error: new Error('broken', { cause: new Error('below') }) }, 'failed');
  const [odd, failed, ...more] = String(out.read()).split('\n');
  expect(JSON.parse(odd ?? '')).toEqual({
    time: expect.any(String),
    level: 'info',
    message: 'odd fields',
    circle: expect.stringContaining('[Circular *1]'),
    big: '5n',
    word: 'a\nb',
  });
  expect(JSON.parse(failed ?? '')).toMatchObject({
    level: 'error',
    error: { name: 'Error', message: 'broken', cause: { message: 'below' } },
  });
  expect(more).toEqual(['']);
});
