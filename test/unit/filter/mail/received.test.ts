import { describe, expect, it } from 'vitest';
import { isPreamble, readReceived } from '../../../../lib/filter/mail/received.ts';

describe('a Received line', () => {
  it.each([
    [
      'Postfix',
      'from helo.example (mail.example.org [192.0.2.1])\r\n\tby mx.example.com (Postfix) with ESMTPS id 4X; Thu, 1 Jan 2026',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'helo.example' },
    ],
    [
      'Postfix without a confirmed name',
      'from helo.example (unknown [192.0.2.1]) by mx.example.com',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Postfix over TLS on IPv6',
      'from h (mail.example.org [IPv6:2001:DB8::1]) (using TLSv1.3 with cipher X (256/256 bits)) (No client certificate requested) by mx',
      { address: '2001:db8::1', hostname: 'mail.example.org', helo: 'h' },
    ],
    [
      'Sendmail',
      'from helo.example (root@mail.example.org [192.0.2.1]) by mx.example.com (8.18.1/8.18.1) with ESMTP id x',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'helo.example' },
    ],
    [
      'Sendmail that doubts the name',
      'from helo.example (mail.example.org [192.0.2.1] (may be forged)) by mx.example.com (8.18.1/8.18.1)',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Sendmail without a name',
      'from helo.example ([192.0.2.1]) by mx.example.com (8.18.1/8.18.1)',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Sendmail that asked identd',
      'from helo.example (IDENT:[10.0.0.1]@mail.example.org [192.0.2.1]) by mx.example.com',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'helo.example' },
    ],
    [
      'Exim with a name',
      'from mail.example.org ([192.0.2.1] helo=helo.example) by mx.example.com with esmtps (TLS1.3) (Exim 4.96)',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'helo.example' },
    ],
    [
      'Exim with a name and a port',
      'from mail.example.org ([192.0.2.1]:4711 helo=helo.example ident=x) by mx.example.com (Exim 4.96)',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'helo.example' },
    ],
    [
      'Exim without a name',
      'from [192.0.2.1] (helo=helo.example) by mx.example.com with smtp (Exim 4.96)',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Exim without a name, with a port',
      'from [192.0.2.1] (port=4711 helo=helo.example) by mx.example.com with smtp (Exim 4.96)',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Exim where the HELO is the address',
      'from [192.0.2.1] by mx.example.com with smtp (Exim 4.96) (envelope-from <a@example.org>) id x',
      { address: '192.0.2.1', hostname: undefined, helo: '[192.0.2.1]' },
    ],
    [
      'Exchange',
      'from helo.example (192.0.2.1) by mx.example.com (192.0.2.2) with Microsoft SMTP Server id 15.2.1',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Exchange on IPv6',
      'from helo.example (2001:db8::1) by mx.example.com (2001:db8::2) with Microsoft SMTP Server',
      { address: '2001:db8::1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'Exchange with a zone',
      'from helo.example ([fe80::1%4]) by mx.example.com ([fe80::2%4]) with mapi id 15.20',
      { address: 'fe80::1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'qmail',
      'from unknown (HELO helo.example) (192.0.2.1) by mx.example.com with SMTP; 1 Jan 2026 00:00:00 -0000',
      { address: '192.0.2.1', hostname: undefined, helo: 'helo.example' },
    ],
    [
      'qmail with a name, which it did not confirm',
      'from mail.example.org (HELO [10.0.0.1]) (user@192.0.2.1) by mx.example.com with SMTP',
      { address: '192.0.2.1', hostname: undefined, helo: '[10.0.0.1]' },
    ],
    [
      'qmail where HELO is the name',
      'from mail.example.org (192.0.2.1) by mx.example.com with SMTP',
      { address: '192.0.2.1', hostname: undefined, helo: 'mail.example.org' },
    ],
    [
      'Courier, mapped',
      'from helo.example (mail.example.org [::ffff:192.0.2.1]) by mx.example.com with ESMTP',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'helo.example' },
    ],
    [
      'Gmail',
      'from mail.example.org (mail.example.org. [192.0.2.1]) by mx.google.com with ESMTPS id x',
      { address: '192.0.2.1', hostname: 'mail.example.org', helo: 'mail.example.org' },
    ],
  ])('of %s', (_, line, client) => {
    expect(readReceived(line)).toEqual(client);
  });

  it.each([
    ['Postfix', 'from [10.0.0.1] (mail.example.org [192.0.2.1]) by mx'],
    ['Sendmail', 'from [10.0.0.1] ([192.0.2.1]) by mx'],
    ['Exim', 'from mail.example.org ([192.0.2.1] helo=[10.0.0.1]) by mx (Exim 4.96)'],
    ['Exim without a name', 'from [192.0.2.1] (helo=[10.0.0.1] ident=[10.0.0.2]) by mx (Exim 4.96)'],
    ['Exchange', 'from [10.0.0.1] (192.0.2.1) by mx with Microsoft SMTP Server'],
    ['qmail', 'from unknown (HELO 10.0.0.1) (10.0.0.2@192.0.2.1) by mx with SMTP'],
  ])('of %s gives no address that the HELO claims', (_, line) => {
    expect(readReceived(line)?.address).toBe('192.0.2.1');
  });

  it.each([
    ['local submission to Postfix', 'by mx.example.com (Postfix, from userid 1000) id 4X; Thu, 1 Jan 2026'],
    ['local submission to qmail', '(qmail 17 invoked by uid 1000); 1 Jan 2026 00:00:00 -0000'],
    ['local submission to Exim', 'from user by mx.example.com with local (Exim 4.96) id x'],
    ['a HELO and nothing of the connection', 'from [10.0.0.1] by mx.example.com with SMTP'],
    ['what is no address', 'from helo.example (mail.example.org [192.0.2.999]) by mx'],
    ['a comment without an end', 'from helo.example (mail.example.org [192.0.2.1] by mx'],
    ['nothing', ''],
    ['too much', `from helo.example (mail.example.org [192.0.2.1]) ${'x'.repeat(5_000)}`],
  ])('of %s names nobody', (_, line) => {
    expect(readReceived(line)).toBeUndefined();
  });

  it('is read in little time, whatever it is', () => {
    const hostile = ['(', '[', ' helo=', ' (HELO ', '((', ')', '] ', 'a@', ' (may be forged)'];
    for (const piece of hostile)
      expect(readReceived(`from x (${piece.repeat(400)}`.slice(0, 4_000))).toBeUndefined();
  });

  it('of qmail may be a preamble', () => {
    expect(isPreamble('(qmail 17 invoked from network); 1 Jan 2026 00:00:00 -0000')).toBe(true);
    expect(isPreamble('(qmail 17 invoked by uid 1000); 1 Jan 2026 00:00:00 -0000')).toBe(false);
  });
});
