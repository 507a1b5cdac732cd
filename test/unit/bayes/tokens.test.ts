import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { TOKENS_VERSION } from '../../../lib/bayes/store/store.ts';
import { linkTokens } from '../../../lib/bayes/tokens/links.ts';
import { LIMITS, messageTokens } from '../../../lib/bayes/tokens/message.ts';
import { plainText } from '../../../lib/bayes/tokens/plain.ts';
import { wordsOf } from '../../../lib/bayes/tokens/words.ts';
import { mailOf } from '../../helpers/bayes-mail.ts';

const words = (text: string): readonly string[] => wordsOf(plainText(text)).words;

function tokensOf(...lines: readonly (string | Buffer)[]) {
  return messageTokens(Buffer.concat(lines.flatMap((line) => [Buffer.from(line), Buffer.from('\r\n')])));
}

describe('words', () => {
  it('are of 3 to 20 letters, or have a sign', () => {
    expect(words('It is $5 only: buy NOW! (e-mail) user@example.org "quoted\'')).toEqual([
      '$5',
      'only',
      'buy',
      'now!',
      'e-mail',
      'user',
      'example.org',
      'quoted',
    ]);
    expect(words(`x${'y'.repeat(30)}`)).toEqual(['skip:x 30']);
  });

  it('are one word however they are written', () => {
    expect(
      words(
        'vi\u200bag\u00adra \uff56\uff49\uff41\uff47\uff52\uff41 v\u0456\u0430gr\u0430 VIAGRA v1@gra v\u0336iagra',
      ),
    ).toEqual(['viagra', 'viagra', 'viagra', 'viagra', 'viagra', 'viagra']);
    expect(wordsOf(plainText('v\u0456agra v1agra')).more).toEqual(['mixed:', 'v1agra', 'masked:']);
    expect(wordsOf('v i a g r a').more).toEqual(['spaced:viagra']);
  });

  it('of other scripts stay what they are', () => {
    expect(words('Привет мир, καλημέρα')).toEqual(['привет', 'мир', 'καλημέρα']);
    expect(words('無料です')).toEqual(['無料', '料で', 'です']);
  });
});

it('links tell hosts, those above, and paths', () => {
  expect(linkTokens('http://www.Shop.example.co.uk:8080/Buy/now.html?x=1')).toEqual([
    'url:port 8080',
    'url:shop.example.co.uk',
    'url:example.co.uk',
    'url:co.uk',
    'url:uk',
    'url/buy',
    'url/now',
    'url/html',
  ]);
  expect(linkTokens('https://user@10.1.2.3/')).toEqual(['url:user', 'url:ip', 'url:10.1.2.3', 'url:10.1']);
  expect(linkTokens('mailto:a@Example.org')).toEqual(['mailto:example.org']);
  expect(linkTokens('javascript:alert(1)')).toEqual([]);
});

