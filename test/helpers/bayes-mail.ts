/** Mails of a made-up office and made-up spam, the same at each run. */

const WORDS = {
  ham: 'meeting minutes report quarter server release branch review patch kernel ticket office lunch budget project deadline schedule colleague draft invoice travel agenda compiler module thread queue'.split(
    ' ',
  ),
  spam: 'winner casino bonus pills discount refinance mortgage guaranteed unlimited cheap luxury replica jackpot free trial offer miracle enlarge pharmacy lottery million claim urgent prize credit'.split(
    ' ',
  ),
  both: 'please would could about there which where people today morning another little great thing world think after before should never always under again'.split(
    ' ',
  ),
} as const;

/** The `n`th mail of a kind. */
export function mailOf(kind: 'spam' | 'ham', n: number): Buffer {
  const pick = (list: readonly string[], i: number): string =>
    list[(n * 7 + i * 13 + ((n * i) % 5)) % list.length] ?? '';
  const words = Array.from({ length: 40 }, (_, i) => pick(i % 3 === 0 ? WORDS.both : WORDS[kind], i));
  const from = kind === 'spam' ? `deals${n % 5}@offers.example.biz` : `colleague${n % 5}@office.example.org`;
  return Buffer.from(
    `From: ${from}\r\nTo: user@example.org\r\nSubject: ${words.slice(0, 4).join(' ')}\r\nMessage-ID: <${kind}${n}@example>\r\n` +
      `Date: Mon, 9 Sep 2024 10:00:00 +0000\r\n\r\n${words.join(' ')}\r\nnumber ${n}\r\n`,
  );
}
