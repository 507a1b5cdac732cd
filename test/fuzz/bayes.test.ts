/** Taking messages apart: never throws, stays within its bounds, in time that grows with the length. */
import { describe, expect, it } from 'vitest';
import { digestOf } from '../../lib/bayes/digest.ts';
import { LIMITS, messageTokens } from '../../lib/bayes/tokens/message.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const piece = fc.oneof(
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
  fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom(
      '\r\n',
      '\r\n\r\n',
      '\n',
      'Content-Type: multipart/mixed; boundary=b\r\n',
      '--b\r\n',
      '--b--\r\n',
      'Content-Type: text/html\r\n\r\n',
      'Content-Type: message/rfc822\r\n\r\n',
      'Content-Transfer-Encoding: base64\r\n',
      'Content-Transfer-Encoding: quoted-printable\r\n',
      'Content-Type: application/octet-stream; name="a.eml"\r\n\r\n',
      'Subject: =?utf-8?B?w5w=?= ',
      'From: <a@b.example>\r\n',
      '<div style="display:none',
      '">',
      '<style>.a{display:none}',
      '</style>',
      '<a href="http://',
      '<!--',
      '-->',
      '&#',
      'x;',
      'v i a g r a ',
      'http://%%@[::1]:99999/',
      '\u202e\u200d\ud83d',
      'Received: from 1.2.3.4.5.6 (a.b.c.d.e)\r\n',
      'begin 644 a.txt\r\n',
      '`\r\nend\r\n',
      'Content-Type: text/plain; charset=utf-16\r\n\r\n',
      '=\r\n',
      '=F',
    )
    .map((text) => Buffer.from(text)),
);
const message = fc.array(piece, { maxLength: 40 }).map((pieces) => Buffer.concat(pieces));

describe('any message', () => {
  it('has tokens within bounds, each once, the same each time', () => {
    fc.assert(
      fc.property(message, (bytes) => {
        const { header, body, segments, root } = messageTokens(bytes);
        for (const list of [header, body]) {
          expect(list.length).toBeLessThanOrEqual(LIMITS.tokens);
          expect(new Set(list).size).toBe(list.length);
          expect(list.every((token) => token.length > 0 && token.length <= 200)).toBe(true);
        }
        expect(segments.length).toBeLessThanOrEqual(LIMITS.segments);
        const again = messageTokens(bytes);
        expect([again.header, again.body, again.segments]).toEqual([header, body, segments]);
        expect(digestOf(root)).toHaveLength(16);
      }),
      runs(400),
    );
  });

  it('takes time that grows with its length alone', () => {
    fc.assert(
      fc.property(piece, (bytes) => {
        if (bytes.length === 0) return;
        const time = (length: number): number => {
          const many = Buffer.alloc(length, bytes);
          const html = Buffer.concat([Buffer.from('Content-Type: text/html\r\n\r\n'), many]);
          const began = process.cpuUsage();
          for (const one of [many, html]) messageTokens(one);
          const { user, system } = process.cpuUsage(began);
          return user + system;
        };
        time(10_000);
        // Eight times the length; a quadratic one would take 64 times as long.
        const most = 40 * Math.max(time(25_000), 4_000);
        let long = Number.POSITIVE_INFINITY;
        // The compiler and the collector of garbage count too, now and then.
        for (let n = 0; n < 3 && long >= most; n++) long = Math.min(long, time(200_000));
        expect(long).toBeLessThan(most);
      }),
      runs(60),
    );
  });
});
