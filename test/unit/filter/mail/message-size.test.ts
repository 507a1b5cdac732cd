import { describe, expect, it } from 'vitest';
import { headerSize, messageSize } from '../../../../lib/filter/mail/message-size.ts';
import { Milter } from '../../../../lib/index.ts';
import { fakeSession } from '../../../../lib/testing/index.ts';

const HEADER = 'From: a@example.org\r\nSubject: folded\r\n\tin two\r\n';

/** What a filter takes a message for. */
async function sizes(eml: string, { maxBody = 1_000, parameters = [] as string[] } = {}) {
  const found: { header: number; whole: number | undefined }[] = [];
  class Measure extends Milter {
    override eom(): void {
      found.push({ header: headerSize(this.message), whole: messageSize(this.message) });
    }
  }
  await using mta = fakeSession(Measure, { maxBody });
  await mta.connect('client.test', { family: 'inet', address: '192.0.2.7', port: 1 });
  await mta.helo('client.test');
  await mta.envfrom('<a@example.org>', parameters);
  await mta.envrcpt('<b@example.com>');
  await mta.data();
  const [header = '', body = ''] = eml.split('\r\n\r\n');
  for (const field of header.split(/\r\n(?![ \t])/)) {
    const colon = field.indexOf(':');
    await mta.header(field.slice(0, colon), field.slice(colon + 2).replaceAll('\r\n', '\n'));
  }
  await mta.eoh();
  await mta.body(body);
  await mta.eom();
  return found[0];
}

describe('the size of a message', () => {
  it('is that on the wire', async () => {
    const eml = `${HEADER}\r\nbody\r\n`;
    expect(await sizes(eml)).toEqual({ header: HEADER.length, whole: eml.length });
  });

  it('is what the client declared, where not all of it was kept', async () => {
    const eml = `${HEADER}\r\n${'x'.repeat(5_000)}`;
    expect((await sizes(eml))?.whole).toBeUndefined();
    expect((await sizes(eml, { parameters: ['SIZE=5100'] }))?.whole).toBe(5_100);
  });
});