describe('a message', () => {
  it('has tokens of its header', () => {
    const { header } = tokensOf(
      'Received: from a.spam.example.com ([192.0.2.7]) by mx',
      'From: "Best" <Deals@example.biz>',
      'Subject: =?utf-8?B?w5xiZXIgYWxsZXM=?=',
      'Message-ID: <1@host.example>',
      'Date: Mon, 9 Sep 2002 10:00:00 -0700',
      'X-Spam-Status: Yes',
      'Authentication-Results: x',
      '',
      'hi',
    );
    expect(header).toEqual(
      expect.arrayContaining([
        'received:192.0',
        'received:192.0.2',
        'received:example.com',
        'from:best',
        'from:deals',
        'from:example.biz',
        'über',
        'alles',
        'über|alles',
        'subject:charset utf-8',
        'message-id:host.example',
        'date:-0700',
        'header:from',
      ]),
    );
    // What other filters thought of it is not asked.
    expect(header.filter((token) => /spam-status|authentication/.test(token))).toEqual([]);
  });

  it('has tokens of its envelope, if that is known', () => {
    const { header } = messageTokens(Buffer.from('\r\n'), {
      envelope: {
        sender: 'A@b.example',
        recipients: ['c@d'],
        address: '192.0.2.7',
        client: 'x.y.example.net',
        helo: 'z',
      },
    });
    expect(header).toEqual([
      'env-from:a@b.example',
      'env-from:@b.example',
      'env-to:c@d',
      'env-ip:192.0.2',
      'env-ip:192.0',
      'env-client:example.net',
      'env-helo:z',
    ]);
  });

  it('has tokens of headers alone where that is wanted', () => {
    const { header, body, segments } = messageTokens(Buffer.from('Subject: hello\r\n\r\nworld\r\n'), {
      headersOnly: true,
    });
    expect([header.includes('hello'), body, segments]).toEqual([true, [], []]);
  });

  it('has apart what its reader sees and what he does not', () => {
    const { body, segments } = tokensOf(
      'Content-Type: text/html',
      '',
      '<html><style>.x{display:none}</style><!-- comment --><p>vi<b></b>ag<!-- -->r<bogus>a</bogus> &#99;heap<br>offer</p><div style="font-size:0px">hidden salad of many words indeed</div><span class="x">classy</span> <font color="#fffffe">white</font><img src="http://pic.example.com/a.gif" alt="picture"></html>',
    );
    expect(body).toEqual(
      expect.arrayContaining([
        'viagra',
        'cheap',
        'viagra|cheap',
        'offer',
        'picture',
        'inv:hidden',
        'inv:salad',
        'inv:classy',
        'inv:white',
        'inv:',
        'url:pic.example.com',
        'html:img.src',
      ]),
    );
    expect(body.filter((token) => /^(?:hidden|salad|classy|white|comment)$/.test(token))).toEqual([]);
    expect(segments.flat()).not.toContain('hidden');
  });

  it('is read wherever text is: any charset, files that are text, messages inside', () => {
    const utf16 = Buffer.from('\ufeffcheap pills for everybody', 'utf16le').toString('base64');
    const { body } = tokensOf(
      'Content-Type: multipart/mixed; boundary=b',
      '',
      '--b',
      'Content-Type: text/plain; charset=utf-16',
      'Content-Transfer-Encoding: base64',
      '',
      utf16,
      '--b',
      'Content-Type: application/octet-stream; name=invoice.pdf.exe',
      'Content-Transfer-Encoding: base64',
      '',
      Buffer.from('octets that are really readable text').toString('base64'),
      '--b',
      'Content-Type: message/rfc822',
      '',
      'Subject: inner subject',
      '',
      'inside another message',
      '--b',
      'Content-Type: application/zip; name="a.zip"',
      'Content-Transfer-Encoding: base64',
      '',
      Buffer.from([0x50, 0x4b, 3, 4, ...new Uint8Array(60)]).toString('base64'),
      '--b--',
    );
    expect(body).toEqual(
      expect.arrayContaining([
        'cheap|pills',
        'cs:utf-16',
        'really|readable',
        'ext:exe',
        'in:inner',
        'inside|another',
        'ct:application/zip',
        'ext:zip',
        'size:application/zip 6',
      ]),
    );
  });

  it('begins with segments that have nothing of its header', () => {
    const { segments } = tokensOf(
      'Subject: offer',
      '',
      Array.from({ length: 80 }, (_, i) => `word${i}x`).join(' '),
    );
    expect(segments.map((segment) => segment.length)).toEqual(LIMITS.segment.map((length) => 2 * length - 1));
    expect(segments.flat()).not.toContain('offer');
  });

  it('is read within bounds', () => {
    const text = Array.from({ length: 30_000 }, (_, i) => `w${i}`).join(' ');
    const { body } = tokensOf('Subject: x', '', text);
    expect(body.length).toBe(LIMITS.tokens);
    expect([body.includes('w200'), body.includes('w29999')]).toEqual([true, true]);
    const parts = Array.from({ length: 500 }, (_, i) => `--b\r\n\r\npart${i}\r\n`).join('');
    const many = tokensOf('Content-Type: multipart/mixed; boundary=b', '', `${parts}--b--`);
    expect(many.body.length).toBeLessThan(4 * LIMITS.parts);
  });
});

it('are the same in every release with this version: what was learned is found by them', () => {
  const received =
    'Received: from mail.shop.example.co.uk (HELO a-b_c.example.net) (198.51.100.7) by x-.y_z.example.org; a.b.1x -q.example.com';
  const text =
    'V1agra v i a g r a for $5 -- e-mail USER.name@example.org! v\u0456agra 無料です www.example.com/Buy/%41';
  const messages = [
    ...Array.from({ length: 20 }, (_, n) => mailOf(n % 2 === 0 ? 'spam' : 'ham', n)),
    Buffer.from(
      `${received}\r\nSubject: =?utf-8?q?caf=C3=A9_l=C3=A0?=      xq77\r\n\r\n${text}\r\n${'long'.repeat(9)}\r\n`,
    ),
    Buffer.from(
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>${text}<a href="http://1.2.3.4:81/x">no</a>` +
        `<font color=white>hidden words are here for nobody to see</font>\r\n--b\r\nContent-Type: application/pdf; name="In Voice.PDF"\r\n\r\n%PDF\r\n--b--\r\n`,
    ),
  ];
  const tokens = messages.map((message) => {
    const { header, body, segments } = messageTokens(message);
    return { header, body, segments };
  });
  const digest = createHash('sha256').update(JSON.stringify(tokens)).digest('hex');
  expect([TOKENS_VERSION, digest]).toEqual([
    1,
    'a289d916e335b6193143d19a31acb1e205b1a459d471a78067c7db286aee0284',
  ]);
});
