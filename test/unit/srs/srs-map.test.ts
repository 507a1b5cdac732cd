import { describe, expect, it } from 'vitest';
import { answerSrsMap, type Rewriter } from '../../../lib/srs/index.ts';

const rewriter: Rewriter = {
  forward: (address) =>
    address.endsWith('@orig.com') ? `srs-${address.replace('@', '=')}@us.example` : undefined,
  reverse: (address) => (address === 'SRS0=x@us.example' ? 'mouse@orig.com' : undefined),
  isOurs: (host) => host === 'us.example',
};

function answer(map: string, key: string): string {
  const reply = answerSrsMap(map, key, rewriter);
  return reply.status === 'OK' ? `OK ${reply.value}` : reply.status;
}

describe('as Postfix asks', () => {
  it.each([
    ['forward', 'mouse@orig.com', 'OK srs-mouse=orig.com@us.example'],
    ['forward', 'mouse@us.example', 'NOTFOUND'],
    ['forward', '', 'NOTFOUND'],
    ['reverse', 'SRS0=x@us.example', 'OK mouse@orig.com'],
    ['reverse', 'SRS0=y@us.example', 'NOTFOUND'],
    ['virtual', 'a@b.example', 'PERM'],
    ['toString', 'a@b.example', 'PERM'],
  ])('%s %s: %s', (map, key, reply) => {
    expect(answer(map, key)).toBe(reply);
  });
});

describe('as Sendmail asks', () => {
  it.each([
    ['make_srs', 'mouse<@orig.com.>', 'srs-mouse=orig.com<@us.example.>'],
    ['make-srs', 'mouse<@orig.com>', 'srs-mouse=orig.com<@us.example.>'],
    ['make_srs', 'mouse@orig.com', 'srs-mouse=orig.com<@us.example.>'],
    ['make_srs', 'mouse<@us.example.>', 'mouse<@us.example.>'],
    ['make_srs', '<@>', '<@>'],
    // The host that it goes to stands before.
    ['make_srs', 'far.example\udc9bmouse<@orig.com.>', 'srs-mouse=orig.com<@us.example.>'],
    ['make_srs', 'us.example.\udc9bmouse<@orig.com.>', 'mouse<@orig.com.>'],
    ['make_srs', '\udc9bmouse<@orig.com.>', 'mouse<@orig.com.>'],
    ['reverse_srs', 'SRS0=x<@us.example.>', 'mouse<@orig.com.>'],
    ['reverse-srs', 'SRS0=y<@us.example.>', 'SRS0=y<@us.example.>'],
    ['reverse_srs', '|/usr/bin/program', '"|/usr/bin/program"'],
  ])('%s %s: %s', (map, key, address) => {
    expect(answer(map, key)).toBe(`OK ${address}`);
  });
});
