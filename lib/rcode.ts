/** How a DNS reply says what came of its query. */

/** Codes of RFC 1035 section 4.1.1 and RFC 6891 section 9. */
export const RCODE = {
  ok: 0,
  formerr: 1,
  servfail: 2,
  nxdomain: 3,
  notimp: 4,
  refused: 5,
  badvers: 16,
} as const;
